"""What every lesson's questions promise; a new lesson is tested by being listed."""

import ast
import copy
import inspect
import math
import re
import warnings
from pathlib import Path

import nbformat
import numpy as np
import pytest

from gclip_lessons.diagnosis import diagnose, undistinguished
from gclip_lessons.lessons import all_lessons

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
MARKUP = set("`*")
LESSONS = all_lessons()
EXERCISES = {ex.key: ex for lesson in LESSONS.values() for ex in lesson.exercises.values()}
PREDICTIONS = {p.key: p for lesson in LESSONS.values() for p in lesson.predictions.values()}
MISCONCEPTIONS = [(key, m.name) for key, ex in EXERCISES.items() for m in ex.misconceptions]


@pytest.fixture(params=EXERCISES)
def exercise(request):
    return EXERCISES[request.param]


@pytest.fixture(params=PREDICTIONS)
def prediction(request):
    return PREDICTIONS[request.param]


def test_keys_begin_with_the_lesson_and_are_unique():
    for number, lesson in LESSONS.items():
        assert lesson.quiz.key == number
        for item in (*lesson.exercises.values(), *lesson.predictions.values()):
            assert item.key.startswith(f"{number}."), item.key
    counts = [len(lesson.exercises) for lesson in LESSONS.values()]
    assert len(EXERCISES) == sum(counts), "two exercises have one key"
    assert len(PREDICTIONS) == sum(len(lesson.predictions) for lesson in LESSONS.values())
    assert all(count >= 2 for count in counts), "a lesson has at least two exercises"


def test_the_solution_passes(exercise):
    report = diagnose(exercise, exercise.solution)
    assert report.passed, report
    assert report.detail == ""


def test_the_untouched_stub_gets_a_kind_message(exercise):
    assert diagnose(exercise, exercise.stub).kind == "empty"


def cell_with(exercise):
    """The notebook's cell in which the learner writes this exercise."""
    [path] = NOTEBOOKS.glob(f"{exercise.key.partition('.')[0]}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    [source] = [c.source for c in cells if c.cell_type == "code" and f"def {exercise.name}(" in c.source]
    return source


def test_the_untouched_cell_of_the_notebook_gets_a_kind_message(exercise):
    tree = ast.parse(cell_with(exercise))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    names = {"np": np}
    exec(compile(tree, "cell", "exec"), names)
    assert diagnose(exercise, names[exercise.name]).kind == "empty"
    assert list(inspect.signature(names[exercise.name]).parameters) == parameters(exercise.solution)


@pytest.mark.parametrize(("key", "name"), MISCONCEPTIONS)
def test_each_wrong_function_is_named_with_an_example(key, name):
    exercise = EXERCISES[key]
    wrong = next(m for m in exercise.misconceptions if m.name == name)
    report = diagnose(exercise, wrong.function)
    assert not report.passed
    assert report.misconception == name
    assert wrong.message in report.detail
    if any(differ_in_numbers(exercise, wrong.function, probe) for probe in exercise.probes):
        assert report.example.startswith(f"{exercise.name}(")
        should, gave = re.fullmatch(r".* should (?:be )?(.*); yours (?:gave|raised) (.*)", report.example).groups()
        assert should != gave


def differ_in_numbers(exercise, wrong, probe):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        right = exercise.solution(*copy.deepcopy(probe.args))
        try:
            other = wrong(*copy.deepcopy(probe.args))
        except Exception:
            return True
    right, other = parts(right), parts(other)
    if any(part is None for part in other) or [np.shape(part) for part in right] != [np.shape(part) for part in other]:
        return True
    close = {"rtol": exercise.rtol, "atol": exercise.atol, "equal_nan": True}
    return not all(np.allclose(a, b, **close) for a, b in zip(right, other, strict=True))


def parts(value):
    """The results in a tuple or list, of which each may have a shape of its own."""
    return [part for v in value for part in parts(v)] if isinstance(value, list | tuple) else [value]


def test_probes_tell_all_functions_apart(exercise):
    assert undistinguished(exercise) == []


def test_sources_are_whole_and_named_alike(exercise):
    source = ast.parse(exercise.solution_source).body
    assert [node.name for node in source] == [exercise.name], "the source of an exercise is one function"
    assert parameters(exercise.stub) == parameters(exercise.solution)


def parameters(function):
    return list(inspect.signature(function).parameters)


def test_labels_hints_and_words_are_there(exercise):
    labels = [probe.label for probe in exercise.probes]
    assert len(set(labels)) == len(labels), "labels of probes differ"
    for text in (exercise.title, exercise.explanation, *exercise.hints, *labels):
        assert text.strip()
        assert "$" not in text, "mathematics is plain Unicode here"


def test_a_prediction_has_a_computed_answer(prediction):
    truth = prediction.truth()
    if prediction.options:
        assert truth in prediction.options
        assert len(prediction.options) >= 2
        assert not MARKUP & set("".join(prediction.options.values())), "a radio button shows markup as it is written"
    else:
        assert math.isfinite(truth)
        assert 0 < prediction.tolerance < 1
    assert prediction.truth() == truth, "computed twice, the answer is the same"
    if prediction.evidence:
        assert any(letter.isdigit() for letter in prediction.evidence()), "evidence is numbers"


@pytest.mark.parametrize("number", LESSONS)
def test_a_quiz_says_why_and_does_not_betray_itself(number):
    questions = LESSONS[number].quiz.questions
    for question in questions:
        texts = [option.text for option in question.options]
        assert len(set(texts)) == len(texts) >= 3
        assert all(option.why.strip() for option in question.options)
        assert not any(MARKUP & set(text) for text in texts), "a radio button shows markup as it is written"
    places = {[option.right for option in question.options].index(True) for question in questions}
    assert len(places) > 1, "the right answer is not always in the same place"
