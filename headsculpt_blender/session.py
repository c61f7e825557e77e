# SPDX-License-Identifier: GPL-3.0-or-later
"""The one job that is going on, as the panel shows it. Knows nothing of Blender."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from .backend.headsculpt.errors import UserError
from .backend.headsculpt.jobs.flame_request import FlameRequest
from .backend.headsculpt.jobs.packs import PackRequest
from .backend.headsculpt.jobs.request import GenerateRequest, RegisterRequest
from .backend.headsculpt.protocol import MAX_PAYLOAD, Array, Frame, ProtocolError
from .link import Link, LinkError

Request = GenerateRequest | RegisterRequest | FlameRequest | PackRequest

CANCEL_SECONDS = 10.0
"""A step takes seconds at most; a worker that has not listened by then is ended."""
MAX_NOTICES = 20


class Phase(Enum):
    IDLE = auto()
    STARTING = auto()
    """The request is sent, nothing has come back yet."""
    RUNNING = auto()
    READY = auto()
    """The result is here and waits for its place in the scene."""
    CANCELLING = auto()


@dataclass(frozen=True)
class Card:
    """What went wrong, for the panel: cause, advice, end of the log."""

    message: str
    advice: str = ""
    log: str = ""

    def text(self) -> str:
        return "\n".join(part for part in (self.message, self.advice, self.log) if part)

    def short(self) -> str:
        """Cause and advice on one line, then the last lines of the log."""
        return "\n".join([f"{self.message} {self.advice}".strip(), *self.log.splitlines()[-10:]])


def busy_with(job: Job | None) -> str:
    if job and isinstance(job.request, RegisterRequest):
        return "Landmarks are being found"
    if job and job.target is None:
        return "A model is being fetched or checked"
    return "A head is being made"


def broken(error: ProtocolError) -> Card:
    """What to say about a frame that is well made but not what it should be."""
    return Card(f"The worker sent something that is no head: {error}.", "Please report this.")


@dataclass(frozen=True)
class Target:
    """Where the result belongs. By numbers: no reference to Blender's data survives an undo, no name a renaming."""

    scene: int
    """Its session_uid."""
    head: int
    """The chosen object's session_uid, 0 for the built-in head."""
    head_name: str
    """As it was when the job began, empty for the built-in head."""
    matrix: tuple[tuple[float, ...], ...]
    """4 × 4, the coordinates that the head was sent in to the world's: a similarity, perhaps with a mirror image."""
    topology: str = ""
    """Of the mesh that was sent, where the result is kept on it."""


@dataclass
class Progress:
    stage: str = "Starting the worker"
    step: int = 0
    steps: int = 0
    steps_per_second: float = 0.0
    seconds_left: float | None = None
    unit: str = "steps"


@dataclass
class Job:
    request: Request
    target: Target | None
    """None for a job that puts nothing into a scene: it goes on whatever file is open, and its result is a notice."""
    number: int
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Marks the preview object, so that it is found again whatever the user does to it."""
    progress: Progress = field(default_factory=Progress)
    started: float = field(default_factory=time.monotonic)
    first_mesh_seconds: float | None = None
    color: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 1.0)
    """Of the latest preview on the whole, linear RGBA: what a viewport that shows one colour a material shows."""
    stop_requested: bool = False
    cancel_deadline: float = 0.0


class Session:
    """A worker, at most one job, and what is left of the last one (its notices, its error card)."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self.phase = Phase.IDLE
        self.job: Job | None = None
        self.notices: list[str] = []
        self.card: Card | None = None
        self.result: Frame | None = None
        self._jobs = 0

    @property
    def busy(self) -> bool:
        return self.phase is not Phase.IDLE

    @property
    def can_stop(self) -> bool:
        running = self.phase in (Phase.STARTING, Phase.RUNNING)
        if not running or self.job is None or self.job.stop_requested:
            return False
        return isinstance(self.job.request, GenerateRequest)  # else there is nothing to keep

    def connect(self, command: str, environment: Mapping[str, str]) -> Link:
        """The worker of this command, started if there is none. Raises LinkError, UserError for an empty command."""
        if not command.strip():
            raise UserError(
                "HeadSculpt does not know where its worker is.",
                "Set the worker command in the add-on's preferences; `python build.py package` says what it is.",
            )
        if self.link and (not self.link.alive or self.link.command != command):
            self.disconnect()
        if not self.link:
            self.link = Link(command, environment)
        return self.link

    def disconnect(self) -> None:
        if self.link:
            self.link.close()
            self.link = None

    def start(self, request: Request, target: Target | None, command: str, environment: Mapping[str, str]) -> Job:
        """Sends a job to the worker.

        Raises UserError when one is going on, when the mesh is too large, or when there is no worker.
        """
        if self.busy:
            raise UserError(f"{busy_with(self.job)} already.", "Wait for it or cancel it.")
        fields, arrays = request.to_message()
        size = sum(values.nbytes for values in arrays.values())
        if size > MAX_PAYLOAD:
            raise UserError(
                f"The mesh of {size / 1e9:.1f} GB is too large to be sent.", "Take one with fewer vertices."
            )
        raw = {name: Array(values.dtype.name, values.shape, values.tobytes()) for name, values in arrays.items()}
        self.notices = []
        self.card = None
        link = self.connect(command, environment)
        self._jobs += 1
        self.job = Job(request, target, self._jobs)
        self.phase = Phase.STARTING
        link.send(Frame(request.KIND, self._jobs, fields, raw))
        return self.job

    def stop(self) -> None:
        """Asks for what there is."""
        if self.job and self.link and self.can_stop:
            self.job.stop_requested = True
            self.link.send(Frame("stop", self.job.number))

    def cancel(self) -> None:
        """Gives the job up. It has ended when the worker has said so, at the latest after CANCEL_SECONDS."""
        if self.phase is Phase.READY:
            self.finish()
        elif self.job and self.link and self.phase is not Phase.CANCELLING:
            self.phase = Phase.CANCELLING
            self.job.cancel_deadline = time.monotonic() + CANCEL_SECONDS
            self.link.send(Frame("cancel", self.job.number))

    def fail(self, card: Card) -> None:
        """Ends the job with an error."""
        self.card = card
        self.finish()

    def finish(self) -> None:
        self.phase = Phase.IDLE
        self.job = None
        self.result = None

    def receive(self) -> Frame | None:
        """The next preview, if one has come. All other frames change this session and nothing else."""
        try:
            while self.job and self.link and not self.result and (frame := self.link.receive()):
                if frame.job == self.job.number and self._take(self.job, frame):
                    return frame
        except LinkError as error:
            self._lose(error)
        if self.job and self.phase is Phase.CANCELLING and time.monotonic() > self.job.cancel_deadline:
            self.disconnect()
            self.finish()
        return None

    def _lose(self, error: LinkError) -> None:
        """The worker is gone, or no good. A job that was being cancelled has what it wanted."""
        self.disconnect()
        if self.phase is Phase.CANCELLING:
            self.finish()
        else:
            self.fail(Card(error.message, error.advice, error.log))

    def _take(self, job: Job, frame: Frame) -> bool:
        """Whether the frame is a preview to show."""
        if frame.type == "cancelled" or (self.phase is Phase.CANCELLING and frame.type in ("result", "error")):
            self.finish()
        elif self.phase is Phase.CANCELLING:
            pass
        elif frame.type == "error":
            card = {name: str(frame.fields.get(name, "")) for name in ("message", "advice", "log")}
            self.fail(Card(**card))
        elif frame.type == "notice":
            self.notices = [*self.notices, str(frame.fields.get("text", ""))][-MAX_NOTICES:]
        elif frame.type == "progress":
            self.phase = Phase.RUNNING
            job.progress = read_progress(frame.fields)
        elif frame.type == "result" and job.target is None:
            self.notices = [str(frame.fields.get("text", ""))]
            self.finish()
        elif frame.type == "result":
            self.phase = Phase.READY
            self.result = frame
        elif frame.type == "preview":
            self.phase = Phase.RUNNING
            return True
        return False


def read_progress(fields: Mapping[str, object]) -> Progress:
    def number(name: str) -> float:
        value = fields.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    left = None if fields.get("seconds_left") is None else number("seconds_left")
    stage, unit = str(fields.get("stage", "")), str(fields.get("unit", "steps"))
    return Progress(stage, int(number("step")), int(number("steps")), number("steps_per_second"), left, unit)
