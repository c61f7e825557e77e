# SPDX-License-Identifier: GPL-3.0-or-later
"""What a caller asks for, checked where it is made; imports nothing heavy, so that bad input answers at once.

The add-on uses this module too, from the copy in its zip, and therefore its imports are relative.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..head.landmarks import COUNT, MeshPoints

PRESETS = ("preview", "standard", "paper")
MAX_PROMPT = 1000
"""Characters. CLIP's text encoder reads 77 tokens, about 350 characters; more is a pasted document, not a prompt."""
MAX_SEED = 2**31 - 1
"""The largest seed that Blender's integer properties hold, so that every result can be made again there."""
PREVIEW_SECONDS = 5.0
MAX_LORA_WEIGHT = 4.0
DEVICES = r"auto|cpu|cuda(:\d+)?"

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class HeadShape:
    """A head that the user has chosen.

    name: what to call it in messages; vertices: float32 [V, 3] in the head's own unit and place, y up; triangles: int32
    [T, 3], None for a head that has the built-in one's vertices in their order; landmarks: where MediaPipe's 478 points
    lie on those triangles, None when that is not known. A mesh with triangles may face anywhere.
    """

    name: str
    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32] | None = None
    landmarks: MeshPoints | None = None

    def __post_init__(self) -> None:
        vertices = np.ascontiguousarray(self.vertices, dtype=np.float32)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or len(vertices) < 4:
            raise UserError(f"The head '{self.name}' has no surface.", "Choose a mesh object that is a head.")
        if not np.isfinite(vertices).all():
            raise UserError(
                f"The head '{self.name}' has vertices at no finite place.", "Repair the mesh or choose another one."
            )
        if not (np.ptp(vertices, axis=0) > 0).all():
            raise UserError(f"The head '{self.name}' is flat.", "Choose a mesh object that is a head.")
        object.__setattr__(self, "vertices", vertices)
        if self.triangles is not None:
            object.__setattr__(self, "triangles", self._checked(self.triangles))
        if self.landmarks is not None:
            self._check_landmarks(self.landmarks)

    def _checked(self, triangles: NDArray[Any]) -> NDArray[np.int32]:
        if triangles.ndim != 2 or triangles.shape[1] != 3 or len(triangles) < 4:
            raise UserError(f"The head '{self.name}' has no faces.", "Choose a mesh object that is a head.")
        if triangles.min() < 0 or triangles.max() >= len(self.vertices):
            raise ValueError("a head's triangles name vertices that it does not have")
        return np.ascontiguousarray(triangles, dtype=np.int32)

    def _check_landmarks(self, landmarks: MeshPoints) -> None:
        if self.triangles is None or landmarks.triangles.shape != (COUNT,):
            raise ValueError(f"landmarks are {COUNT} points on a head's triangles")
        check_points(landmarks, len(self.triangles))

    def to_arrays(self) -> Arrays:
        """The head without its name, for a frame; `from_arrays` is the inverse."""
        arrays: Arrays = {"vertices": self.vertices}
        if self.triangles is not None:
            arrays["triangles"] = self.triangles
        if self.landmarks is not None:
            arrays |= points_to_arrays("landmark", self.landmarks)
        return arrays

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, NDArray[Any]]) -> HeadShape:
        """Raises UserError for a mesh that is none, ValueError for arrays that are no head."""
        return cls(name, arrays["vertices"], arrays.get("triangles"), points_from_arrays("landmark", arrays))


def check_points(points: MeshPoints, triangles: int) -> None:
    """Raises ValueError unless these are points on a mesh of so many triangles."""
    if points.barycentric.shape != (len(points.triangles), 3) or not np.isfinite(points.barycentric).all():
        raise ValueError("points on a mesh need three finite weights each")
    if len(points.triangles) and not (points.triangles.min() >= 0 and points.triangles.max() < triangles):
        raise ValueError("points on a mesh name triangles that it does not have")


def points_to_arrays(name: str, points: MeshPoints) -> Arrays:
    """For a frame, as `name`_triangles and `name`_barycentric; `points_from_arrays` is the inverse."""
    return {f"{name}_triangles": points.triangles, f"{name}_barycentric": points.barycentric}


def points_from_arrays(name: str, arrays: Mapping[str, NDArray[Any]]) -> MeshPoints | None:
    triangles, barycentric = arrays.get(f"{name}_triangles"), arrays.get(f"{name}_barycentric")
    if triangles is None or barycentric is None:
        return None
    return MeshPoints(np.asarray(triangles, np.int32), np.asarray(barycentric, np.float32))


@dataclass(frozen=True)
class GenerateRequest:
    """A head from a sentence. Raises UserError for anything that a user can have got wrong."""

    KIND: ClassVar[str] = "generate"
    """The type of the frame that asks for it (jobs/kinds.py)."""

    prompt: str
    """What the head is to be."""
    negative_prompt: str = ""
    """What it is not to be; empty for the pack's own."""
    seed: int = 0
    """0 … MAX_SEED. The same seed and settings give the same arrays on one machine's processor. A graphics card adds
    up in changing order, so there results differ a little."""
    preset: str = "preview"
    """One of PRESETS."""
    head: HeadShape | None = None
    """The shape to start from; None for the built-in head."""
    pack: Path | None = None
    """Folder of the model pack; None for the built-in pocket pack."""
    threads: int | None = None
    """CPU threads; None for all cores but one."""
    device: str = "auto"
    """Where it is computed: “auto” (an NVIDIA card that has room, else the processor), “cpu”, “cuda”, “cuda:1” …"""
    preview_seconds: float = PREVIEW_SECONDS
    """Seconds between two preview meshes; 0 for none."""
    base: Path | None = None
    """A Stable Diffusion 1.5 fine-tune, folder or .safetensors file, in place of the pack's own base; None for that."""
    lora: tuple[tuple[Path, float], ...] = ()
    """LoRA files (.safetensors) and their weights, added to the base one after the other."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", _one_line(self.prompt))
        object.__setattr__(self, "negative_prompt", _one_line(self.negative_prompt))
        if not self.prompt:
            raise UserError("The prompt is empty.", "Write what the head should be, for example “a bald old man”.")
        for name, text in (("prompt", self.prompt), ("negative prompt", self.negative_prompt)):
            if len(text) > MAX_PROMPT:
                raise UserError(
                    f"The {name} has {len(text):,} characters; the limit is {MAX_PROMPT:,}.",
                    "Shorten it to one sentence: the model reads only the first 50 words or so.",
                )
        if not 0 <= self.seed <= MAX_SEED:
            raise UserError(f"The seed {self.seed} is out of range.", f"Use a whole number from 0 to {MAX_SEED}.")
        if self.preset not in PRESETS:
            raise UserError(f"There is no preset '{self.preset}'.", f"Use one of: {', '.join(PRESETS)}.")
        for path, weight in self.lora:
            if not abs(weight) <= MAX_LORA_WEIGHT:
                raise UserError(
                    f"The weight {weight} of the LoRA {path.name} is out of range.",
                    f"Use a number from -{MAX_LORA_WEIGHT} to {MAX_LORA_WEIGHT}; 1 is how it was trained.",
                )
        if not re.fullmatch(DEVICES, self.device):
            raise UserError(f"There is no device '{self.device}'.", "Use one of: auto, cpu, cuda, cuda:0, cuda:1 …")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"{self.threads} threads can not do any work.", "Use 1 or more, or leave it out.")
        if not 0 <= self.preview_seconds < float("inf"):
            raise UserError(
                f"{self.preview_seconds} seconds between previews is not possible.", "Use 0 for none, or more."
            )

    def to_message(self) -> tuple[dict[str, Any], Arrays]:
        """The request as a JSON-able header and named arrays; `from_message` is the inverse."""
        header = {
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "seed": self.seed,
            "preset": self.preset,
            "pack": None if self.pack is None else str(self.pack),
            "base": None if self.base is None else str(self.base),
            "lora": [[str(path), weight] for path, weight in self.lora],
            "threads": self.threads,
            "device": self.device,
            "preview_seconds": self.preview_seconds,
            "head": None if self.head is None else self.head.name,
        }
        return header, {} if self.head is None else self.head.to_arrays()

    @classmethod
    def from_message(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> GenerateRequest:
        """Reads what another program sent. Missing fields take their defaults.

        Raises UserError for values that a user can have chosen, ValueError for a message that is not a request.
        """
        kinds: dict[str, tuple[type, ...]] = {
            "prompt": (str,),
            "negative_prompt": (str,),
            "seed": (int,),
            "preset": (str,),
            "pack": (str, type(None)),
            "base": (str, type(None)),
            "lora": (list,),
            "threads": (int, type(None)),
            "device": (str,),
            "preview_seconds": (int, float),
            "head": (str, type(None)),
        }
        check_fields(header, kinds)
        fields = {name: value for name, value in header.items() if name not in ("head", "pack", "base", "lora")}
        fields.setdefault("prompt", "")
        head = header.get("head")
        if (head is None) != ("vertices" not in arrays):
            raise ValueError("a request needs both the head's name and its vertices, or neither")
        pack, base = header.get("pack"), header.get("base")
        return cls(
            **fields,
            head=None if head is None else HeadShape.from_arrays(head, arrays),
            pack=Path(pack) if pack else None,
            base=Path(base) if base else None,
            lora=tuple(_lora(entry) for entry in header.get("lora", ())),
        )


@dataclass(frozen=True)
class RegisterRequest:
    """Where the face of a mesh is. Raises UserError for a mesh that is none, ValueError for what no user can do.

    Landmarks that the head brings are where the search begins, so that it is much faster than from nothing.
    """

    KIND: ClassVar[str] = "register"
    head: HeadShape
    """Any mesh with triangles."""
    fixed: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """int32 [F], the landmarks whose places the artist has set, 0 … 477, each once."""
    places: MeshPoints = field(default_factory=lambda: MeshPoints(np.empty(0, np.int32), np.empty((0, 3), np.float32)))
    """Where on the mesh they are, F points; the answer has them there, and the others beside them follow."""

    def __post_init__(self) -> None:
        if self.head.triangles is None:
            raise ValueError("what is to be registered needs its triangles")
        if self.fixed.ndim != 1 or len(np.unique(self.fixed)) != len(self.places.triangles):
            raise ValueError("landmarks set by hand need a place each")
        if len(self.fixed) and not (self.fixed.min() >= 0 and self.fixed.max() < COUNT):
            raise ValueError("a landmark set by hand has no such number")
        check_points(self.places, len(self.head.triangles))

    def to_message(self) -> tuple[dict[str, Any], Arrays]:
        """The request as a JSON-able header and named arrays; `from_message` is the inverse."""
        arrays = self.head.to_arrays() | {"fixed": self.fixed} | points_to_arrays("fixed", self.places)
        return {"head": self.head.name}, arrays

    @classmethod
    def from_message(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> RegisterRequest:
        """Raises UserError for a mesh that is none, ValueError for a message that is not a request."""
        check_fields(header, {"head": (str,)})
        if "head" not in header or "vertices" not in arrays:
            raise ValueError("a request needs the head's name and its vertices")
        head = HeadShape.from_arrays(header["head"], arrays)
        places = points_from_arrays("fixed", arrays)
        if places is None:
            return cls(head)
        return cls(head, np.asarray(arrays["fixed"], np.int32), places)


def check_fields(header: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]]) -> None:
    """Raises ValueError for a field that is not among `kinds`, or of another type than there."""
    if unknown := set(header) - set(kinds):
        raise ValueError(f"unknown fields in a request: {sorted(unknown)}")
    for name, value in header.items():
        if not isinstance(value, kinds[name]) or (isinstance(value, bool) and bool not in kinds[name]):
            raise ValueError(f"field {name!r} of a request is of type {type(value).__name__}")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _lora(entry: Any) -> tuple[Path, float]:
    match entry:
        case [str(path), float() | int() as weight]:
            return Path(path), float(weight)
    raise ValueError("a LoRA in a request is a path and a weight")
