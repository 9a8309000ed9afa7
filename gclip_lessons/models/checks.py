"""What the models ask of their data, in one place."""

import math
import reprlib
from numbers import Real
from typing import Any

import numpy as np


def finite_array(name: str, value: Any) -> np.ndarray:
    """Return `value` as a new read-only float64 array.

    TypeError unless it holds real numbers, ValueError unless they are finite.
    """
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be an array of real numbers; got {reprlib.repr(value)}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite; got {array[~np.isfinite(array)][0]}")
    array.setflags(write=False)
    return array


def checked_params(params: Any, n_params: int) -> np.ndarray:
    """Return `params` as a float64 array (*runs, n_params); inf and NaN may be in it, a run may have diverged.

    TypeError unless it holds numbers, ValueError for another shape.
    """
    try:
        array = np.asarray(params, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"params must be an array of numbers; got {reprlib.repr(params)}") from None
    if array.shape[-1:] != (n_params,):
        raise ValueError(f"params must be (*runs, {n_params}); got shape {array.shape}")
    return array


def real_number(name: str, value: Any) -> float:
    """Return `value` as a float; TypeError unless it is a real number, ValueError unless it is finite."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number; got {reprlib.repr(value)}")
    try:
        number = float(value)
    except OverflowError:  # an int can be larger than any float
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite; got {reprlib.repr(value)}")
    return number


def whole_number(name: str, value: Any) -> int:
    """Return `value` as an int ≥ 1; TypeError unless it is a whole number, ValueError below 1."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number; got {reprlib.repr(value)}")
    if value < 1:
        raise ValueError(f"{name} must be >= 1; got {reprlib.repr(value)}")
    return int(value)
