# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a result follow the head that was chosen? Three FLAME shapes under one prompt, as in the paper's figure 3.

Each result is measured against all three shapes in the region of the face, in millimetres. Sizes and places are taken
out: before a result is held beside another shape, that is laid over the result's own shape as well as it can be.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import igl
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from headsculpt.evaluation.pages import fill, stacked, strip_picture, write_picture
from headsculpt.evaluation.runs import Emit, Generate, make
from headsculpt.finish.files import check_writable, write_whole
from headsculpt.finish.gltf import read_glb
from headsculpt.head.flame.model import JOINTS, FlameModel
from headsculpt.jobs.generate import run_generate
from headsculpt.jobs.request import GenerateRequest, HeadShape
from headsculpt.mesh import Mesh
from headsculpt.render.camera import Camera
from headsculpt.render.meshview import picture

Floats = NDArray[np.floating]

PAGE, MARK, PICTURE = "heads.md", "follows", "follows.jpg"
PROMPT = "a bald man with brown skin"
"""Neither hair nor a beard covers what is measured."""
SEEDS = (4, 5, 6)
"""Of the three people. On the stand-in for FLAME their faces are 7 mm apart on average when laid over each other."""
STRENGTH = 1.5
COMPONENTS = 30
MILLIMETRES = 1000
SIDES = (0.0, 90.0)
SHARE = 0.95


@dataclass(frozen=True)
class Followed:
    """One shape and its result. mean, most: [3] millimetres from the face of each of the shapes to the result: on
    average, and the 95th percentile."""

    folder: Path
    mean: list[float]
    most: list[float]


def run_follows(
    out: Path,
    model: FlameModel,
    template: GenerateRequest,
    emit: Emit,
    docs: Path | None = None,
    generate: Generate = run_generate,
) -> list[Path]:
    """Makes what is not there yet, then the table and a picture with a row for each shape; returns the files.

    out: gets a folder for each shape, pictures/follows.jpg, follows.md and follows.json. model: whose shapes; template:
    all of a request but its head. docs: a docs folder whose heads.md and pictures/ are brought up to date. Raises
    whatever a job raises.
    """
    check_writable(out)
    shapes = [somebody(model, seed) for seed in SEEDS]
    face = face_vertices(model)
    followed = []
    for number, vertices in enumerate(shapes):
        digest = hashlib.sha256(vertices.tobytes()).hexdigest()[:8]
        head = HeadShape(f"FLAME shape {number + 1}", vertices, model.triangles)
        folder = out / f"shape-{number + 1}-{digest}"
        make(replace(template, head=head), folder, emit, generate=generate)
        followed.append(measured(folder, shapes, number, face))
    page, image = _page(followed, template), _picture(shapes, model.triangles, followed)
    content = [{"folder": each.folder.name, "mean_mm": each.mean, "most_mm": each.most} for each in followed]
    written = [
        write_whole(out / "follows.json", (json.dumps(content, indent=1) + "\n").encode()),
        write_whole(out / "follows.md", page.encode()),
        write_picture(image, out / "pictures" / PICTURE),
    ]
    if docs is not None:
        written += [fill(docs / PAGE, MARK, page), write_picture(image, docs / "pictures" / PICTURE)]
    return written


def somebody(model: FlameModel, seed: int) -> NDArray[np.float32]:
    """Vertices [V, 3] of a person drawn from the model, who is STRENGTH times as special as people are."""
    count = min(COMPONENTS, len(model.shape))
    return model.shaped(STRENGTH * np.random.default_rng(seed).standard_normal(count))


def face_vertices(model: FlameModel) -> NDArray[np.intp]:
    """Numbers of the vertices of the face: around a point below the eyes, on what looks forward. FLAME's own masks
    have no clear licence."""
    joints = model.joint_positions(model.vertices)
    left, right = joints[JOINTS.index("left_eye")], joints[JOINTS.index("right_eye")]
    apart = float(np.linalg.norm(left - right))
    middle = (left + right) / 2 - np.array([0, 0.7 * apart, 0])
    normals = igl.per_vertex_normals(model.vertices.astype(np.float64), model.triangles.astype(np.int64))
    near = np.linalg.norm(model.vertices - middle, axis=1) < 1.2 * apart
    return np.flatnonzero(near & (normals[:, 2] > 0) & ~model.eyeballs())


def measured(folder: Path, shapes: Sequence[Floats], own: int, face: NDArray[np.intp]) -> Followed:
    """How far the faces of all shapes are from the result in a folder, which grew from the shape `own`."""
    result = read_glb(folder / "head.glb")
    surface = result.vertices.astype(np.float64), result.triangles.astype(np.int64)
    mean, most = [], []
    for shape in shapes:
        places = laid_over(shape[face], shapes[own][face])
        distance = MILLIMETRES * np.sqrt(igl.point_mesh_squared_distance(places, *surface)[0])
        mean.append(round(float(distance.mean()), 3))
        most.append(round(float(np.quantile(distance, SHARE)), 3))
    return Followed(folder, mean, most)


def laid_over(points: Floats, onto: Floats) -> NDArray[np.float64]:
    """Points [N, 3], scaled, turned and moved to lie as near to others [N, 3] as they can (Umeyama 1991)."""
    first, second = points.astype(np.float64), onto.astype(np.float64)
    a, b = first - first.mean(0), second - second.mean(0)
    left, stretch, right = np.linalg.svd(b.T @ a)
    signs = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    rotation = left @ np.diag(signs) @ right
    scale = (stretch * signs).sum() / (a * a).sum()
    return np.asarray(scale * a @ rotation.T + second.mean(0))


def _page(followed: Sequence[Followed], template: GenerateRequest) -> str:
    numbers = range(1, len(followed) + 1)
    lines = [
        "| from the face of | " + " | ".join(f"shape {number}" for number in numbers) + " | follows its own |",
        "|---|" + "---|" * len(followed) + "---|",
    ]
    for number, each in enumerate(followed):
        cells = [f"{mean:.2f} ({most:.2f})" for mean, most in zip(each.mean, each.most, strict=True)]
        cells[number] = f"**{cells[number]}**"
        yes = "yes" if min(each.mean) == each.mean[number] else "no"
        lines.append(f"| to result {number + 1} | " + " | ".join(cells) + f" | {yes} |")
    told = (
        f"“{template.prompt}”, seed {template.seed}, preset {template.preset}. Millimetres on average, in brackets the "
        f"{SHARE:.0%} quantile."
    )
    caption = "In each row a shape from the front and the side, and the result that grew from it."
    return f"{told}\n\n" + "\n".join(lines) + f"\n\n![{caption}](pictures/{PICTURE})\n\n{caption}\n"


def _picture(shapes: Sequence[Floats], triangles: NDArray[np.int32], followed: Sequence[Followed]) -> Image.Image:
    rows = []
    for vertices, each in zip(shapes, followed, strict=True):
        result = np.asarray(strip_picture([each.folder]))
        shape = _views(vertices, triangles, len(result))
        rows.append(Image.fromarray(np.concatenate([shape, result], axis=1)))
    return stacked(rows)


def _views(vertices: Floats, triangles: NDArray[np.int32], size: int) -> NDArray[np.uint8]:
    """The shape from its SIDES in grey, [size, 2 · size, 3]."""
    low, high = vertices.min(0), vertices.max(0)
    one = torch.ones(len(SIDES))
    target = torch.from_numpy(((low + high) / 2).astype(np.float32)).expand(len(SIDES), 3)
    distance = 2.6 * float((high - low).max())
    camera = Camera.orbit(torch.tensor(SIDES), 4 * one, distance * one, 24 * one, size, target)
    mesh = Mesh(vertices.astype(np.float32), triangles)
    return np.concatenate(list(picture(mesh, camera, ambient=0.5, background=(0.62, 0.62, 0.63))), axis=1)
