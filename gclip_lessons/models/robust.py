"""A mean under clipping, and the derivatives that a residual or a margin gives to a loss."""

import numpy as np

from gclip_lessons.models.checks import finite_array

_HALVINGS = 60  # of a bracket as wide as the data: down to the last digits of float64


def squared_derivative(residual: np.ndarray) -> np.ndarray:
    """The derivative of ½r² with respect to the residual r, finite: r itself, without bound."""
    return finite_array("residual", residual)


def huber_derivative(residual: np.ndarray, delta: np.ndarray | float) -> np.ndarray:
    """The derivative of Huber's loss: r where |r| ≤ δ, and δ·sign(r) beyond. `delta` > 0 broadcasts.

    The loss is ½r² in the middle and δ|r| − ½δ² outside. Raises ValueError unless r is
    finite and every δ positive.
    Source: Huber, Annals of Mathematical Statistics, 1964.
    """
    residual, delta = finite_array("residual", residual), _positive("delta", delta)
    return np.where(np.abs(residual) <= delta, residual, delta * np.sign(residual))


def cross_entropy_derivative(margin: np.ndarray) -> np.ndarray:
    """The derivative of log(1 + e^(−m)) with respect to the margin m: −1/(1 + e^m), between −1 and 0.

    The margin is y·(θ·x) with the label y = ±1, finite: negative where the model is wrong.
    """
    margin = finite_array("margin", margin)
    return -np.exp(-np.logaddexp(0.0, margin))


def clipped_mean(values: np.ndarray, max_norm: np.ndarray | float, counts: np.ndarray | None = None) -> np.ndarray:
    """Where training of a mean ends that clips each example: the root m of Σ wᵢ·clip(m − yᵢ, ±c) = 0.

    The gradient of ½(m − y)² is m − y, so this is Huber's location (1964): the mean for large c, close to the median
    for small c. `values` is finite, (points,); `max_norm` > 0 may be an array (*thresholds). `counts`
    (resamples, points), if given, says how often each point is in each resample of the bootstrap. Returns
    (*thresholds), with `counts` (*thresholds, resamples). Raises ValueError for arrays that do not fit.

    Sorted values and running sums of counts give the clipped sum at any m by two look-ups; the root is then
    found by bisection, for all thresholds and resamples at once.
    """
    values, c = finite_array("values", values), _positive("max_norm", max_norm)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"values must be (points,), not empty; got shape {values.shape}")
    weights = np.ones((1, values.size)) if counts is None else finite_array("counts", counts)
    if weights.ndim != 2 or weights.shape[1] != values.size or (weights < 0).any() or (weights.sum(1) <= 0).any():
        raise ValueError(
            f"counts must be (resamples, {values.size}), none negative and no row empty; got shape {weights.shape}"
        )
    order = np.argsort(values)
    values, weights = values[order], weights[:, order]
    number = np.pad(np.cumsum(weights, axis=1), ((0, 0), (1, 0)))
    total = np.pad(np.cumsum(weights * values, axis=1), ((0, 0), (1, 0)))
    row = np.arange(len(weights))
    c = c[..., None]
    low = np.full((*c.shape[:-1], len(weights)), values[0])
    high = np.full(low.shape, values[-1])
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        first, last = np.searchsorted(values, middle - c), np.searchsorted(values, middle + c)
        below, above = number[row, first], number[:, -1] - number[row, last]
        within = number[row, last] - below
        pull = total[row, last] - total[row, first] - middle * within + c * (above - below)
        low, high = np.where(pull > 0, middle, low), np.where(pull > 0, high, middle)
    root = 0.5 * (low + high)
    return root[..., 0] if counts is None else root


def _positive(name: str, value: np.ndarray | float) -> np.ndarray:
    array = finite_array(name, value)
    if array.size == 0:
        raise ValueError(f"{name} must not be empty; got shape {array.shape}")
    if not (array > 0).all():
        raise ValueError(f"{name} must be > 0; got {array[~(array > 0)].ravel()[0]}")
    return array
