"""Data that is already on the learner's machine: no download, no account, no network."""

import numpy as np

from gclip_lessons.models.checks import finite_array


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
