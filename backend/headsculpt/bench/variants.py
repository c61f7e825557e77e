# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sweep tries: groups of variants of a preset, from a TOML file.

The file is a list of prompts as `headsculpt evaluate` reads it (evaluation/plan.py) with, for each question, a table
`[[groups]]` of `name`, `question` and `variants`. A variant has a `name` and any of `settings` (dotted path → value),
`negative_prompt` and `seeds`. A path that begins with `*.` changes all three stages. A table `settings` of the file
itself changes the preset that all variants are variants of.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from headsculpt.errors import UserError
from headsculpt.evaluation.plan import Plan, read_plan
from headsculpt.stages.settings import Preset

SWEEP = Path(__file__).with_name("sweep.toml")
STAGES = ("coarse", "fine", "paint")
BASE = "preset"
"""Folder of the preset's own heads, beside the groups'."""


@dataclass(frozen=True)
class Variant:
    """A preset with some settings changed. negative_prompt: empty for the pack's own; seeds: empty for the list's."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    negative_prompt: str = ""
    seeds: tuple[int, ...] = ()

    def of(self, preset: Preset) -> Preset:
        """The preset with this variant's settings."""
        for pattern, value in self.settings.items():
            for path in _stages_of(pattern):
                preset = changed(preset, path, value)
        return preset

    def differs_from(self, preset: Preset) -> bool:
        return bool(self.negative_prompt or self.seeds) or self.of(preset) != preset


@dataclass(frozen=True)
class Group:
    """Variants that answer one question."""

    name: str
    question: str
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Sweep:
    """plan: the preset and the heads that every variant makes; base: what is changed of the preset for all of them."""

    plan: Plan
    groups: tuple[Group, ...]
    base: Variant = Variant("as it is")


def read_sweep(path: Path) -> Sweep:
    """Raises UserError, with what is wrong, for a file that is no sweep; its paths are tried by `Variant.of`."""
    plan = read_plan(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        groups = tuple(map(_group, content["groups"]))
        base = Variant("as it is", dict(content.get("settings", {})))
        _check_names([group.name for group in groups], [BASE])
        for group in groups:
            _check_names([variant.name for variant in group.variants])
    except (ValueError, TypeError, KeyError) as error:
        fault = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"{path} is no sweep ({fault}).", f"Write [[groups]] of name, question and variants as {SWEEP.name} does."
        ) from error
    return Sweep(plan, groups, base)


def _group(entry: Mapping[str, Any]) -> Group:
    return Group(str(entry["name"]), str(entry["question"]), tuple(map(_variant, entry["variants"])))


def _variant(entry: Mapping[str, Any]) -> Variant:
    if unknown := set(entry) - {known.name for known in dataclasses.fields(Variant)}:
        raise ValueError(f"a variant can not have {sorted(unknown)[0]!r}")
    seeds = tuple(int(seed) for seed in entry.get("seeds", ()))
    settings = dict(entry.get("settings", {}))
    return Variant(str(entry["name"]), settings, str(entry.get("negative_prompt", "")), seeds)


def _check_names(names: list[str], taken: list[str] | None = None) -> None:
    """They name folders and rows."""
    for index, name in enumerate(names):
        if not re.fullmatch(r"\w[\w.+ -]*", name) or name in names[:index] + (taken or []):
            raise ValueError(f"{name!r} can not be the name of a folder, or is there twice")


def _stages_of(pattern: str) -> Iterator[str]:
    """A path, or with a star for its stage the paths of all stages."""
    head, _, rest = pattern.partition(".")
    yield from (f"{stage}.{rest}" for stage in STAGES) if head == "*" else (pattern,)


def changed(preset: Preset, path: str, value: Any) -> Preset:
    """The preset with one value exchanged, "coarse.score.guidance_scale" for example.

    Lists become tuples and whole numbers the floats that the setting is. Raises UserError for a path that leads to no
    setting and for a value of another type; both name the path.
    """
    exchanged: Preset = _exchanged(preset, path.split("."), value, path)
    return exchanged


def _exchanged(settings: Any, names: list[str], value: Any, path: str) -> Any:
    name, *deeper = names
    kinds = typing.get_type_hints(type(settings)) if dataclasses.is_dataclass(settings) else {}
    if name not in kinds:
        known = f"There are {', '.join(kinds)} instead of {name!r}." if kinds else f"Leave out what ends in {name!r}."
        raise UserError(f"There is no setting {path}.", known)
    if deeper:
        value = _exchanged(getattr(settings, name), deeper, value, path)
    else:
        try:
            value = _as(kinds[name], value)
        except TypeError as error:
            raise UserError(f"The setting {path} can not be {value!r}.", f"It takes {error}.") from error
    return dataclasses.replace(settings, **{name: value})


def _as(kind: Any, value: Any) -> Any:
    """The value as this type. Raises TypeError with what the type is in words."""
    if typing.get_origin(kind) is tuple:
        return _as_tuple(typing.get_args(kind), value)
    if kind is float and type(value) in (int, float):
        return float(value)
    if kind in (int, bool) and type(value) is kind:  # bool is an int to isinstance
        return value
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if value in list(kind):
            return kind(value)
        raise TypeError(f"one of {', '.join(kind)}")
    words = {float: "a number", int: "a whole number", bool: "true or false"}
    raise TypeError(words.get(kind, f"a path to one of its settings: {kind.__name__} has several"))


def _as_tuple(kinds: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError("a list")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise TypeError(f"lists of {len(kinds)}")
    return tuple(_as(kind, part) for kind, part in zip(kinds, value, strict=True))
