"""The data sets: what they hold, and that they need no network."""

import math
import sys
import zlib

import numpy as np
import pytest

from gclip_lessons import data
from gclip_lessons.data import google_prices, python_english, standardize


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


def test_the_english_is_words_of_small_letters_with_single_spaces():
    text = python_english()
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz ")
    assert "  " not in text
    assert text == text.strip()
    assert 15_000 < len(text) < 25_000
    words = text.split()
    assert sum(word in {"the", "of", "is", "a", "to", "and", "in"} for word in words) > 0.15 * len(words)
    assert text.startswith("unlike c all comparison operations in python have the same priority which is lower than")


def test_the_english_is_the_same_in_the_versions_that_it_was_compared_in():
    """Equal in 3.11.7, 3.12.1 and 3.13.0; a later Python may have changed a sentence."""
    if sys.version_info[:2] <= (3, 13):
        assert (len(python_english()), zlib.crc32(python_english().encode())) == (19765, 2008487317)


def test_a_python_that_has_lost_a_chapter_still_gives_text(monkeypatch):
    whole = python_english()
    monkeypatch.setattr(data, "_CHAPTERS", ("no such chapter", "comparisons"))
    assert python_english() == whole[: len(python_english())]
    assert len(python_english()) > 5000
