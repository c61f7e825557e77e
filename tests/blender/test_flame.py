# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME heads: made of a file by the real reading, and found in the scene as FLAME's own add-on leaves them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import bpy
import numpy as np
import pytest
from conftest import ID, setting
from mathutils import Matrix

Addon = Callable[[str], ModuleType]
Until = Callable[..., None]

TESTS = Path(__file__).parents[1]
WRITE = """
import sys
from pathlib import Path
import numpy as np
from flame_files import arrays_of, flame_pickle
from headsculpt.evaluation.flame_stand_in import flame_stand_in
folder, model = Path(sys.argv[1]), flame_stand_in()
(folder / "flame.pkl").write_bytes(flame_pickle(arrays_of(model, 300, 60)))
np.savez(folder / "open.npz", licence=np.array("FLAME 2023 Open, CC BY 4.0"), **arrays_of(model, 8, 0))
np.savez(
    folder / "expected.npz",
    vertices=model.vertices,
    triangles=model.triangles,
    shape=model.shape[:50],
    expression=model.expression[:50],
    opened=model.posed((), (), {"jaw": (np.radians(25), 0, 0)}),
)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written by the worker's Python: this one has none of what makes them. flame.pkl has FLAME's layout and does not
    say its version; open.npz says it, and has eight shapes; expected.npz is what the model itself says."""
    folder = tmp_path_factory.mktemp("flame")
    path = os.pathsep.join([str(TESTS / "unit"), str(TESTS.parent / "backend")])
    subprocess.run(
        [setting("HEADSCULPT_WORKER_PYTHON"), "-c", WRITE, folder], env={**os.environ, "PYTHONPATH": path}, check=True
    )
    return folder


@pytest.fixture(scope="module")
def expected(files: Path) -> dict[str, np.ndarray]:
    with np.load(files / "expected.npz") as data:
        return dict(data)


@pytest.fixture
def options(addon: Addon, files: Path) -> Iterator[bpy.types.AddonPreferences]:
    """The preferences, with the file that does not say its version and the version chosen."""
    preferences = bpy.context.preferences.addons[ID].preferences
    preferences.flame_file, preferences.flame_version = str(files / "flame.pkl"), "2020"
    yield preferences
    preferences.property_unset("flame_file")
    preferences.property_unset("flame_version")
    preferences.property_unset("flame_sliders")


def add_flame() -> bpy.types.Object:
    assert bpy.ops.headsculpt.add_head(model="FLAME") == {"FINISHED"}
    return bpy.context.scene.headsculpt.head


def fails(words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        bpy.ops.headsculpt.add_head(model="FLAME")
    assert not bpy.data.objects and not bpy.data.meshes


def keys_of(obj: bpy.types.Object) -> bpy.types.bpy_prop_collection:
    return obj.data.shape_keys.key_blocks


def evaluated(obj: bpy.types.Object) -> np.ndarray:
    """As the viewport shows it, in the object's own coordinates, float64 [V, 3]."""
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    return np.array([vertex.co for vertex in mesh.vertices], np.float64)


def in_world(obj: bpy.types.Object, local: np.ndarray) -> np.ndarray:
    matrix = np.array(obj.matrix_world)
    return local @ matrix[:3, :3].T + matrix[:3, 3]


def z_up(points: np.ndarray) -> np.ndarray:
    return points.astype(np.float64) @ [[1, 0, 0], [0, 0, 1], [0, -1, 0]]


# --- made of a file -------------------------------------------------------------------------------------------------


def test_it_stands_at_the_cursor_with_its_own_topology_and_sliders(
    options: bpy.types.AddonPreferences, expected: dict[str, np.ndarray]
) -> None:
    bpy.context.scene.cursor.location = (1, 2, 3)
    head = add_flame()
    assert (head.name, tuple(head.location)) == ("FLAME", (1, 2, 3))
    assert head.select_get() and bpy.context.view_layer.objects.active == head
    assert len(head.data.polygons) == 9976 and not head.data.validate(verbose=True)
    np.testing.assert_allclose(evaluated(head), z_up(expected["vertices"]), atol=1e-6)
    corners = np.array([polygon.vertices for polygon in head.data.polygons])
    np.testing.assert_array_equal(corners, expected["triangles"])
    numbers = range(1, 51)
    names = ["Basis", *(f"Shape{n}" for n in numbers), "Jaw", *(f"Exp{n}" for n in numbers)]
    assert list(keys_of(head).keys()) == names
    assert all(key.value == 0 for key in keys_of(head))
    assert (keys_of(head)["Shape1"].slider_min, keys_of(head)["Exp1"].slider_max) == (-3, 3)
    assert head["headsculpt_flame"] == "FLAME 2020" and "on-commercial" in head["headsculpt_flame_licence"]


def test_its_eyeballs_have_a_material_of_their_own(options: bpy.types.AddonPreferences) -> None:
    head = add_flame()
    places = evaluated(head)
    names = [material.name for material in head.data.materials]
    eyes = {v for p in head.data.polygons if names[p.material_index] == "FLAME Eyes" for v in p.vertices}
    assert len(eyes) == 1122
    assert places[sorted(eyes), 1].max() < 0, "they are not in the front half of the head"


def test_its_sliders_move_it_as_the_model_says(
    options: bpy.types.AddonPreferences, expected: dict[str, np.ndarray]
) -> None:
    head, random = add_flame(), np.random.default_rng(0)
    shape, expression = random.uniform(-2, 2, (2, 50))
    for number in range(50):
        keys_of(head)[f"Shape{number + 1}"].value = shape[number]
        keys_of(head)[f"Exp{number + 1}"].value = expression[number]
    keys_of(head)["Jaw"].value = 0.5
    moved = expected["vertices"] + 0.5 * (expected["opened"] - expected["vertices"])
    moved = moved + np.tensordot(shape, expected["shape"], 1) + np.tensordot(expression, expected["expression"], 1)
    np.testing.assert_allclose(evaluated(head), z_up(moved), atol=2e-6)


def test_it_has_as_many_sliders_as_wanted_and_there(options: bpy.types.AddonPreferences, files: Path) -> None:
    options.flame_sliders = 20
    assert len(keys_of(add_flame())) == 1 + 20 + 1 + 20
    options.flame_file = str(files / "open.npz")
    assert len(keys_of(add_flame())) == 1 + 8 + 1


def test_random_head_and_the_resets_are_for_it_too(options: bpy.types.AddonPreferences) -> None:
    head = add_flame()
    keys_of(head)["Jaw"].value = 0.5
    keys_of(head)["Exp3"].value = 1
    bpy.ops.headsculpt.random_head(seed=4)
    drawn = [key.value for key in keys_of(head) if key.name.startswith("Shape")]
    assert 0.6 < np.std(drawn) < 1.4 and keys_of(head)["Exp3"].value == 1
    bpy.ops.headsculpt.reset_identity()
    assert not any(key.value for key in keys_of(head) if key.name.startswith("Shape"))
    bpy.ops.headsculpt.reset_expression()
    assert not any(key.value for key in keys_of(head))


def test_every_slider_of_it_is_in_the_panel(options: bpy.types.AddonPreferences, addon: Addon) -> None:
    head = add_flame()
    shown = addon("head").identity_keys(head) + addon("head").expression_keys(head)
    assert {key.name for key in shown} == set(keys_of(head).keys()) - {"Basis"}
    assert not any(addon("head_panel").movements_of(prefix, shown) for prefix in addon("head_panel").GROUPS)


def test_its_version_is_what_the_file_says_or_the_user(
    options: bpy.types.AddonPreferences, addon: Addon, files: Path
) -> None:
    options.flame_version = "NONE"
    fails("does not say which version it is.*Choose its version")
    options.flame_file = str(files / "open.npz")
    assert add_flame()["headsculpt_flame_licence"].startswith("CC-BY-4.0")


def test_files_that_are_no_flame_model(options: bpy.types.AddonPreferences, tmp_path: Path) -> None:
    options.flame_file = ""
    fails("does not know where your FLAME file is")
    options.flame_file = str(tmp_path / "missing.pkl")
    fails("missing.pkl' can not be read")
    canary = tmp_path / "canary"
    evil = tmp_path / "evil.pkl"
    evil.write_bytes(f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode())
    options.flame_file = str(evil)
    fails("asks for “posix.system”.*nothing of it was run")
    assert not canary.exists()


def test_it_comes_in_one_undoable_step(options: bpy.types.AddonPreferences, addon: Addon, until: Until) -> None:
    """As with a window, where the operator does not wait."""
    pump, flame, scene = addon("pump"), addon("flame"), addon("scene")
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.ed.undo_push(message="before")
    pump.start(flame.request(), scene.target_of(None, bpy.context))
    assert not bpy.ops.headsculpt.stop.poll(), "there is nothing to keep of it"
    until(lambda: not pump.session.busy)
    assert bpy.context.scene.headsculpt.head.name == "FLAME"
    bpy.ops.ed.undo()
    assert bpy.data.objects.keys() == ["Cube"] and bpy.context.scene.headsculpt.head is None


# --- found in the scene ---------------------------------------------------------------------------------------------


def from_the_other_addon(expected: dict[str, np.ndarray]) -> bpy.types.Object:
    """As FLAME's own add-on leaves it: this name, these keys, and here a bone that the jaw hangs on."""
    mesh = bpy.data.meshes.new("FLAME-female")
    mesh.from_pydata(z_up(expected["vertices"]), [], expected["triangles"].tolist())
    obj = bpy.data.objects.new("FLAME-female", mesh)
    bpy.context.collection.objects.link(obj)
    obj.shape_key_add(name="Basis")
    for name, offset in (
        ("Shape1", expected["shape"][0]),
        ("Exp1", expected["expression"][0]),
        ("Pose1", expected["opened"] - expected["vertices"]),
    ):
        key = obj.shape_key_add(name=name, from_mix=False)
        key.points.foreach_set("co", z_up(expected["vertices"] + offset).astype(np.float32).reshape(-1))
        key.value = 0.0
    return obj


def add_jaw_bone(obj: bpy.types.Object) -> bpy.types.Object:
    """An armature that turns the lower half of the head by 0.3 rad about its x axis."""
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    bone = rig.data.edit_bones.new("jaw")
    bone.head, bone.tail = (0, 0, 0), (0, -0.1, 0)
    bpy.ops.object.mode_set(mode="OBJECT")
    low = [vertex.index for vertex in obj.data.vertices if vertex.co.z < 0]
    obj.vertex_groups.new(name="jaw").add(low, 1.0, "REPLACE")
    modifier = obj.modifiers.new("Armature", "ARMATURE")
    modifier.object = rig
    pose = rig.pose.bones["jaw"]
    pose.rotation_mode = "XYZ"
    pose.rotation_euler.x = 0.3
    return rig


def test_its_keys_and_bones_count(addon: Addon, expected: dict[str, np.ndarray]) -> None:
    head = from_the_other_addon(expected)
    keys_of(head)["Shape1"].value, keys_of(head)["Exp1"].value = 0.7, 0.4
    rest = z_up(expected["vertices"] + 0.7 * expected["shape"][0] + 0.4 * expected["expression"][0])
    rig = add_jaw_bone(head)
    bpy.context.view_layer.update()
    matrix = np.array(rig.pose.bones["jaw"].matrix_channel)
    low = z_up(expected["vertices"])[:, 2] < 0
    posed = np.where(low[:, None], rest @ matrix[:3, :3].T + matrix[:3, 3], rest)
    assert np.abs(posed - rest).max() > 0.01
    shape = addon("head").chosen_head(head, bpy.context.evaluated_depsgraph_get())
    np.testing.assert_allclose(z_up(shape.vertices), posed, atol=1e-5)
    np.testing.assert_array_equal(shape.triangles, expected["triangles"])


def test_the_panel_s_sliders_are_for_it_too(addon: Addon, expected: dict[str, np.ndarray]) -> None:
    head = from_the_other_addon(expected)
    assert [key.name for key in addon("head").identity_keys(head)] == ["Shape1"]
    assert [key.name for key in addon("head").expression_keys(head)] == ["Exp1"]


@pytest.mark.parametrize("scale", [(1, 1, 1), (100, 100, 100), (0.01, 0.02, 0.01), (-2, 2, 2)])
def test_the_result_stands_where_it_stood(addon: Addon, expected: dict[str, np.ndarray], scale: tuple[float]) -> None:
    """Rotated and scaled under a parent that is, too. The quick worker returns the mesh that it was sent."""
    head = from_the_other_addon(expected)
    parent = bpy.data.objects.new("Parent", None)
    bpy.context.collection.objects.link(parent)
    parent.matrix_world = Matrix.Translation((3, -1, 2)) @ Matrix.Rotation(0.8, 4, "X") @ Matrix.Scale(1.5, 4)
    head.parent = parent
    head.location, head.rotation_euler, head.scale = (0.2, 0, 1), (0.3, 0.1, 2), scale
    bpy.context.view_layer.update()
    stood = in_world(head, evaluated(head))
    bpy.context.scene.headsculpt.head = head
    assert bpy.ops.headsculpt.generate(prompt="a ball") == {"FINISHED"}
    result = bpy.context.view_layer.objects.active
    assert result != head and len(result.data.polygons) == 9976
    np.testing.assert_allclose(in_world(result, evaluated(result)), stood, atol=1e-5 * max(map(abs, scale)))
