# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pack has learned of each word: what share of its pictures the judge reads as asked, and what comes unasked.

    python -m headsculpt.evaluation.words PACK --out out/words --docs docs

Draws 64 pictures for every word by DDIM at the Preview preset's guidance, from words alone: a map of the built-in
head's landmarks would hold its expression down. What is small (eyes, moustache, expression, age …) is drawn as the
pack's closest close-up, all else as the whole head; both from the front. Started again it goes on where it was.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from headsculpt.evaluation.attributes import ATTRIBUTES, SMALL
from headsculpt.evaluation.judge.network import QUESTIONS
from headsculpt.evaluation.judge.reading import Judge, load_judge
from headsculpt.evaluation.pages import fill, stacked, write_picture
from headsculpt.evaluation.runs import fingerprint
from headsculpt.finish.files import check_writable, write_whole
from headsculpt.guidance.sampling import as_bytes, sample
from headsculpt.packs.pack import Pack, load_pack
from headsculpt.stages.presets import PREVIEW

PICTURES, BATCH, STEPS = 64, 16, 16
GUIDANCE = PREVIEW.fine.score.guidance_scale
SHOWN, TILE = 6, 96
"""Pictures of each word on the sheet, and their side."""
SEED = 11
PAGE, MARK = "pack.md", "words"

PHRASES: dict[str, str] = {
    "skin": "a person with {} skin",
    "hair": "a person with {style} {} hair",
    "beard": "a man with a {}",
    "moustache": "a man with a {}",
    "brows": "a person with {} eyebrows",
    "eyes": "a person with {} eyes",
    "lipstick": "a woman with {} lipstick",
    "paint": "a person with {} face paint",
    "glasses": "a person wearing {}",
    "headwear": "a person wearing a {}",
    "ears": "a person with {}",
    "expression": "a {} person",
    "age": "a {} {sex}",
    "sex": "a {}",
}
"""How each attribute's words are asked for. A style or a man or woman that is needed for the sentence changes."""
STYLE_PHRASES = {"bald": "a bald person", "short": "a person with short hair", "long": "a person with long hair"} | {
    "curly": "a person with curly hair"
}
COLORED = ("short", "long", "curly")
ADDED = ("moustache", "paint", "glasses", "headwear", "ears")
"""Attributes that a head may well do without, so that they should not come unasked."""


@dataclass(frozen=True)
class Word:
    """One word of the pack in its question: a value of an attribute, or of "view"."""

    question: str
    value: str

    @property
    def name(self) -> str:
        return f"{self.question} {self.value}"


@dataclass(frozen=True)
class Share:
    """How many of `pictures` the judge reads as asked, and what it reads most often instead."""

    word: Word
    right: int
    pictures: int
    mistaken_for: str

    @property
    def share(self) -> float:
        return self.right / self.pictures


Answers = Mapping[str, Sequence[str]]
"""By question, what the judge reads of each of some pictures."""


@dataclass(frozen=True)
class Findings:
    """Shares of all words, and for each value of ADDED the share of pictures that show it although their words ask for
    nothing of its attribute."""

    shares: Sequence[Share]
    unasked: Mapping[Word, float]


def all_words() -> list[Word]:
    """Every value of every attribute that words can say, and the three views."""
    words = [Word(name, value) for name, values in ATTRIBUTES.items() for value in values if value]
    return words + [Word("view", view) for view in ("front", "side", "back")]


def prompts(word: Word, pack: Pack, count: int = PICTURES) -> list[str]:
    """`count` sentences that ask for a word, view and close-up words behind them."""
    spec = pack.spec
    if word.question == "view":
        back = spec.views.back_token if spec.views.back_token in pack.learned_tokens else spec.views.back
        tail = {"front": spec.views.front, "side": spec.views.side, "back": back}[word.value]
        return [f"a {('man', 'woman')[index % 2]}, {tail}" for index in range(count)]
    tails = [spec.views.front]
    if word.question in SMALL and spec.close_ups:
        tails.append(spec.close_ups[-1].words)
    return [", ".join([_sentence(word, index), *tails]) for index in range(count)]


def _sentence(word: Word, index: int) -> str:
    if word.question == "style":
        return STYLE_PHRASES.get(word.value, f"a person with a {word.value}")
    pattern = PHRASES[word.question]
    if word.value in ("horns", "stubble"):
        pattern = pattern.replace("a {}", "{}")
    sentence = pattern.format(word.value, style=COLORED[index % len(COLORED)], sex=("man", "woman")[index % 2])
    return "an " + sentence[2:] if sentence[2] in "aeiou" else sentence


def draw(pack: Pack, word: Word) -> NDArray[np.uint8]:
    """PICTURES pictures [N, S, S, 3], of every word from the same noise."""
    generator = torch.Generator().manual_seed(SEED)
    texts, pictures = prompts(word, pack), []
    for start in range(0, PICTURES, BATCH):
        size = pack.spec.latent_size
        noise = torch.randn(BATCH, pack.spec.latent_channels, size, size, generator=generator).to(pack.device)
        latents = sample(pack, texts[start : start + BATCH], noise, GUIDANCE, STEPS)
        pictures.append(as_bytes(pack, latents))
    return np.concatenate(pictures)


def read_each(judge: Judge, pictures: NDArray[np.uint8]) -> Answers:
    """Every question's answers, of each picture by itself."""
    scores = judge.scores(pictures)
    return {
        question: [answers[index] for index in scores[question].argmax(1).tolist()]
        for question, answers in QUESTIONS.items()
    }


def count_right(word: Word, answers: Answers) -> Share:
    """How many of the word's pictures, which were read so, are as asked."""
    read = answers[word.question]
    wrong = [answer for answer in read if answer != word.value]
    often = max(wrong, key=wrong.count) if wrong else None
    return Share(word, len(read) - len(wrong), len(read), "" if often is None else often or "none")


def count_unasked(read: Mapping[Word, Answers]) -> dict[Word, float]:
    """From what was read of the pictures of whole heads from the front."""
    whole = {word: answers for word, answers in read.items() if word.question not in (*SMALL, "view")}
    found = {}
    for added in (word for word in all_words() if word.question in ADDED):
        others = [answers for word, answers in whole.items() if word.question != added.question]
        values = [value for answers in others for value in answers[added.question]]
        if values:
            found[added] = values.count(added.value) / len(values)
    return found


def measure_words(folder: Path, out: Path, judge: Judge, words: Sequence[Word]) -> Findings:
    """Draws what is not drawn yet into `out`, then lets the judge read all of it."""
    check_writable(out)
    pack = load_pack(folder)
    state = out / "state.json"
    made_by = {"pack": fingerprint(folder), "guidance": GUIDANCE, "steps": STEPS, "seed": SEED}
    if not state.exists() or json.loads(state.read_text()) != made_by:
        for path in out.glob("*.npy"):
            path.unlink()
        write_whole(state, json.dumps(made_by).encode())
    shares, read = [], {}
    for word in words:
        path = _pictures_file(out, word)
        if not path.exists():
            file = io.BytesIO()
            np.save(file, draw(pack, word), allow_pickle=False)
            write_whole(path, file.getvalue())
        read[word] = read_each(judge, np.load(path, allow_pickle=False))
        share = count_right(word, read[word])
        print(f"{word.name:20} {share.share:4.0%}  {share.mistaken_for}", flush=True)
        shares.append(share)
    return Findings(shares, count_unasked(read))


def _pictures_file(out: Path, word: Word) -> Path:
    return out / f"{word.name.replace(' ', '-')}.npy"


def table(findings: Findings) -> str:
    """Markdown: the mean and the worst, a line for each attribute, and what comes unasked."""
    shares = findings.shares
    mean, worst = float(np.mean([share.share for share in shares])), min(shares, key=lambda share: share.share)
    below = ", ".join(f"{share.word.name} {share.share:.0%}" for share in shares if share.share < 0.6)
    lines = [
        f"{shares[0].pictures} pictures a word. On average {mean:.1%} are read as asked; least often "
        f"{worst.word.name}, {worst.share:.0%}. Below 60 %: {below or 'none'}.\n",
        "| | share read as asked (what it is mostly taken for else, where under 85 %) |\n|---|---|",
    ]
    for question, group in _grouped(shares):
        lines.append(f"| {question} | {', '.join(map(_cell, group))} |")
    if findings.unasked:
        said = ", ".join(f"{word.name} {share:.1%}" for word, share in findings.unasked.items())
        lines.append(f"\nUnasked, in pictures of words about something else: {said}.")
    return "\n".join(lines) + "\n"


def _cell(share: Share) -> str:
    mistaken = f" ({share.mistaken_for})" if share.share < 0.85 else ""
    return f"{share.word.value} {share.share:.0%}{mistaken}"


def _grouped(shares: Sequence[Share]) -> Iterator[tuple[str, list[Share]]]:
    for question in dict.fromkeys(share.word.question for share in shares):
        yield question, [share for share in shares if share.word.question == question]


def sheet(out: Path, shares: Sequence[Share]) -> Image.Image:
    """Two columns of rows: a word, its share, the first SHOWN of its pictures."""
    rows = [_row(np.load(_pictures_file(out, share.word), allow_pickle=False), share) for share in shares]
    half = -(-len(rows) // 2)
    left, right = stacked(rows[:half]), stacked(rows[half:])
    both = Image.new("RGB", (left.width + right.width, left.height), (255, 255, 255))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both


def _row(pictures: NDArray[np.uint8], share: Share) -> Image.Image:
    label = 120
    row = Image.new("RGB", (label + SHOWN * TILE, TILE), (255, 255, 255))
    ImageDraw.Draw(row).text((6, TILE // 2 - 14), f"{share.word.name}\n{share.share:.0%}", fill=(0, 0, 0))
    for index, picture in enumerate(pictures[:SHOWN]):
        row.paste(Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.LANCZOS), (label + index * TILE, 0))
    return row


def as_json(findings: Findings, notes: Mapping[str, Any]) -> bytes:
    """All figures."""
    words = {share.word.name: {"right": share.right, "mistaken_for": share.mistaken_for} for share in findings.shares}
    unasked = {word.name: share for word, share in findings.unasked.items()}
    return (json.dumps({**notes, "words": words, "unasked": unasked}, indent=1, ensure_ascii=False) + "\n").encode()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder; what is drawn there is not drawn again")
    parser.add_argument("--docs", type=Path, help="a checkout's docs folder, to bring its pack.md up to date")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    findings = measure_words(options.pack, options.out, load_judge(), all_words())
    page, picture = table(findings), sheet(options.out, findings.shares)
    write_whole(options.out / "words.md", page.encode())
    write_whole(options.out / "words.json", as_json(findings, {"pictures": PICTURES, "guidance": GUIDANCE}))
    write_picture(picture, options.out / "words.jpg")
    if options.docs:
        fill(options.docs / PAGE, MARK, page + "\n![Pictures of each word](pictures/words.jpg)\n")
        write_picture(picture, options.docs / "pictures" / "words.jpg")


if __name__ == "__main__":
    main()
