# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker's process and the line to it. Knows nothing of Blender.

Threads read the worker's frames and log and write ours, so that nobody who calls this module ever waits for a pipe.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import BinaryIO

from .backend.headsculpt import __version__ as build
from .backend.headsculpt.errors import UserError
from .backend.headsculpt.protocol import VERSION, Frame, ProtocolError, read_frame, write_frame

HELLO_SECONDS = 120.0
"""A cold disk, a virus scanner and an ssh connection together take less."""
SILENCE_SECONDS = 120.0
"""The worker says every 5 s that it is alive, except inside native code that lets no other thread run: some seconds."""
LEAVE_SECONDS = 3.0
LOG_LINES = 200
INBOX_FRAMES = 256
LATEST_ONLY = {"progress", "preview"}
"""Frames of which only the newest matters, so a Blender that is busy finds one of each and not a heap."""

if sys.platform == "win32":
    NO_CONSOLE = subprocess.CREATE_NO_WINDOW
else:
    NO_CONSOLE = 0


class LinkError(UserError):
    """The worker can not be used any more. log: the end of what it wrote to its standard error."""

    def __init__(self, message: str, advice: str, log: str) -> None:
        super().__init__(message, advice)
        self.log = log


class Inbox:
    """A bounded queue of frames in which a newer frame of LATEST_ONLY takes the place of an older one."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._lock = threading.Lock()

    def put(self, frame: Frame) -> None:
        """Raises ProtocolError when the worker says more than anybody could read."""
        with self._lock:
            if frame.type in LATEST_ONLY:
                kept = (old for old in self._frames if (old.type, old.job) != (frame.type, frame.job))
                self._frames = deque(kept)
            if len(self._frames) >= INBOX_FRAMES:
                raise ProtocolError(f"{INBOX_FRAMES} frames are waiting already")
            self._frames.append(frame)

    def take(self) -> Frame | None:
        with self._lock:
            return self._frames.popleft() if self._frames else None


class Link:
    """A running worker. Raises LinkError when its program can not be started."""

    def __init__(self, command: str, environment: Mapping[str, str]) -> None:
        self.command = command
        self.greeted = False
        self.device = ""
        self._inbox = Inbox()
        self._outbox: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._broken = ""
        self._heard = threading.Event()
        self._silent = 0.0
        self._asked = time.monotonic()
        try:
            self._process = _start(split_command(command), environment)
        except (OSError, ValueError) as error:
            advice = "Correct the worker command in the add-on's preferences."
            raise LinkError(f"The worker could not be started: {error}.", advice, "") from error
        self._threads = [
            threading.Thread(target=target, name=f"headsculpt-{target.__name__}", daemon=True)
            for target in (self._read_frames, self._read_log, self._write_frames)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None and not self._broken

    def log(self) -> str:
        """The end of what the worker wrote to its standard error."""
        return "\n".join(list(self._log))

    def send(self, frame: Frame) -> None:
        self._outbox.put(frame)

    def receive(self) -> Frame | None:
        """The next frame, if one has come. Raises LinkError when none can come any more."""
        while (frame := self._inbox.take()) is not None:
            if not self.greeted:
                self._greet(frame)
            elif frame.type == "ready":
                self.device = str(frame.fields.get("device", ""))
            else:
                return frame
        self._check()
        return None

    def close(self) -> None:
        """Ends the worker and everything that it started. Takes LEAVE_SECONDS at the very most."""
        self._outbox.put(None)
        _kill(self._process)
        for thread, pipe in zip(self._threads, ("stdout", "stderr", "stdin"), strict=True):
            thread.join(LEAVE_SECONDS / 3)
            if not thread.is_alive():
                with contextlib.suppress(OSError):
                    self._pipe(pipe).close()

    def _greet(self, frame: Frame) -> None:
        fields = frame.fields
        theirs, ours = (fields.get("build"), fields.get("protocol")), (build, VERSION)
        if frame.type != "hello":
            self._broken = f"its first word was {frame.type!r}"
        elif theirs != ours:
            raise LinkError(
                "The worker is version {} (protocol {}), this add-on is {} (protocol {}).".format(*theirs, *ours),
                "Install both from the same version of HeadSculpt.",
                self.log(),
            )
        self.greeted = True

    def _check(self) -> None:
        if self._broken:
            raise LinkError(
                f"The worker does not speak HeadSculpt's language: {self._broken}.",
                "Check the worker command in the add-on's preferences; a login script must print nothing.",
                self.log(),
            )
        code = self._process.poll()
        if code is not None and not any(thread.is_alive() for thread in self._threads[:2]):
            raise self._death(code)
        limit = SILENCE_SECONDS if self.greeted else HELLO_SECONDS
        if self._silence() > limit:
            raise LinkError(
                f"The worker has said nothing for {limit:.0f} s.",
                "It was ended; press Generate to start another one.",
                self.log(),
            )

    def _death(self, code: int) -> LinkError:
        if not self.greeted:
            message = f"The worker could not start (exit code {code})."
            return LinkError(message, "Check the worker command in the add-on's preferences.", self.log())
        advice = "Press Generate to start another one."
        if code == -9:  # what Linux does when the memory is full
            advice = "If nobody ended it, the memory was full: close other programs or use the Preview preset."
        return LinkError(f"The worker ended in the middle of its work (exit code {code}).", advice, self.log())

    def _silence(self) -> float:
        """Seconds without a frame, not counting those in which Blender itself was away (rendering, asleep)."""
        now = time.monotonic()
        passed, self._asked = min(now - self._asked, 1.0), now
        self._silent = 0.0 if self._heard.is_set() else self._silent + passed
        self._heard.clear()
        return self._silent

    def _read_frames(self) -> None:
        try:
            while (frame := read_frame(self._pipe("stdout"))) is not None:
                self._heard.set()
                if frame.type != "alive":  # nobody takes frames while Blender renders, and that can be long
                    self._inbox.put(frame)
        except ProtocolError as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LEAVE_SECONDS / 3)  # the pipe of one that dies closes before its end is known
            if self._process.poll() is None:  # else it died in the middle of a frame
                self._broken = str(error)
        except (OSError, ValueError):
            pass  # closed by us

    def _read_log(self) -> None:
        try:
            for line in self._pipe("stderr"):
                self._log.append(line.decode("utf-8", "replace").rstrip())
        except (OSError, ValueError):
            pass  # closed by us

    def _write_frames(self) -> None:
        try:
            while (frame := self._outbox.get()) is not None:
                write_frame(self._pipe("stdin"), frame)
        except (OSError, ValueError):
            pass  # the worker has gone: `receive` says so

    def _pipe(self, name: str) -> BinaryIO:
        return getattr(self._process, name)


def split_command(command: str) -> list[str]:
    """The words of a command line, ~ being the user's folder. On Windows a backslash belongs to a path.

    Raises ValueError for quotes that do not close.
    """
    if sys.platform == "win32":
        words = [word.strip('"') for word in shlex.split(command, posix=False)]
    else:
        words = shlex.split(command)
    return [os.path.expanduser(word) for word in words]


def _start(command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C in Blender's terminal does not reach it, and its children end with it."""
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # means nothing on Windows
        creationflags=NO_CONSOLE,
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):  # a process that waits for a driver goes when that ends
        process.wait(LEAVE_SECONDS / 3)
