# SPDX-License-Identifier: GPL-3.0-or-later
"""Which heads an evaluation makes: prompts and seeds from a TOML or CSV file.

TOML: `preset`, `seeds` and a table `[[prompts]]` for each, with `name` and `prompt`; each is made with every seed.
CSV: the columns name, prompt and seed; a head a row.
"""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headsculpt.errors import UserError
from headsculpt.evaluation.examples import Example

PRESET = "preview"
"""Of a file that names none."""


@dataclass(frozen=True)
class Order:
    """One head to make."""

    example: Example
    seed: int

    @property
    def name(self) -> str:
        """Of its folder and in tables."""
        return f"{self.example.name}-{self.seed}"


@dataclass(frozen=True)
class Plan:
    """preset: a name of stages.presets.PRESETS; orders: the heads, those of one prompt together."""

    preset: str
    orders: tuple[Order, ...]

    @property
    def names(self) -> list[str]:
        """Of the prompts, each once."""
        return list(dict.fromkeys(order.example.name for order in self.orders))


def read_plan(path: Path) -> Plan:
    """Raises UserError, with what is wrong, for a file that is no plan."""
    try:
        preset, orders = _toml(path) if path.suffix == ".toml" else (PRESET, tuple(_csv(path)))
        _check(orders)
    except (OSError, ValueError, TypeError, KeyError) as error:
        fault = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"{path} is no list of prompts ({fault}).",
            "Write TOML with seeds and [[prompts]] of name and prompt, or CSV with the columns name, prompt, seed.",
        ) from error
    names = Plan(preset, orders).names
    return Plan(preset, tuple(sorted(orders, key=lambda order: names.index(order.example.name))))


def _toml(path: Path) -> tuple[str, tuple[Order, ...]]:
    content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    seeds = [int(seed) for seed in content.get("seeds", [0])]
    examples = [Example(str(entry["name"]), str(entry["prompt"])) for entry in content["prompts"]]
    return str(content.get("preset", PRESET)), tuple(Order(example, seed) for example in examples for seed in seeds)


def _csv(path: Path) -> Iterator[Order]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield Order(Example(row["name"].strip(), row["prompt"].strip()), int(row["seed"] or 0))


def _check(orders: tuple[Order, ...]) -> None:
    names = [order.name for order in orders]
    if not names:
        raise ValueError("it holds no prompt")
    if len(set(names)) < len(names):
        raise ValueError("two heads have the same name and seed")
    if len({order.example.name for order in orders}) < len({order.example for order in orders}):
        raise ValueError("two prompts have the same name")
    for order in orders:
        if not re.fullmatch(r"[\w-]+", order.example.name):
            raise ValueError(f"{order.example.name!r} can not be the name of a folder")
