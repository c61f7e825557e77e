# SPDX-License-Identifier: GPL-3.0-or-later
"""A pack comes whole from a hub that misbehaves, says why when it can not, and never asks for a good part again."""

from __future__ import annotations

import builtins
import email.utils
import errno
import hashlib
import logging
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hub_server import COMMIT, FakeHub, cut, serving, status, wrong

from headsculpt.errors import Cancelled, UserError
from headsculpt.jobs.events import Event, JobControl, Progress
from headsculpt.packs import disk
from headsculpt.packs.getting import check_pack, get_pack
from headsculpt.packs.hub import CHUNK, Hub
from headsculpt.packs.manifest import Manifest, PackFile, PackPart
from headsculpt.packs.store import Store

CONFIG, WEIGHTS, NET = "me/base/unet/config.json", "me/base/unet/w.safetensors", "you/net/w.safetensors"


def noise(seed: int, size: int) -> bytes:
    return hashlib.shake_128(bytes([seed])).digest(size)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    files = {CONFIG: b'{"a": 1}', WEIGHTS: noise(1, 3 * CHUNK + 12345), NET: noise(2, 50_000)}
    with serving(FakeHub(files)) as served:
        yield served


def manifest(**changes: Any) -> Manifest:
    fields = {"license": "L", "terms": "T", "use": "U"}
    base = PackPart(
        "base",
        "Base",
        "me/base",
        COMMIT,
        **fields,
        files=(
            PackFile("unet/config.json", "unet/config.json", 8),
            PackFile("unet/w.safetensors", "unet/w.safetensors", 3, sha256=changes.get("sha256", "")),
        ),
    )
    net = PackPart(
        "net", "Net", "you/net", "main", **fields, files=(PackFile("net/w.safetensors", "w.safetensors", 5),)
    )
    return Manifest("toy", "Toy Model", (base, net))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "packs" / "toy", manifest())


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith(("HF_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HEADSCULPT_")):
            monkeypatch.delenv(name)


Get = Callable[..., list[Event]]


@pytest.fixture
def get(hub: FakeHub, store: Store) -> Get:
    """Gets the whole pack, without pauses between tries."""

    def run(**options: Any) -> list[Event]:
        events: list[Event] = []
        options.setdefault("hub", Hub(hub.endpoint, "", lambda seconds: None, patience=0))
        options.setdefault("control", JobControl())
        place = options.pop("store", store)
        get_pack(place, place.manifest.parts, events.append, **options)
        return events

    return run


def assert_whole(hub: FakeHub, store: Store) -> None:
    """All files lie there as the hub has them, nothing else does but the receipt, and a check agrees."""
    places = {"unet/config.json": CONFIG, "unet/w.safetensors": WEIGHTS, "net/w.safetensors": NET}
    for path, key in places.items():
        assert (store.folder / path).read_bytes() == hub.files[key]
    found = {path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*") if path.is_file()}
    assert found == {*places, "headsculpt-pack.json"}
    assert all(store.complete(part) for part in store.manifest.parts)
    assert check_pack(store, store.manifest.parts, lambda event: None, JobControl()) == []


def assert_sent_once(hub: FakeHub) -> None:
    assert hub.sent == {key: len(content) for key, content in hub.files.items()}


# --- a good day -----------------------------------------------------------------------------------------------------


def test_a_pack_comes_whole_and_only_once(hub: FakeHub, store: Store, get: Get) -> None:
    get()
    assert_whole(hub, store)
    asked = len(hub.requests)
    get()
    assert len(hub.requests) == asked, "a complete pack needs no network"
    assert_sent_once(hub)


def test_progress_has_size_speed_and_time_left(hub: FakeHub, store: Store, get: Get) -> None:
    hub.files[WEIGHTS] = noise(3, 8 * CHUNK)
    progress = [event for event in get() if isinstance(event, Progress) and event.unit == "MB"]
    assert progress[-1].step == progress[-1].steps == (8 * CHUNK + 50_008) // 1_000_000
    assert [event.step for event in progress] == sorted(event.step for event in progress)
    middle = progress[len(progress) // 2]
    assert middle.steps_per_second > 0 and middle.seconds_left is not None and middle.seconds_left > 0


def test_parts_that_were_not_asked_for_do_not_come(hub: FakeHub, store: Store) -> None:
    part = store.manifest.chosen(["net"])
    get_pack(store, part, lambda event: None, JobControl(), hub=Hub(hub.endpoint, ""))
    assert store.complete(part[0]) and not store.complete(store.manifest.parts[0])
    assert set(hub.sent) == {NET}


def test_a_part_without_a_known_commit_keeps_to_the_first(hub: FakeHub, store: Store, get: Get) -> None:
    """The repository moves on between two downloads; all files of a pack still come from one version."""
    get()
    (store.folder / "net" / "w.safetensors").unlink()
    get()
    asked = [line.split()[1] for name, line, _ in hub.requests if name == "hub" and "/you/net/" in line]
    assert asked[0].startswith("/you/net/resolve/main/")
    assert all(path.startswith(f"/you/net/resolve/{COMMIT}/") for path in asked[1:])


def test_a_file_that_was_copied_there_is_not_fetched(hub: FakeHub, store: Store, get: Get) -> None:
    (store.folder / "unet").mkdir(parents=True)
    (store.folder / "unet" / "w.safetensors").write_bytes(hub.files[WEIGHTS])
    get()
    assert hub.sent[WEIGHTS] == 0
    assert_whole(hub, store)


def test_another_file_in_its_place_is_replaced(hub: FakeHub, store: Store, get: Get) -> None:
    (store.folder / "unet").mkdir(parents=True)
    (store.folder / "unet" / "w.safetensors").write_bytes(bytes(len(hub.files[WEIGHTS])))
    get()
    assert_whole(hub, store)


# --- bad days -------------------------------------------------------------------------------------------------------


def test_a_cut_connection_goes_on_where_it_was(hub: FakeHub, store: Store, get: Get) -> None:
    hub.faults[WEIGHTS] = [cut(CHUNK + 7), cut(2 * CHUNK + 1), cut(0), cut(1), cut(0), cut(0)]
    get()
    assert_whole(hub, store)
    assert_sent_once(hub)


def test_after_many_cuts_the_next_download_goes_on(hub: FakeHub, store: Store, get: Get) -> None:
    hub.faults[WEIGHTS] = [cut(CHUNK), *[cut(0)] * 9]
    with pytest.raises(UserError, match=r"connection to 127\.0\.0\.1 was cut") as caught:
        get()
    assert "again" in caught.value.advice
    hub.faults.clear()
    get()
    assert_whole(hub, store)
    assert_sent_once(hub)


def test_a_server_without_ranges_starts_the_file_anew(hub: FakeHub, store: Store, get: Get) -> None:
    hub.ranges = False
    hub.faults[WEIGHTS] = [cut(CHUNK)]
    get()
    assert_whole(hub, store)
    assert hub.sent[WEIGHTS] == CHUNK + len(hub.files[WEIGHTS]) and hub.sent[NET] == len(hub.files[NET])


@pytest.mark.parametrize("key", [WEIGHTS, CONFIG])
def test_wrong_content_is_not_kept(hub: FakeHub, store: Store, get: Get, key: str) -> None:
    hub.faults[key] = [wrong]
    with pytest.raises(UserError, match="hash"):
        get()
    assert not (store.folder / key.removeprefix("me/base/")).exists()
    get()
    assert_whole(hub, store)
    assert hub.sent == {name: len(content) for name, content in hub.files.items()}  # what was wrong is not counted


def test_what_the_hub_changed_is_refused(hub: FakeHub, tmp_path: Path, get: Get) -> None:
    """The manifest knows a hash and the hub promises another one."""
    known = manifest(sha256="0" * 64)
    with pytest.raises(UserError, match="another file"):
        get(store=Store(tmp_path, known))


def test_a_known_hash_is_accepted(hub: FakeHub, tmp_path: Path) -> None:
    known = manifest(sha256=hashlib.sha256(hub.files[WEIGHTS]).hexdigest())
    get_pack(Store(tmp_path / "p", known), known.parts[:1], lambda e: None, JobControl(), hub=Hub(hub.endpoint, ""))
    assert (tmp_path / "p" / "unet" / "w.safetensors").read_bytes() == hub.files[WEIGHTS]


@pytest.mark.parametrize("asked", ["3", "date"])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_busy_server_is_waited_for_as_long_as_it_says(hub: FakeHub, get: Get, asked: str, method: str) -> None:
    waited: list[float] = []
    retry = asked if asked == "3" else email.utils.formatdate(time.time() + 3)
    hub.faults[f"{method} {WEIGHTS}"] = [status(429, Retry_After=retry)] * 7
    get(hub=Hub(hub.endpoint, "", waited.append, patience=0))
    assert len(waited) == 7 and all(1 < seconds <= 3 for seconds in waited)
    assert_sent_once(hub)


def test_a_wait_is_told_and_can_be_cancelled(hub: FakeHub, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    hub.faults[f"GET {NET}"] = [status(429, Retry_After="600")]
    control = JobControl()

    def listen(event: Event) -> None:
        if isinstance(event, Progress) and "Waiting" in event.stage:
            assert event.seconds_left is not None and 500 < event.seconds_left <= 600
            control.cancel()

    with pytest.raises(Cancelled):
        get_pack(store, store.manifest.parts, listen, control)
    get_pack(store, store.manifest.parts, lambda event: None, JobControl())
    assert_sent_once(hub)


def test_too_long_a_wait_is_an_error(hub: FakeHub, get: Get) -> None:
    hub.faults[f"GET {NET}"] = [status(429, Retry_After="7200")]
    with pytest.raises(UserError, match="120 minutes"):
        get()


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_a_server_that_stumbles_is_asked_again(hub: FakeHub, store: Store, get: Get, code: int) -> None:
    hub.faults[f"HEAD {WEIGHTS}"] = [status(code)] * 2
    hub.faults[f"GET {WEIGHTS}"] = [status(code)] * 3
    hub.faults[WEIGHTS] = [status(code)]
    get()
    assert_whole(hub, store)
    hub.files[NET] += b"longer"
    (store.folder / "net" / "w.safetensors").unlink()
    hub.faults[f"HEAD {NET}"] = [status(code)] * 9
    with pytest.raises(UserError, match=f"out of order .*{code}"):
        get()


def test_a_link_of_the_store_that_has_expired_is_asked_for_anew(hub: FakeHub, store: Store, get: Get) -> None:
    hub.faults[WEIGHTS] = [cut(CHUNK), status(403)]
    get()
    assert_whole(hub, store)
    assert_sent_once(hub)


def refused(hub: FakeHub, case: str) -> None:
    if case == "404":
        del hub.files[NET]
    elif case == "403":
        hub.gated = True
    else:
        hub.token = "hf_right"


@pytest.mark.parametrize(
    ("case", "token", "message", "advice"),
    [
        ("401", "", "only to those who say who they are", "HF_TOKEN"),
        ("401", "hf_wrong", "does not know the access token", "settings/tokens"),
        ("403", "hf_right", "terms", "Accept"),
        ("404", "", "is not in you/net", "Update"),
    ],
)
def test_a_refusal_says_what_to_do(
    hub: FakeHub, store: Store, get: Get, case: str, token: str, message: str, advice: str
) -> None:
    content = hub.files[NET]
    refused(hub, case)
    with pytest.raises(UserError, match=message) as caught:
        get(hub=Hub(hub.endpoint, token))
    assert advice in caught.value.advice and "hf_" not in str(caught.value)
    hub.gated, hub.token, hub.files[NET] = False, "", content
    get()
    assert_whole(hub, store)
    assert_sent_once(hub)


# --- whom the token is told, and who is asked ----------------------------------------------------------------------


def test_the_token_goes_to_the_hub_alone(
    hub: FakeHub,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    hub.token = "hf_secret"
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint + "/")
    monkeypatch.setenv("HF_TOKEN", "hf_secret\n")
    with caplog.at_level(logging.DEBUG):
        get_pack(store, store.manifest.parts, lambda event: None, JobControl())
    assert_whole(hub, store)
    assert hub.tokens_seen("hub") == {"Bearer hf_secret"} and hub.tokens_seen("store") == {""}
    written = "".join(path.read_text("latin-1") for path in store.folder.rglob("*.json"))
    assert "hf_secret" not in caplog.text + "".join(capfd.readouterr()) + written


def test_a_netrc_file_is_not_sent(
    hub: FakeHub, store: Store, get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    get()
    assert hub.tokens_seen("hub") == hub.tokens_seen("store") == {""}


def test_a_proxy_is_used(hub: FakeHub, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.store, proxy, endpoint = "http://store.invalid", hub.endpoint, "http://hub.invalid"
    hub.files = {name: content[:2000] for name, content in hub.files.items()}  # so that one server can play both
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    get_pack(store, store.manifest.parts, lambda event: None, JobControl())
    assert_whole(hub, store)
    assert all(line.split()[1].startswith("http://hub.invalid/") for _, line, _ in hub.requests)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("http://hub.invalid", r"hub\.invalid can not be found"),
        ("http://127.0.0.1:{closed}", r"127\.0\.0\.1 can not be reached"),
        ("http://127.0.0.1:{mute}", r"127\.0\.0\.1 does not answer"),
        ("https://127.0.0.1:{plain}", "does not speak TLS"),
    ],
)
def test_no_way_to_the_hub_is_said_at_once(
    hub: FakeHub, store: Store, get: Get, endpoint: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headsculpt.packs.hub.TIMEOUT", (0.5, 0.5))
    mute = socket.create_server(("127.0.0.1", 0))
    ports = {"closed": free_port(), "mute": mute.getsockname()[1], "plain": hub.endpoint.rpartition(":")[2]}
    waited: list[float] = []
    with pytest.raises(UserError, match=message) as caught:
        get(hub=Hub(endpoint.format(**ports), "", waited.append))
    assert caught.value.advice and not waited
    mute.close()


def test_a_certificate_that_nobody_knows(store: Store, get: Get, tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl here to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)

    def refuse_once() -> None:
        with pytest.raises(OSError):
            listener.accept()

    thread = threading.Thread(target=refuse_once, daemon=True)
    thread.start()
    with pytest.raises(UserError, match="certificate") as caught:
        get(hub=Hub(f"https://127.0.0.1:{listener.getsockname()[1]}", ""))
    assert "REQUESTS_CA_BUNDLE" in caught.value.advice
    thread.join(5)
    listener.close()


def test_a_page_that_is_no_hub(hub: FakeHub, get: Get) -> None:
    """A mirror that is none, or the log-in page of a hotel: 200 and HTML for everything."""
    hub.faults[f"HEAD {CONFIG}"] = [status(200)]
    with pytest.raises(UserError, match="no model hub"):
        get()


@pytest.mark.parametrize("case", ["HF_HUB_OFFLINE", "Blender"])
def test_offline_means_no_request(
    hub: FakeHub, store: Store, get: Get, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case == "HF_HUB_OFFLINE":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=f"3 files .* missing.*{'HF_HUB' if case == 'HF_HUB_OFFLINE' else 'Online'}"):
        get(online=case != "Blender")
    assert not hub.requests
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    get()
    get(online=False)  # nothing is missing, so nothing is wrong


# --- the disk -------------------------------------------------------------------------------------------------------


def test_the_free_space_is_looked_at_before(
    hub: FakeHub, store: Store, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(len(content) for content in hub.files.values())
    hub.faults[WEIGHTS] = [cut(CHUNK), *[cut(0)] * 9]
    with pytest.raises(UserError, match="cut"):
        get()
    hub.faults.clear()
    came = sum(hub.sent.values())
    free = disk.RESERVE + size - came - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    with pytest.raises(UserError, match="too full"):
        get()
    assert sum(hub.sent.values()) == came
    free += 1  # what has come already needs no more room
    get()
    assert_whole(hub, store)
    assert_sent_once(hub)


def test_a_disk_that_fills_up_keeps_what_came(
    hub: FakeHub, store: Store, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, full, written = builtins.open, True, list[int]()

    class Filling:
        """A file on a disk with room for one more piece."""

        def __init__(self, file: Any) -> None:
            self.file, self.room = file, 1

        def write(self, chunk: bytes) -> int:
            if not self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room -= 1
            written.append(len(chunk))
            return int(self.file.write(chunk))

        def __enter__(self) -> Filling:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

    def opened(path: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        file = real(path, mode, *rest, **options)
        return Filling(file) if full and mode in ("ab", "wb") and "w.safetensors" in str(path) else file

    monkeypatch.setattr(builtins, "open", opened)
    with pytest.raises(UserError, match="disk is full") as caught:
        get()
    assert "room" in caught.value.advice
    sent = hub.sent[WEIGHTS]
    full = False
    get()
    assert_whole(hub, store)
    ranges = [headers.get("range") for name, _, headers in hub.requests if name == "store"]
    assert f"bytes={written[0]}-" in ranges and hub.sent[WEIGHTS] - sent == len(hub.files[WEIGHTS]) - written[0]


def test_a_folder_that_can_not_be_written_to(hub: FakeHub, get: Get, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can not be written to") as caught:
        get(store=Store(tmp_path / "file" / "toy", manifest()))
    assert "folder" in caught.value.advice and not hub.requests


def test_a_path_that_is_too_long(hub: FakeHub, get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "LONGEST_PATH", 259)  # Windows'
    with pytest.raises(UserError, match="259") as caught:
        get(store=Store(tmp_path / "deep" / ("x" * (230 - len(str(tmp_path)))), manifest()))
    assert "shorter" in caught.value.advice and not hub.requests


def test_two_downloads_of_a_pack_do_not_mix(hub: FakeHub, store: Store, get: Get) -> None:
    """The second one, in another program, is told so while the first goes on."""
    refusals: list[str] = []
    code = "import sys; sys.path[:] = {path}; import test_packs_getting as t; t.second(sys.argv[1], sys.argv[2])"

    def listen(event: Event) -> None:
        if isinstance(event, Progress) and event.unit == "MB" and event.step >= 1 and not refusals:
            command = [sys.executable, "-c", code.format(path=sys.path), hub.endpoint, str(store.folder)]
            refusals.append(subprocess.run(command, capture_output=True, text=True).stdout)

    get_pack(store, store.manifest.parts, listen, JobControl(), hub=Hub(hub.endpoint, ""))
    assert "already" in refusals[0]
    assert_whole(hub, store)
    assert_sent_once(hub)
    get()


def second(endpoint: str, folder: str) -> None:
    """What the other program does."""
    store = Store(Path(folder), manifest())
    try:
        get_pack(store, store.manifest.parts, lambda event: None, JobControl(), hub=Hub(endpoint, ""))
    except UserError as error:
        print(error)


def test_a_cancelled_download_goes_on_later(hub: FakeHub, store: Store, get: Get) -> None:
    control = JobControl()

    def listen(event: Event) -> None:
        if isinstance(event, Progress) and event.unit == "MB" and event.step >= 2:
            control.cancel()

    with pytest.raises(Cancelled):
        get_pack(store, store.manifest.parts, listen, control, hub=Hub(hub.endpoint, ""))
    assert list(store.folder.rglob("*.part")) and not store.complete(store.manifest.parts[0])
    before = sum(path.stat().st_size for path in store.folder.rglob("*.part"))
    sent = hub.sent[WEIGHTS]
    get()
    assert_whole(hub, store)
    assert hub.sent[WEIGHTS] - sent == len(hub.files[WEIGHTS]) - before


# --- checking and removing ------------------------------------------------------------------------------------------


def test_a_check_finds_what_is_damaged_and_get_mends_just_that(hub: FakeHub, store: Store, get: Get) -> None:
    get()
    path = store.folder / "unet" / "w.safetensors"
    stamp = path.stat().st_mtime_ns
    content = bytearray(path.read_bytes())
    content[CHUNK] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stamp, stamp))  # as a failing disk does it: size and date are what they were
    (store.folder / "net" / "w.safetensors").unlink()
    problems = check_pack(store, store.manifest.parts, lambda event: None, JobControl())
    assert problems == ["unet/w.safetensors is damaged.", "net/w.safetensors is missing."]
    hub.sent.clear()
    get()
    assert_whole(hub, store)
    assert hub.sent == {WEIGHTS: len(content), NET: len(hub.files[NET])}


def test_a_lost_receipt_costs_no_download(hub: FakeHub, store: Store, get: Get) -> None:
    get()
    (store.folder / "headsculpt-pack.json").write_text('{"files": {"unet/config.json": 3}}')
    assert not store.complete(store.manifest.parts[0])
    get()
    assert_whole(hub, store)
    assert_sent_once(hub)


def test_removing_leaves_what_is_the_user_s(hub: FakeHub, store: Store, get: Get) -> None:
    get()
    (store.folder / "unet" / "notes.txt").write_text("mine")
    size = sum(len(content) for content in hub.files.values())
    assert store.bytes_there(store.manifest.parts[0]) + store.bytes_there(store.manifest.parts[1]) == size
    assert store.remove(store.manifest.parts) == size
    assert [path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*") if path.is_file()] == [
        "unet/notes.txt"
    ]
    (store.folder / "unet" / "notes.txt").unlink()
    store.remove(store.manifest.parts)
    assert not store.folder.exists()


def test_removing_a_part_keeps_the_other(hub: FakeHub, store: Store, get: Get) -> None:
    get()
    store.remove(store.manifest.parts[:1])
    assert [store.complete(part) for part in store.manifest.parts] == [False, True]
