"""Data that is already on the learner's machine: no download, no account, no network."""

import re

import numpy as np

from gclip_lessons.models.checks import finite_array, real_number


def google_prices() -> tuple[np.ndarray, np.ndarray]:
    """Google's share price from its first trading day, 2004-08-19, to 2008-10-14: (days, price).

    Both are float64 (1047,). `days` are days since 1970-01-01, as matplotlib counts dates (12649 to 14166):
    left so on purpose, since their size is what makes a fit explode. `price` is the adjusted close in US
    dollars. Source: the sample file goog.npz that comes with matplotlib.
    """
    from matplotlib.cbook import get_sample_data

    with get_sample_data("goog.npz") as file:
        rows = file["price_data"]
    return rows["date"].astype("datetime64[D]").astype(np.float64), rows["adj_close"].astype(np.float64)


def google_returns() -> tuple[np.ndarray, np.ndarray]:
    """Daily log-returns of `google_prices` in percent: (days, returns), both float64 (1046,), dated by the later day.

    Log-returns add up: their sum is 100·log(last price/first price).
    """
    days, price = google_prices()
    return days[1:], 100 * np.diff(np.log(price))


# Chapters of Python's language reference whose sentences are the same from Python 3.11 on.
_CHAPTERS = (
    "comparisons",
    "calls",
    "exceptions",
    "sequence-types",
    "dict",
    "numeric-types",
    "for",
    "booleans",
)


def python_english() -> str:
    """English prose from the language reference that ships inside Python: small letters and single spaces only.

    About 20,000 characters, the same in Python 3.11 to 3.13; a later Python may have changed a sentence. Code, short
    lines and lists of signatures are left out. Source: `pydoc_data.topics` of the standard library.
    """
    from pydoc_data.topics import topics

    paragraphs = [part for name in _CHAPTERS for part in re.split(r"\n\s*\n", topics.get(name, ""))]
    prose = [part for part in paragraphs if len(part) >= 150 and not re.search(r"^   ", part, re.MULTILINE)]
    return " ".join(re.sub("[^a-z]+", " ", " ".join(prose).lower()).split())


def alpha_stable(alpha: float, size: int | tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draws of symmetric α-stable noise of scale 1, as float64 of shape `size`: E exp(itX) = exp(−|t|^α).

    α in [0.1, 2] is the tail index: below 2, P(|X| > x) falls like x^(−α) and the variance is infinite; α = 1 is
    Cauchy's law. α = 2 is the normal law of variance 2, not 1. A sum of n draws has the law of n^(1/α) times one.
    Raises ValueError for another α (below 0.1 draws overflow), TypeError for an `rng` that is not a Generator.
    Source: Chambers, Mallows, Stuck, J. American Statistical Association, 1976.
    """
    alpha = real_number("alpha", alpha)
    if not 0.1 <= alpha <= 2:
        raise ValueError(f"alpha must lie in [0.1, 2]; got {alpha}")
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy Generator, as of np.random.default_rng(seed); got {rng!r}")
    angle = rng.uniform(-np.pi / 2, np.pi / 2, size)
    waiting = rng.exponential(size=size)
    return (
        np.sin(alpha * angle)
        / np.cos(angle) ** (1 / alpha)
        * (np.cos((1 - alpha) * angle) / waiting) ** ((1 - alpha) / alpha)
    )


def standardize(x: np.ndarray) -> np.ndarray:
    """(x − mean)/sd over the first axis: every column of (points, ...) gets mean 0 and standard deviation 1.

    Raises ValueError for a column that is constant, or not finite.
    """
    x = finite_array("x", x)
    if x.ndim == 0 or x.size == 0:
        raise ValueError(f"x must be (points, ...), not empty; got shape {x.shape}")
    if (x == x[0]).all(0).any():
        raise ValueError(f"x must vary: a constant has no scale; got {x[0]} {x.shape[0]} times")
    return (x - x.mean(0)) / x.std(0)
