# SPDX-License-Identifier: GPL-3.0-or-later
"""The job `learn_view`: pictures in, a word of the model's out, which makes it see what they have in common (Eq. 6).

An interrupted job leaves FILE.unfinished beside its file; the same job goes on from there with the same result.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from headsculpt.device import choose
from headsculpt.errors import UserError
from headsculpt.finish.files import check_writable, write_whole
from headsculpt.guidance.images import Images, read_images, render_back_views
from headsculpt.guidance.inversion import InversionSettings, WordLearner, recipe
from headsculpt.jobs.events import Event, JobControl, Notice, Progress
from headsculpt.jobs.generate import POCKET, default_threads
from headsculpt.jobs.learn_view_request import LearnViewRequest
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.packs.tokens import read_tokens, save_token, tokens_folder

STAGE, RENDERING = "Learning the word", "Rendering pictures"
SAVE_SECONDS = 30.0
BROKEN_IN_A_ROW = 8
"""Steps without numbers after which a job is given up, as in stages/optimizer.py."""
RECENT = 50
"""Steps that the losses in the result are means of."""

Emit = Callable[[Event], None]


@dataclass(frozen=True)
class LearnViewResult:
    """path: the file with the word; token: its name; used: how many pictures; skipped: what was left out of the folder
    and why, a sentence each; steps: done; loss: mean of the first and of the last steps of this run, 0 without any."""

    path: Path
    token: str
    used: int
    skipped: tuple[str, ...]
    steps: int
    loss: tuple[float, float]


def run_learn_view(
    request: LearnViewRequest, emit: Emit, control: JobControl, pack: Pack | None = None
) -> LearnViewResult:
    """The same request gives the same word on one machine, interrupted or not. `stop` keeps what is learned by then.

    pack: a loaded one, instead of the request's. Raises UserError for what the user can mend and errors.Cancelled.
    """
    torch.set_num_threads(request.threads or default_threads())
    folder = request.pack or POCKET
    out = request.out or tokens_folder(folder) / f"{request.token[1:-1]}.safetensors"
    emit(Progress("Getting ready", 0, 0))
    pack = pack or load_pack(folder, choose("auto", folder).device)  # half precision's gradients would vanish
    _check_free(request.token, pack)
    images = _images(request, pack, emit, control)
    for text in images.skipped:
        emit(Notice(f"Left out: {text}"))
    check_writable(out.parent)
    if out.exists():
        read_tokens(out)
    settings = _settings(request, pack)
    learner = _learner(pack, images, settings, request.seed)
    progress = _Unfinished(out, _made_of(request, pack, images, settings), emit)
    loss = _learn(learner, settings, progress, emit, control)
    save_token(out, request.token, learner.vector)
    progress.remove()
    return LearnViewResult(out, request.token, len(images.pictures), tuple(images.skipped), learner.steps, loss)


def _check_free(token: str, pack: Pack) -> None:
    """Raises UserError for a name that the model itself uses."""
    if token in pack.tokenizer.get_vocab() and token not in pack.learned_tokens:
        raise UserError(f"{token} means something to this model already.", "Choose another name.")


def _images(request: LearnViewRequest, pack: Pack, emit: Emit, control: JobControl) -> Images:
    if request.images is not None:
        return read_images(request.images, pack.spec.image_size)

    def before_each(number: int) -> None:
        control.check()
        emit(Progress(RENDERING, number, request.render))

    return render_back_views(pack.spec, np.random.default_rng(request.seed), request.render, before_each)


def _settings(request: LearnViewRequest, pack: Pack) -> InversionSettings:
    """The pack's recipe with what the request changes."""
    settings = recipe(pack)
    steps, word = request.steps or settings.steps, request.initial_word or settings.initial_word
    return replace(settings, steps=steps, initial_word=word)


def _learner(pack: Pack, images: Images, settings: InversionSettings, seed: int) -> WordLearner:
    try:
        return WordLearner(pack, images.pictures, settings, torch.Generator().manual_seed(seed), images.captions)
    except ValueError as error:
        raise UserError(
            f"The model does not know “{settings.initial_word}” as one word, so it can not start from it.",
            "Start from a short, common word, such as “back”.",
        ) from error


def _learn(
    learner: WordLearner, settings: InversionSettings, unfinished: _Unfinished, emit: Emit, control: JobControl
) -> tuple[float, float]:
    """All steps that are left. Returns the mean loss of the first and of the last ones."""
    unfinished.load(learner)
    losses: list[float] = []
    began, begun_at, broken = time.perf_counter(), learner.steps, 0
    state = learner.state()
    try:
        while learner.steps < settings.steps and not control.stop_requested:
            control.check()
            loss = learner.advance()
            if math.isnan(loss):
                broken += 1
                _tell_broken(broken, emit)
                continue
            broken, state = 0, learner.state()
            losses.append(loss)
            rate = (learner.steps - begun_at) / (time.perf_counter() - began)
            left = (settings.steps - learner.steps) / rate
            emit(Progress(STAGE, learner.steps, settings.steps, rate, left))
            unfinished.save_now_and_then(state)
    except BaseException:  # Ctrl-C too: nothing that was learned is lost
        unfinished.save(state)
        raise
    return (float(np.mean(losses[:RECENT])), float(np.mean(losses[-RECENT:]))) if losses else (0.0, 0.0)


def _tell_broken(in_a_row: int, emit: Emit) -> None:
    """Raises UserError when there were too many."""
    if in_a_row == 1:
        emit(Notice("The numbers of a step ran out of range; it was left out."))
    if in_a_row == BROKEN_IN_A_ROW:
        raise UserError(
            f"The numbers of {in_a_row} steps in a row ran out of range.",
            "Try another seed; if it stays so, the pack's files may be damaged: check the pack.",
        )


class _Unfinished:
    """What an interrupted job leaves beside its file, for the same job to go on from."""

    def __init__(self, out: Path, made_of: str, emit: Emit) -> None:
        self._path, self._made_of, self._emit = out.with_name(f"{out.name}.unfinished"), made_of, emit
        self._saved = time.monotonic()

    def load(self, learner: WordLearner) -> None:
        """Brings the learner to where the interrupted job was, if it was this one; else tells that it starts anew."""
        if not self._path.exists():
            return
        try:
            learner.restore(self._read())
        except (SafetensorError, OSError, KeyError, RuntimeError, ValueError):
            self._emit(Notice(f"{self._path.name} is of another job and is not used: this one starts anew."))
        else:
            self._emit(Notice(f"Going on after step {learner.steps}."))

    def _read(self) -> dict[str, Tensor]:
        """Raises what a file raises that is none, ValueError for another job's."""
        with safe_open(self._path, "pt") as file:
            if (file.metadata() or {}).get("made_of") != self._made_of:
                raise ValueError("another job's")
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dictionary

    def save_now_and_then(self, state: dict[str, Tensor]) -> None:
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self.save(state)

    def save(self, state: dict[str, Tensor]) -> None:
        write_whole(self._path, save(state, {"made_of": self._made_of}))
        self._saved = time.monotonic()

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def _made_of(request: LearnViewRequest, pack: Pack, images: Images, settings: InversionSettings) -> str:
    """A digest of all that the result depends on; of the model, its first layer and its words."""
    said: list[Any] = [request.token, request.seed, asdict(settings), images.captions, pack.spec.name]
    digest = hashlib.sha256(json.dumps(said).encode())
    model: Any = pack.unet
    words: Any = pack.text_encoder.get_input_embeddings()
    for tensor in (images.pictures, model.conv_in.weight, words.weight):
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
