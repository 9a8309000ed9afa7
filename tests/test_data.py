"""The data sets: what they hold, and that they need no network."""

import math

import numpy as np
import pytest

from gclip_lessons.data import google_prices, standardize


def test_google_prices_are_what_the_docstring_says():
    days, price = google_prices()
    assert days.shape == price.shape == (1047,)
    assert days.dtype == price.dtype == np.float64
    assert (days[0], days[-1]) == (12649, 14166)
    assert np.datetime64("1970-01-01") + int(days[0]) == np.datetime64("2004-08-19")
    assert np.datetime64("1970-01-01") + int(days[-1]) == np.datetime64("2008-10-14")
    assert (np.diff(days) > 0).all()
    assert (price[0], price[-1]) == (100.34, 362.71)


def test_days_are_counted_as_matplotlib_counts_them():
    from matplotlib.dates import date2num

    days, _ = google_prices()
    assert date2num(np.datetime64("2004-08-19")) == days[0]


def test_google_prices_open_no_socket(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("no network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    assert google_prices()[0].size == 1047


def test_standardize_gives_mean_0_and_deviation_1():
    x = np.random.default_rng(0).normal(size=(100, 3)) * [1, 10, 1e6] + [0, 5, 1e8]
    before = x.copy()
    z = standardize(x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(0), 1)
    np.testing.assert_allclose(standardize([1, 2, 3]), np.array([-1, 0, 1]) * math.sqrt(1.5))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([], ValueError, "not empty"),
        (3.0, ValueError, r"x must be \(points, ...\)"),
        ([2.0, 2.0], ValueError, "x must vary: a constant has no scale; got 2.0 2 times"),
        ([[1.0, 2.0], [1.0, 3.0]], ValueError, "x must vary"),
        ([1.0, math.nan], ValueError, "x must be finite; got nan"),
        (["a"], TypeError, "x must be an array of real numbers"),
    ],
)
def test_standardize_refuses(x, error, message):
    with pytest.raises(error, match=message):
        standardize(x)
