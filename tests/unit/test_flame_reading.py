# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME files: read right in every form that they come in, and harmless in every form that they do not."""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys
import tracemalloc
import types
from collections.abc import Callable
from pathlib import Path

import flame_files as files
import numpy as np
import pytest
import scipy.sparse

from headsculpt.errors import UserError
from headsculpt.evaluation.flame_stand_in import flame_stand_in
from headsculpt.head.flame import convert
from headsculpt.head.flame.licences import stated_version, version_of
from headsculpt.head.flame.model import FlameModel
from headsculpt.head.flame.pickled import array_of, read_pickle
from headsculpt.head.flame.reading import load_flame


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def same(model: FlameModel, shapes: int, expressions: int) -> None:
    """Whether it is the stand-in with so many components."""
    expected = flame_stand_in()
    assert len(model.shape) == shapes and len(model.expression) == expressions
    np.testing.assert_array_equal(model.triangles, expected.triangles)
    np.testing.assert_allclose(model.shape, expected.shape[:shapes], atol=1e-7)
    np.testing.assert_allclose(model.expression, expected.expression[:expressions], atol=1e-7)
    for name in ("vertices", "correctives", "joint_regressor", "skin_weights"):
        np.testing.assert_allclose(getattr(model, name), getattr(expected, name), atol=1e-7, err_msg=name)


# --- files as they are ----------------------------------------------------------------------------------------------


def test_a_whole_file_is_read_once_and_then_from_its_npz(tmp_path: Path) -> None:
    path = written(tmp_path / "generic_model.pkl", files.flame_pickle(files.arrays_of(flame_stand_in())))
    cache = tmp_path / "new" / "cache"
    model = load_flame(path, cache)
    same(model, 300, 100)
    assert model.texts["bs_style"] == "lbs"
    (npz,) = cache.iterdir()
    with np.load(npz, allow_pickle=False) as data:
        assert all(data[key].dtype != object for key in data)
    marked = {**vars(model), "vertices": model.vertices + 1}
    convert.save(FlameModel(**marked), npz)
    np.testing.assert_array_equal(load_flame(path, cache).vertices, marked["vertices"])
    npz.write_bytes(npz.read_bytes()[:1000])
    same(load_flame(path, cache), 300, 100)


@pytest.fixture(scope="module")
def few() -> dict[str, np.ndarray]:
    """FLAME's arrays with three components."""
    return files.arrays_of(flame_stand_in(), 3, 0)


def assembled(content: bytes) -> FlameModel:
    """What the program makes of a pickle, in this process."""
    values = read_pickle(content)
    return convert.assembled({key: array_of(values[key], key) for key in convert.KEYS}, {})


def python_3(arrays: dict[str, np.ndarray], protocol: int, regressor: object) -> bytes:
    """The same file saved again by Python 3, with a stand-in for chumpy's class."""
    module = types.ModuleType("chumpy.ch")
    module.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    wrapped = module.Ch()
    wrapped.x = arrays["shapedirs"]
    packages = {"chumpy": types.ModuleType("chumpy"), "chumpy.ch": module}
    with pytest.MonkeyPatch.context() as patch:
        for name, package in packages.items():
            patch.setitem(sys.modules, name, package)
        return pickle.dumps({**arrays, "shapedirs": wrapped, "J_regressor": regressor}, protocol)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_files_that_python_3_has_saved_again(few: dict[str, np.ndarray], protocol: int) -> None:
    same(assembled(python_3(few, protocol, scipy.sparse.csc_matrix(few["J_regressor"]))), 3, 0)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", "coo_matrix", "coo_array"])
def test_sparse_matrices_of_all_kinds(few: dict[str, np.ndarray], kind: str) -> None:
    same(assembled(python_3(few, 4, getattr(scipy.sparse, kind)(few["J_regressor"]))), 3, 0)


def test_other_storage_is_the_same_model(few: dict[str, np.ndarray]) -> None:
    other = {
        **few,
        "shapedirs": np.asfortranarray(few["shapedirs"]),
        "f": few["f"].astype(np.int64),
        "weights": few["weights"].astype(np.float32),
        "kintree_table": np.array([[-1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
    }
    same(assembled(files.flame_pickle(other)), 3, 0)


def test_an_npz_with_the_same_keys(few: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / "flame.npz", licence=np.array("CC BY 4.0"), **few)
    model = load_flame(tmp_path / "flame.npz", tmp_path / "cache")
    same(model, 3, 0)
    assert model.texts == {"licence": "CC BY 4.0"}


def test_a_file_says_its_version_or_nothing_is_guessed(few: dict[str, np.ndarray]) -> None:
    assert stated_version(["lbs", "lrotmin", "generic_model"]) is None
    assert stated_version(["FLAME 2020"]) == version_of("2020")
    assert stated_version(["FLAME_2023", "for research only"]) == version_of("2023")
    assert stated_version(["flame2023", "licensed as CC-BY-4.0"]) == version_of("2023-open")
    assert stated_version(["FLAME 2023", "CC BY-NC 4.0"]) == version_of("2023")
    assert stated_version(["FLAME 2023, better than FLAME 2020"]) is None


# --- files that are not what they should be -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("v_template", lambda a: np.zeros((6890, 3)), "v_template.*6890 × 3; FLAME's is 5023 × 3"),
        ("weights", lambda a: a[:, :4].copy(), "weights.*5023 × 4"),
        ("posedirs", lambda a: a.reshape(5023, 108), "posedirs.*5023 × 108"),
        ("shapedirs", lambda a: a[..., :0].copy(), "shapedirs"),
        ("v_template", lambda a: np.where(a > a.max() - 1e-9, np.nan, a), "not finite"),
        ("shapedirs", lambda a: a * 1e300, "not finite"),
        ("f", lambda a: a + 1, "lead nowhere"),
        ("f", lambda a: a.astype(np.float64), "triangles"),
        ("weights", lambda a: a * 2, "add up to 1"),
        ("v_template", lambda a: a.astype(np.int64), "int64"),
        ("kintree_table", lambda a: a[:, ::-1].copy(), "five joints"),
    ],
)
def test_wrong_contents_are_named(
    few: dict[str, np.ndarray], key: str, change: Callable[[np.ndarray], np.ndarray], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        assembled(files.flame_pickle({**few, key: change(few[key])}))


def test_files_that_are_no_model(tmp_path: Path) -> None:
    def fails(content: bytes, words: str) -> None:
        with pytest.raises(UserError, match=words):
            convert.read(written(tmp_path / "file.pkl", content))

    nothing = files.pickled(files.table({"v_template": files.NOTHING}))
    with pytest.raises(UserError, match=r"file\.pkl: This file has no f, shapedirs"):
        load_flame(written(tmp_path / "file.pkl", nothing), tmp_path)
    fails(files.pickled(files.text("FLAME")), "holds no dictionary")
    fails(b"\x93NUMPY", "no pickle")
    fails(b"", "no pickle")
    fails(b"PK\x03\x04 nothing of a zip", "npz can not be read")
    with pytest.raises(UserError, match=r"missing.pkl' can not be read \(No such file"):
        load_flame(tmp_path / "missing.pkl", tmp_path)
    with pytest.raises(UserError, match="can not be read"):
        load_flame(tmp_path, tmp_path)


def test_a_file_that_breaks_off_anywhere(few: dict[str, np.ndarray]) -> None:
    content = files.flame_pickle({**few, "shapedirs": few["shapedirs"][..., :1].copy()})
    for end in np.random.default_rng(0).integers(0, len(content) - 1, 40):
        with pytest.raises(UserError):
            assembled(content[:end])


# --- files that mean harm -------------------------------------------------------------------------------------------


def os_system(command: str) -> bytes:
    return files.pickled(files.call(files.name("posix", "system"), files.text(command)))


def eval_through_numpy(command: str) -> bytes:
    code = f"import os; os.system({command!r})"
    run = files.name("numpy.testing._private.utils", "runstring")
    return files.pickled(files.table({"v_template": files.call(run, files.text(code), b"}")}))


def nested_reduce(command: str) -> bytes:
    """getattr(__import__("os"), "system")(command), within an array's own state, as protocol 4 may name things."""
    module = files.call(files.name("builtins", "__import__"), files.text("os"))
    system = files.call(files.name("builtins", "getattr"), module, files.text("system"))
    state = files.row(files.number(1), files.call(system, files.text(command)), files.NOTHING, b"\x89", files.text(""))
    made = files.array(np.zeros(1)).partition(b"(J\x01")[0]
    return files.pickled(files.table({"v_template": made + state + files.BUILD}))


def dotted_name(command: str) -> bytes:
    """Protocol 4 follows dots: from a harmless module to what that has imported."""
    stack_global = b"\x8c\x05numpy\x8c\x1btesting.rundocs.__globals__\x93"
    return b"\x80\x04" + stack_global + files.text(command) + b"\x85R."


def state_of_a_class(command: str) -> bytes:
    """Sets attributes of an allowed class instead of an object of it, so that making one runs something else."""
    system = files.name("posix", "system")
    state = files.row(files.NOTHING, files.table({"__new__": system}))
    return files.pickled(files.name("chumpy.ch", "Ch") + state + files.BUILD + files.row(files.text(command)) + b"R")


RUNNING = [os_system, eval_through_numpy, nested_reduce]


def canary(folder: Path) -> tuple[Path, str]:
    """A file, and the command that makes it."""
    path = folder / "canary"
    return path, f"\"{sys.executable}\" -c \"open(r'{path}', 'w')\""


@pytest.mark.parametrize("attack", RUNNING)
def test_the_attacks_are_real(attack: Callable[[str], bytes], tmp_path: Path) -> None:
    """Python's own unpickler does what they say; else the next test would prove nothing."""
    path, command = canary(tmp_path)
    victim = "import pickle, sys; pickle.load(sys.stdin.buffer, encoding='latin1')"
    subprocess.run([sys.executable, "-c", victim], input=attack(command), capture_output=True)
    assert path.exists()


@pytest.mark.parametrize("attack", [*RUNNING, dotted_name, state_of_a_class])
def test_no_code_of_a_file_is_run(attack: Callable[[str], bytes], tmp_path: Path) -> None:
    path, command = canary(tmp_path)
    file = written(tmp_path / "evil.pkl", attack(command))
    with pytest.raises(UserError, match="nothing of it was run"):
        load_flame(file, tmp_path / "cache")
    assert not path.exists()
    assert not list((tmp_path / "cache").iterdir()), "something of it was kept"


def huge_bytes() -> bytes:
    return b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x."


def huge_memo() -> bytes:
    """The unpickler in C makes a table of as many entries as the number says, 2 GB here."""
    return files.pickled(b"Nr" + struct.pack("<I", 1 << 28))


def huge_shape() -> bytes:
    return files.pickled(files.table(dict.fromkeys(convert.KEYS, files.array(np.zeros(3), (1 << 30, 1 << 30)))))


def huge_matrix() -> bytes:
    small = files.sparse(np.eye(2)).replace(files.row(files.number(2), files.number(2)), HUGE)
    return files.pickled(files.table(dict.fromkeys(convert.KEYS, small)))


def huge_counts() -> bytes:
    """A sparse matrix of three numbers that claims to have a row of 2³⁰."""
    counts = files.array(np.array([0, 1, 2], np.int32))
    claimed = files.array(np.array([0, 1 << 30, 2], np.int32))
    return files.pickled(files.table(dict.fromkeys(convert.KEYS, files.sparse(np.eye(2)).replace(counts, claimed))))


HUGE = files.row(files.number(1 << 30), files.number(1 << 30))


def endless_steps() -> bytes:
    return files.pickled(b"}0" * 300_000)


def within_itself() -> bytes:
    """A chumpy object that wraps itself, under every name."""
    itself = files.name("chumpy.ch", "Ch") + b")" + files.NEW + b"q\x00" + b"}(" + files.text("x") + b"h\x00ub"
    return files.pickled(files.table(dict.fromkeys(convert.KEYS, itself)))


def nested_deep() -> bytes:
    deep = b")" + b"\x85" * 60_000
    return files.pickled(files.table(dict.fromkeys(convert.KEYS, b"N") | {"f": deep, "v_template": deep}))


def of_objects() -> bytes:
    """An array of Python objects instead of numbers."""
    content = files.array(np.zeros(1)).replace(files.text("f8"), files.text("O8"))
    return files.pickled(files.table(dict.fromkeys(convert.KEYS, content)))


BURDENS = [
    huge_bytes,
    huge_memo,
    huge_shape,
    huge_matrix,
    huge_counts,
    endless_steps,
    within_itself,
    nested_deep,
    of_objects,
]


@pytest.mark.parametrize("attack", BURDENS)
def test_no_file_gets_more_memory_than_its_size_is_worth(attack: Callable[[], bytes]) -> None:
    content = attack()
    tracemalloc.start()
    try:
        with pytest.raises(UserError):
            assembled(content)
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("attack", [huge_bytes, nested_deep])
def test_the_program_survives_them(attack: Callable[[], bytes], tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_flame(written(tmp_path / "evil.pkl", attack()), tmp_path / "cache")
    assert "unexpectedly" not in str(caught.value)


def test_an_npz_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of zeros, compressed a thousand times (the limit is lowered, so that the test need not fill it); and one of
    Python objects."""
    monkeypatch.setattr(convert, "MAX_FILE", 1 << 20)
    np.savez_compressed(tmp_path / "bomb.npz", v_template=np.zeros(200_000))
    with pytest.raises(UserError, match="holds more than any FLAME file"):
        convert.read(tmp_path / "bomb.npz")
    np.savez(tmp_path / "objects.npz", **dict.fromkeys(convert.KEYS, np.array([{}], object)))
    with pytest.raises(UserError, match="npz can not be read"):
        convert.read(tmp_path / "objects.npz")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits; there sizes are checked alone")
def test_the_program_itself_is_limited(tmp_path: Path) -> None:
    """Whatever a file might get past the checks: the process has little memory to give."""
    code = "from headsculpt.head.flame.convert import limit; limit(); bytearray(8 << 30)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=Path(__file__).parents[2] / "backend")
    assert b"MemoryError" in done.stderr
