# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloading and checking a pack: what is asked of the hub, in which order, and what the user hears meanwhile."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import FileLock, Timeout

from headsculpt.errors import UserError
from headsculpt.finish.files import check_writable
from headsculpt.jobs.events import Event, JobControl, Progress
from headsculpt.packs.disk import check_lengths, check_room, explained
from headsculpt.packs.hub import Hub, Place, Remote, hash_of, part_of
from headsculpt.packs.manifest import PackFile, PackPart
from headsculpt.packs.store import RECEIPT, Entry, Store

MB = 1_000_000
SPEED_SECONDS = 10.0
"""Over which the speed is averaged."""
MAIN = "main"

Emit = Callable[[Event], None]


@dataclass(frozen=True)
class Wanted:
    """A file that is to come."""

    file: PackFile
    place: Place
    remote: Remote


def get_pack(
    store: Store,
    parts: tuple[PackPart, ...],
    emit: Emit,
    control: JobControl,
    online: bool = True,
    hub: Hub | None = None,
) -> None:
    """Brings what is missing of these parts; nothing that is there and right comes a second time.

    online: False where the user allows no network; hub: the environment's if None.
    Raises UserError, and errors.Cancelled; what has come until then is kept.
    """
    receipt = store.receipt()
    lacking = [(part, file) for part in parts for file in store.missing(part, receipt)]
    if not lacking:
        return
    if not online or _is_set("HF_HUB_OFFLINE"):
        setting = "HF_HUB_OFFLINE is set" if online else "Blender's “Allow Online Access” is off"
        raise UserError(
            f"{len(lacking)} files of {store.manifest.title} are missing, and {setting}.",
            "Allow it for the download, or choose a folder to which you have downloaded the model yourself.",
        )
    check_lengths([store.path(file).with_name(f"{store.path(file).name}.12345678.part") for _, file in lacking])
    check_writable(store.folder)
    watch = Watch(f"Getting {store.manifest.title}", emit, control)
    hub = hub or Hub.of_environment(watch.wait)
    with _alone(store):
        wanted = _look_up(store, lacking, hub, watch)
        check_room(store.folder, sum(item.remote.size - _done(store, item) for item in wanted))
        _bring(store, wanted, hub, watch)


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Two downloads of a pack at once would write into the same unfinished files. The lock goes with its process."""
    lock = FileLock(store.folder.with_name(f".{store.folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        title = store.manifest.title
        raise UserError(
            f"{title} is being downloaded by another program already.", "Wait for it, or end it."
        ) from error
    try:
        yield
    finally:
        lock.release()


def check_pack(store: Store, parts: tuple[PackPart, ...], emit: Emit, control: JobControl) -> list[str]:
    """Reads every file of these parts again. Returns a sentence for each that is missing or not what came."""
    receipt = store.receipt()
    entries = [(file, receipt.get(file.path)) for part in parts for file in part.files]
    watch = Watch(f"Checking {store.manifest.title}", emit, control)
    watch.total = sum(entry.size for _, entry in entries if entry)
    problems, damaged = [], set()
    for file, entry in entries:
        path = store.path(file)
        if not path.is_file():
            problems.append(f"{file.path} is missing.")
        elif entry is None:
            problems.append(f"{file.path} was not downloaded by HeadSculpt; “get” compares it with the hub's.")
        elif path.stat().st_size != entry.size or hash_of(path, entry.hash, watch.received) != entry.hash:
            problems.append(f"{file.path} is damaged.")
            damaged.add(file.path)
        watch.finish(entry.size if entry else 0)
    if damaged:
        with explained(store.folder / RECEIPT):
            store.forget(damaged)
    return problems


class Watch:
    """Tells how far a job is, in bytes, and lets it be cancelled."""

    def __init__(self, stage: str, emit: Emit, control: JobControl) -> None:
        self._stage = stage
        self._emit = emit
        self._control = control
        self.total = 0
        self._finished = 0
        self._marks: deque[tuple[float, int]] = deque()

    def received(self, of_this_file: int) -> None:
        """So many bytes of the file at hand are there. Raises Cancelled when the user has given the job up."""
        self._control.check()
        done, now = self._finished + of_this_file, time.monotonic()
        if self._marks and done < self._marks[-1][1]:
            self._marks.clear()  # a file begins anew
        self._marks.append((now, done))
        while now - self._marks[0][0] > SPEED_SECONDS:
            self._marks.popleft()
        passed, came = now - self._marks[0][0], done - self._marks[0][1]
        speed = came / passed if passed > 0 else 0.0
        left = (self.total - done) / speed if speed > 0 else None
        self._emit(Progress(self._stage, done // MB, self.total // MB, speed / MB, left, "MB"))

    def finish(self, size: int) -> None:
        """The file at hand is done."""
        self._finished += size

    def start_at(self, done: int) -> None:
        """What was there of the next file before the job does not count as speed."""
        if done:
            self._marks.clear()
        self._marks.append((time.monotonic(), self._finished + done))

    def say(self, what: str, step: int = 0, steps: int = 0) -> None:
        self._control.check()
        self._emit(Progress(what, step, steps, unit="files"))

    def wait(self, seconds: float) -> None:
        """Sleeps, and says so if it takes long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._control.check()
            if seconds >= 2:
                self._emit(Progress("Waiting before going on", 0, 0, 0.0, left))
            time.sleep(min(left, 0.2))


def _look_up(store: Store, lacking: list[tuple[PackPart, PackFile]], hub: Hub, watch: Watch) -> list[Wanted]:
    """Asks the hub what each file is; keeps those that are not here already, unnoted or under an older date."""
    wanted = []
    commits = {entry.repository: entry.commit for entry in store.receipt().values()}
    for number, (part, file) in enumerate(lacking):
        watch.say("Asking the hub", number, len(lacking))
        # one commit for all files of a repository, the one that the first came from
        revision = commits.get(part.repository, MAIN) if part.revision == MAIN else part.revision
        place = Place(part.repository, revision, file.source)
        remote = hub.describe(place)
        _compare(part, file, remote)
        commits[part.repository] = remote.commit
        place = Place(part.repository, remote.commit, file.source)
        item = Wanted(file, place, remote)
        if not _is_here(store, item, watch):
            wanted.append(item)
    return wanted


def _compare(part: PackPart, file: PackFile, remote: Remote) -> None:
    """Raises UserError when the hub has something else than what this version of HeadSculpt knows."""
    if file.sha256 and remote.hash != file.sha256:
        difference = f"The hub's {file.source} of {part.repository} is another file than the one that HeadSculpt knows."
    elif part.revision != MAIN and remote.commit != part.revision:
        difference = f"The hub answers for another version of {part.repository} ({remote.commit})."
    else:
        return
    raise UserError(difference, "Update HeadSculpt, or correct HF_ENDPOINT if you use a mirror.")


def _is_here(store: Store, item: Wanted, watch: Watch) -> bool:
    """Whether the right file lies there already, as when the user has copied it; then it is noted as come."""
    path = store.path(item.file)
    if not path.is_file() or path.stat().st_size != item.remote.size:
        return False
    watch.say(f"Looking at {item.file.path}")
    if hash_of(path, item.remote.hash, lambda done: watch.say(f"Looking at {item.file.path}")) != item.remote.hash:
        return False
    _note(store, item)
    return True


def _bring(store: Store, wanted: list[Wanted], hub: Hub, watch: Watch) -> None:
    watch.total = sum(item.remote.size for item in wanted)
    for item in wanted:
        watch.start_at(_done(store, item))
        hub.download(item.place, item.remote, store.path(item.file), watch.received)
        _note(store, item)
        watch.finish(item.remote.size)


def _note(store: Store, item: Wanted) -> None:
    entry = Entry(item.place.repository, item.remote.commit, item.remote.size, item.remote.hash, 0)
    with explained(store.path(item.file)):
        store.keep(item.file, entry)


def _done(store: Store, item: Wanted) -> int:
    """Bytes of a file that have come already."""
    part = part_of(store.path(item.file), item.remote)
    return part.stat().st_size if part.is_file() else 0


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")
