"""A wall that grows exponentially: curvature rises with the gradient, as in recurrent networks."""

import numpy as np

from gclip_lessons.models.checks import checked_params, whole_number


class Cosh:
    """L(x) = Σ cosh xᵢ, gradient sinh xᵢ; the minimum is `n_params`, at the origin.

    Its curvature is bounded by the gradient, ‖∇²L‖ ≤ 1 + ‖∇L‖, and by no constant: it is (L0, L1)-smooth with
    L0 = L1 = 1, the setting of Zhang, He, Sra & Jadbabaie, "Why gradient clipping accelerates training"
    (ICLR 2020).
    """

    def __init__(self, n_params: int = 2) -> None:
        self.n_params = whole_number("n_params", n_params)

    def loss_and_grad(self, params: np.ndarray, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, n) at `params` (*runs, n); `step` plays no part."""
        params = checked_params(params, self.n_params)
        return np.cosh(params) @ np.ones(self.n_params), np.sinh(params)
