# SPDX-License-Identifier: GPL-3.0-or-later
"""The installed add-on with a quick worker: what it leaves in the scene, and what it leaves alone."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Euler, Matrix

Addon = Callable[[str], ModuleType]
Begin = Callable[..., None]
Until = Callable[..., None]


def contents() -> dict[str, list[str]]:
    """The names of all that a job could have left behind, and what is selected and hidden."""
    bpy.context.view_layer.update()
    return {
        **{kind: sorted(getattr(bpy.data, kind).keys()) for kind in ("objects", "meshes", "materials", "images")},
        "selected": sorted(obj.name for obj in bpy.context.view_layer.objects if obj.select_get()),
        "hidden": sorted(obj.name for obj in bpy.context.view_layer.objects if obj.hide_get() or obj.hide_render),
    }


def vertices_of(obj: bpy.types.Object) -> np.ndarray:
    """World coordinates of the mesh as it is stored, float64 [V, 3]."""
    local = np.array([vertex.co for vertex in obj.data.vertices], np.float64)
    matrix = np.array(obj.matrix_world, np.float64)
    return local @ matrix[:3, :3].T + matrix[:3, 3]


def active() -> bpy.types.Object:
    return bpy.context.view_layer.objects.active  # `context.object` is none where there is no window


def add_head() -> bpy.types.Object:
    bpy.ops.headsculpt.add_head()
    return active()


def generate(prompt: str, **options: object) -> bpy.types.Object:
    assert bpy.ops.headsculpt.generate(prompt=prompt, **options) == {"FINISHED"}
    return active()


# --- the result -----------------------------------------------------------------------------------------------------


def test_the_result_is_an_ordinary_object(addon: Addon) -> None:
    obj = generate("an old wizard, with a very long white beard and a pointed hat", seed=7)
    mesh = obj.data
    assert obj.name == "old wizard, with a very long white beard"
    assert obj.select_get() and bpy.context.view_layer.objects.active == obj
    assert obj.parent is None and not obj.modifiers
    assert not mesh.validate(verbose=True), "Blender had to repair the mesh"
    assert all(polygon.use_smooth for polygon in mesh.polygons)
    assert len(mesh.uv_layers) == 1
    assert not [other for other in bpy.data.objects if "growing" in other.name]


def test_the_result_has_its_textures_in_the_file(addon: Addon, tmp_path: Path) -> None:
    generate("a red ball")
    saved = tmp_path / "head.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(saved))
    bpy.ops.wm.open_mainfile(filepath=str(saved))
    obj = bpy.data.objects["red ball"]
    shader = next(node for node in obj.data.materials[0].node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    color = shader.inputs["Base Color"].links[0].from_node.image
    normal = shader.inputs["Normal"].links[0].from_node.inputs["Color"].links[0].from_node.image
    assert color.packed_file and normal.packed_file
    assert color.colorspace_settings.name == "sRGB" and normal.colorspace_settings.name == "Non-Color"
    pixels = np.array(color.pixels[:]).reshape(64, 64, 4)
    np.testing.assert_allclose(pixels[0, 0], [200 / 255, 0, 0, 1], atol=1e-3)  # Blender's row 0 is the bottom
    np.testing.assert_allclose(pixels[-1, 0], [200 / 255, 90 / 255, 0, 1], atol=1e-3)
    np.testing.assert_allclose(np.array(normal.pixels[:4]), [128 / 255, 128 / 255, 1, 1], atol=1e-3)


def test_the_result_stands_upright_and_its_uvs_belong_to_their_corners(addon: Addon) -> None:
    """The quick worker's UVs are x and y in its own y-up space, which are x and z in Blender's."""
    mesh = generate("a ball").data
    vertices = np.array([vertex.co for vertex in mesh.vertices])
    corners = np.array([loop.vertex_index for loop in mesh.loops])
    uv = np.array([item.vector for item in mesh.uv_layers[0].uv])
    low, size = vertices.min(0), np.ptp(vertices, 0)
    np.testing.assert_allclose(uv, ((vertices - low) / size)[corners][:, [0, 2]], atol=1e-5)
    outward = [polygon.normal.dot(polygon.center) for polygon in mesh.polygons]
    assert min(outward) > 0


def test_the_result_says_where_it_comes_from(addon: Addon) -> None:
    obj = generate("a ball", negative_prompt="a cube", seed=7, preset="STANDARD")
    assert obj["AI-generated"] is True
    assert (obj["headsculpt_prompt"], obj["headsculpt_negative_prompt"]) == ("a ball", "a cube")
    assert (obj["headsculpt_seed"], obj["headsculpt_preset"], obj["headsculpt_head"]) == (7, "standard", "built-in")
    assert obj["headsculpt_pack"] == "fake"
    report = json.loads(obj["headsculpt_report"])
    assert report["steps"] == 20
    assert report["blender"]["version"] == bpy.app.version_string
    assert 0 < report["blender"]["first_mesh_seconds"] <= report["blender"]["seconds"]


def test_the_panel_s_fields_are_used_where_a_script_gives_none(addon: Addon) -> None:
    settings = bpy.context.scene.headsculpt
    settings.prompt, settings.seed, settings.preset = "a ball", 11, "PAPER"
    bpy.ops.headsculpt.generate(seed=12)
    obj = active()
    assert (obj["headsculpt_prompt"], obj["headsculpt_seed"], obj["headsculpt_preset"]) == ("a ball", 12, "paper")


def test_the_preferences_say_where_to_compute(addon: Addon, monkeypatch: pytest.MonkeyPatch) -> None:
    operators, asked = addon("operators"), []

    def refuse(**fields: object) -> None:
        asked.append(fields["device"])
        raise addon("backend.headsculpt.errors").UserError("That will do.", "")

    monkeypatch.setattr(operators, "GenerateRequest", refuse)
    options = bpy.context.preferences.addons["bl_ext.user_default.headsculpt"].preferences
    for device in ("CPU", "AUTO"):
        options.device = device
        with pytest.raises(RuntimeError, match="That will do"):
            bpy.ops.headsculpt.generate(prompt="a ball")
    assert asked == ["cpu", "auto"]


def place_of(name: str) -> Callable[[bpy.types.Object], None]:
    def turned(obj: bpy.types.Object) -> None:
        obj.matrix_world = Matrix.LocRotScale((1, -2, 3), Euler((0.4, 1.1, -2.0)), (2, 2, 2))

    def stretched(obj: bpy.types.Object) -> None:
        obj.matrix_world = Matrix.LocRotScale((1, -2, 3), Euler((0.4, 1.1, -2.0)), (2, 0.5, 3))

    def mirrored(obj: bpy.types.Object) -> None:
        obj.matrix_world = Matrix.LocRotScale((1, 0, 0), Euler((0, 0.3, 0)), (-1, 1, 1))

    def parented(obj: bpy.types.Object) -> None:
        """To a parent that is stretched along an axis that is not the child's: a shear in the world."""
        parent = bpy.data.objects.new("parent", None)
        bpy.context.collection.objects.link(parent)
        parent.matrix_world = Matrix.LocRotScale((0, 5, 0), Euler((0, 0, 0.5)), (1, 3, 1))
        obj.parent = parent
        obj.rotation_euler = (0.7, 0.2, 0.9)

    return {f.__name__: f for f in (turned, stretched, mirrored, parented)}[name]


@pytest.mark.parametrize("place", ["turned", "stretched", "mirrored", "parented"])
def test_the_result_stands_where_the_chosen_head_stood(addon: Addon, place: str) -> None:
    """The quick worker returns the chosen head's own vertices, so each must come back to where it was."""
    head = add_head()
    place_of(place)(head)
    bpy.context.view_layer.update()
    expected = vertices_of(head)
    obj = generate("a head", head=head.name)
    bpy.context.view_layer.update()
    assert obj.parent is None
    np.testing.assert_allclose(vertices_of(obj), expected, atol=2e-5)
    assert head.hide_get() and head.hide_render, "two heads stand in one place"


def test_shape_keys_and_modifiers_of_the_chosen_head_count(addon: Addon) -> None:
    head = add_head()
    before = vertices_of(head)
    key = head.shape_key_add(name="wide")
    key.data.foreach_set("co", (before * [1.5, 1, 1]).astype(np.float32).ravel())
    key.value = 1
    modifier = head.modifiers.new("Displace", "DISPLACE")
    modifier.direction, modifier.strength, modifier.mid_level = "Z", 0.25, 0.0
    result = vertices_of(generate("a head", head=head.name))
    np.testing.assert_allclose(result, before * [1.5, 1, 1] + [0, 0, 0.25], atol=1e-5)


def test_the_chosen_head_can_be_used_again_although_it_is_hidden_now(addon: Addon) -> None:
    head = add_head()
    first, second = generate("a head", head=head.name), generate("a head", head=head.name)
    assert first != second
    np.testing.assert_array_equal(vertices_of(first), vertices_of(second))


def test_a_head_in_edit_mode_is_read_as_it_is_being_edited(addon: Addon) -> None:
    head = add_head()
    before = vertices_of(head)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.transform.translate(value=(0, 0, 1))
    shape = addon("head").chosen_head(head, bpy.context.evaluated_depsgraph_get())
    bpy.ops.object.mode_set(mode="OBJECT")
    np.testing.assert_allclose(shape.vertices[:, 1], before[:, 2] + 1, atol=1e-5)


def test_without_a_chosen_head_it_stands_at_the_cursor(addon: Addon) -> None:
    bpy.context.scene.cursor.location = (1, 2, 3)
    np.testing.assert_allclose(vertices_of(generate("a ball")).mean(0), [1, 2, 3], atol=1e-3)


# --- growing, undo, other files -------------------------------------------------------------------------------------


def test_the_head_grows_in_one_object_in_its_place(addon: Addon, begin: Begin, until: Until) -> None:
    session = addon("pump").session
    bpy.context.scene.cursor.location = (0, 0, 2)
    begin("a slow ball")
    until(lambda: bpy.data.objects.get("slow ball (growing)"))
    obj = bpy.data.objects["slow ball (growing)"]
    first = np.ptp(vertices_of(obj), axis=0)
    until(lambda: np.ptp(vertices_of(obj), axis=0)[0] > first[0] * 1.1)
    assert [other.name for other in bpy.data.objects] == [obj.name]
    np.testing.assert_allclose(vertices_of(obj).mean(0), [0, 0, 2], atol=1e-3)
    layer = obj.data.color_attributes.active_color
    vertices = vertices_of(obj) - [0, 0, 2]
    expected = (vertices / np.linalg.norm(vertices, axis=1, keepdims=True)) @ [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    got = np.array([item.color_srgb[:3] for item in layer.data])
    np.testing.assert_allclose(got, (expected + 1) / 2, atol=0.01)
    assert session.job.progress.stage == "Growing" and session.job.progress.steps == 20
    addon("pump").session.stop()
    until(lambda: not session.busy)
    assert [other.name for other in bpy.data.objects] == ["slow ball"]
    shown = bpy.data.objects["slow ball"].data.materials[0].diffuse_color
    np.testing.assert_allclose(shown, [0.2158, 0.2158, 0.2158, 1], atol=0.01)  # half of sRGB's range in linear light
    assert json.loads(bpy.data.objects["slow ball"]["headsculpt_report"])["steps"] < 20


def test_the_result_is_one_undoable_step(addon: Addon, begin: Begin, until: Until) -> None:
    add_head()
    bpy.ops.ed.undo_push(message="before")
    before = contents()
    begin("a ball", head=bpy.data.objects["Head"])
    until(lambda: not addon("pump").session.busy)
    after = contents()
    assert "ball" in after["objects"] and "Head" in after["hidden"]
    bpy.ops.ed.undo()
    assert contents() == before
    bpy.ops.ed.redo()
    assert contents() == after


def test_a_step_of_the_user_s_in_mid_run_brings_no_preview_back(addon: Addon, begin: Begin, until: Until) -> None:
    session = addon("pump").session
    bpy.ops.ed.undo_push(message="before")
    begin("a slow ball")
    until(lambda: bpy.data.objects.get("slow ball (growing)"))
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.ed.undo_push(message="cube")  # its memory holds the growing head
    session.stop()
    until(lambda: not session.busy)
    bpy.ops.ed.undo()
    assert contents()["objects"] == ["Cube"]


def test_undo_in_mid_run_does_no_harm(addon: Addon, begin: Begin, until: Until) -> None:
    session = addon("pump").session
    bpy.ops.ed.undo_push(message="start")
    head = add_head()
    bpy.ops.ed.undo_push(message="head")
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.ed.undo_push(message="cube")
    begin("a slow ball", head=head)
    until(lambda: bpy.data.objects.get("slow ball (growing)"))
    bpy.ops.ed.undo()
    bpy.ops.ed.undo()  # now the chosen head is gone, too
    assert session.busy
    until(lambda: bpy.data.objects.get("slow ball (growing)"))
    session.stop()
    until(lambda: not session.busy)
    assert session.card is None
    assert "slow ball" in bpy.data.objects


def test_opening_another_file_cancels_and_says_so(addon: Addon, begin: Begin, until: Until, tmp_path: Path) -> None:
    session = addon("pump").session
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "other.blend"))
    begin("a slow ball")
    until(lambda: bpy.data.objects.get("slow ball (growing)"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "other.blend"))
    before = contents()
    until(lambda: not session.busy)
    assert contents() == before
    assert "another file" in session.card.message


def test_a_saved_file_holds_no_growing_head(addon: Addon, begin: Begin, until: Until, tmp_path: Path) -> None:
    begin("a slow ball")
    until(lambda: bpy.data.objects.get("slow ball (growing)"))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "mid.blend"), copy=True)
    with bpy.data.libraries.load(str(tmp_path / "mid.blend")) as (stored, _):
        assert not [name for name in stored.objects if "growing" in name]
    until(lambda: bpy.data.objects.get("slow ball (growing)"))  # and it is back


def test_a_deleted_preview_comes_back_and_a_renamed_one_is_found(addon: Addon, begin: Begin, until: Until) -> None:
    begin("a slow ball")
    until(lambda: bpy.data.objects.get("slow ball (growing)"))
    bpy.data.objects.remove(bpy.data.objects["slow ball (growing)"])
    until(lambda: bpy.data.objects.get("slow ball (growing)"))
    bpy.data.objects["slow ball (growing)"].name = "mine"
    until(lambda: not addon("pump").session.busy)
    assert contents()["objects"] == ["slow ball"]


def test_the_result_waits_until_an_edit_is_over(addon: Addon, begin: Begin, until: Until) -> None:
    session = addon("pump").session
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")
    begin("a ball")
    until(lambda: session.result)
    addon("pump").tick()
    assert session.busy and "ball" not in bpy.data.objects
    bpy.ops.object.mode_set(mode="OBJECT")
    until(lambda: not session.busy)
    assert "ball" in bpy.data.objects


def test_a_render_does_not_show_the_growing_head(addon: Addon, begin: Begin, until: Until) -> None:
    begin("a slow ball")
    until(lambda: bpy.data.objects.get("slow ball (growing)"))
    assert bpy.data.objects["slow ball (growing)"].hide_render


def test_new_names_in_mid_run_confuse_nobody(addon: Addon, begin: Begin, until: Until) -> None:
    session, scene = addon("pump").session, bpy.context.scene
    head = add_head()
    begin("a slow ball", head=head)
    until(lambda: bpy.data.objects.get("slow ball (growing)"))
    head.name, scene.name = "My Head", "My Scene"
    bpy.ops.mesh.primitive_cube_add()
    cube = active()
    cube.name = "Head"
    bpy.data.objects.remove(bpy.data.objects["slow ball (growing)"])
    until(lambda: bpy.data.objects.get("slow ball (growing)"))  # previews go on
    session.stop()
    until(lambda: not session.busy)
    assert session.card is None and head.hide_render and not cube.hide_render
    assert bpy.data.objects["slow ball"].name in scene.objects


# --- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_head_that_is_switched_off_is_not_taken_without_its_sliders(addon: Addon) -> None:
    """Blender does not work out the shape keys of what it does not show at all."""
    head = add_head()
    bpy.context.scene.headsculpt.head = head
    head.hide_viewport = True
    bpy.context.view_layer.update()
    fails("disabled in viewports", prompt="a ball")
    head.hide_viewport = False
    home = bpy.data.collections.new("Home")
    bpy.context.scene.collection.children.link(home)
    home.objects.link(head)
    bpy.context.scene.collection.objects.unlink(head)
    bpy.context.view_layer.layer_collection.children["Home"].exclude = True
    bpy.context.view_layer.update()
    fails("disabled in viewports", prompt="a ball")
    bpy.context.view_layer.layer_collection.children["Home"].exclude = False
    bpy.context.view_layer.update()
    head.hide_set(True)  # as a head that has been used: it is worked out nevertheless
    head.data.shape_keys.key_blocks["jawOpen"].value = 1.0
    bpy.context.view_layer.update()
    mouth = generate("a ball", head="Head")
    moved = np.abs(vertices_of(mouth) - np.array([vertex.co for vertex in head.data.vertices]) - head.location).max()
    assert moved > 1e-3


def test_a_mesh_that_is_too_large_is_refused(addon: Addon, monkeypatch: pytest.MonkeyPatch) -> None:
    head = add_head()
    monkeypatch.setattr(addon("session"), "MAX_PAYLOAD", 1000)
    fails("too large to be sent", prompt="a ball", head=head.name)
    monkeypatch.undo()
    generate("a ball", head=head.name)


WORKER = """
import os, signal, sys, time
from headsculpt import __version__
from headsculpt.protocol import VERSION, Array, Frame, encode
def write(data):
    os.write(1, data)
write(b"".join(encode(Frame("hello", fields={"build": __version__, "protocol": VERSION}))))
"""


@pytest.fixture
def link_to(addon: Addon) -> Iterator[Callable[[str], Any]]:
    """A line to a worker that says hello and then does as it is told."""
    links = []

    def start(todo: str) -> Any:
        command = shlex.join([os.environ["HEADSCULPT_WORKER_PYTHON"], "-c", WORKER + todo])
        links.append(addon("link").Link(command, addon("pump").worker_environment()))
        return links[-1]

    yield start
    for link in links:
        link.close()


def test_a_worker_may_say_for_hours_that_it_is_alive(addon: Addon, link_to: Callable[[str], Any]) -> None:
    """Nobody listens while Blender renders."""
    link = link_to("""
for _ in range(300):
    write(b"".join(encode(Frame("alive"))))
write(b"".join(encode(Frame("notice", 1, {"text": "and now"}))))
time.sleep(60)
""")
    time.sleep(3)
    assert link.receive().fields["text"] == "and now"


def test_a_worker_that_is_killed_in_mid_word_ended_and_spoke_no_other_language(
    addon: Addon, link_to: Callable[[str], Any]
) -> None:
    link = link_to("""
piece = b"".join(encode(Frame("preview", 1, {}, {"colors": Array("uint8", (9999, 3), bytes(29997))})))
write(piece[:500])
os.kill(os.getpid(), signal.SIGKILL)
""")
    end = time.monotonic() + 20
    with pytest.raises(addon("link").LinkError, match=r"ended in the middle of its work \(exit code -9\)"):
        while time.monotonic() < end:
            assert link.receive() is None
            time.sleep(0.01)


def test_files_where_blender_was_started_are_none_of_the_worker_s(addon: Addon, tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("raise RuntimeError('an artist wrote this')\n")
    command = [os.environ["HEADSCULPT_WORKER_PYTHON"], "-c", "import random; print(random.__file__)"]
    environment = addon("pump").worker_environment()
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 0 and str(tmp_path) not in said.stdout, said.stderr


def fails(words: str, **options: object) -> str:
    """Runs a job that has to fail, with a message that holds these words, and changes nothing. Returns the message."""
    before = contents()
    with pytest.raises(RuntimeError, match=words) as caught:
        bpy.ops.headsculpt.generate(**options)
    assert contents() == before
    return str(caught.value)


@pytest.mark.parametrize(("prompt", "words"), [("", "empty"), (" \n", "empty"), ("x" * 10_000, "10,000 characters")])
def test_prompts_that_are_none(addon: Addon, prompt: str, words: str) -> None:
    message = fails(words, prompt=prompt)
    assert len(message) < 200
    assert addon("pump").session.link is None, "no worker is needed to say so"


def test_objects_that_are_no_heads(addon: Addon) -> None:
    bpy.ops.object.light_add()
    fails("“Point” is not a mesh", prompt="a head", head="Point")
    bpy.context.collection.objects.link(bpy.data.objects.new("Empty", bpy.data.meshes.new("Empty")))
    fails("'Empty' has no surface", prompt="a head", head="Empty")
    fails("no object “Nobody”", prompt="a head", head="Nobody")
    head = add_head()
    head.scale = (1, 0, 1)
    bpy.context.view_layer.update()
    fails("scaled to nothing", prompt="a head", head="Head")


def test_a_head_that_was_deleted_since_it_was_chosen(addon: Addon) -> None:
    """Blender keeps it for the panel's field, although no scene shows it."""
    head = add_head()
    bpy.context.scene.collection.objects.unlink(head)
    assert bpy.context.scene.headsculpt.head == head
    fails("no object “Head” in the scene", prompt="a head")


def test_a_worker_that_dies_in_mid_run(addon: Addon) -> None:
    message = fails(r"ended in the middle of its work \(exit code 3\)", prompt="die")
    assert "about to die" in message, "the end of its log"
    generate("a ball")  # with another worker


def test_a_worker_that_is_killed_in_mid_run(addon: Addon, begin: Begin, until: Until) -> None:
    session = addon("pump").session
    before = contents()
    begin("a slow ball")
    until(lambda: bpy.data.objects.get("slow ball (growing)"))
    os.kill(session.link.pid, signal.SIGKILL)
    until(lambda: not session.busy)
    assert "exit code -9" in session.card.message and "memory" in session.card.advice
    assert contents() == before


def test_a_bug_in_the_worker(addon: Addon) -> None:
    message = fails("RuntimeError: deliberate", prompt="bug")
    assert "fake_worker.py" in message


def test_a_job_that_the_worker_refuses(addon: Addon) -> None:
    assert "log" not in fails("None of these words is known. Use others.", prompt="refuse")


def test_a_result_whose_triangles_lead_nowhere(addon: Addon) -> None:
    fails("triangles that lead nowhere", prompt="lie")


def test_cancel_leaves_the_scene_as_it_was(addon: Addon, begin: Begin, until: Until) -> None:
    session = addon("pump").session
    before = contents()
    begin("a slow ball")
    until(lambda: bpy.data.objects.get("slow ball (growing)"))
    assert bpy.ops.headsculpt.cancel() == {"FINISHED"}
    until(lambda: not session.busy)
    assert contents() == before and session.card is None
    pid = session.link.pid
    generate("a ball")
    assert session.link.pid == pid, "the worker is still good"


def test_a_worker_that_hears_no_cancel_is_ended(
    addon: Addon, begin: Begin, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addon("session"), "CANCEL_SECONDS", 0.5)
    session = addon("pump").session
    begin("a deaf ball")
    until(lambda: bpy.data.objects.get("deaf ball (growing)"))
    pid = session.link.pid
    bpy.ops.headsculpt.cancel()
    until(lambda: not session.busy, 3)
    assert not alive(pid)
    assert contents()["objects"] == []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def use(command: str) -> None:
    bpy.context.preferences.addons["bl_ext.user_default.headsculpt"].preferences.worker_command = command


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "does not know where its worker is"),
        ("/nowhere/python -m headsculpt worker", "could not be started"),
        ('"unclosed', "could not be started"),
        ("false", r"could not start \(exit code 1\)"),
        ("sh -c 'echo no such module >&2; exit 2'", "no such module"),
        ("sh -c 'echo Welcome to host; sleep 9'", "Welcome"),
    ],
)
def test_commands_that_are_no_worker(addon: Addon, command: str, words: str) -> None:
    use(command)
    assert fails(words, prompt="a head")


def test_a_worker_that_says_nothing(addon: Addon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addon("link"), "HELLO_SECONDS", 0.5)
    use("sleep 30")
    fails("said nothing", prompt="a head")


def test_a_worker_that_falls_silent(addon: Addon, monkeypatch: pytest.MonkeyPatch, begin: Begin, until: Until) -> None:
    monkeypatch.setattr(addon("link"), "SILENCE_SECONDS", 1.0)
    session = addon("pump").session
    begin("a slow ball")
    until(lambda: session.job.progress.step)
    os.kill(session.link.pid, signal.SIGSTOP)
    until(lambda: not session.busy)
    assert "said nothing" in session.card.message
    assert contents()["objects"] == []


def test_a_worker_of_another_version(addon: Addon, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        "import headsculpt, runpy; headsculpt.__version__ = '9.9'\n"
        "from headsculpt.worker import main; main(None, lambda: '')"
    )
    use(shlex.join([os.environ["HEADSCULPT_WORKER_PYTHON"], str(script)]))
    fails(r"The worker is version 9.9 \(protocol 1\), this add-on is", prompt="a head")


def test_nothing_is_left_running_when_the_add_on_is_disabled(addon: Addon, begin: Begin, until: Until) -> None:
    session = addon("pump").session
    begin("a slow ball")
    until(lambda: bpy.data.objects.get("slow ball (growing)"))
    pid = session.link.pid
    bpy.ops.preferences.addon_disable(module="bl_ext.user_default.headsculpt")
    try:
        assert not alive(pid)
        assert contents()["objects"] == []
    finally:
        bpy.ops.preferences.addon_enable(module="bl_ext.user_default.headsculpt")


def test_an_idle_worker_is_ended_and_a_busy_one_is_not(addon: Addon, begin: Begin, until: Until) -> None:
    pump = addon("pump")
    generate("a ball")
    pid = pump.session.link.pid
    assert pump.release() is None
    assert not alive(pid)
    begin("a slow ball")
    until(lambda: pump.session.job.progress.step)
    assert pump.release() == pump.IDLE_SECONDS
    assert alive(pump.session.link.pid)


def test_the_result_is_seen_although_the_active_collection_is_not(addon: Addon) -> None:
    hidden = bpy.data.collections.new("hidden")
    bpy.context.scene.collection.children.link(hidden)
    layer = bpy.context.view_layer.layer_collection.children["hidden"]
    bpy.context.view_layer.active_layer_collection = layer
    layer.hide_viewport = True
    assert generate("a ball").visible_get()


def test_the_result_goes_to_the_chosen_head_s_collection(addon: Addon) -> None:
    head = add_head()
    cast = bpy.data.collections.new("cast")
    bpy.context.scene.collection.children.link(cast)
    cast.objects.link(head)
    bpy.context.scene.collection.objects.unlink(head)
    assert generate("a head", head=head.name).name in cast.objects


def test_a_second_job_has_to_wait(addon: Addon, begin: Begin, until: Until) -> None:
    begin("a slow ball")
    with pytest.raises(RuntimeError, match="being made already"):
        bpy.ops.headsculpt.generate(prompt="a ball")
    assert addon("pump").session.busy, "the first goes on"


def test_notices_are_kept_for_the_panel(addon: Addon) -> None:
    generate("a ball notice")
    assert addon("pump").session.notices == ["Not known, and left out: zorp."]


def test_sentences_are_wrapped_to_the_panel(addon: Addon, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module has no interface and so no font to measure with: here every letter is 6 pixels wide."""
    panel = addon("panel")
    monkeypatch.setattr(
        panel, "blf", SimpleNamespace(size=lambda *_: None, dimensions=lambda _, text: (6 * len(text), 9))
    )
    text = "The model does not know these words and leaves them out: man."
    for width in (60, 200, 5000):
        lines = panel.wrapped(text, width)
        assert " ".join(lines) == text
        assert max(map(len, lines)) * 6 <= width
    assert len(lines) == 1
    assert panel.wrapped("x" * 300, 100) == ["x" * 300]


def test_a_turn_of_the_pump_is_short(addon: Addon, begin: Begin) -> None:
    """It shares Blender's one thread with the user. One preview may exceed the budget, two may not add up."""
    begin("a ball")
    session, times = addon("pump").session, []
    while session.busy:
        start = time.perf_counter()
        addon("pump").tick()
        if not session.result and session.busy:
            times.append(time.perf_counter() - start)
        time.sleep(0.01)
    assert sorted(times)[len(times) // 2] < 0.01
    assert max(times) < 0.2
