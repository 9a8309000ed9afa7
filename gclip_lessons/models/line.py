"""The smallest model of real data: a straight line."""

import numpy as np

from gclip_lessons.models.checks import checked_params, finite_array


class LineFit:
    """y ≈ a·x + b by least squares: L(a, b) = ½·mean((a·x + b − y)²).

    `x` and `y` are finite arrays (points,), and x is not constant. `params` is (*runs, 2): slope a, height b.

    A step costs the same for ten points as for ten million: the loss depends on the data through five means
    alone. They are taken about the centre of the data, where nothing cancels. With r = a·x̄ + b − ȳ, the
    slope a* of the best line and the mean square s² that it leaves over:

        L = ½·(r² + var(x)·(a − a*)² + s²),   ∂L/∂b = r,   ∂L/∂a = r·x̄ + var(x)·(a − a*)
    """

    n_params = 2

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        x, y = finite_array("x", x), finite_array("y", y)
        if x.ndim != 1 or x.shape != y.shape or x.size < 2:
            raise ValueError(
                f"x and y must both be (points,), with 2 points or more; got shapes {x.shape} and {y.shape}"
            )
        if (x == x[0]).all():
            raise ValueError(f"x must not be constant; got {x[0]} {x.size} times")
        self.x, self.y = x, y
        self._mean_x, self._mean_y = float(x.mean()), float(y.mean())
        away_x, away_y = x - self._mean_x, y - self._mean_y
        self._var_x = float(np.mean(away_x**2))
        self._best_slope = float(np.mean(away_x * away_y)) / self._var_x
        self._left_over = float(np.mean((away_y - self._best_slope * away_x) ** 2))

    def loss_and_grad(self, params: np.ndarray, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, 2) at `params` (*runs, 2); `step` plays no part."""
        params = checked_params(params, self.n_params)
        slope, height = params[..., 0], params[..., 1]
        residual = slope * self._mean_x + height - self._mean_y
        too_steep = slope - self._best_slope
        grad = np.empty_like(params)
        grad[..., 0] = residual * self._mean_x + self._var_x * too_steep
        grad[..., 1] = residual
        return 0.5 * (residual**2 + self._var_x * too_steep**2 + self._left_over), grad

    def predict(self, params: np.ndarray) -> np.ndarray:
        """The line at every x: (*runs, points)."""
        params = checked_params(params, self.n_params)
        return params[..., :1] * self.x + params[..., 1:]

    def rmse(self, params: np.ndarray) -> np.ndarray:
        """Root mean square error (*runs) in the units of y: √(2L)."""
        return np.sqrt(2 * self.loss_and_grad(params)[0])

    def least_squares(self) -> np.ndarray:
        """The best line (a, b), in closed form (Legendre, 1805): what training would reach if it could."""
        return np.array([self._best_slope, self._mean_y - self._best_slope * self._mean_x])

    def constant(self) -> np.ndarray:
        """The best line (0, b) without a slope: the mean of y, the least that a fit has to beat."""
        return np.array([0.0, self._mean_y])
