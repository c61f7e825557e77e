# SPDX-License-Identifier: GPL-3.0-or-later
"""A model hub on this machine: the routes of the real one, its headers, its store under another address, its bad days.

Small files are answered by the hub itself with git's hash of them as ETag, through a relative redirect as the real one
does it since 2025; large ones lead to the store, which knows nothing of hashes or tokens and serves ranges.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LARGE = 4096
"""Bytes from which a file lies in the store."""
COMMIT = "c" * 40

Fault = Callable[["Handler", bytes], None]
"""Answers instead of the server. It gets the bytes that were asked for."""


class FakeHub:
    """files: content by "owner/name/path"."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.commit = COMMIT
        self.token = ""
        """Asked for by the hub where it is not empty."""
        self.gated = False
        self.ranges = True
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        """By a request's method and the file's path, or the path alone for any GET that carries the content."""
        self.sent: Counter[str] = Counter()
        """Content bytes by path."""
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """Server ("hub", "store", "proxy"), request line, headers."""
        self.endpoint = self.store = ""

    def tokens_seen(self, server: str) -> set[str]:
        return {headers.get("authorization", "") for name, _, headers in self.requests if name == server}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub
    name: str

    def do_HEAD(self) -> None:
        self.handle_any("HEAD")

    def do_GET(self) -> None:
        self.handle_any("GET")

    def handle_any(self, method: str) -> None:
        hub = self.hub
        hub.requests.append((self.name, self.requestline, {k.lower(): v for k, v in self.headers.items()}))
        path = self.path
        if path.startswith("http://"):  # we are the proxy
            path = "/" + path.split("/", 3)[3]
        if self.name == "store":
            self.content(method, path[1:])
        elif path.startswith("/cache/"):
            self.small(method, path.removeprefix("/cache/"))
        else:
            owner, repository, resolve, revision, rest = path[1:].split("/", 4)
            assert resolve == "resolve"
            self.resolve(method, f"{owner}/{repository}/{rest}", revision)

    def resolve(self, method: str, key: str, revision: str) -> None:
        hub = self.hub
        if faults := hub.faults[f"{method} {key}"]:
            return faults.pop(0)(self, hub.files[key])
        authorization = self.headers.get("Authorization", "")
        if hub.token and authorization != f"Bearer {hub.token}":
            return self.answer(401, {"X-Error-Code": "GatedRepo" if not authorization else "InvalidToken"})
        if hub.gated:
            return self.answer(403, {"X-Error-Code": "GatedRepo"})
        if key not in hub.files or revision not in ("main", hub.commit):
            return self.answer(404, {"X-Error-Code": "EntryNotFound"})
        content = hub.files[key]
        headers = {"X-Repo-Commit": hub.commit, "X-Linked-Size": str(len(content))}
        if len(content) < LARGE:
            return self.answer(307, headers | {"Location": f"/cache/{key}", "X-Linked-Etag": f'"{git_hash(content)}"'})
        digest = hashlib.sha256(content).hexdigest()
        location = {"Location": f"{hub.store}/{key}?Signature=secret", "X-Linked-Etag": f'"{digest}"'}
        return self.answer(302, headers | location, b"Found. Redirecting")

    def small(self, method: str, key: str) -> None:
        self.content(method, key, {"ETag": f'W/"{git_hash(self.hub.files[key])}"'})

    def content(self, method: str, key: str, headers: dict[str, str] | None = None) -> None:
        hub, key = self.hub, key.split("?")[0]
        content, status, said = hub.files[key], 200, dict(headers or {})
        if (asked := self.headers.get("Range")) and hub.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            status, said["Content-Range"] = 206, f"bytes {start}-{len(content) - 1}/{len(content)}"
            content = content[start:]
        if method == "GET" and (faults := hub.faults[key]):
            return faults.pop(0)(self, content)
        hub.sent[key] += len(content) if method == "GET" else 0
        self.answer(status, said, content)

    def answer(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def git_hash(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def cut(after: int) -> Fault:
    """The connection breaks after so many bytes of what was asked for."""

    def fault(handler: Handler, content: bytes) -> None:
        key = handler.path[1:].split("?")[0].removeprefix("cache/")
        asked = handler.headers.get("Range")
        handler.send_response(206 if asked else 200)
        if asked:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            total = start + len(content)
            handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:after])
        handler.wfile.flush()
        handler.hub.sent[key] += after
        handler.close_connection = True

    return fault


def wrong(handler: Handler, content: bytes) -> None:
    """The right length, other bytes."""
    handler.answer(200, {}, bytes(len(content)))


def status(code: int, **headers: str) -> Fault:
    """An error answer. Names in `headers` have underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, content: handler.answer(code, named, b"<html>not the file</html>")


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """The hub and its store, each under its own address."""
    servers = []
    for name in ("hub", "store"):
        handler = type(name, (Handler,), {"hub": hub, "name": name})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    hub.endpoint, hub.store = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
