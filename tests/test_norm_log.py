"""Reading a learner's log of gradient norms, what is said of it, and the command line."""

import contextlib
import gzip
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gclip_lessons.figures import norms as norms_figure
from gclip_lessons.figures.norms import NormsFigure
from gclip_lessons.norm_log import FEWEST, LONGEST, NAMES, Advice, LogError, NormLog, advise, log_norm, read_norms
from gclip_lessons.thresholds import THRESHOLDS, clip_rate, follow, norm_stream

NAN, INF = math.nan, math.inf
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def write(tmp_path: Path):
    """Write a file and return its path."""

    def write(content: str | bytes, name: str = "norms.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# --- what can be read ---


@pytest.mark.parametrize(
    "content",
    [
        "grad_norm\n1.5\n0.25\n3\n",
        "1.5\n0.25\n3",
        "  1.5  \n\n0.25\n\n\n3\n\n",
        "1.5\r\n0.25\r\n3\r\n",
        "1.5\r0.25\r3\r",
        "\ufeffgrad_norm\n1.5\n0.25\n3\n",
        "step,loss,grad_norm\n0,9,1.5\n1,8,0.25\n2,7,3\n",
        "step;loss;grad_norm\n0;9,5;1,5\n1;8,5;0,25\n2;7,5;3\n",
        "step\tgrad_norm\n0\t1,5\n1\t0,25\n2\t3\n",
        "step grad_norm\n0 1.5\n1 0.25\n2 3\n",
        "0 1.5\n1   0.25\n2 3\n",
        "0,1.5\n1,0.25\n2,3\n",
        '"step","grad_norm"\n"0","1.5"\n"1","0.25"\n"2","3"\n',
        '"step","note","grad_norm"\n0,"a, b",1.5\n1,"c\nd",0.25\n2,e,3\n',
        'grad_norm\n"1,5"\n"0,25"\n"3"\n',
        "grad_norm\n1,5\n0,25\n3,0\n",
        "step,grad_norm,\n0,1.5,\n1,0.25,\n2,3,\n",
        "# by savetxt\n0 1.5\n1 0.25\n2 3\n",
        "step, Grad Norm \n0, 1.5\n1, 0.25\n2, 3\n",
        "Step,run-1 - train/grad_norm,run-1 - train/grad_norm__MIN\n0,1.5,1\n1,0.25,1\n2,3,1\n",
        "loss,epoch,total_norm\n9,1,1.5\n9,1,0.25\n9,1,3\n",
        "step,my_column\n0,1.5\n1,0.25\n2,3\n",
        "grad_norm,grad_norm_before_clip\n1,1.5\n0.25,0.25\n1,3\n",
        '{"step": 0, "grad_norm": 1.5}\n{"step": 1, "grad_norm": 0.25}\n{"step": 2, "grad_norm": 3}\n',
        '{"grad_norm": "1.5"}\n\n{"grad_norm": 0.25}\n{"grad_norm": 3, "x": [1]}',
        "[1.5, 0.25, 3]",
        '[{"grad_norm": 1.5}, {"grad_norm": 0.25}, {"grad_norm": 3}]',
        '{"step": [0, 1, 2], "grad_norm": [1.5, 0.25, 3]}',
        "[1.5]\n".replace("[1.5]", '{"grad_norm": 1.5}') + '{"grad_norm": 0.25}\n{"grad_norm": 3}\n',
    ],
)  # fmt: skip
def test_the_same_three_norms_in_many_forms(content: str, write):
    log = read_norms(write(content))
    np.testing.assert_array_equal(log.norms, [1.5, 0.25, 3])
    np.testing.assert_array_equal(log.steps, [0, 1, 2])
    assert not any("left out" in note for note in log.notes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding: str, write):
    log = read_norms(write("grad_norm,größe\n1.5,ä\n0.25,ö\n".encode(encoding)))
    np.testing.assert_array_equal(log.norms, [1.5, 0.25])
    said = "Line 1 is not UTF-8; the file was read as Latin-1, which leaves digits as they are."
    assert (said in log.notes) == (encoding == "cp1252")


def test_a_trainer_state(write):
    history = [
        {"epoch": 0.1, "grad_norm": 2.5, "learning_rate": 1e-4, "loss": 3.0, "step": 10},
        {"epoch": 0.2, "grad_norm": NAN, "learning_rate": 1e-4, "loss": 2.0, "step": 20},
        {"epoch": 0.2, "eval_loss": 2.1, "eval_runtime": 3.0, "step": 20},
        {"epoch": 0.3, "grad_norm": 1.5, "learning_rate": 1e-4, "loss": 1.9, "step": 30},
        {"epoch": 0.3, "train_runtime": 30.0, "step": 30},
    ]
    for indent in (None, 2):
        content = json.dumps({"best_metric": None, "global_step": 30, "log_history": history}, indent=indent)
        log = read_norms(write(content, "trainer_state.json"))
        np.testing.assert_array_equal(log.norms, [2.5, NAN, 1.5])
        np.testing.assert_array_equal(log.steps, [10, 20, 30])
        assert log.source == "trainer_state.json, log_history: 'grad_norm'"
        assert log.notes == ("2 of 5 entries without 'grad_norm': left out.",)
    loss = read_norms(write(content, "trainer_state.json"), "loss")
    np.testing.assert_array_equal(loss.norms, [3, 2, 1.9])
    assert "A norm is logged every 10 steps: spikes between them are not in this log." in advise(log).lines


def test_a_column_can_be_asked_for(write):
    path = write("step,Loss,train/weights norm\n5,1,2\n6,3,4\n")
    for column in ("train/weights norm", "weights norm", "Weights_Norm", 3, "3"):
        log = read_norms(path, column)
        np.testing.assert_array_equal(log.norms, [2, 4])
        np.testing.assert_array_equal(log.steps, [5, 6])
    assert log.source == "norms.csv, column 'train/weights norm'"
    np.testing.assert_array_equal(read_norms(path, "step").steps, [0, 1])
    bare = write("7,1,2\n8,3,4\n")
    np.testing.assert_array_equal(read_norms(bare, 2).norms, [1, 3])
    np.testing.assert_array_equal(read_norms(write("7,1\n8,3\n"), 2).steps, [7, 8])
    with pytest.raises(TypeError, match=r"column must be a name or a number from 1; got 1\.5"):
        read_norms(path, 1.5)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_found_among_others(name: str, write):
    log = read_norms(write(f"loss,param_norm,train/{name.upper()}\n1,2,3\n"))
    np.testing.assert_array_equal(log.norms, [3])


def test_what_is_left_out_is_said(write):
    rows = ["step,grad_norm,loss", "0,1.5,1", "1,,1", "2,abc,1", "3,None,1", "4,2.5,1", "5,n/a,1", "6"]
    log = read_norms(write("\n".join(rows)))
    np.testing.assert_array_equal(log.norms, [1.5, 2.5])
    np.testing.assert_array_equal(log.steps, [0, 4])
    assert log.notes == (
        "4 rows without a norm (lines 3, 5, 7, 8): left out.",
        "1 row without a number (line 4, first 'abc'): left out.",
    )
    many = "grad_norm\n" + "1\n" * 10 + "\n".join(["x"] * 7)
    assert read_norms(write(many)).notes[0] == (
        "7 rows without a number (lines 12, 13, 14, 15, 16 and 2 more, first 'x'): left out."
    )


def test_lines_are_counted_as_an_editor_does(write):
    content = "# a comment\n\nstep,grad_norm\n\n0,1\n1,x\n# another\n2,y\n3,4\n4,5\n"
    assert "lines 6, 8" in read_norms(write(content)).notes[0]
    content = '\n{"grad_norm": 1}\n\n{"grad_norm": 2}\n{"grad_norm": \n{"grad_norm": "x"}\n{"grad_norm": 3}\n'
    notes = read_norms(write(content)).notes
    assert notes[0] == "1 line cannot be read as JSON (line 5): left out."
    assert notes[1].startswith("1 row without a number (line 6, ")


def test_nan_and_infinity_are_facts_that_are_kept(write):
    log = read_norms(write("grad_norm\n1\nnan\ninf\nNaN\nInfinity\n2\n"))
    np.testing.assert_array_equal(log.norms, [1, NAN, INF, NAN, INF, 2])
    log = read_norms(write('{"grad_norm": NaN}\n{"grad_norm": Infinity}\n{"grad_norm": 1e999}\n{"grad_norm": 1}\n'))
    np.testing.assert_array_equal(log.norms, [NAN, INF, INF, 1])
    log = read_norms(write(f"[{10**400}, 1]"))
    np.testing.assert_array_equal(log.norms, [INF, 1])
    log = read_norms(write("grad_norm\n1\n-1\n2\n-1\n"))
    np.testing.assert_array_equal(log.norms, [1, NAN, 2, NAN])
    assert "−1 stands in 2 rows, as some libraries write an overflow: kept as not finite." in log.notes


def test_a_resumed_run_is_noticed(write):
    log = read_norms(write("step,grad_norm\n1,1\n2,2\n3,3\n2,4\n3,5\n3,6\n"))
    np.testing.assert_array_equal(log.norms, [1, 2, 3, 4, 5, 6])
    assert not log.in_order
    assert log.notes == (
        "The step does not rise at line 5 (from 3 to 2) and 1 times more: a resumed run, or several norms a step? "
        "Norms are taken in the order of the file.",
    )
    twice = read_norms(write("step,grad_norm\n1,1\n2,2\nstep,grad_norm\n1,3\n2,4\n"))
    np.testing.assert_array_equal(twice.norms, [1, 2, 3, 4])
    assert twice.notes[0] == "The header stands again on line 4: several runs in one file?"
    assert "line 5 (from 2 to 1)" in twice.notes[1]


def test_steps_that_are_none(write):
    for content in ("grad_norm\n3\n4\n", "step,grad_norm\nx,3\n2,4\n", "step,grad_norm\n,3\n2,4\n"):
        log = read_norms(write(content))
        np.testing.assert_array_equal(log.steps, [0, 1])
        assert log.notes[-1].endswith("rows are counted from 0.")
    np.testing.assert_array_equal(read_norms(write("step,grad_norm\n0.5,3\n1.0,4\n")).steps, [0.5, 1])


@settings(deadline=None, max_examples=50, derandomize=True)
@given(norms=st.lists(st.floats(0) | st.just(NAN), min_size=1, max_size=30), data=st.data())
def test_what_is_written_is_read(norms: list[float], data: st.DataObject, tmp_path_factory):
    form = data.draw(st.sampled_from(["bare", "csv", "semicolon", "quoted", "jsonl", "state", "broken"]))
    expected, rows = norms, list(enumerate(norms))
    if form == "bare":
        content = "\n".join(map(repr, norms))
    elif form == "csv":
        content = "loss,step,grad_norm\n" + "".join(f"0,{i},{n!r}\n" for i, n in rows)
    elif form == "broken":  # the slow way
        content = "loss,step,grad_norm\n" + "".join(f"0,{i},{n!r}\n" for i, n in rows) + "0,99,\n"
    elif form == "semicolon":
        content = "step;grad_norm\n" + "".join(f"{i};{n!r}\n".replace(".", ",") for i, n in rows)
    elif form == "quoted":
        content = '"step","grad_norm"\n' + "".join(f'"{i}","{n!r}"\n' for i, n in rows)
    elif form == "jsonl":
        content = "".join(json.dumps({"step": i, "grad_norm": n}) + "\n" for i, n in rows)
    else:
        content = json.dumps({"log_history": [{"step": i, "grad_norm": n} for i, n in rows]})
    path = tmp_path_factory.mktemp("log") / "log.txt"
    path.write_text(content)
    log = read_norms(path)
    np.testing.assert_array_equal(log.norms, expected)
    np.testing.assert_array_equal(log.steps, range(len(norms)))


def test_a_long_log_is_the_same_by_the_fast_way_and_the_slow(write):
    norms = np.random.default_rng(0).lognormal(size=3000).round(4)
    plain = "".join(f"{i},{n}\n" for i, n in enumerate(norms))
    fast = read_norms(write("step,grad_norm\n" + plain))
    slow = read_norms(write("step,grad_norm\n" + plain + "3000,\n"))
    quoted = read_norms(write('step,grad_norm,"a, b"\n' + plain))
    for log in (fast, slow, quoted):
        np.testing.assert_array_equal(log.norms, norms)
        np.testing.assert_array_equal(log.steps, range(3000))


# --- what cannot be read ---


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "norms.csv is empty: expected a column of norms, found nothing"),
        (b"  \n\n \n", "norms.csv is empty"),
        (b"\xef\xbb\xbf\n", "norms.csv is empty"),
        (b"# only\n# comments\n", "norms.csv holds comments alone"),
        (b"step,grad_norm\n", "norms.csv has a header and no rows"),
        (b"step,grad_norm\n\n\n", "norms.csv has a header and no rows"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", r"norms.csv is no text: .* found b'\\x89PNG' at its start; export"),
        (gzip.compress(b"grad_norm\n1\n", mtime=0), "norms.csv is no text"),
        (b"PK\x03\x04abc", "norms.csv is no text"),
        (b"loss,lr\n1,2\n", "expected a column called grad_norm, .* found 'loss', 'lr': say which one with column="),
        (b"step,loss,lr\n1,2,3\n", "found 'step', 'loss', 'lr'"),
        (b"step,train_loss\n1,2\n", "found 'step', 'train_loss'"),
        (b"1,2,3\n4,5,6\n", "norms.csv has 3 columns and no header: say which one"),
        (b"1,5\n1,6\n", "norms.csv has 2 columns and no header"),
        (b"a/grad_norm,b/grad_norm\n1,2\n", "'a/grad_norm' and 'b/grad_norm' may both be meant"),
        (b"step,grad_norm\n0,1,5\n1,2,5\n", "line 2: expected 2 cells as in the first line, found 3; .* semicolons"),
        (b"grad_norm\nabc\ndef\n", "line 2: expected a norm in column 'grad_norm', found 'abc', .* only 0 of 2 rows"),
        (b"grad_norm,x\n1,1\n,1\nu,1\nv,1\n", "line 4: expected a norm .* found 'u', .* only 1 of 4 rows"),
        (b"grad_norm,x\n,1\n,1\n", "line 2: expected a norm in column 'grad_norm', found nothing"),
        (b"grad_norm\n0.5\n-0.25\n", "line 3: expected a norm, which is never below 0, found -0.25; .* a logarithm"),
        (b"grad_norm\n0.5\n-1\n-inf\n", "line 4: expected a norm, which is never below 0, found -inf"),
        (b'grad_norm,a\n1,"b\n2,c\n' + b"3,d\n" * 60_000, "line .*: expected cells in pairs of quotes"),
        (b"{'loss': 1.5, 'grad_norm': 2.0}\n", "line 1: expected JSON, .* found .*; was the file cut short, or"),
        (b'{\n  "log_history": [\n    {"grad_norm": 1.5},\n', "line 4: expected JSON"),
        (b'{"loss": 1}\n{"loss": 2}\n', "expected a column called grad_norm, .* found 'loss'"),
        (b'{"log_history": []}', "holds nothing: expected norms"),
        (b'{"log_history": [{"loss": 1.0, "step": 1}]}', "found 'loss', 'step'"),
        (b"[]", "holds nothing: expected norms"),
        (b"{}", "expected a column called grad_norm"),
        (b'{"grad_norm": []}', "holds nothing: expected norms"),
        (b'{"grad_norm": null}\n{"grad_norm": null}\n', "line 1: expected a norm in 'grad_norm', found nothing"),
        (b'{"grad_norm": [1, 2]}\n{"grad_norm": {}}\n', "line 1: expected a norm in 'grad_norm', found"),
        (b'{"grad_norm": true}\n{"grad_norm": true}\n', "line 1: expected a norm in 'grad_norm', found 'True'"),
        (b"[" * 100_000, "nested without end|expected JSON"),
    ],
)
def test_a_damaged_log_is_named_with_its_line_and_a_cure(content: bytes, says: str, write):
    with pytest.raises(LogError, match=says) as caught:
        read_norms(write(content))
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_files_that_are_none(tmp_path: Path, write):
    with pytest.raises(LogError, match=r"there is no file .*none\.csv \(looked for in .*\): check its name"):
        read_norms(tmp_path / "none.csv")
    with pytest.raises(LogError, match=r"is a folder, not a log of norms: name the file in it$"):
        read_norms(tmp_path)
    write("{}", "trainer_state.json")
    with pytest.raises(LogError, match=r"is a folder, .* perhaps .*trainer_state\.json"):
        read_norms(tmp_path)
    with pytest.raises(LogError, match=r"cannot be opened"):
        read_norms("a\0b")
    with pytest.raises(LogError, match=r"no column is called 'x'; it has 'step', 'grad_norm'"):
        read_norms(write("step,grad_norm\n1,2\n"), "x")
    with pytest.raises(LogError, match="several columns are called 'norm'"):
        read_norms(write("a/norm,b/norm\n1,2\n"), "norm")
    with pytest.raises(LogError, match="no column is called '3'"):
        read_norms(write("1,2\n"), 3)
    wide = ",".join(f"c{k}" for k in range(30))
    with pytest.raises(LogError, match="'c11' and 18 more"):
        read_norms(write(wide + "\n" + ",".join("1" * 30)))


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    content=st.binary(max_size=60) | st.text('0123456789.,;-\t\n"#{}[]:eEnaif grad_norm', max_size=80).map(str.encode)
)
def test_any_file_is_a_log_or_a_log_error(content: bytes, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "log"
    path.write_bytes(content)
    with contextlib.suppress(LogError):  # anything else that is raised fails
        assert advise(read_norms(path)).text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"norms": np.array([])}, "norms must be one axis of real numbers, at least one"),
        ({"norms": np.ones((2, 2))}, "norms must be one axis"),
        ({"norms": np.array(["a"])}, "norms must be one axis of real numbers"),
        ({"norms": np.array([1.0, -2.0])}, "norms must be >= 0; got -2.0"),
        ({"norms": np.ones(3), "steps": np.arange(2)}, r"steps must be numbers, one for each of the 3 norms"),
    ],
)
def test_a_log_made_by_hand_is_checked(arguments: dict, says: str):
    with pytest.raises(ValueError, match=says):
        NormLog(**arguments)


def test_a_log_cannot_change():
    norms = np.ones(3)
    log = NormLog(norms)
    norms[0] = 5
    np.testing.assert_array_equal(log.norms, [1, 1, 1])
    with pytest.raises(ValueError, match="read-only"):
        log.norms[0] = 2
    assert len(log) == 3
    assert NormLog([1, 2], [5, 6]).in_order


# --- advice ---


def stream(seed: int = 0, n: int = 2000, **settings: float) -> NormLog:
    made = norm_stream(np.random.default_rng(seed), n, **settings)
    return NormLog(made.norms), made


def line(advice: Advice, start: str) -> str:
    """The one line with this beginning."""
    (found,) = [one for one in advice.lines if one.startswith(start)]
    return found


@pytest.mark.parametrize("settings", [{}, {"decay": 0.0}, {"decay": -2.0, "sigma": 0.15}, {"rise": 3.0}])
def test_spikes_are_found_where_they_were_put(settings: dict):
    for seed in range(5):
        log, made = stream(seed, **settings)
        advice = advise(log)
        np.testing.assert_array_equal(advice.spikes, np.flatnonzero(made.norms > advice.spike_limit * advice.trend))
        found = np.isin(np.arange(2000), advice.spikes)
        assert found[made.spikes].all()
        assert (found & ~made.spikes).sum() <= 4
        assert np.median(np.abs(np.log(advice.trend / made.trend))) < 0.1


def test_the_limit_of_a_spike_is_four_standard_deviations_of_the_logarithm():
    for sigma in (0.4, 0.8):
        log, _ = stream(3, 20_000, sigma=sigma, spike_rate=0.0)
        assert math.log(advise(log).spike_limit) == pytest.approx(4 * sigma, rel=0.06)
    assert advise(stream(sigma=0.1)[0]).spike_limit == 3


def test_numbers_of_the_text_are_those_of_the_log():
    log, _ = stream()
    advice = advise(log)
    n = log.norms
    assert advice.lines[0] == "norms: 2,000 norms, from step 0 to step 1999."
    level = line(advice, "Median")
    for value in (np.median(n), n.mean(), np.percentile(n, 10), np.percentile(n, 90), n.min(), n.max()):
        assert f"{value:.3g}" in level
    first, last = np.median(n[:500]), np.median(n[-500:])
    assert line(advice, "The norms fall") == (
        f"The norms fall: the last quarter's median, {last:.3g}, is {last / first:.3g} times that of the first, "
        f"{first:.3g}."
    )
    for c, name in (
        (np.median(n) / 2, "half the median"),
        (1.0, "a common default"),
        (5 * np.median(n), "5 × the median"),
    ):
        (row,) = [one for one in advice.lines if one.endswith("  " + name)]
        assert row.split()[2] == f"{c:.3g}"
        assert row.split()[3] == f"{100 * (n > c).mean():.1f}%"
    for key, rate in advice.rules.items():
        assert rate == clip_rate(n, follow(THRESHOLDS[key](), n))
        name = "fixed c = 1" if key == "fixed" else THRESHOLDS[key].label
        (row,) = [one for one in advice.lines if one[15:].startswith(name)]
        assert row.split()[0] == f"{100 * rate:.1f}%"
    assert set(advice.rules) == set(THRESHOLDS) - {"element"}
    np.testing.assert_allclose(advice.fraction, [(n > c).mean() for c in advice.grid], atol=1e-12)
    assert advice.grid[0] < n.min() < n.max() < advice.grid[-1]
    assert advice.clip_fraction(2.0) == (n > 2).mean()
    assert line(advice, "Another rule of thumb").endswith(f"{n.mean() / 2:.3g} to {10 * n.mean():.3g}.")


def test_the_suggested_threshold_and_its_reason():
    log, _ = stream()
    advice = advise(log)
    calm = np.percentile(np.delete(log.norms, advice.spikes), 99)
    assert calm <= advice.threshold <= 1.1 * calm
    assert f"{advice.threshold:.2g}" in line(advice, "Suggested threshold: c = ")
    size = log.norms[advice.spikes] / advice.trend[advice.spikes]
    top = advice.spikes[size.argmax()]
    said = line(advice, "It would have clipped")
    assert f"clipped {100 * (log.norms > advice.threshold).mean():.1f}% of the steps" in said
    cut = (log.norms[advice.spikes] > advice.threshold).sum()
    assert f"{cut} of the {len(size)} spikes" in said
    assert f"{size.max():.3g} times the trend, at {advice.threshold / advice.trend[top]:.3g} times." in said
    assert line(advice, "But no single c fits this run")
    flat = advise(stream(decay=0.0)[0])
    assert line(flat, "No clear trend")
    assert not any(one.startswith("But no single c") for one in flat.lines)
    calm = advise(stream(decay=0.0, spike_rate=0.0, sigma=0.2)[0])
    assert line(calm, "No spikes: no norm is more than 3 times the median around it.")
    assert "There is no spike for it to cut" in line(calm, "It would have clipped")


def test_advice_scales_with_the_norms():
    log, _ = stream(4)
    once, scaled = advise(log), advise(NormLog(log.norms * 1000))
    np.testing.assert_array_equal(once.spikes, scaled.spikes)
    assert scaled.threshold == pytest.approx(1000 * once.threshold, rel=0.06)
    np.testing.assert_allclose(scaled.trend, 1000 * once.trend)


def test_noise_is_no_trend():
    trends = 0
    for seed in range(100):
        advice = advise(NormLog(np.random.default_rng(seed).lognormal(0, 1, 60)))
        trends += any(one.startswith(("The norms rise", "The norms fall")) for one in advice.lines)
    assert trends <= 3


def test_norms_that_are_not_finite_are_counted_and_left_out():
    log, _ = stream()
    norms = log.norms.copy()
    norms[[5, 8, 700]], norms[9] = NAN, INF
    advice = advise(NormLog(norms))
    assert line(advice, "4 of 2,000 norms are not finite (3 NaN and 1 infinite), at steps 5, 8, 9, 700. What follows")
    kept = advise(NormLog(np.delete(norms, [5, 8, 9, 700])))
    assert advice.threshold == kept.threshold
    assert advice.rules == kept.rules
    np.testing.assert_array_equal(advice.trend, kept.trend)
    np.testing.assert_array_equal(norms[advice.spikes], norms[np.isfinite(norms)][kept.spikes])
    one = advise(NormLog(np.array([1.0, NAN, 2.0])))
    assert line(one, "1 of 3 norms is not finite (1 NaN), at step 1. What follows")


def test_norms_after_clipping_are_recognised():
    rng = np.random.default_rng(1)
    raw = rng.lognormal(0, 0.5, 400)
    for c in (0.5, 1.0, 2.0):
        for logged in (np.minimum(raw, c), raw * np.minimum(1, c / (raw + 1e-6)), np.minimum(raw, c).round(5)):
            advice = advise(NormLog(logged))
            assert any("AFTER clipping" in one and "clip_grad_norm_" in one for one in advice.lines)
            assert advice.threshold is None
            assert line(advice, "No threshold is suggested: these norms seem to be clipped already")
    for honest in (
        raw,
        raw.round(1),
        raw.round(0),
        (raw * 0.02).round(2),
        rng.random(400).round(2),
        np.append(raw, [99] * 4),
    ):
        assert not any("AFTER clipping" in one for one in advise(NormLog(honest)).lines)


SPECIAL = {
    "one": [3.0],
    "two": [1.0, 2.0],
    "one zero": [0.0],
    "zeros": [0.0] * 40,
    "constant": [1.0] * 40,
    "mostly zeros": [0.0] * 30 + [1.0, 2.0] * 5,
    "a few zeros": [0.0] * 3 + [1.0, 2.0] * 15,
    "nan": [NAN] * 5,
    "inf": [INF],
    "nan and one": [NAN, 2.0, INF],
    "few": list(range(1, FEWEST)),
    "just enough": list(range(1, FEWEST + 1)),
    "one spike": [1.0, 1.1] * 15 + [90.0],
    "spike where norms are small": [100.0] * 60 + [1.0, 1.01] * 30 + [20.0],
    "many spikes": ([1.0] * 5 + [50.0]) * 20,
    "huge": [1e308, 1.7e308] * 20,
    "tiny": [5e-324, 1e-300] * 20,
    "all sizes": [10.0**k for k in range(-300, 300, 10)],
    "round": [1.0, 10.0, 100.0] * 20,
}


@pytest.mark.parametrize("norms", SPECIAL.values(), ids=SPECIAL)
def test_every_sentence_is_true_and_whole_for_special_logs(norms: list[float]):
    log = NormLog(np.array(norms, float))
    advice = advise(log)
    finite = log.norms[log.norms <= 1e150]
    finite[finite < 1e-150] = 0
    assert advice.lines[0].startswith(f"norms: {len(norms)} norm")
    for one in advice.lines:
        assert not re.search(
            r"\bNone\b|\bnan\b|(?<![\d.,])1 (norms|spikes|steps|rows|lines)\b|\b[02-9] (norm|spike)\b", one
        ), one
        if not one.startswith(" ") and one and not one.endswith(":"):
            assert one.endswith("."), one
    if not finite.size or finite.max() == 0:
        assert advice.threshold is None
        assert advice.rules == {}
        assert not any("c = " in one for one in advice.lines)
    else:
        assert all(0 <= rate <= 1 for rate in advice.rules.values())
        assert np.isfinite(advice.grid).all()
        np.testing.assert_allclose(advice.fraction, [(finite > c).mean() for c in advice.grid], atol=1e-12)
    if advice.threshold is not None:
        assert 0 < advice.threshold < INF
        assert finite.size >= FEWEST
    else:
        assert not any(one.startswith("Suggested") for one in advice.lines)
    assert (advice.trend > 0).all() or finite.max(initial=0) == 0
    picture = NormsFigure(advice)
    assert picture.png()[:4] == b"\x89PNG"


def test_words_of_special_logs():
    said = {name: advise(NormLog(np.array(norms, float))) for name, norms in SPECIAL.items()}
    assert line(said["one"], "The only finite norm is 3: one number has no spread")
    assert line(said["zeros"], "No finite norm is above 0")
    assert line(said["constant"], "All 40 finite norms are 1.")
    assert line(said["constant"], "No threshold is suggested: norms without spread")
    assert line(said["nan"], "5 of 5 norms are not finite (5 NaN), at steps 0, 1, 2, 3, 4. There is nothing else.")
    assert line(said["inf"], "1 of 1 norm is not finite (1 infinite), at step 0. There is nothing else.")
    assert line(said["few"], f"With {FEWEST - 1} finite norms there is no telling a trend")
    assert line(said["few"], "No threshold is suggested: that takes at least 20 finite norms.")
    assert said["just enough"].threshold == 20
    assert line(said["a few zeros"], "3 of 33 norms are exactly 0")
    assert "half the median above 0" in said["mostly zeros"].text
    assert line(said["one spike"], "1 spike, ").count("at step 30") == 2
    assert "of the steps, the spike, and left the largest spike" in said["one spike"].text
    assert "not the spike, which lies where norms are small" in said["spike where norms are small"].text
    assert "more than one in ten" in said["many spikes"].text
    assert "all of this log lies in its warm-up of 25 steps" in said["two"].text
    assert said["two"].text.endswith("share of clipped steps.")


def test_of_a_very_long_log_the_rules_see_the_end():
    log, _ = stream(0, LONGEST + 5000, decay=4.0)
    advice = advise(log)
    assert line(
        advice, f"What each rule would have clipped, with its published settings, seen by the last {LONGEST:,} of"
    )
    for key, rate in advice.rules.items():
        end = log.norms[-LONGEST:]
        assert rate == clip_rate(end, follow(THRESHOLDS[key](), end))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    norms=hnp.arrays(float, st.integers(1, 80), elements=st.floats(0, width=64) | st.sampled_from([NAN, INF, 0.0, 1.0]))
)
def test_advice_on_anything(norms: np.ndarray):
    advice = advise(NormLog(norms))
    assert "None" not in advice.text
    assert re.search(r"\bnan\b", advice.text) is None
    assert advice.threshold is None or 0 < advice.threshold < INF


# --- the picture ---


def test_moving_the_threshold_is_drawing_anew_with_it():
    log, _ = stream()
    advice = advise(log)
    at = {
        name: getattr(advice, name)
        for name in ("log", "finite", "trend", "spikes", "grid", "fraction", "clip_fraction", "paths")
    }
    moved = NormsFigure(advice)
    for c, rule in ((0.5, "percentile"), (None, "z_score"), (30.0, None), (30.0, "quantile")):
        moved.update(SimpleNamespace(**at, threshold=c, rule=rule))
        fresh = NormsFigure(SimpleNamespace(**at, threshold=c, rule=rule))
        assert moved.shown() == fresh.shown()
        assert moved.png() == fresh.png()
    np.testing.assert_allclose(moved.data("clipped"), [[100 * (log.norms > 30).mean(), 30]])
    for panel in ("norms", "sizes", "fraction"):
        np.testing.assert_allclose(moved.data(f"threshold {panel}")[:, 1], 30)
        assert moved.axes[panel].get_ylim() == moved.axes["norms"].get_ylim()
    np.testing.assert_array_equal(moved.data("rule")[:, 1], follow(THRESHOLDS["quantile"](), log.norms)[::2])
    np.testing.assert_array_equal(moved.data("rule")[:, 0], log.steps[::2])
    assert moved.data("says") == f"c = 30 would have clipped {100 * (log.norms > 30).mean():.1f}%"


def test_the_picture_shows_the_log():
    log, _ = stream()
    advice = advise(log)
    left, right = (NormsFigure(advice).axes[name] for name in ("norms", "fraction"))
    dots, trend, crosses = left.lines[:3]
    np.testing.assert_array_equal(dots.get_ydata(), log.norms)
    np.testing.assert_array_equal(dots.get_xdata(), log.steps)
    np.testing.assert_array_equal(trend.get_ydata(), advice.trend)
    np.testing.assert_array_equal(crosses.get_xdata(), advice.spikes)
    np.testing.assert_allclose(right.lines[0].get_xdata(), 100 * advice.fraction)
    np.testing.assert_array_equal(right.lines[0].get_ydata(), advice.grid)
    resumed = NormsFigure(advise(NormLog(log.norms[:60], np.r_[0:30, 20:50]))).axes["norms"]
    assert resumed.get_xlabel() == "place in the log"
    np.testing.assert_array_equal(resumed.lines[0].get_xdata(), np.arange(60))
    long, _ = stream(0, 10_000)
    band = NormsFigure(advise(long)).axes["norms"].collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == long.norms.max()
    assert band.min() == long.norms.min()


def test_of_the_sizes_those_above_the_threshold_are_drawn_darker():
    norms = np.repeat([1.0, 2.0, 8.0, 30.0], [4, 7, 2, 1])
    picture = NormsFigure(replace(advise(NormLog(norms)), threshold=3.0))
    cut = picture.data("cut")
    assert cut[:, 1].min() == 3.0
    for size, count in ((8.0, 2), (30.0, 1)):
        bar = cut[(np.abs(np.log(cut[:, 1] / size)) < 0.1)]
        assert bar[:, 0].max() == count
    assert picture.axes["sizes"].get_xlim()[1] > 7
    picture.update(replace(advise(NormLog(norms)), threshold=0.6))
    assert picture.data("cut")[:, 0].max() == 7


def test_ipython_shows_the_message_of_a_log_error_alone(write, tmp_path: Path):
    code = f"from gclip_lessons.norm_log import read_norms; read_norms({str(write('grad_norm'))!r})"
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--colors=nocolor", "--no-banner", "-c", code],
        cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False,
        env={**os.environ, "IPYTHONDIR": str(tmp_path), "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.stdout.strip() == (
        "LogError: norms.csv has a header and no rows: expected a norm on each line after it, found none"
    )


@pytest.mark.parametrize(("low", "high"), [(0.1, 1000), (1e-12, 1e12), (0.9, 1.1), (3, 30), (1e-300, 1e300), (2, 9)])
def test_ticks_are_few_and_inside(low: float, high: float):
    for most in (5, 7):
        ticks = norms_figure.log_ticks(low, high, most)
        assert 1 <= len(ticks) <= most
        assert low <= min(ticks) <= max(ticks) <= high


# --- the command line ---


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "gclip_lessons", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
    )  # fmt: skip


def test_the_command_prints_the_advice_and_writes_the_picture(write, tmp_path: Path):
    log, _ = stream(0, 200)
    path = write("step,loss,gnorm\n" + "".join(f"{i},1,{n}\n" for i, n in enumerate(log.norms)))
    done = run(path)
    assert (done.returncode, done.stderr) == (0, "")
    picture = tmp_path / "norms.csv.norms.png"
    assert done.stdout == f"{advise(read_norms(path)).text}\n\nPicture: {picture}\n"
    assert picture.read_bytes()[:4] == b"\x89PNG"
    other = tmp_path / "other.png"
    done = run(path, "--column", "loss", "--picture", other)
    assert done.returncode == 0
    assert "All 200 finite norms are 1." in done.stdout
    assert other.is_file()
    plain = run(path, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (plain.returncode, plain.stderr) == (0, "")


def test_the_command_fails_with_one_line(write, tmp_path: Path):
    for arguments, says in (
        ((tmp_path / "none.csv",), "there is no file"),
        ((write(""),), "norms.csv is empty"),
        ((tmp_path,), "is a folder"),
        ((write("n\nx\ny\n", "b.csv"),), "expected a norm in column 'n', found 'x'"),
        ((write("grad_norm\n1\n2\n", "c.csv"), "--column", "x"), "no column is called 'x'"),
        ((tmp_path / "c.csv", "--picture", tmp_path), "error: the picture cannot be written to"),
    ):
        done = run(*arguments)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert says in done.stderr
    assert run().returncode == 2


def test_a_reader_that_stops_early_sees_no_traceback(write):
    path = write("1\n2\n3\n")
    command = [sys.executable, "-m", "gclip_lessons", str(path)]
    done = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    done.stdout.close()
    assert done.stderr.read() == ""
    done.stderr.close()
    assert done.wait() == 1


def test_norm_log_loads_neither_matplotlib_nor_widgets():
    code = "import sys, gclip_lessons.__main__; print('matplotlib' in sys.modules, 'ipywidgets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


# --- Writing


def test_norms_go_through_the_file_and_back(tmp_path):
    path = tmp_path / "norms.csv"
    norms = [5.0, 0.1 + 0.2, 1e-300, math.inf, math.nan, np.float32(2.5), np.array([3.25])[0]]
    for step, norm in enumerate(norms):
        log_norm(path, 10 * step, norm)
    log = read_norms(path)
    np.testing.assert_array_equal(log.norms, np.array(norms, float))
    np.testing.assert_array_equal(log.steps, 10 * np.arange(len(norms)))
    assert log.notes == ()
    assert "2 of 7 norms are not finite" in advise(log).text


def test_a_second_run_is_added_and_reading_says_so(tmp_path):
    for _ in range(2):
        for step in range(3):
            log_norm(str(tmp_path / "norms.csv"), step, 1.0 + step)
    log = read_norms(tmp_path / "norms.csv")
    assert log.norms.tolist() == [1, 2, 3, 1, 2, 3]
    assert any("does not rise" in note for note in log.notes)
