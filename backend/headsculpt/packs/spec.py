# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pack says of itself in pack.json: the cameras, lights and words that its model was trained with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headsculpt.errors import UserError

FORMAT = 1

Range = tuple[float, float]


@dataclass(frozen=True)
class CameraRange:
    """Cameras that a model knows, drawn uniformly from ranges. Lengths in head space's units, angles in degrees."""

    radius: Range = (1.0, 1.5)
    """Distance to the target."""
    fov: Range = (30.0, 50.0)
    """Vertical angle of view."""
    elevation: Range = (-20.0, 70.0)
    """Table 2's polar angle θ of 20° … 110°, as an elevation."""
    azimuth_limit: float = 180.0
    """Azimuths lie within ± this."""
    target: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """What the cameras look at."""
    target_jitter: float = 0.0
    """The target moves uniformly by up to this along each axis."""
    words: str = ""
    """What captions of such pictures say beside the view words."""


@dataclass(frozen=True)
class ViewWords:
    """What captions call a view, and where in degrees one name gives way to the next."""

    front: str = "front view"
    side: str = "side view"
    back: str = "back view"
    overhead: str = ""
    """Empty if the model knows no such word."""
    front_limit: float = 30.0
    """Front: |azimuth| up to this."""
    side_limit: float = 150.0
    """Side: |azimuth| from front_limit up to this; back: beyond."""
    overhead_limit: float = 60.0
    """Overhead: elevation beyond this, whatever the azimuth."""
    back_token: str = "<back-view>"
    """A learned token that replaces `back` when the pack's learned_embeds.safetensors holds it."""
    back_negative: str = ""
    """Joined to the negative prompt at the back."""
    landmark_limit: float = 90.0
    """Landmark maps act in full up to this |azimuth|; beyond, their residuals fade to zero."""


@dataclass(frozen=True)
class LightRange:
    """One light, fixed to the camera's frame (x right, y up, z towards the camera). Shading: render.shading.shade."""

    direction_mean: tuple[float, float, float] = (0.0, 0.6, 0.9)
    """Before normalising."""
    direction_std: tuple[float, float, float] = (0.5, 0.2, 0.0)
    """Normal noise added to the mean."""
    ambient: Range = (0.4, 0.65)
    """Share of light without direction, uniform."""


@dataclass(frozen=True)
class BackgroundRange:
    """Plain backgrounds: a uniform grey, each channel then darkened uniformly by up to a share of `tint`."""

    grey: Range = (0.1, 0.95)
    tint: float = 0.1


@dataclass(frozen=True)
class PackSpec:
    """All that the rest of the program must know of a pack. The defaults are Stable Diffusion 1.5's and Table 2's."""

    name: str
    image_size: int = 512
    """Side of the pictures, pixels."""
    latent_channels: int = 4
    latent_size: int = 64
    """Side of the latents."""
    text_length: int = 77
    """Tokens that the text encoder reads, with the two that mark start and end."""
    prediction_type: str = "epsilon"
    """What the U-Net's output is: `epsilon` or `v_prediction`."""
    drop_unknown_words: bool = False
    """Leave words that the tokenizer does not know out of what is embedded."""
    negative_prompt: str = ""
    synonyms: Mapping[str, str] = field(default_factory=dict)
    """Words or phrases in lower case, and what the model knows instead (empty: nothing)."""
    cameras: CameraRange = field(default_factory=CameraRange)
    close_ups: tuple[CameraRange, ...] = ()
    """Nearer cameras, if the model was shown such pictures, from far to near."""
    views: ViewWords = field(default_factory=lambda: ViewWords(overhead="overhead view", back_negative="eyes, face"))
    lights: LightRange = field(default_factory=LightRange)
    backgrounds: BackgroundRange = field(default_factory=BackgroundRange)


def read_description(folder: Path) -> dict[str, Any]:
    """PackSpec's fields as far as `folder`/pack.json gives them; a folder without one is a Stable Diffusion 1.5.

    Raises UserError when the file can not be understood.
    """
    path = folder / "pack.json"
    if not path.exists():
        return {"name": folder.name}
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise ValueError(f"format {description['format']}, not {FORMAT}")
        return _fields(description)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"The model pack's description {path} can not be understood ({type(error).__name__}: {error}).",
            "Get the pack again, or update HeadSculpt if the pack is newer.",
        ) from error


def _fields(description: Mapping[str, Any]) -> dict[str, Any]:
    if description["unknown_words"] not in ("drop", "keep"):
        raise ValueError(f"unknown_words is {description['unknown_words']!r}, neither 'drop' nor 'keep'")
    cameras, views = description["cameras"], description["views"]
    lights, backgrounds = description["lights"], description["backgrounds"]
    if lights["frame"] != "camera":
        raise ValueError(f"lights in the frame {lights['frame']!r} are not known")
    return {
        "name": str(description["name"]),
        "image_size": int(description["image_size"]),
        "negative_prompt": str(description.get("negative_prompt", "")),
        "drop_unknown_words": description["unknown_words"] == "drop",
        "cameras": _camera_range(cameras["whole"]),
        "synonyms": {str(word): str(known) for word, known in description.get("synonyms", {}).items()},
        "close_ups": tuple(_camera_range(cameras[name]) for name in cameras if name != "whole"),
        "views": _view_words(views),
        "lights": LightRange(
            _numbers(lights["direction_mean"], 3), _numbers(lights["direction_std"], 3), _numbers(lights["ambient"], 2)
        ),
        "backgrounds": BackgroundRange(_numbers(backgrounds["grey"], 2), float(backgrounds["tint"])),
    }


def _camera_range(entry: Mapping[str, Any]) -> CameraRange:
    return CameraRange(
        radius=_numbers(entry["radius"], 2),
        fov=_numbers(entry["fov"], 2),
        elevation=_numbers(entry["elevation"], 2),
        azimuth_limit=float(entry["azimuth_limit"]),
        target=_numbers(entry["target"], 3),
        target_jitter=float(entry["target_jitter"]),
        words=str(entry["words"]),
    )


def _view_words(entry: Mapping[str, Any]) -> ViewWords:
    overhead = entry.get("overhead", {"words": "", "above": ViewWords.overhead_limit})
    return ViewWords(
        front=entry["front"]["words"],
        side=entry["side"]["words"],
        back=entry["back"]["words"],
        overhead=overhead["words"],
        front_limit=float(entry["front"]["up_to"]),
        side_limit=float(entry["side"]["up_to"]),
        overhead_limit=float(overhead["above"]),
        back_token=entry["back"].get("token", ""),
        back_negative=entry["back"].get("negative", ""),
        landmark_limit=float(entry["landmark_limit"]),
    )


def _numbers(values: Any, count: int) -> Any:
    numbers = tuple(float(value) for value in values)
    if len(numbers) != count:
        raise ValueError(f"{values} should be {count} numbers")
    return numbers
