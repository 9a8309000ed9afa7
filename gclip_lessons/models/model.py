"""What a model is."""

from typing import Protocol

import numpy as np


class Model(Protocol):
    """Anything with `n_params` and `loss_and_grad`: no base class, no registration."""

    n_params: int

    def loss_and_grad(self, params: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, n) at `params` (*runs, n).

        `step` counts from 0; a noisy model draws its noise from it, a plain one ignores it.
        """
        ...
