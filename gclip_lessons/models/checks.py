"""What the models ask of their data, in one place."""

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
        raise TypeError(f"{name} must be an array of real numbers; got {_short(value)}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite; got {array[~np.isfinite(array)][0]}")
    array.setflags(write=False)
    return array


def whole_number(name: str, value: Any) -> int:
    """Return `value` as an int ≥ 1; TypeError unless it is a whole number, ValueError below 1."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number; got {_short(value)}")
    if value < 1:
        raise ValueError(f"{name} must be >= 1; got {value}")
    return int(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
