"""What every lesson's questions promise; a new lesson is tested by being listed."""

import ast
import math

import pytest

from gclip_lessons.diagnosis import diagnose, undistinguished
from gclip_lessons.lessons import all_lessons

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


def test_the_untouched_cell_gets_a_kind_message(exercise):
    assert diagnose(exercise, exercise.stub).kind == "empty"


@pytest.mark.parametrize(("key", "name"), MISCONCEPTIONS)
def test_each_wrong_function_is_named_with_an_example(key, name):
    exercise = EXERCISES[key]
    wrong = next(m for m in exercise.misconceptions if m.name == name)
    report = diagnose(exercise, wrong.function)
    assert not report.passed
    assert report.misconception == name
    assert wrong.message in report.detail
    assert report.example.startswith(f"{exercise.name}(") or report.kind == "misconception"


def test_probes_tell_all_functions_apart(exercise):
    assert undistinguished(exercise) == []


def test_sources_are_whole_and_named_alike(exercise):
    solution, stub = (ast.parse(text).body for text in (exercise.solution_source, exercise.stub_source))
    assert len(solution) == len(stub) == 1, "the source of an exercise is one function"
    assert solution[0].name == stub[0].name == exercise.name
    assert [a.arg for a in solution[0].args.args] == [a.arg for a in stub[0].args.args]


def test_labels_hints_and_words_are_there(exercise):
    labels = [probe.label for probe in exercise.probes]
    assert len(set(labels)) == len(labels), "labels of probes differ"
    for text in (exercise.title, exercise.task, exercise.explanation, *exercise.hints, *labels):
        assert text.strip()
        assert "$" not in text, "mathematics is plain Unicode here"
    assert exercise.name in exercise.task, "the task names the function"


def test_a_prediction_has_a_computed_answer(prediction):
    truth = prediction.truth()
    if prediction.options:
        assert truth in prediction.options
        assert len(prediction.options) >= 2
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
    places = {[option.right for option in question.options].index(True) for question in questions}
    assert len(places) > 1, "the right answer is not always in the same place"
