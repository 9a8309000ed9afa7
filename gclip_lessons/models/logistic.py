"""Logistic regression, and the slope at which clipped examples cancel: what is clipped one by one, to be looked at."""

from collections.abc import Iterator

import numpy as np

from gclip_lessons.models.checks import checked_params, finite_array, real_number, whole_number


def slope_grads(margins: np.ndarray, params: np.ndarray) -> np.ndarray:
    """The derivative of log(1 + exp(−θz)) by θ, −z·σ(−θz) = −z/(1 + exp(θz)), for `margins` z and `params` θ.

    Both are arrays that broadcast. z = y·x, with the label y = ±1: negative for an example on the wrong side. The
    derivative never exceeds |z| and rises with θ. TypeError unless both are arrays of numbers.
    """
    if not (isinstance(margins, np.ndarray | np.number) and isinstance(params, np.ndarray | np.number)):
        raise TypeError(
            f"margins and params must be numpy arrays; got {type(margins).__name__}, {type(params).__name__}"
        )
    with np.errstate(over="ignore"):  # exp may become inf: the example is then far on the right side and pulls by 0
        return -margins / (1 + np.exp(params * margins))


def clipped_root(
    margins: np.ndarray,
    max_norm: np.ndarray | float,
    *,
    bracket: tuple[float, float] = (0.0, 20.0),
    n_halvings: int = 30,
) -> np.ndarray:
    """The slope θ at which the clipped gradients of all examples cancel: Σ clip(−z·σ(−θz), ±c) = 0, by bisection.

    `margins` z = y·x is (*seeds, examples), `max_norm` c is one number or (thresholds,), all > 0, inf for no
    clipping. Returns (*seeds) or (thresholds, *seeds). It is where per-example clipped gradient descent of any
    learning rate comes to rest. Every term rises with θ, so there is one sign change at the most; without one inside
    the `bracket` (low, high), both finite, the end nearer to it is returned. ValueError for c that is empty or not
    > 0, for low ≥ high, or n_halvings < 1; TypeError for what is not a number.

    The outliers are those of Menon, Rawat, Reddi, Kumar, "Can gradient clipping mitigate label noise?", ICLR 2020.
    """
    margins = finite_array("margins", margins)
    try:
        thresholds = np.asarray(max_norm, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"max_norm must be one number or one row of numbers; got {max_norm!r}") from None
    if margins.ndim < 1 or margins.shape[-1] < 1:
        raise ValueError(f"margins must be (*seeds, examples), not empty; got shape {margins.shape}")
    if thresholds.ndim > 1 or thresholds.size == 0 or not (thresholds > 0).all():
        raise ValueError(f"max_norm must be one number or one row of numbers, all > 0; got {max_norm!r}")
    if not isinstance(bracket, tuple | list) or len(bracket) != 2:
        raise TypeError(f"bracket must be (low, high); got {bracket!r}")
    low, high = (real_number("bracket", end) for end in bracket)
    if not low < high:
        raise ValueError(f"bracket must be (low, high) with low < high; got {bracket!r}")
    n_halvings = whole_number("n_halvings", n_halvings)
    roots = list(_roots(margins, np.atleast_1d(thresholds), low, high, n_halvings))
    return np.stack(roots) if thresholds.ndim else roots[0]


def _roots(
    margins: np.ndarray, thresholds: np.ndarray, low: float, high: float, n_halvings: int
) -> Iterator[np.ndarray]:
    """One threshold at a time: all of them at once would need arrays that no cache holds, and take twice as long."""
    for c in thresholds:
        below, above = (np.full(margins.shape[:-1], end) for end in (low, high))
        for _ in range(n_halvings):
            middle = (below + above) / 2
            too_small = np.clip(slope_grads(margins, middle[..., None]), -c, c).sum(-1) < 0
            below, above = np.where(too_small, middle, below), np.where(too_small, above, middle)
        yield (below + above) / 2


class Logistic:
    """Logistic regression without intercept: L(θ) = mean log(1 + exp(−θ·zᵢ)), gradient −mean zᵢ·σ(−θ·zᵢ).

    `margins` z = y·x, a finite array (examples, n), hold an example's features x and its label y = ±1 in one row.
    """

    def __init__(self, margins: np.ndarray) -> None:
        self.margins = finite_array("margins", margins)
        if self.margins.ndim != 2 or self.margins.size == 0:
            raise ValueError(f"margins must be (examples, n), not empty; got shape {self.margins.shape}")
        self.n_params = self.margins.shape[1]

    def per_example(self, params: np.ndarray) -> np.ndarray:
        """The gradient of every example, (*runs, examples, n), at `params` (*runs, n): what per-example rules clip."""
        return -self._doubt(checked_params(params, self.n_params))[..., None] * self.margins

    def loss_and_grad(self, params: np.ndarray, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, n) at `params` (*runs, n); `step` plays no part."""
        params = checked_params(params, self.n_params)
        loss = np.logaddexp(0, -params @ self.margins.T).mean(-1)
        return loss, -self._doubt(params) @ self.margins / len(self.margins)

    def _doubt(self, params: np.ndarray) -> np.ndarray:
        """σ(−θ·zᵢ), (*runs, examples): how improbable the model finds each label."""
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(params @ self.margins.T))
