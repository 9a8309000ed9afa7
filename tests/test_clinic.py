"""The patients against plain loops, the ward's budget and report, and bad input."""

import math

import numpy as np
import pytest

from gclip_lessons.capstone import Ward, complaints, read
from gclip_lessons.clinic import HIDDEN, PATIENTS, PRACTICE, SOLVED, Treatment, score, treat, treatment_from
from gclip_lessons.figures.ward import WardFigure

SEEDS = [3, 4, 5]


def regression(seed, scaled, centre, spread, wrong):
    """One patient's data and batches, drawn in the order in which the course draws them."""
    rng = np.random.default_rng(seed)
    plain = rng.normal(size=(400, 2))
    weights = rng.normal(size=2)
    target = plain @ (3 * weights / np.linalg.norm(weights)) + 0.1 * rng.normal(size=400)
    mistaken = rng.random(200) < wrong
    target[:200][mistaken] = rng.choice([-1000.0, 1000.0], mistaken.sum())
    x = np.column_stack([plain[:, 0], spread * plain[:, 1] + centre])
    if scaled:
        x = (x - x.mean(0)) / x.std(0)
    return np.column_stack([np.ones(400), x]), target, rng.integers(0, 200, (400, 20))


def clip(grad, rule, c):
    if rule == "by norm":
        norm = math.sqrt(sum(g * g for g in grad))
        return grad if norm <= c else grad * (c / norm)
    return np.clip(grad, -c, c) if rule == "by value" else grad


def plain_run(data, rate, beta, t):
    """The error after 400 steps by a loop over steps and examples."""
    x, target, batches = data
    theta, velocity = np.zeros(3), np.zeros(3)
    for batch in batches:
        grads = [(x[i] @ theta - target[i]) * x[i] for i in batch]
        if t.place == "each example":
            grads = [clip(g, t.rule, t.threshold) for g in grads]
        grad = sum(grads) / len(grads)
        if t.place == "batch":
            grad = clip(grad, t.rule, t.threshold)
        velocity = beta * velocity + grad
        theta = theta - rate * (clip(velocity, t.rule, t.threshold) if t.place == "update" else velocity)
    return float(np.median(np.abs(x[200:] @ theta - target[200:])))


@pytest.mark.parametrize(
    ("patient", "treatment"),
    [
        ("A", Treatment("by norm", 0.5)),
        ("A", Treatment("by value", 0.5, "each example", standardize=True)),
        ("A", Treatment(learning_rate=0.0001)),
        ("B", Treatment()),
        ("B", Treatment("by norm", 1.0, "each example")),
        ("B", Treatment("by norm", 0.3, "update")),
        ("B", Treatment("by value", 0.3, "batch", learning_rate=0.1)),
    ],
)
def test_a_patient_is_trained_as_by_a_plain_loop(patient: str, treatment: Treatment):
    illness = {"A": (100.0, 30.0, 0.0), "B": (0.0, 1.0, 0.02)}[patient]
    rate, beta = {"A": (0.1, 0.0), "B": (0.03, 0.9)}[patient]
    expected = [
        plain_run(regression(seed, treatment.standardize, *illness), treatment.learning_rate or rate, beta, treatment)
        for seed in SEEDS
    ]
    np.testing.assert_allclose(treat(patient, treatment, SEEDS).error[-1], expected, rtol=1e-6)


def test_the_cliff_is_the_recurrence_of_lesson_04():
    course = treat("C", Treatment("by norm", 1.0), [7])
    w, b = np.random.default_rng(7).normal((6.0, -2.5), 0.05)
    x = 0.5
    for _ in range(50):
        x = w / (1 + math.exp(-x)) + b
    assert course.error[0, 0] == pytest.approx(abs(1 / (1 + math.exp(-x)) - 0.7), rel=1e-9)
    assert course.error.shape == (1001, 1)
    assert course.grad_norm.shape == (1000, 1)


# --- what the capstone says of the patients ---


def test_the_first_needs_its_data_scaled_and_no_clip():
    assert score("A", Treatment(standardize=True)) == 1
    for rule in ("by norm", "by value"):
        for place in ("each example", "batch", "update"):
            for c in (0.1, 1.0, 10.0):
                assert treat("A", Treatment(rule, c, place), range(8)).solved.mean() < 0.2
    for rate in np.geomspace(1e-6, 1, 13):  # no η suits both features
        assert not treat("A", Treatment(learning_rate=rate), range(8)).solved.any()


def test_the_second_needs_every_example_clipped_before_the_velocity():
    assert score("B", Treatment("by norm", 1.0, "each example")) == 1
    assert score("B", Treatment()) < 0.1
    assert score("B", Treatment("by norm", 1.0, "update")) < 0.1
    assert 0.2 < score("B", Treatment("by norm", 1.0, "batch")) < 0.8
    assert score("B", Treatment("by norm", 0.1, "batch")) > 0.9  # so small that a spoilt batch counts like another
    assert not treat("B", Treatment(standardize=True)).solved.mean() > 0.1


def test_the_third_needs_a_clip_of_the_norm():
    assert score("C", Treatment("by norm", 1.0)) > 0.97
    assert score("C", Treatment()) < 0.4
    for rate in (0.001, 0.01, 1.0):
        assert score("C", Treatment(learning_rate=rate), range(1000, 1060)) < 0.85


def test_hidden_seeds_are_others_than_those_to_practise_on():
    assert not set(HIDDEN) & set(PRACTICE)
    assert len(PRACTICE) == 40


# --- the ward ---


def test_a_run_costs_one_of_the_budget_and_the_untreated_are_free():
    ward = Ward(budget=2)
    page = ward.run("A")
    assert ward.left == 2
    assert "none learned; the median error at the end has overflowed" in repr(page)
    assert 'alt="Left: the error' in page.html
    assert "all learned; the median error at the end is below 0.2. 1 of 2 runs left." in repr(
        ward.run("A", Treatment(standardize=True))
    )
    with pytest.raises(ValueError, match="patient must be one of 'A', 'B', 'C'; got 'D'"):
        ward.run("D", Treatment("by norm"))
    with pytest.raises(TypeError, match="a treatment must be a Treatment or a dict"):
        ward.run("A", "by norm")
    assert ward.left == 1
    ward.run("B", {"rule": "by norm", "place": "each example"})
    assert "budget of 2 runs is spent" in repr(ward.run("C", Treatment("by norm")))
    assert ward.tried == [
        ("A", Treatment(standardize=True), 1.0),
        ("B", Treatment("by norm", place="each example"), 1.0),
    ]


def test_the_report_scores_on_hidden_seeds_and_tells_the_illness_afterwards():
    ward = Ward()
    untouched = dict.fromkeys(PATIENTS, Treatment())
    assert repr(ward.hand_in(untouched)).startswith("Nobody is treated yet.")
    assert not any(them.illness[:20] in ward.hand_in(untouched).html for them in PATIENTS.values())
    treatments = untouched | {"A": Treatment(standardize=True), "B": Treatment("by norm", place="each example")}
    ward.run("A", treatments["A"])
    page = ward.hand_in(treatments, reason="<b>because</b>", seeds=range(1000, 1010))
    assert "A: features standardised. 100% of 10 hidden runs learn." in repr(page)
    assert "C: untreated. " in repr(page)
    parts = [score(name, treatments[name], range(1000, 1010)) for name in PATIENTS]
    assert f"Score: {np.mean(parts):.0%}, with 1 of 12 runs used." in repr(page)
    assert "&lt;b&gt;because" in page.html
    assert "A: features standardised: 100%" in repr(page)
    assert all(them.illness[:20] in page.html for them in PATIENTS.values())
    with pytest.raises(ValueError, match="treatments must be given for A, B, C; got A"):
        ward.hand_in({"A": Treatment()})


@pytest.mark.parametrize("budget", [0, -1, 1.5, True, "12"])
def test_a_budget_that_is_none_is_refused(budget: object):
    with pytest.raises(ValueError, match="budget must be a whole number of runs, 1 or more; got"):
        Ward(budget)


def test_complaints_name_no_illness():
    told = repr(complaints())
    assert told.count("Patient") == 3
    assert "outlier" not in told
    assert "wrong" not in told


def test_the_sentence_reads_the_run():
    course = treat("B", Treatment("by norm", 1.0, "each example"), SEEDS)
    words = "clip by norm at c = 1, each example by itself: of 3 runs all learned"
    assert read(course) == f"{words}; the median error at the end is below 0.2."


def test_the_picture_shows_every_run_its_median_and_the_threshold():
    course = treat("B", Treatment("by norm", 2.0, "each example"), SEEDS)
    figure = WardFigure(course)
    steps = np.arange(401.0)
    assert course.goal == SOLVED
    np.testing.assert_array_equal(figure.data("median"), np.stack([steps, np.median(course.error, axis=1)], -1))
    np.testing.assert_array_equal(figure.data("largest")[:, 1], course.grad_norm.max(1))
    np.testing.assert_array_equal(figure.data("norm")[:, 1], np.median(course.grad_norm, axis=1))
    assert set(figure.data("threshold")[:, 1]) == {2.0}
    drawn = [line.get_ydata() for line in figure._runs]
    np.testing.assert_array_equal(np.stack(drawn, axis=1), course.error)
    assert np.isnan(WardFigure(treat("A", Treatment(), SEEDS)).data("threshold")[:, 1]).all()


# --- bad input ---


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"rule": "by power"}, ValueError, "rule must be one of 'none', 'by norm', 'by value'; got 'by power'"),
        ({"place": "loss"}, ValueError, "place must be one of 'each example', 'batch', 'update'; got 'loss'"),
        ({"threshold": 0.0}, ValueError, "threshold must be > 0; got 0.0"),
        ({"threshold": "1"}, TypeError, "threshold"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate must be > 0; got -1.0"),
        ({"learning_rate": math.nan}, ValueError, "learning_rate"),
        ({"standardize": "yes"}, ValueError, "standardize must be one of False, True; got 'yes'"),
        ({"c": 1.0}, ValueError, "a treatment has the settings rule, threshold, .*; got 'c'"),
        ([1.0], TypeError, "a treatment must be a Treatment or a dict"),
    ],
)
def test_what_is_no_treatment_is_refused(settings: object, error: type, message: str):
    with pytest.raises(error, match=message):
        treatment_from(settings)


def test_no_seeds_or_no_treatment_are_refused():
    with pytest.raises(ValueError, match=r"seeds must not be empty; got \[\]"):
        treat("A", Treatment(), [])
    with pytest.raises(TypeError, match="treatment must be a Treatment; got 'none'"):
        treat("A", "none")
