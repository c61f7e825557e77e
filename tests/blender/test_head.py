# SPDX-License-Identifier: GPL-3.0-or-later
"""The head that Add Head puts into the scene: its sliders against the model's arithmetic, undo, what Generate takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType

import bpy
import numpy as np
import pytest

Addon = Callable[[str], ModuleType]

APPLE = """
browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft cheekSquintRight
eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight eyeLookOutLeft eyeLookOutRight
eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft jawOpen jawRight
mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel mouthLeft mouthLowerDownLeft
mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight mouthRollLower mouthRollUpper mouthShrugLower
mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight
noseSneerLeft noseSneerRight tongueOut
""".split()  # noqa: SIM905
"""ARFaceAnchor.BlendShapeLocation, all 52."""
KINDS = ("objects", "meshes", "shape_keys", "materials", "images")


def add_head() -> bpy.types.Object:
    assert bpy.ops.headsculpt.add_head() == {"FINISHED"}
    return bpy.context.scene.headsculpt.head


def keys_of(head: bpy.types.Object) -> bpy.types.bpy_prop_collection:
    return head.data.shape_keys.key_blocks


def values_of(head: bpy.types.Object) -> dict[str, float]:
    return {key.name: key.value for key in keys_of(head)}


def identity_of(head: bpy.types.Object) -> list[float]:
    return [key.value for key in keys_of(head) if key.name.startswith("Identity ")]


def evaluated(head: bpy.types.Object) -> np.ndarray:
    """Vertices as the viewport shows them, in the object's own coordinates, float64 [V, 3]."""
    mesh = head.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    return np.array([vertex.co for vertex in mesh.vertices], np.float64)


def z_up(points: np.ndarray) -> np.ndarray:
    return points.astype(np.float64) @ [[1, 0, 0], [0, 0, 1], [0, -1, 0]]


def model_of(addon: Addon) -> object:
    return addon("backend.headsculpt.head.builtin").load_builtin()


def contents() -> dict[str, list[str]]:
    return {kind: sorted(getattr(bpy.data, kind).keys()) for kind in KINDS}


def test_it_is_an_ordinary_mesh_at_the_cursor_that_looks_to_the_front(addon: Addon) -> None:
    bpy.context.scene.cursor.location = (1, 2, 3)
    start = time.perf_counter()
    head = add_head()
    print(f"\nadd_head: {time.perf_counter() - start:.2f} s")
    mesh, model = head.data, model_of(addon)
    assert (head.name, tuple(head.location)) == ("Head", (1, 2, 3))
    assert head.select_get() and bpy.context.view_layer.objects.active == head
    assert not mesh.validate(verbose=True), "Blender had to repair the mesh"
    assert len(mesh.polygons) == len(model.quads) and len(mesh.uv_layers) == 1
    assert all(polygon.use_smooth for polygon in mesh.polygons)
    vertices = evaluated(head)
    assert 0.2 < np.ptp(vertices[:, 2]) < 0.5, "it is not in metres"
    nose = model.landmarks(model.vertices)[1]
    tip = vertices[np.linalg.norm(model.vertices - nose, axis=1).argmin()]
    assert tip[1] == pytest.approx(vertices[:, 1].min(), abs=2e-3), "its nose is not what is foremost towards −y"


def test_each_part_has_its_material(addon: Addon) -> None:
    head, model = add_head(), model_of(addon)
    names = [material.name.removeprefix("Head ") for material in head.data.materials]
    corners = {name: set() for name in names}
    for polygon in head.data.polygons:
        corners[names[polygon.material_index]].update(polygon.vertices)
    masks = {name: set(np.flatnonzero(mask > 0.5)) for name, mask in model.masks.items()}
    assert all(corners.values()), "a material lies nowhere"
    assert corners["Teeth"] == masks["teeth"]
    assert corners["Pupils"] == masks["pupil"]
    assert masks["iris"] <= corners["Irises"] | corners["Pupils"]
    assert corners["Eyes"] | corners["Irises"] | corners["Pupils"] == masks["eyeballs"]
    assert masks["tongue"] | masks["gums"] <= corners["Mouth"]
    assert masks["face"] <= corners["Skin"]


def test_its_expressions_are_apple_s(addon: Addon) -> None:
    head = add_head()
    keys = [key for key in keys_of(head) if key.name != "Basis" and not key.name.startswith("Identity ")]
    assert sorted(key.name for key in keys) == sorted(APPLE)
    assert all((key.value, key.slider_min, key.slider_max) == (0, 0, 1) for key in keys)
    assert keys_of(head)[0].name == "Basis" and head.active_shape_key_index == 0
    assert len(identity_of(head)) == 20 and not any(identity_of(head))


def pose(head: bpy.types.Object, addon: Addon, seed: int) -> np.ndarray:
    """Moves all of its sliders at random; the vertices that the model itself has then, z up."""
    model, rng = model_of(addon), np.random.default_rng(seed)
    identity = rng.uniform(-2, 2, len(identity_of(head)))
    expression = dict(zip(model.expression_names, rng.uniform(0, 1, len(model.expression_names)), strict=True))
    for number, value in enumerate(identity, 1):
        keys_of(head)[f"Identity {number}"].value = value
    for name, value in expression.items():
        keys_of(head)[name].value = value
    return z_up(model.posed(identity, expression))


@pytest.mark.parametrize("seed", range(3))
def test_its_sliders_move_it_as_the_model_says(addon: Addon, seed: int) -> None:
    head = add_head()
    expected = pose(head, addon, seed)
    np.testing.assert_allclose(evaluated(head), expected, atol=1e-6)


def test_what_is_generated_starts_from_the_sliders(addon: Addon) -> None:
    head = add_head()
    expected = pose(head, addon, 1)
    np.testing.assert_allclose(generated(), expected, atol=1e-6)


def test_what_is_generated_starts_from_sliders_modifiers_and_edits_together(addon: Addon) -> None:
    """The artist edits the Basis, as one does who sculpts on a head with sliders; they go on to work."""
    head = add_head()
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.transform.translate(value=(0, 0, 0.1))
    bpy.ops.object.mode_set(mode="OBJECT")
    modifier = head.modifiers.new("Displace", "DISPLACE")
    modifier.direction, modifier.strength, modifier.mid_level = "X", 0.25, 0.0
    expected = pose(head, addon, 2) + np.array([0.25, 0, 0.1])
    np.testing.assert_allclose(generated(), expected, atol=2e-6)


def test_a_head_in_sculpt_mode_is_read_as_it_is_seen(addon: Addon) -> None:
    head = add_head()
    expected = pose(head, addon, 3)
    bpy.ops.object.mode_set(mode="SCULPT")
    shape = addon("head").chosen_head(head, bpy.context.evaluated_depsgraph_get())
    bpy.ops.object.mode_set(mode="OBJECT")
    np.testing.assert_allclose(z_up(shape.vertices), expected, atol=1e-6)


def test_a_mesh_that_is_not_the_built_in_head_s_brings_its_triangles(addon: Addon) -> None:
    """The built-in head under a modifier, and a mesh of faces with many corners."""
    head = add_head()
    depsgraph = bpy.context.evaluated_depsgraph_get
    assert addon("head").chosen_head(head, depsgraph()).triangles is None
    head.modifiers.new("Subdivision", "SUBSURF").levels = 1
    shape = addon("head").chosen_head(head, depsgraph())
    assert len(shape.vertices) > 4 * 8000 and volume(shape) > 0
    bpy.ops.mesh.primitive_cylinder_add(vertices=12, radius=1, depth=2)
    shape = addon("head").chosen_head(bpy.context.view_layer.objects.active, depsgraph())
    assert shape.triangles.shape == (44, 3)
    assert volume(shape) == pytest.approx(2 * 12 * 0.5 * np.sin(np.pi / 6))


def volume(shape: object) -> float:
    corners = shape.vertices.astype(np.float64)[shape.triangles]
    return float(np.einsum("tc,tc->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)


def generated() -> np.ndarray:
    """What the quick worker returns, which are the vertices that it was sent, float64 [V, 3] z up."""
    assert bpy.ops.headsculpt.generate(prompt="a ball") == {"FINISHED"}
    mesh = bpy.context.view_layer.objects.active.data
    return np.array([vertex.co for vertex in mesh.vertices], np.float64)


def test_adding_it_is_one_undoable_step(addon: Addon) -> None:
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.ed.undo_push(message="before")
    before = contents()
    bpy.ops.headsculpt.add_head("EXEC_DEFAULT", True)
    after = contents()
    assert bpy.context.scene.headsculpt.head.name == "Head"
    bpy.ops.ed.undo()
    assert contents() == before
    assert bpy.context.scene.headsculpt.head is None
    bpy.ops.ed.redo()
    assert contents() == after


def test_a_random_head_follows_its_seed_and_keeps_its_expression(addon: Addon) -> None:
    head = add_head()
    keys_of(head)["jawOpen"].value = 0.5
    heads = []
    for seed in (3, 4, 3):
        bpy.ops.headsculpt.random_head(seed=seed)
        heads.append(identity_of(head))
    assert heads[0] == heads[2] != heads[1]
    assert values_of(head)["jawOpen"] == 0.5
    bpy.ops.headsculpt.random_head(seed=3, strength=0.5)
    half = np.array(identity_of(head))
    bpy.ops.headsculpt.random_head(seed=3, strength=0.25)
    np.testing.assert_allclose(identity_of(head), half / 2, atol=1e-6)


def test_random_heads_are_people(addon: Addon) -> None:
    """Their weights are normally distributed, and none is beyond its slider."""
    head, weights = add_head(), []
    for seed in range(100):
        bpy.ops.headsculpt.random_head(seed=seed)
        weights += identity_of(head)
    assert np.mean(weights) == pytest.approx(0, abs=0.1)
    assert np.std(weights) == pytest.approx(1, abs=0.05)
    assert np.abs(weights).max() <= 3


def test_a_random_head_is_one_undoable_step(addon: Addon) -> None:
    head = add_head()
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.headsculpt.random_head("EXEC_DEFAULT", True, seed=5)
    assert any(identity_of(bpy.data.objects["Head"]))
    bpy.ops.ed.undo()
    head = bpy.data.objects["Head"]  # the one of before is no more
    assert not any(identity_of(head))


def test_identity_and_expression_are_reset_apart(addon: Addon) -> None:
    head = add_head()
    pose(head, addon, 6)
    bpy.ops.headsculpt.reset_identity()
    assert not any(identity_of(head)) and values_of(head)["jawOpen"] > 0
    bpy.ops.headsculpt.random_head(seed=1)
    bpy.ops.headsculpt.reset_expression()
    assert any(identity_of(head)) and not any(values_of(head)[name] for name in APPLE)


def test_without_such_a_head_there_is_nothing_to_randomize(addon: Addon) -> None:
    for operator in (bpy.ops.headsculpt.random_head, bpy.ops.headsculpt.reset_identity):
        assert not operator.poll()
    bpy.ops.mesh.primitive_cube_add()
    bpy.context.scene.headsculpt.head = bpy.context.view_layer.objects.active
    assert not bpy.ops.headsculpt.random_head.poll()


def test_every_expression_has_its_row_in_the_panel(addon: Addon) -> None:
    panel, keys = addon("head_panel"), addon("head").expression_keys(add_head())
    rows = {label: panel.movements_of(prefix, keys) for prefix, label in panel.GROUPS.items()}
    shown = [key.name for group in rows.values() for sides in group.values() for key in sides]
    assert sorted(shown) == sorted(APPLE)
    assert [key.name for key in rows["Mouth"]["Smile"]] == ["mouthSmileLeft", "mouthSmileRight"]
    assert [key.name for key in rows["Jaw"]["Sideways"]] == ["jawLeft", "jawRight"]
    assert all(len(sides) <= 2 for group in rows.values() for sides in group.values())
