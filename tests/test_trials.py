"""An attempt travels as text: the judge at the other end sees what the one in the notebook sees, and trusts nothing."""

import ast
import json
import math
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gclip_lessons import trials
from gclip_lessons.diagnosis import diagnose, judge
from gclip_lessons.lessons import all_lessons
from gclip_lessons.trials import attempt, packed, unpacked

EXERCISES = {e.key: e for lesson in all_lessons().values() for e in lesson.exercises.values()}
SOURCE = Path(trials.__file__).read_text(encoding="utf-8")


def travelled(value):
    """A value that a function returned, at the other end."""
    return unpacked(packed(attempt(lambda: value, [()]))).trials[0][0].value


@pytest.mark.parametrize(
    "value", [None, ..., True, 3, -(10**30), 0.1, -0.0, math.inf, "ηc", (1, [2.0, (None,)]), {"c": 1.0}]
)
def test_plain_values_come_through_as_they_were(value):
    came = travelled(value)
    assert (type(came), repr(came)) == (type(value), repr(value))


@pytest.mark.parametrize("dtype", ["float64", "float32", "int8", ">f4", "bool", "complex128"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 1)])
def test_arrays_and_scalars_come_through_bit_by_bit(dtype, shape):
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    for value in (array, array.T, *array.ravel()[:1]):
        came = travelled(value)
        assert type(came) is type(value)
        assert (came.dtype, came.shape, came.tobytes()) == (value.dtype, value.shape, value.tobytes())


def test_nan_comes_through():
    assert math.isnan(travelled(math.nan))
    assert np.isnan(travelled(np.array([np.nan]))).all()


class Odd:
    def __str__(self):
        return "odd at 0x7f00"


@dataclass(frozen=True)
class Point:
    x: float
    y: np.ndarray


def test_a_dataclass_arrives_as_its_fields():
    came = travelled({"a": Point(1.5, np.array([2.0]))})["a"]
    assert (type(came).__name__, dict(came)) == ("Point", {"x": 1.5, "y": np.array([2.0])})
    assert str(came) == "Point(x=1.5, y=array([2.]))"


def test_what_cannot_travel_keeps_its_name_and_its_text():
    came = travelled(Odd())
    assert (type(came).__name__, str(came)) == ("Odd", "odd")
    assert type(travelled(np.ma.masked_array([1, 2]))).__name__ == "MaskedArray"
    assert type(travelled(np.zeros(trials.LARGEST))).__name__ == "ndarray", "too large to travel"
    assert travelled(np.array(["a"])).dtype.kind == "U"
    assert type(travelled(x for x in ())).__name__ == "generator"


def test_an_error_keeps_its_class_its_words_and_its_line():
    def fails():
        raise KeyError("η")

    error = unpacked(packed(attempt(fails, [()]))).trials[0][0].error
    assert (error.kind, error.name, error.text) == ("builtins.KeyError", "KeyError", "'η'")
    assert error.source == 'raise KeyError("η")'


def functions(exercise):
    return [exercise.solution, exercise.stub, exercise.misconceptions[0].function, lambda *args: args[0], "none", len]


@pytest.mark.parametrize("key", EXERCISES)
def test_the_judge_says_the_same_of_an_attempt_that_travelled(key):
    # As in the grader: the source alone, in a namespace of its own, with arguments that come as bytes.
    exercise, apart = EXERCISES[key], {"__name__": "apart"}
    exec(SOURCE, apart)
    probes = pickle.loads(pickle.dumps([probe.args for probe in exercise.probes]))
    for function in functions(exercise):
        made = unpacked(apart["packed"](apart["attempt"](function, probes)))
        assert judge(exercise, made) == diagnose(exercise, function)


def test_the_source_needs_nothing_of_the_package():
    tree = ast.walk(ast.parse(SOURCE))
    names = {a.name for node in tree if isinstance(node, ast.Import) for a in node.names}
    names |= {node.module for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in names if name.startswith("gclip")]


GOOD = json.loads(packed(attempt(lambda: 1.0, [()])))


def forged(**fields):
    return json.dumps({**GOOD, **fields})


def with_value(*value):
    [[first, again]] = GOOD["trials"]
    return forged(trials=[[{**first, "value": list(value)}, again]])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        forged(trials=7),
        forged(trials=[[{}, {}]]),
        forged(n_args="many"),
        with_value("array", False, "O", [1], "AAAAAAAAAAA="),
        with_value("array", False, "f8", [10**12], "AAAAAAAAAAA="),
        with_value("array", False, "f8", [-1], "AAAAAAAAAAA="),
        with_value("array", False, "f8", [1], "not base 64"),
        with_value("array", False, "V1000000000", [1], ""),
        with_value("odd array", "V99999999999"),
        with_value("float", "0x1p99999"),
        with_value("int", "ten"),
        with_value("pickle", "cos\nsystem\n(S'true'\ntR."),
        with_value("stranger", "a\0b", ""),
        with_value("record", "Point", "", [1]),
        with_value(),
    ],
)
def test_a_text_that_is_no_attempt_is_refused(text):
    with pytest.raises(ValueError, match="text must be an attempt"):
        unpacked(text)


def test_a_judge_refuses_an_attempt_at_other_probes():
    exercise = EXERCISES["03.1"]
    made = attempt(exercise.solution, [exercise.probes[0].args])
    with pytest.raises(ValueError, match="made must have 9 pairs of trials; got 1"):
        judge(exercise, made)
