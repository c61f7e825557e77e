# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker: reads requests from its standard input, does them one after the other, writes frames to its output.

Three threads: the main one computes, one reads the input, one says every few seconds that the worker is alive. When the
input ends nobody is left to compute for, and the process leaves, whatever it is doing.
"""

from __future__ import annotations

import io
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from headsculpt import __version__
from headsculpt.errors import Cancelled, UserError
from headsculpt.jobs.events import Event, JobControl, Notice, Preview, Progress
from headsculpt.jobs.kinds import KINDS, JobKind
from headsculpt.protocol import VERSION, Array, Frame, ProtocolError, read_frame, write_frame

Run = Callable[[Any, Callable[[Event], None], JobControl], Any]

ALIVE_SECONDS = 5.0
PROGRESS_SECONDS = 0.1
GRACE_SECONDS = 1.5
"""How long a job may take to see that it is cancelled after the input has ended, before the process ends anyway."""


def main(stand_ins: Mapping[str, Run] | None = None, warm_up: Callable[[], str] | None = None) -> None:
    """Serves until standard input ends, then ends the process.

    stand_ins: what does a kind of job instead of the real thing, by kind; warm_up: the real one when None.
    """
    source, sink = _take_streams()
    kinds = KINDS | {kind: replace(KINDS[kind], run=run) for kind, run in (stand_ins or {}).items()}
    Worker(source, sink, kinds, warm_up or _warm_up).serve()
    sys.stderr.flush()
    os._exit(0)  # nothing here needs an orderly end, and a library's threads must not delay it


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """Moves the pipe aside: what a library prints goes to stderr and what it reads is empty.

    Descriptor 0 is replaced as well: on Windows, a library that is loaded while another thread reads the process's own
    standard input waits until that read is over.
    """
    source, sink = os.dup(0), os.dup(1)
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(source, os.O_BINARY)
        msvcrt.setmode(sink, os.O_BINARY)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)
    return os.fdopen(source, "rb"), os.fdopen(sink, "wb")


class Worker:
    """One line to one caller. source, sink: binary files that frames come from and go to; kinds: of jobs, by the type
    of the frame that asks for them."""

    def __init__(
        self, source: BinaryIO, sink: BinaryIO, kinds: Mapping[str, JobKind[Any, Any]], warm_up: Callable[[], str]
    ) -> None:
        self._source = source
        self._sink = sink
        self._kinds = kinds
        self._warm_up = warm_up
        self._writing = threading.Lock()
        self._requests: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._controls: dict[int, JobControl] = {}
        self._ended = threading.Event()

    def serve(self) -> None:
        """Says hello, then works until the input has ended."""
        hello = {"build": __version__, "python": sys.version.split()[0], "pid": os.getpid(), "protocol": VERSION}
        self._send(Frame("hello", 0, hello))
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        threading.Thread(target=self._say_alive, name="alive", daemon=True).start()
        self._get_ready()
        while (request := self._requests.get()) is not None:
            self._do(request)

    def _get_ready(self) -> None:
        """Loads the libraries before the first request comes, so that it need not wait for them."""
        try:
            self._send(Frame("ready", 0, {"device": self._warm_up()}))
        except Exception:
            traceback.print_exc()  # the first job will meet the same error, and say so to whoever asked for it

    def _read(self) -> None:
        """Reader thread: queues requests, and ends jobs at once."""
        try:
            while (frame := read_frame(self._source)) is not None:
                self._take(frame)
        except (ProtocolError, OSError) as error:
            print(f"worker: {error}", file=sys.stderr)
        self._end()

    def _take(self, frame: Frame) -> None:
        if frame.type in self._kinds:
            self._controls[frame.job] = JobControl()
            self._requests.put(frame)
        elif frame.type in ("cancel", "stop"):
            if control := self._controls.get(frame.job):  # it may just have ended
                control.cancel() if frame.type == "cancel" else control.stop()
        else:
            raise ProtocolError(f"a frame of unknown type {frame.type!r} came")

    def _end(self) -> None:
        """Ends everything: soon if the job listens, by force if it does not."""
        self._ended.set()
        for control in list(self._controls.values()):
            control.cancel()
        self._requests.put(None)
        time.sleep(GRACE_SECONDS)
        os._exit(0)

    def _say_alive(self) -> None:
        while not self._ended.wait(ALIVE_SECONDS):
            self._send(Frame("alive"))

    def _do(self, frame: Frame) -> None:
        """One job from request to its last frame: result, cancelled or error."""
        control, kind = self._controls[frame.job], self._kinds[frame.type]
        try:
            control.check()
            request = kind.read(frame.fields, {name: as_numpy(array) for name, array in frame.arrays.items()})
            result = kind.run(request, Emitter(frame.job, self._send), control)
            control.check()
            fields, arrays = kind.answer(result)
            self._send(Frame("result", frame.job, fields, {name: as_array(values) for name, values in arrays.items()}))
        except Cancelled:
            self._send(Frame("cancelled", frame.job))
        except UserError as error:
            self._send(Frame("error", frame.job, {"message": error.message, "advice": error.advice, "log": ""}))
        except Exception as error:
            traceback.print_exc()
            self._send(Frame("error", frame.job, _bug(error)))
        finally:
            del self._controls[frame.job]
            _give_back()

    def _send(self, frame: Frame) -> None:
        if self._ended.is_set():
            return
        with self._writing:
            try:
                write_frame(self._sink, frame)
            except OSError:  # nobody reads any more; the reader thread sees its end too
                self._ended.set()
                for control in list(self._controls.values()):
                    control.cancel()


class Emitter:
    """Turns a job's events into frames; progress no more often than every PROGRESS_SECONDS within a stage."""

    def __init__(self, job: int, send: Callable[[Frame], None]) -> None:
        self._job = job
        self._send = send
        self._stage = ""
        self._next = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            now = time.monotonic()
            if event.stage == self._stage and event.step < event.steps and now < self._next:
                return
            self._stage, self._next = event.stage, now + PROGRESS_SECONDS
            self._send(Frame("progress", self._job, asdict(event)))
        elif isinstance(event, Preview):
            self._send(preview_frame(self._job, event))
        elif isinstance(event, Notice):
            self._send(Frame("notice", self._job, {"text": event.text}))


def preview_frame(job: int, preview: Preview) -> Frame:
    """Colours go as bytes: it is what Blender keeps, and a quarter of the size."""
    mesh = preview.mesh
    arrays = {
        "vertices": as_array(mesh.vertices.astype(np.float32, copy=False)),
        "triangles": as_array(mesh.triangles.astype(np.int32, copy=False)),
    }
    if mesh.colors is not None:
        arrays["colors"] = as_array(np.rint(np.clip(mesh.colors, 0, 1) * 255).astype(np.uint8))
    return Frame("preview", job, {}, arrays)


def as_array(values: NDArray[Any]) -> Array:
    """For a frame. values: float32, int32 or uint8."""
    raw = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return Array(values.dtype.name, raw.shape, raw.reshape(-1).view(np.uint8).data)


def as_numpy(array: Array) -> NDArray[Any]:
    return np.frombuffer(array.data, np.dtype(array.dtype).newbyteorder("<")).reshape(array.shape)


def _bug(error: Exception) -> dict[str, str]:
    log = "".join(traceback.format_exception(error))
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is torch's, for a GPU
        advice = "Close other programs, or use the Preview preset."
        return {"message": "There is not enough memory for this job.", "advice": advice, "log": log}
    message = f"The worker failed unexpectedly ({type(error).__name__}: {error})."
    return {"message": message, "advice": "Please report this with the log below.", "log": log}


def _warm_up() -> str:
    """Loads the libraries, the kernels and the built-in pack once. Returns the name of the device that jobs run on."""
    from headsculpt import render, shape
    from headsculpt.device import all_kinds, choose, describe
    from headsculpt.jobs.generate import POCKET
    from headsculpt.packs.pack import load_pack

    for device in all_kinds():
        shape.warm_up(device)
        render.warm_up(device)
    load_pack(POCKET)
    return describe(choose("auto", POCKET).device)


def _give_back() -> None:
    """A job's models are gone by now; so is then the memory of the graphics card that they lay in."""
    if "torch" in sys.modules:
        from headsculpt.device import give_back

        give_back()
