"""The surfaces of lesson 05: power, Rosenbrock and wells against their formulas, one number at a time."""

import math

import numpy as np
import pytest

from gclip_lessons.models import Power, Rosenbrock, Wells
from gclip_lessons.optimizers import SGD
from gclip_lessons.training import train


@pytest.mark.parametrize("exponent", [2, 4, 6])
def test_power_is_its_formula(exponent):
    points = np.random.default_rng(1).normal(size=(20, 3)) * 3
    loss, grad = Power(exponent, 3).loss_and_grad(points)
    for point, value, slope in zip(points.tolist(), loss, grad, strict=True):
        assert value == pytest.approx(sum(abs(x) ** exponent for x in point))
        assert slope == pytest.approx([exponent * math.copysign(abs(x) ** (exponent - 1), x) for x in point])


@pytest.mark.parametrize("l1", [0.1, 0.5, 1.0, 7.0])
def test_the_fourth_power_is_smooth_with_l0_16_over_l1_squared_and_no_less(l1):
    x = np.linspace(0, 60, 2_000_001)
    excess = 12 * x**2 - l1 * 4 * x**3
    assert excess.max() == pytest.approx(16 / l1**2, rel=1e-6)
    assert x[excess.argmax()] == pytest.approx(2 / l1, abs=1e-4)


@pytest.mark.parametrize("start", [0.5, 3.0, -10.0])
def test_descent_on_the_fourth_power_is_safe_up_to_one_over_twice_the_square_of_the_start(start):
    limit = 1 / (2 * start**2)
    path = train(Power(4, 1), np.array([start]), SGD(limit * np.array([0.999, 1.001])), n_steps=3000)
    assert path.diverged.tolist() == [False, True]
    assert abs(path.params[-1, 0, 0]) < 0.1 * abs(start)


def test_rosenbrock_is_its_formula_and_has_its_minimum_at_1_1():
    points = np.random.default_rng(2).normal(size=(20, 2)) * 2
    loss = Rosenbrock().loss_and_grad(points)[0]
    for (x, y), value in zip(points.tolist(), loss, strict=True):
        assert value == pytest.approx(100 * (y - x * x) ** 2 + (1 - x) ** 2)
    value, grad = Rosenbrock().loss_and_grad(np.array([1.0, 1.0]))
    assert value == 0
    assert grad.tolist() == [0, 0]
    hessian = [[802.0, -400.0], [-400.0, 200.0]]
    low, high = np.linalg.eigvalsh(hessian)
    assert round(high / low) == 2508


def test_the_gradient_at_the_start_of_the_gallery():
    grad = Rosenbrock().loss_and_grad(np.array([-2.0, 2.0]))[1]
    assert grad.tolist() == [-400 * -2 * (2 - 4) - 2 * 3, 200 * (2 - 4)]


@pytest.mark.parametrize("width", [0.2, 0.7])
def test_wells_are_their_formula(width):
    centres = [(1.0, -0.5), (-1.0, 0.5), (-0.5, -0.8)]
    points = np.random.default_rng(3).normal(size=(20, 2))
    loss, grad = Wells(width=width).loss_and_grad(points)
    for (x, y), value, slope in zip(points.tolist(), loss, grad, strict=True):
        holes = [
            math.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * width**2)) / (2 * math.pi * width**2) for a, b in centres
        ]
        assert value == pytest.approx(-sum(holes))
        expected = [
            sum(hole * (p - q[i]) / width**2 for hole, q in zip(holes, centres, strict=True))
            for i, p in enumerate((x, y))
        ]
        assert slope == pytest.approx(expected, abs=1e-12)


def test_a_well_has_the_depth_and_the_curvature_that_it_says():
    model = Wells([[0.3, -0.4]], 0.2)
    h = 1e-4
    loss = [model.loss_and_grad(np.array([0.3 + step * h, -0.4]))[0] for step in (-1, 0, 1)]
    assert loss[1] == pytest.approx(-model.depth)
    assert model.depth == pytest.approx(3.9789, abs=1e-4)
    assert (loss[0] - 2 * loss[1] + loss[2]) / h**2 == pytest.approx(1 / (2 * math.pi * 0.2**4), rel=1e-4)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Power(3), ValueError, "exponent must be even; got 3"),
        (lambda: Power(0), ValueError, "exponent must be >= 1; got 0"),
        (lambda: Power(4.0), TypeError, "exponent must be a whole number; got 4.0"),
        (lambda: Power(4, 0), ValueError, "n_params must be >= 1; got 0"),
        (lambda: Wells([1.0, 2.0]), ValueError, r"centres must be \(wells, 2\), not empty; got shape \(2,\)"),
        (lambda: Wells(np.empty((0, 2))), ValueError, r"not empty; got shape \(0, 2\)"),
        (lambda: Wells(width=0.0), ValueError, r"width must be > 0; got 0\.0"),
        (lambda: Wells(width="wide"), TypeError, "width must be a real number; got 'wide'"),
        (lambda: Wells([[np.nan, 0.0]]), ValueError, "centres must be finite; got nan"),
    ],
)
def test_what_does_not_fit_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
