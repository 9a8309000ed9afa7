"""The class bench without a hub: what it reads, adds up and says. `course.py bench --class N` starts the hub itself."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools import bench, class_bench
from tools.class_bench import Learner


class Wire:
    """A websocket that has its answers ready."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.sent = list(answers), []

    def send(self, text: str) -> None:
        self.sent.append(json.loads(text))

    def recv(self, timeout: float) -> Any:
        return self.answers.pop(0)


def message(kind: str, content: dict[str, Any], parent: str = "") -> dict[str, Any]:
    return {"msg_type": kind, "content": content, "parent_header": {"msg_id": parent}}


def binary(first: dict[str, Any], picture: bytes) -> bytes:
    """A message with a buffer, as Jupyter's older protocol sends it: count, offsets, JSON, picture."""
    text = json.dumps(first).encode()
    offsets = [12, 12 + len(text)]
    return b"".join(n.to_bytes(4, "big") for n in (2, *offsets)) + text + picture


def learner(*answers: Any) -> Learner:
    one = Learner("learner0", "http://127.0.0.1:1", "token")
    one.socket, one.slider, one.last, one.picture = Wire(*answers), "slider", 10, "picture"
    return one


def test_a_move_ends_with_the_whole_new_picture():
    other = message("comm_msg", {"comm_id": "picture", "data": {"state": {"density": 1}}})
    slider = message("comm_msg", {"comm_id": "slider", "data": {"state": {"value": 3}}})
    frame = message("comm_msg", {"comm_id": "picture", "data": {"state": {"frame": {"sentence": "a"}}}})
    one = learner(json.dumps(slider), json.dumps(other), binary(frame, b"\x89PNG"), "not read")
    assert one.move(3) >= 0
    assert one.socket.answers == ["not read"]
    [sent] = one.socket.sent
    assert sent["content"] == {
        "comm_id": "slider",
        "data": {"method": "update", "state": {"value": 3}, "buffer_paths": []},
    }


def test_a_learner_drags_within_the_slider(monkeypatch: pytest.MonkeyPatch):
    one, moves = learner(), []
    monkeypatch.setattr(class_bench, "PAUSE", 0)
    monkeypatch.setattr(one, "move", lambda position: moves.append(position) or 5.0)
    one.drag(np.random.default_rng(0))
    assert one.latencies == [5.0] * class_bench.MOVES
    assert 0 <= min(moves) <= max(moves) <= 10
    assert all(before != after for before, after in pairwise(moves))


def test_a_cell_that_fails_is_said(monkeypatch: pytest.MonkeyPatch):
    one = learner()
    monkeypatch.setattr(one, "send", lambda *_: "7")
    one.socket.answers = [json.dumps(message("error", {"traceback": ["ValueError: c"]}, "7"))]
    with pytest.raises(RuntimeError, match="ValueError: c"):
        one.run("1/0")
    one.socket.answers = [
        json.dumps(message("stream", {"text": "another cell's"}, "6")),
        json.dumps(message("stream", {"text": "mine"}, "7")),
        json.dumps(message("status", {"execution_state": "idle"}, "7")),
    ]
    assert one.run("print('mine')") == "mine"


def test_what_goes_wrong_for_one_learner_is_named():
    learners = [learner(), learner()]
    learners[1].name = "learner1"

    def open_one(one: Learner) -> None:
        if one.name == "learner1":
            raise OSError("no server")

    with pytest.raises(RuntimeError, match="learner1 could not go on: OSError: no server"):
        class_bench.together(learners, open_one)


def test_the_table_adds_up():
    learners = [Learner(f"learner{k}", "", "", server=100.0 + k, kernel=80.0, latencies=[40.0, 60.0]) for k in range(3)]
    said = class_bench.report(learners, {"hub": 100.0, "proxy": 50.0})
    assert "| kernel with one explorer open, median | ≤ 90 MiB | 80 MiB | yes |" in said
    assert "| server and kernel of a learner, median | ≤ 190 MiB | 181 MiB | yes |" in said
    assert "50 ms, p95 60" in said
    fits = [int((1024 * gib * 0.8 - 150) // 181) for gib in (4, 16, 64)]
    assert f"{fits[0]} in 4 GiB, {fits[1]} in 16 GiB, {fits[2]} in 64 GiB" in said
    learners[0].kernel = learners[1].kernel = 95.0
    assert "95 MiB | **no** |" in class_bench.report(learners, {"hub": 1.0, "proxy": 1.0})


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_of_a_process_grows_with_what_it_holds():
    code = "import sys; held = b'x' * int(sys.argv[1]); print('ready', flush=True); sys.stdin.read()"
    found = []
    for size in (0, 50_000_000):
        command = [sys.executable, "-c", code, str(size)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            found.append(class_bench.pss(process.pid))
            parent, words = class_bench.processes()[process.pid]
            assert parent == os.getpid()
            assert "sys.stdin.read" in words
            process.stdin.close()
    assert 45 < found[1] - found[0] < 55


def test_what_is_missing_is_said_with_its_cure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(class_bench, "proxy", lambda: None)
    monkeypatch.setitem(sys.modules, "jupyterhub", None)
    assert bench.main(["--class", "2"]) == 1
    assert "pip install jupyterhub" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        bench.main(["--class", "99"])
    assert "--class takes 1 to 32 learners" in capsys.readouterr().err


def test_the_hub_listens_on_this_machine_alone():
    addresses = [line for line in class_bench.CONFIG.splitlines() if "http://" in line]
    assert len(addresses) == 3
    assert all("http://127.0.0.1:" in line for line in addresses)


def test_the_lesson_and_explorer_that_are_opened_exist():
    from gclip_lessons.lessons import all_lessons, controls_of

    demo = all_lessons()[class_bench.LESSON].demos[class_bench.DEMO]
    assert "max_norm" in controls_of(demo.state)
    assert list(Path(class_bench.NOTEBOOKS).glob(f"{class_bench.LESSON}_*.ipynb"))
