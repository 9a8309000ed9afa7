"""Where a picture should show its result: what the lessons' tests write their `DRAWN` with."""

from typing import Any

import numpy as np


def against(x: Any, y: Any) -> np.ndarray:
    return np.stack(np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float)), -1)


def counted(y: np.ndarray, start: int = 0) -> np.ndarray:
    return against(start + np.arange(len(y)), y)


def so_far(result: Any, path: np.ndarray) -> np.ndarray:
    return path[: result.state.step + 1]


LOST = {"lost": None}  # words, whose test is of their own
