# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker as a program: started, asked and ended through its pipes, with quick jobs in place of the real one."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import headsculpt
from headsculpt.errors import UserError
from headsculpt.jobs.request import GenerateRequest, HeadShape
from headsculpt.protocol import VERSION, Array, Frame, read_frame, write_frame
from headsculpt.worker import PROGRESS_SECONDS, as_numpy

FAKE_WORKER = Path(__file__).parent.parent / "fake_worker.py"
BUSY = """
from headsculpt.worker import main
def job(request, emit, control):
    while True:
        sum(range(1000))
main({"generate": job}, lambda: "")
"""


class Client:
    """The other end of the line."""

    def __init__(self, arguments: list[str]) -> None:
        backend = str(Path(headsculpt.__file__).parent.parent)
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe that nobody reads would fill up
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, "PYTHONPATH": backend},
        )
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.hello = self.read()
        assert self.read().type == "ready"

    def read(self) -> Frame:
        frame = read_frame(self.stdout)
        assert frame is not None, "the worker has gone"
        return frame

    def ask(self, job: int, request: GenerateRequest) -> None:
        fields, arrays = request.to_message()
        raw = {name: Array(values.dtype.name, values.shape, values.tobytes()) for name, values in arrays.items()}
        write_frame(self.stdin, Frame("generate", job, fields, raw))

    def tell(self, word: str, job: int) -> None:
        write_frame(self.stdin, Frame(word, job))

    def until(self, *types: str) -> list[Frame]:
        """All frames up to the first of one of these types."""
        frames = [self.read()]
        while frames[-1].type not in types:
            frames.append(self.read())
        return frames

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.stdin, self.stdout, self.log):
            with contextlib.suppress(OSError):
                pipe.close()


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client([str(FAKE_WORKER)])
    yield client
    client.end()


def ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_its_first_word_says_what_it_is(client: Client) -> None:
    assert client.hello.type == "hello"
    assert client.hello.fields["protocol"] == VERSION
    assert client.hello.fields["build"] == headsculpt.__version__
    assert client.hello.fields["python"] == sys.version.split()[0]


def test_a_job_tells_its_progress_shows_previews_and_gives_a_result(client: Client) -> None:
    client.ask(1, GenerateRequest("a ball notice"))
    frames = client.until("result")
    steps = [frame.fields["step"] for frame in frames if frame.type == "progress"]
    assert steps == sorted(steps) and steps[0] == 1 and steps[-1] == 20
    assert {frame.job for frame in frames} == {1}
    assert [frame.fields["text"] for frame in frames if frame.type == "notice"] == ["Not known, and left out: zorp."]
    preview = next(frame for frame in frames if frame.type == "preview").arrays
    vertices, triangles, colors = (as_numpy(preview[name]) for name in ("vertices", "triangles", "colors"))
    assert colors.dtype == np.uint8 and len(colors) == len(vertices)
    assert triangles.max() == len(vertices) - 1
    radius = np.linalg.norm(vertices, axis=1)
    assert np.ptp(radius) < 1e-6 * radius.mean()
    result = frames[-1]
    assert bytes(result.arrays["base_color"].data[:8]) == b"\x89PNG\r\n\x1a\n"
    assert result.fields["report"]["steps"] == 20


def test_progress_is_thinned_out(client: Client) -> None:
    """20 steps in about a fifth of a second are a handful of frames, the first and the last among them."""
    start = time.monotonic()
    client.ask(1, GenerateRequest("a ball"))
    count = sum(frame.type == "progress" for frame in client.until("result"))
    assert 2 <= count <= 3 + (time.monotonic() - start) / PROGRESS_SECONDS


def test_what_libraries_print_does_not_reach_the_line(client: Client) -> None:
    client.ask(1, GenerateRequest("a ball that does print"))
    assert client.until("result", "error")[-1].type == "result"
    client.stdin.close()
    assert ended_within(client.process, 3.0)
    client.log.seek(0)
    log = client.log.read()
    assert b"a library's chatter" in log and b"and a C library's" in log


def test_the_chosen_head_arrives_as_it_was_sent(client: Client) -> None:
    vertices = np.random.default_rng(0).normal(size=(6808, 3)).astype(np.float32)
    client.ask(1, GenerateRequest("a head", head=HeadShape("mine", vertices)))
    result = client.until("result", "error")[-1]
    np.testing.assert_array_equal(as_numpy(result.arrays["vertices"]), vertices)


def test_cancel_ends_the_job_and_the_next_one_goes_on(client: Client) -> None:
    client.ask(1, GenerateRequest("a slow ball"))
    client.until("progress")
    client.tell("cancel", 1)
    assert client.until("result", "cancelled")[-1].type == "cancelled"
    client.ask(2, GenerateRequest("a ball"))
    assert client.until("result")[-1].job == 2


def test_a_job_that_is_still_waiting_can_be_cancelled(client: Client) -> None:
    client.ask(1, GenerateRequest("a slow ball"))
    client.ask(2, GenerateRequest("a ball"))
    client.tell("cancel", 2)
    client.tell("stop", 1)
    frames = client.until("cancelled")
    assert frames[-1].job == 2
    assert [frame.job for frame in frames if frame.type == "result"] == [1]


def test_stop_keeps_what_there_is(client: Client) -> None:
    client.ask(1, GenerateRequest("a slow ball"))
    client.until("preview")
    client.tell("stop", 1)
    result = client.until("result")[-1]
    assert 4 <= result.fields["report"]["steps"] < 10


def test_a_users_error_is_a_sentence_and_advice(client: Client) -> None:
    client.ask(1, GenerateRequest("refuse"))
    error = client.until("error")[-1].fields
    assert error == {"message": "None of these words is known.", "advice": "Use others.", "log": ""}


def test_a_bug_is_shown_with_its_traceback_and_does_not_end_the_worker(client: Client) -> None:
    client.ask(1, GenerateRequest("bug"))
    error = client.until("error")[-1].fields
    assert "deliberate" in error["message"]
    assert "fake_worker.py" in error["log"] and "RuntimeError" in error["log"]
    client.ask(2, GenerateRequest("a ball"))
    assert client.until("result", "error")[-1].type == "result"


def test_a_request_that_is_none_is_an_error_frame(client: Client) -> None:
    write_frame(client.stdin, Frame("generate", 1, {"prompt": "a head", "colour": "red"}))
    assert "colour" in client.until("error")[-1].fields["message"]
    write_frame(client.stdin, Frame("generate", 2, {"prompt": " "}))
    assert "empty" in client.until("error")[-1].fields["message"]


def test_it_leaves_when_its_input_ends(client: Client) -> None:
    client.stdin.close()
    assert ended_within(client.process, 1.0)


def test_it_leaves_in_the_middle_of_a_computation_that_hears_nothing() -> None:
    client = Client(["-c", BUSY])
    client.ask(1, GenerateRequest("a head"))
    time.sleep(0.3)
    assert client.process.poll() is None
    client.stdin.close()
    assert ended_within(client.process, 3.0)
    client.end()


def test_it_leaves_when_nobody_reads_any_more(client: Client) -> None:
    client.ask(1, GenerateRequest("a slow ball"))
    client.until("progress")
    client.stdout.close()
    client.stdin.close()
    assert ended_within(client.process, 3.0)


def test_it_leaves_when_what_comes_is_no_frame(client: Client) -> None:
    client.stdin.write(b"GET / HTTP/1.1\r\n\r\n")
    client.stdin.flush()
    assert ended_within(client.process, 3.0)


def test_it_answers_before_it_loads_anything_heavy() -> None:
    code = "import sys, headsculpt.worker; print(sorted({'torch', 'numba', 'diffusers', 'PIL'} & set(sys.modules)))"
    backend = str(Path(headsculpt.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": backend}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": " \n "},
        {"prompt": "x" * 10_000},
        {"prompt": "a head", "seed": -1},
        {"prompt": "a head", "seed": 2**31},
        {"prompt": "a head", "preset": "best"},
        {"prompt": "a head", "threads": 0},
        {"prompt": "a head", "preview_seconds": -1.0},
    ],
)
def test_requests_that_can_not_be_met_say_so_in_one_sentence_each(fields: dict[str, object]) -> None:
    with pytest.raises(UserError) as caught:
        GenerateRequest(**fields)  # type: ignore[arg-type]
    for sentence in (caught.value.message, caught.value.advice):
        assert sentence.endswith(".") and len(sentence) < 120


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.zeros((5, 2)), np.full((5, 3), np.nan), np.eye(5, 3) * [1, 1, 0]])
def test_a_head_without_a_shape_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(UserError):
        HeadShape("mine", bad)


def test_a_request_survives_the_line() -> None:
    vertices = np.random.default_rng(1).normal(size=(10, 3)).astype(np.float32)
    lora = ((Path("/loras/clay.safetensors"), 0.5), (Path("/loras/b.safetensors"), 1.0))
    request = GenerateRequest(
        "a  head\n",
        "hat",
        5,
        "paper",
        HeadShape("x", vertices),
        Path("/packs/a"),
        threads=2,
        preview_seconds=0.0,
        base=Path("/fine"),
        lora=lora,
    )
    fields, arrays = request.to_message()
    again = GenerateRequest.from_message(json.loads(json.dumps(fields)), arrays)
    assert again.prompt == "a head"
    assert (again.base, again.lora) == (Path("/fine"), lora)
    assert again.to_message()[0] == fields
    np.testing.assert_array_equal(again.to_message()[1]["vertices"], vertices)
