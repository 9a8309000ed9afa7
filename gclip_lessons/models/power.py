"""An even power: flat at the bottom, and a curvature that grows with the distance."""

import numpy as np

from gclip_lessons.models.checks import checked_params, whole_number


class Power:
    """L(x) = Σ xᵢᵖ, gradient p·xᵢᵖ⁻¹; the minimum is 0, at the origin. `exponent` p is even and at least 2.

    For p > 2 no constant bounds its curvature p(p−1)·xᵖ⁻², and yet it is (L0, L1)-smooth, as Zhang, He, Sra &
    Jadbabaie define it (ICLR 2020). For p = 4 every L1 > 0 will do, with L0 = 16/L1².
    """

    def __init__(self, exponent: int = 4, n_params: int = 2) -> None:
        self.exponent = whole_number("exponent", exponent)
        if self.exponent % 2:
            raise ValueError(f"exponent must be even; got {exponent}")
        self.n_params = whole_number("n_params", n_params)

    def loss_and_grad(self, params: np.ndarray, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, n) at `params` (*runs, n); `step` plays no part."""
        params = checked_params(params, self.n_params)
        slope = params ** (self.exponent - 1)
        return np.vecdot(slope, params), self.exponent * slope
