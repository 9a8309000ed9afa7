"""Three narrow wells in a plain: hardly any slope far away, and a steep one just before the bottom."""

import numpy as np

from gclip_lessons.models.checks import checked_params, finite_array, real_number


class Wells:
    """L(x) = −Σₖ exp(−‖x − mₖ‖²/2σ²)/(2πσ²): an upside-down Gaussian at each of the `centres` mₖ, (wells, 2).

    `width` σ > 0. At the bottom of a well that stands alone the loss is −1/(2πσ²) and the curvature 1/(2πσ⁴) in every
    direction. With its three centres and σ = 0.2 this is the surface called "steep optima" in the Deep Learning
    tutorials of the University of Amsterdam (P. Lippe, tutorial 4, on optimisation).
    """

    n_params = 2

    def __init__(self, centres: np.ndarray = ((1.0, -0.5), (-1.0, 0.5), (-0.5, -0.8)), width: float = 0.2) -> None:
        self.centres, self.width = finite_array("centres", centres), real_number("width", width)
        if self.centres.ndim != 2 or self.centres.shape[1] != 2 or not len(self.centres):
            raise ValueError(f"centres must be (wells, 2), not empty; got shape {self.centres.shape}")
        if self.width <= 0:
            raise ValueError(f"width must be > 0; got {self.width}")

    @property
    def depth(self) -> float:
        """How far a well that stands alone lies below the plain, 1/(2πσ²)."""
        return 1 / (2 * np.pi * self.width**2)

    def loss_and_grad(self, params: np.ndarray, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, 2) at `params` (*runs, 2); `step` plays no part."""
        params = checked_params(params, self.n_params)
        # Column by column and well by well: for many runs four times as fast as one array of all distances.
        x, y = (params[..., i].copy() for i in range(2))
        loss, grad_x, grad_y = (np.zeros(x.shape) for _ in range(3))
        for centre_x, centre_y in self.centres.tolist():
            away_x, away_y = x - centre_x, y - centre_y
            hole = self.depth * np.exp((away_x * away_x + away_y * away_y) / (-2 * self.width**2))
            loss -= hole
            grad_x += hole * away_x
            grad_y += hole * away_y
        return loss, np.stack([grad_x, grad_y], axis=-1) / self.width**2
