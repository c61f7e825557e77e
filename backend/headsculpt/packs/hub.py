# SPDX-License-Identifier: GPL-3.0-or-later
"""The model hub's file routes: what a file is, and the file itself, as often interrupted as need be.

On requests, which diffusers brings: huggingface_hub's own download keeps no promise about hashes (it compares sizes),
and its store of shared blobs is not a folder that a user can look into, move or check.
"""

from __future__ import annotations

import email.utils
import hashlib
import os
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, urljoin, urlsplit

import requests
import urllib3

from headsculpt import __version__
from headsculpt.errors import UserError
from headsculpt.packs.disk import explained

PUBLIC_HUB = "https://huggingface.co"
TIMEOUT = (15.0, 60.0)
"""Seconds to connect, and between two pieces of an answer."""
TRIES = 5
"""In a row without a single byte."""
LONGEST_WAIT = 900.0
"""Seconds. A server that asks for more is not waited for."""
USUAL_WAIT = 30.0
"""Seconds, when a server asks for a pause and does not say how long."""
CHUNK = 1 << 20
"""Bytes that are read from a file at once."""
PIECE = 1 << 16
"""Bytes that are taken from the network at once, at most: a slow download shows life and can be cancelled."""
REDIRECTS = 10
AGAIN = "Start the download again: what has come is kept."


@dataclass(frozen=True)
class Place:
    """Where a file is on the hub. revision: a commit, a branch or a tag."""

    repository: str
    revision: str
    source: str


@dataclass(frozen=True)
class Remote:
    """What the hub says of a file. hash: SHA-256, 64 hex digits, of a large one; git's SHA-1, 40, of a small one."""

    size: int
    hash: str
    commit: str


class Hub:
    """A server with the hub's routes. wait: sleeps so many seconds and may raise; patience: seconds before the second
    try, twice as many before each further one."""

    def __init__(
        self, endpoint: str, token: str, wait: Callable[[float], None] = time.sleep, patience: float = 1.0
    ) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._token = token
        self._wait = wait
        self._patience = patience
        self._heard = False
        self._session = requests.Session()  # takes HTTP_PROXY, HTTPS_PROXY, NO_PROXY and REQUESTS_CA_BUNDLE as they are
        self._session.auth = self._authorize
        self._session.headers.update({"User-Agent": f"headsculpt/{__version__}", "Accept-Encoding": "identity"})

    @classmethod
    def of_environment(cls, wait: Callable[[float], None]) -> Hub:
        """As HF_ENDPOINT and HF_TOKEN say."""
        return cls(os.environ.get("HF_ENDPOINT") or PUBLIC_HUB, os.environ.get("HF_TOKEN", "").strip(), wait)

    def describe(self, place: Place) -> Remote:
        """Size, hash and commit of a file. Raises UserError."""
        with self._answer("HEAD", place) as (response, headers):
            response.close()
        tag = headers.get("x-linked-etag", headers.get("etag", "")).removeprefix("W/").strip('"').lower()
        size = headers.get("x-linked-size", headers.get("content-length", ""))
        if not size.isdigit() or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", tag):
            raise UserError(
                f"{self.endpoint} does not say what {place.source} is: it is no model hub.",
                "Correct HF_ENDPOINT, or leave it out.",
            )
        return Remote(int(size), tag, headers.get("x-repo-commit", place.revision))

    def download(self, place: Place, remote: Remote, target: Path, received: Callable[[int], None]) -> None:
        """Puts the whole, checked file into its place; a part of it that has come before is not asked for again.

        received: hears how many bytes are there, and may raise. Raises UserError.
        """
        part = part_of(target, remote)
        with explained(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            part.touch()
        failures = 0
        while (done := part.stat().st_size) < remote.size:
            received(done)
            try:
                self._append(place, part, done, remote.size, received)
            except requests.RequestException as error:
                failures = 1 if part.stat().st_size > done else failures + 1
                self._be_patient(failures, error)
        with explained(part):
            right = hash_of(part, remote.hash, received_check(received, remote.size)) == remote.hash
            if right:
                os.replace(part, target)
            else:
                part.unlink()
        if not right:
            raise UserError(
                f"What came as {place.source} is not what {self.endpoint} promised (its hash is another one).",
                "Start the download again; if that does not help, a proxy or a virus scanner changes what comes.",
            )

    def _append(self, place: Place, part: Path, done: int, size: int, received: Callable[[int], None]) -> None:
        """Adds what comes to the part, in one request."""
        with self._answer("GET", place, {"Range": f"bytes={done}-"} if done else {}) as (response, headers):
            goes_on = response.status_code == 206 and headers.get("content-range", "").startswith(f"bytes {done}-")
            if not goes_on:
                done = 0
            with explained(part), open(part, "ab" if goes_on else "wb") as file:
                for piece in _pieces(response):
                    file.write(piece)
                    done += len(piece)
                    received(done)
                file.flush()
                os.fsync(file.fileno())
        if done < size:
            raise requests.exceptions.ChunkedEncodingError("the answer ended early")

    @contextmanager
    def _answer(
        self, method: str, place: Place, headers: dict[str, str] | None = None
    ) -> Iterator[tuple[requests.Response, dict[str, str]]]:
        """A good answer, and the headers of all hops that led to it in lower case: the first that says a thing counts.

        Waits as long as the server asks for. Raises UserError for a refusal, RequestException for a broken connection
        while the answer is read.
        """
        failures = 0
        while True:
            try:
                response, heard = self._follow(method, place, headers or {})
            except requests.RequestException as error:
                failures += 1
                self._be_patient(failures, error)
                continue
            self._heard = True
            if response.ok:
                break
            response.close()
            if response.status_code == 429 or (response.status_code == 503 and "retry-after" in heard):
                self._wait(self._asked_wait(heard.get("retry-after", "")))
            elif response.status_code >= 500 or not self._is_ours(response.url):  # a store's link may just have expired
                failures += 1
                if failures >= TRIES:
                    self._refuse(response, place)
                self._wait(self._patience * 2 ** (failures - 1))
            else:
                self._refuse(response, place)
        with response:
            yield response, heard

    def _follow(self, method: str, place: Place, headers: dict[str, str]) -> tuple[requests.Response, dict[str, str]]:
        """The answer at the end of the redirects; of a HEAD, the first that says what file they lead to."""
        url = f"{self.endpoint}/{place.repository}/resolve/{quote(place.revision, safe='')}/{quote(place.source)}"
        heard: dict[str, str] = {}
        for _ in range(REDIRECTS):
            response = self._session.request(
                method, url, headers=headers, timeout=TIMEOUT, allow_redirects=False, stream=True
            )
            said = {name.lower(): value for name, value in response.headers.items()}
            if not response.is_redirect:
                return response, said | heard
            # the length and tag of a page that only leads on are its own, not the file's
            heard = {name: value for name, value in said.items() if name.startswith("x-")} | heard
            if method == "HEAD" and "x-linked-etag" in heard:
                return response, heard
            url = urljoin(url, response.headers["location"])
            response.close()
        raise requests.TooManyRedirects(f"more than {REDIRECTS} redirects")

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The token goes to the hub and nowhere else, wherever a redirect leads."""
        if self._token and self._is_ours(request.url or ""):
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _is_ours(self, url: str) -> bool:
        return urlsplit(url)[:2] == urlsplit(self.endpoint)[:2]

    def _be_patient(self, failures: int, error: requests.RequestException) -> None:
        """Waits before the next try. Raises UserError when there is none: at once if nobody has answered yet."""
        if failures >= TRIES or not self._heard or isinstance(error, requests.exceptions.SSLError):
            raise self._unreachable(error) from error
        self._wait(self._patience * 2 ** (failures - 1))

    def _asked_wait(self, asked: str) -> float:
        """Seconds of a Retry-After header: a number or a date."""
        seconds = USUAL_WAIT
        if asked.isdigit():
            seconds = float(asked)
        elif date := email.utils.parsedate_tz(asked):
            seconds = max(0.0, email.utils.mktime_tz(date) - time.time())
        if seconds > LONGEST_WAIT:
            raise UserError(
                f"{self.endpoint} allows no more downloads for {seconds / 60:.0f} minutes.",
                "Go on then: what has come is kept. With an access token in HF_TOKEN more is allowed.",
            )
        return seconds

    def _refuse(self, response: requests.Response, place: Place) -> NoReturn:
        status, page = response.status_code, f"{self.endpoint}/{place.repository}"
        if status == 401 and self._token:
            message = (
                f"{self.endpoint} does not know the access token in HF_TOKEN, or it may not read {place.repository}."
            )
            advice = f"Make another one at {self.endpoint}/settings/tokens and set HF_TOKEN to it."
        elif status == 401:
            message = f"{self.endpoint} gives {place.repository} only to those who say who they are."
            advice = (
                f"Accept the terms at {page}, make an access token at {self.endpoint}/settings/tokens and set HF_TOKEN."
            )
        elif status == 403:
            message = f"This account may not read {place.repository}: its terms are not accepted."
            advice = f"Accept them at {page}, then start the download again."
        elif status == 404:
            message = f"{place.source} is not in {place.repository} (revision {place.revision})."
            advice = "Update HeadSculpt; or get the model elsewhere and choose its folder."
        elif status >= 500:
            message = f"{urlsplit(response.url).hostname} is out of order (error {status})."
            advice = f"Try again later. {AGAIN}"
        else:
            message = f"{urlsplit(response.url).hostname} refuses to give {place.source} (error {status})."
            advice = "Try again later; or get the model elsewhere and choose its folder."
        raise UserError(message, advice)

    def _unreachable(self, error: requests.RequestException) -> UserError:
        """One sentence for each way in which a connection can fail."""
        host = urlsplit(str((error.request and error.request.url) or self.endpoint)).hostname
        causes = list(_causes(error))
        if isinstance(error, requests.exceptions.SSLError):
            advice = (
                "Check the computer's clock; if a company's proxy looks into connections, set REQUESTS_CA_BUNDLE to "
                "its certificate file."
            )
            known = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)
            reason = "its certificate can not be trusted" if known else "it does not speak TLS as it should"
            return UserError(f"There is no safe connection to {host}: {reason}.", advice)
        if isinstance(error, requests.exceptions.ProxyError):
            return UserError("The proxy does not let us through.", "Correct HTTPS_PROXY and HTTP_PROXY.")
        if any(isinstance(cause, urllib3.exceptions.NameResolutionError) for cause in causes):
            advice = f"Check the network connection. {AGAIN}"
            return UserError(f"The address of {host} can not be found: there is no network, or no DNS.", advice)
        if isinstance(error, requests.exceptions.Timeout) or any(isinstance(cause, TimeoutError) for cause in causes):
            return UserError(f"{host} does not answer.", f"Check the network connection. {AGAIN}")
        if isinstance(error, requests.exceptions.ConnectionError) and any(
            isinstance(cause, urllib3.exceptions.NewConnectionError) for cause in causes
        ):
            return UserError(f"{host} can not be reached.", f"Check the network connection. {AGAIN}")
        return UserError(f"The connection to {host} was cut.", AGAIN)


def part_of(target: Path, remote: Remote) -> Path:
    """Where an unfinished file lies. It is named by its hash, so that parts of two versions never meet."""
    return target.with_name(f"{target.name}.{remote.hash[:8]}.part")


def hash_of(path: Path, like: str, read: Callable[[int], None] = lambda count: None) -> str:
    """The file's hash of the kind that `like` is. read: hears how many bytes have been read, and may raise."""
    if len(like) == 64:
        digest = hashlib.sha256()
    else:  # git's name of a file: SHA-1 over a header and the content
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    done = 0
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            read(done)
    return digest.hexdigest()


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """What comes, as it comes: requests' own iterator waits for full pieces and loses what came of one that is cut."""
    try:
        while piece := response.raw.read1(PIECE, decode_content=True):
            yield piece
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ConnectionError(error, request=response.request) from error


def received_check(received: Callable[[int], None], size: int) -> Callable[[int], None]:
    """While a file is hashed it is all there; but the user may want to cancel."""
    return lambda done: received(size)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What is behind an error, as far as Python, requests and urllib3 keep it."""
    open_ends: list[object] = [error]
    seen: set[int] = set()
    while open_ends:
        current = open_ends.pop()
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            open_ends += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
