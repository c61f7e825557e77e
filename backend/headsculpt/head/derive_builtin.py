# SPDX-License-Identifier: GPL-3.0-or-later
"""Derives `builtin/head.npz` from a copy of ICT-FaceKit Light (docs/head.md says which file and how to get it).

    python -m headsculpt.head.derive_builtin PATH/ict_facekit_light.npz

Every vertex of the built-in head is a fixed weighted mean of ICT vertices; the same weights carry over the identities
and the expressions. The landmarks are found afterwards by `derive_landmarks.py`, which completes the file.
Deterministic: the same input and library versions give the same bytes.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix, vstack
from scipy.spatial import cKDTree

from .builtin import MASK_PREFIX, PATH
from .derivation import eyeball, joints, layout, lips, regions, source, teeth, tongue
from .derivation.collapse import Loop, collapse
from .derivation.expressions import APPLE, TONGUE_OUT, about_the_mouth, expressions
from .derivation.quadmesh import Indices, between_rings, border_loops
from .derivation.surface import Floats
from .landmarks import COUNT

TARGET_VERTICES = 6000  # skin, mouth bag and eye sockets
IDENTITIES = 60
LID_RINGS = (0, 2)  # the margin of a lid and the rim before it: counted from the lid's border, these quads stay
METRES = 0.01  # ICT counts in centimetres


def feature_loops(quads: Indices) -> tuple[Indices, Indices, Indices]:
    """Where the skin ends, as loops of ICT vertices: at the lips, the left and the right lids."""
    skin = border_loops(quads[source.SKIN_QUADS])
    neck = set(border_loops(quads)[0].tolist())
    lips, one, other = (loop for loop in skin if not neck & set(loop.tolist()))
    return lips, one, other


def spacing(ict: source.Source, lips: Indices, lids: Indices) -> Floats:
    """How long an edge may be at each ICT vertex [HEAD_VERTICES], in centimetres: fine where faces move and show."""
    vertices = ict.vertices[: source.HEAD_VERTICES]
    x, y, z = np.abs(vertices[:, 0]), vertices[:, 1], vertices[:, 2]
    to_lips, to_lids = _distance(vertices, vertices[lips]), _distance(vertices, vertices[lids])
    nose = np.linalg.norm((vertices - [0, -0.3, 12]) / [2, 1.5, 2.5], axis=1)
    free = np.minimum(0.24 + 0.07 * np.minimum(to_lips, to_lids), 0.30 + 0.16 * np.clip(nose - 1, 0, None))
    length = np.minimum(free, 0.52 + 0.5 * np.clip((6 - z) / 8, 0, 1))
    length[(x > 7.2) & (y > -2.5) & (y < 6) & (z > -2.5) & (z < 4.5)] = 0.34  # ears
    length[y < -9] = np.maximum(length[y < -9], 1.1)
    length[source.BAG_VERTICES] = 0.35 + 0.35 * to_lips[source.BAG_VERTICES]
    length[source.SOCKET_VERTICES] = 0.3 + 0.8 * to_lids[source.SOCKET_VERTICES]
    return length


def _distance(points: Floats, others: Floats) -> Floats:
    return cKDTree(others).query(points)[0]


def cluster_means(owner: Indices, kept: Indices, loops: list[Indices], count: int) -> csr_matrix:
    """Weights [len(kept), count]: each kept vertex as the mean of those merged into it; of the feature loops' vertices
    alone where there are any, so that the loops stay in place."""
    on_loop = np.zeros(len(owner), bool)
    on_loop[np.concatenate(loops)] = True
    row = np.searchsorted(kept, owner)
    has_loop = np.bincount(row, on_loop, len(kept)) > 0
    member = on_loop | ~has_loop[row]
    rows, columns = row[member], np.flatnonzero(member)
    return csr_matrix((1 / np.bincount(rows)[rows], (rows, columns)), shape=(len(kept), count))


def derive(ict: source.Source) -> dict[str, np.ndarray]:
    """The arrays of the built-in head's file, without landmarks."""
    mouth_loop, left_lids, right_lids = feature_loops(ict.quads)
    both_lids = np.concatenate([left_lids, right_lids])
    loops = [Loop(mouth_loop, 50), Loop(left_lids, 34), Loop(right_lids, 34)]
    positions = ict.vertices[: source.HEAD_VERTICES]
    rims = [
        between_rings(ict.quads[source.SKIN_QUADS], loop, ring)
        for loop in (left_lids, right_lids)
        for ring in LID_RINGS
    ]
    quads, owner = collapse(
        ict.quads,
        positions,
        ict.mirror,
        spacing(ict, mouth_loop, both_lids),
        loops,
        np.concatenate(rims),
        TARGET_VERTICES,
    )
    kept, flat = np.unique(quads, return_inverse=True)
    quads = flat.reshape(quads.shape)
    ends = [mouth_loop, left_lids, right_lids, border_loops(ict.quads)[0]]
    skin = cluster_means(owner, kept, ends, len(ict.vertices))
    eyes = [
        eyeball.build(ict.vertices, shell, ict.faces[source.EYE_QUADS])
        for shell in (source.LEFT_EYE_VERTICES, source.RIGHT_EYE_VERTICES)
    ]
    mouth = [teeth.build(ict.vertices, ict.faces, jaw) for jaw in ("upper", "lower")]
    mouth.append(tongue.build(ict.vertices, ict.faces))
    blocks = [skin, *(eye.weights for eye in eyes), *(inner.weights for inner in mouth)]
    weights = vstack(blocks).tocsr()
    starts = np.cumsum([block.shape[0] for block in blocks])  # of the eyeballs, the rows of teeth, the tongue
    neutral = weights @ ict.vertices
    neutral[starts[2] :] = np.concatenate([inner.vertices for inner in mouth])
    more = [*(eye.quads for eye in eyes), *(inner.quads for inner in mouth)]
    all_quads = np.concatenate([quads, *(one + start for one, start in zip(more, starts[:-1], strict=True))])
    part = np.digitize(kept, [source.BAG_VERTICES.start, source.SOCKET_VERTICES.start])  # 0 skin, 1 bag, 2 sockets
    skin_quads = quads[(part[quads] == 0).all(1)]
    seams = [np.unique(np.searchsorted(kept, owner[loop])) for loop in (left_lids, right_lids)]
    masks = all_masks(ict, neutral, part, eyes, positions[left_lids])
    for start, inner in zip(starts[2:-1], mouth, strict=True):
        for name, mask in inner.masks.items():
            masks.setdefault(name, np.zeros(len(neutral)))[start : start + len(mask)] = mask
    mirror = np.searchsorted(kept, owner[ict.mirror[kept]])
    uv, quad_uv = texture_coordinates(quads, neutral[: len(kept)], part, mirror, eyes, mouth)
    both_lips = lips.Lips.find(neutral, quads, skin_quads)
    neutral = both_lips.closed(neutral, about_the_mouth(neutral[: len(kept)]))
    expression = expressions(ict, weights, neutral, eyes, starts, quads, skin_quads, seams, both_lips)
    carried, turning = skeleton(neutral, expression[APPLE.index("jawOpen")], all_quads, masks, eyes, starts)
    return {
        "vertices": (neutral * METRES).astype(np.float32),
        "quads": all_quads.astype(np.uint16),
        "uv": uv.astype(np.float32),
        "quad_uv": quad_uv.astype(np.uint16),
        "identity": np.stack([weights @ d * METRES for d in ict.identity[:IDENTITIES]]).astype(np.float16),
        "expression": (expression * METRES).astype(np.float16),
        "expression_names": np.array([*APPLE, TONGUE_OUT]),
        "joint_names": np.array(joints.NAMES),
        "joint_parents": np.array(joints.PARENTS, np.int8),
        "joint_regressor": carried.astype(np.float32),
        "skin_weights": as_shares(turning),
        **{MASK_PREFIX + name: np.round(mask * 255).astype(np.uint8) for name, mask in masks.items()},
    }


def skeleton(
    neutral: Floats,
    jaw_open: Floats,
    quads: Indices,
    masks: dict[str, Floats],
    eyes: list[eyeball.Eyeball],
    starts: Indices,
) -> tuple[Floats, Floats]:
    """The joints' regressor [J, V] and skin weights [V, J]; jaw_open [V, 3] in centimetres."""
    upper, lower, tongue_at = (np.arange(start, end) for start, end in pairwise(starts[2:]))
    jaw, angle = joints.hinge(neutral[lower], neutral[lower] + jaw_open[lower])
    bone = np.zeros(len(neutral))
    bone[lower] = 1
    bone[tongue_at] = tongue.freedom(neutral[tongue_at])
    parts = {"left_eye": masks["eyeball_left"], "right_eye": masks["eyeball_right"], "jaw": bone}
    balls = [np.arange(start, end) for start, end in pairwise(starts[:3])]
    skin = np.flatnonzero(masks["skin"] > 0.5)
    carried = joints.regressor(neutral, skin, jaw, balls, [eye.centre for eye in eyes])
    turning = joints.skin_weights(neutral, neutral + jaw_open, quads, jaw, angle, parts)
    turning[upper] = np.eye(len(joints.NAMES))[joints.NAMES.index("head")]
    return carried, turning


def as_shares(weights: Floats) -> np.ndarray:
    """Weights [V, J] as uint16 that add up to 65535 in each row; the largest takes what rounding leaves."""
    shares = np.round(weights * 65535).astype(np.int64)
    shares[np.arange(len(shares)), shares.argmax(1)] += 65535 - shares.sum(1)
    return shares.astype(np.uint16)


def all_masks(
    ict: source.Source, neutral: Floats, part: Indices, eyes: list[eyeball.Eyeball], left_lids: Floats
) -> dict[str, Floats]:
    """Every region and part, [V] in [0, 1]."""
    count, skin_count = len(neutral), len(part)
    masks = {name: np.zeros(count) for name in ("skin", "mouth_bag", "eye_sockets")}
    for number, name in enumerate(("skin", "mouth_bag", "eye_sockets")):
        masks[name][:skin_count] = part == number
    for name, mask in regions.skin_regions(neutral[:skin_count], ict.landmarks, left_lids).items():
        masks[name] = np.concatenate([mask * (part == 0), np.zeros(count - skin_count)])
    inner_lips = regions.smoothstep(_distance(neutral, neutral[masks["lips"] > 0.9]), 0.6, 0.1)
    masks["lips"] = np.maximum(masks["lips"], inner_lips * masks["mouth_bag"])
    start = skin_count
    for side, eye in zip(("left", "right"), eyes, strict=True):
        mine = slice(start, start + len(eye.angle))
        masks[f"eyeball_{side}"] = np.zeros(count)
        masks[f"eyeball_{side}"][mine] = 1
        for name, (full, none) in (("iris", eyeball.IRIS), ("pupil", eyeball.PUPIL)):
            masks.setdefault(name, np.zeros(count))[mine] = regions.smoothstep(eye.angle, none, full)
        start = mine.stop
    masks["eyeballs"] = masks["eyeball_left"] + masks["eyeball_right"]
    masks["eyes"] = np.maximum(masks["eyes"], np.maximum(masks["eyeballs"], masks["eye_sockets"]))
    return masks


def texture_coordinates(
    quads: Indices,
    vertices: Floats,
    part: Indices,
    mirror: Indices,
    eyes: list[eyeball.Eyeball],
    mouth: list[teeth.Part],
) -> tuple[Floats, Indices]:
    """uv [U, 2] in the unit square and the quads' indices into it, in the parts' order; an island for each part."""
    quad_part = part[quads].max(1)
    skin_count = int((part == 0).sum())
    quad_uv = np.empty_like(quads)
    island, quad_uv[quad_part == 0] = layout.skin_island(
        quads[quad_part == 0], vertices[:skin_count], mirror[:skin_count]
    )
    islands, total = [island], len(island)
    left = vertices[quads, 0].mean(1) > 0
    left_place, right_place = layout.SOCKET_PLACES
    for chosen, (centre, radius) in (
        (quad_part == 1, layout.BAG_PLACE),
        ((quad_part == 2) & left, left_place),
        ((quad_part == 2) & ~left, right_place),
    ):
        used, flat = layout.disc(quads[chosen], vertices)
        islands.append(np.array(centre) + radius * flat)
        quad_uv[chosen] = np.searchsorted(used, quads[chosen]) + total
        total += len(used)
    more = []
    for eye, (centre, radius) in zip(eyes, layout.EYE_PLACES, strict=True):
        islands.append(np.array(centre) + radius * eye.uv)
        more.append(eye.quad_uv + total)
        total += len(eye.uv)
    for inner, (corner, size) in zip(mouth, (*layout.TEETH_PLACES, layout.TONGUE_PLACE), strict=True):
        islands.append(np.array(corner) + np.array(size) * inner.uv)
        more.append(inner.quad_uv + total)
        total += len(inner.uv)
    return np.concatenate(islands), np.concatenate([quad_uv, *more])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("ict", type=Path, help="ict_facekit_light.npz")
    parser.add_argument("--out", type=Path, default=PATH, help="the file to write (default: the built-in head's)")
    arguments = parser.parse_args()
    arrays = derive(source.read(arguments.ict))
    np.savez_compressed(arguments.out, allow_pickle=False, **arrays, **landmarks_of(arguments.out, arrays["quads"]))


def landmarks_of(path: Path, quads: np.ndarray) -> dict[str, np.ndarray]:
    """The landmarks of an earlier file whose quads are still the first ones; else none, until derive_landmarks.py has
    found them."""
    if path.exists():
        with np.load(path, allow_pickle=False) as data:
            if np.array_equal(data["quads"], quads[: len(data["quads"])]):
                return {name: data[name] for name in ("landmark_triangles", "landmark_barycentric")}
    return {
        "landmark_triangles": np.zeros(COUNT, np.uint16),
        "landmark_barycentric": np.zeros((COUNT, 3), np.float32),
    }


if __name__ == "__main__":
    main()
