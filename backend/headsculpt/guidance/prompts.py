# SPDX-License-Identifier: GPL-3.0-or-later
"""What the text encoder is told about each view: the user's prompt with the words of the view behind it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headsculpt.device import sent
from headsculpt.errors import UserError
from headsculpt.guidance.methods import Words
from headsculpt.guidance.score import ScoreSettings
from headsculpt.packs.pack import Pack
from headsculpt.packs.spec import ViewWords
from headsculpt.packs.synonyms import in_known_words

LANDMARK_FADE = 20.0
"""Degrees beyond `ViewWords.landmark_limit` within which the ControlNet's residuals fade to zero."""
EMPTY_WORDS = frozenset({"a", "an", "and", "his", "her", "in", "is", "of", "on", "s", "the", "to", "who", "with"})
"""Words that say nothing about a head when they stand alone."""
FAULTS = "oversaturated, smooth, pixelated, cartoon, foggy, hazy, blurry"
"""What is wrong with distilled pictures (McAllister et al. 2024)."""


@dataclass(frozen=True)
class CheckedPrompt:
    """A prompt as the model will read it."""

    text: str
    unknown_words: list[str]
    """Those that would have said something, in order."""
    notices: list[str]
    """What the user should know: a sentence each."""


def check_prompt(pack: Pack, prompt: str) -> CheckedPrompt:
    """What `pack` can read of `prompt`. Raises UserError when that is nothing."""
    prompt, replaced = in_known_words(prompt, pack.spec.synonyms)
    unknown = [word for word in pack.unknown_words(prompt) if word not in EMPTY_WORDS]
    if not _says_something(pack.readable(prompt), pack):
        raise UserError("The model knows no word of this prompt.", f"It knows words like {_examples(pack)}.")
    notices = []
    if replaced:
        said = (f"“{word}” as “{known}”" if known else f"“{word}” as nothing" for word, known in replaced.items())
        notices.append(f"The model reads {', '.join(said)}.")
    if unknown:
        effect = "leaves them out" if pack.spec.drop_unknown_words else "can not tell them apart"
        notices.append(f"The model does not know these words and {effect}: {', '.join(unknown)}.")
    text = pack.shortened(prompt, [view + shot for view in _view_tails(pack) for shot in _shot_tails(pack)])
    if lost := pack.readable(prompt)[len(text) :].strip(" ,."):
        notices.append(f"The prompt is longer than the model can read; it leaves out: “{lost}”.")
    return CheckedPrompt(text, unknown, notices)


def view_weights(views: ViewWords, azimuth: Tensor, elevation: Tensor, blend: float = 0.0) -> Tensor:
    """How much of front, side, back and overhead each camera sees.

    azimuth, elevation: [B] in degrees, any azimuth. blend: within this many degrees of a limit two neighbours mix
    linearly; 0 changes abruptly. Returns [B, 4], rows sum to 1.
    Raises ValueError for a blend that would mix front and back.
    """
    if blend > (widest := (views.side_limit - views.front_limit) / 2):
        raise ValueError(f"a blend of {blend}° is too wide for these view words; at most {widest}°")
    turned = _from_front(azimuth)
    front = 1 - _beyond(turned, views.front_limit, blend)
    back = _beyond(turned, views.side_limit, blend)
    above = _beyond(elevation, views.overhead_limit, blend) if views.overhead else torch.zeros_like(front)
    around = torch.stack([front, 1 - front - back, back], 1) * (1 - above)[:, None]
    return torch.cat([around, above[:, None]], 1)


def landmark_scale(views: ViewWords, azimuth: Tensor) -> Tensor:
    """By how much the ControlNet's residuals count at these azimuths [B] in degrees: 1 in front, 0 at the back. [B]."""
    return (1 - (_from_front(azimuth) - views.landmark_limit) / LANDMARK_FADE).clamp(0, 1)


class ViewPrompts:
    """One prompt's embeddings for any camera. The text encoder runs once, when this is made."""

    def __init__(
        self,
        pack: Pack,
        prompt: str,
        negative_prompt: str = "",
        blend: float = 15.0,
        settings: ScoreSettings | None = None,
    ) -> None:
        """negative_prompt: what the picture should not show; empty for the pack's own. blend: see view_weights.
        settings: whose branches there are embeddings for, and whether the learned token is used; None for the paper's.

        Raises UserError where the pack can not tell a branch's words from the prompt.
        """
        settings = settings or ScoreSettings()
        self._views, self._blend = pack.spec.views, blend
        tails = _view_tails(pack, settings.view_token)
        texts = {
            words: _texts(words, pack, prompt.rstrip(" ,."), negative_prompt, tails) for words in settings.branches
        }
        if Words.FAULTS in texts and not _says_something(pack.readable(FAULTS), pack):
            raise UserError(
                f"The pack “{pack.spec.name}” knows no words for faulty pictures.",
                "Use another guidance than a bridge.",
            )
        unique = list(dict.fromkeys(text for by_shot in texts.values() for text in by_shot))
        embeddings = pack.embed(unique)
        self._embeddings = {
            words: embeddings[[unique.index(text) for text in by_shot]].unflatten(0, (-1, len(tails)))
            for words, by_shot in texts.items()
        }

    def of(self, words: Words, azimuth: Tensor, elevation: Tensor, shot: int = 0) -> Tensor:
        """What the model is told in this branch about each of these cameras, [B, T, C].

        azimuth, elevation: [B] in degrees; shot: 0 for the whole head, n for the pack's n-th close-up.
        """
        by_view = self._embeddings[words][shot]
        weights = view_weights(self._views, azimuth, elevation, self._blend)
        return torch.einsum("bv,vtc->btc", sent(weights, by_view.device).to(by_view), by_view)


def _texts(words: Words, pack: Pack, prompt: str, negative_prompt: str, tails: list[str]) -> list[str]:
    """What a branch says: for each shot, one text for each view."""
    shots = _shot_tails(pack)
    if words is Words.NOTHING:
        return [""] * (len(shots) * len(tails))
    if words is Words.NEGATIVE:
        negative, _ = in_known_words(negative_prompt or pack.spec.negative_prompt, pack.spec.synonyms)
        at_back = ", ".join(filter(None, [negative, pack.spec.views.back_negative]))
        return [negative, negative, at_back, negative] * len(shots)
    if words is Words.NO_VIEW:
        return [prompt + shot for shot in shots for _ in tails]
    behind = f", {FAULTS}" if words is Words.FAULTS else ""
    return [prompt + view + shot + behind for shot in shots for view in tails]


def _view_tails(pack: Pack, view_token: bool = True) -> list[str]:
    """What is put behind a prompt for front, side, back, overhead; the back's token only if it is wanted."""
    views = pack.spec.views
    back = views.back_token if view_token and views.back_token in pack.learned_tokens else views.back
    return [f", {words}" if words else "" for words in (views.front, views.side, back, views.overhead)]


def _shot_tails(pack: Pack) -> list[str]:
    """What is put behind that for cameras that see the whole head, then for each of the pack's close-ups."""
    return ["", *(f", {cameras.words}" if cameras.words else "" for cameras in pack.spec.close_ups)]


def _from_front(azimuth: Tensor) -> Tensor:
    """|azimuth| of any azimuth, 0 … 180."""
    return ((azimuth + 180) % 360 - 180).abs()


def _beyond(angle: Tensor, limit: float, blend: float) -> Tensor:
    if blend == 0:
        return (angle > limit).to(angle)
    return ((angle - limit + blend) / (2 * blend)).clamp(0, 1)


def _says_something(text: str, pack: Pack) -> bool:
    words = "".join(character if character.isalnum() else " " for character in text.lower()).split()
    return bool(set(words) - EMPTY_WORDS - set(pack.unknown_words(text)))


def _examples(pack: Pack) -> str:
    words = [word for word in pack.known_words or ["face", "hair", "beard"] if word not in EMPTY_WORDS]
    return ", ".join(words[:: max(1, len(words) // 8)])
