"""The curved valley that optimisers are tried on."""

import numpy as np

from gclip_lessons.models.checks import checked_params


class Rosenbrock:
    """L(x, y) = 100(y − x²)² + (1 − x)²; the minimum is 0, at (1, 1), on the floor of a curved valley.

    At the minimum it is 2508 times as curved across the valley as along it. From H. H. Rosenbrock, An
    automatic method for finding the greatest or least value of a function, The Computer Journal 3(3), 1960.
    """

    n_params = 2

    def loss_and_grad(self, params: np.ndarray, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, 2) at `params` (*runs, 2); `step` plays no part."""
        params = checked_params(params, self.n_params)
        x, y = params[..., 0], params[..., 1]
        above = y - x * x
        grad = np.empty(params.shape)
        grad[..., 0] = -400 * x * above - 2 * (1 - x)
        grad[..., 1] = 200 * above
        return 100 * above**2 + (1 - x) ** 2, grad
