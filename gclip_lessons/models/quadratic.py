"""The quadratic bowl: the picture of every smooth minimum seen from near."""

import numpy as np

from gclip_lessons.models.checks import checked_params, finite_array, real_number


class Quadratic:
    """L(x) = ½·(x − x*)ᵀA(x − x*), gradient A(x − x*).

    `hessian` A is a finite symmetric (n, n) array; its eigenvalues are the curvatures (a negative one makes a
    saddle, and is allowed). `minimum` x* is (n,), the origin unless given.
    Plain descent converges only for η < 2/`largest_curvature`.
    """

    def __init__(self, hessian: np.ndarray, minimum: np.ndarray | None = None) -> None:
        hessian = finite_array("hessian", hessian)
        if hessian.ndim != 2 or hessian.shape[0] != hessian.shape[1] or hessian.size == 0:
            raise ValueError(f"hessian must be a square (n, n) array; got shape {hessian.shape}")
        if not np.allclose(hessian, hessian.T, rtol=1e-12, atol=0):
            raise ValueError(f"hessian must be symmetric; got {hessian.tolist()}")
        self.n_params = hessian.shape[0]
        minimum = finite_array("minimum", np.zeros(self.n_params) if minimum is None else minimum)
        if minimum.shape != (self.n_params,):
            raise ValueError(f"minimum must have the shape ({self.n_params},); got {minimum.shape}")
        self.hessian = (hessian + hessian.T) / 2
        self.minimum = minimum
        self._centred = not minimum.any()

    @classmethod
    def diagonal(cls, curvatures: np.ndarray) -> "Quadratic":
        """L(x) = ½·Σ aᵢxᵢ²: a bowl along the axes of the picture; `curvatures` a is (n,)."""
        curvatures = finite_array("curvatures", curvatures)
        if curvatures.ndim != 1:
            raise ValueError(f"curvatures must be one row of numbers (n,); got shape {curvatures.shape}")
        return cls(np.diag(curvatures))

    @classmethod
    def valley(cls, condition: float, angle: float = 0.0) -> "Quadratic":
        """A valley in two dimensions: curvature 1 along its floor, `condition` ≥ 1 across it.

        `angle` is that of the floor to the first axis, in radians.
        """
        condition, angle = real_number("condition", condition), real_number("angle", angle)
        if condition < 1:
            raise ValueError(f"condition must be >= 1; got {condition}")
        along = np.array([np.cos(angle), np.sin(angle)])
        across = np.array([-np.sin(angle), np.cos(angle)])
        return cls(np.outer(along, along) + condition * np.outer(across, across))

    @property
    def curvatures(self) -> np.ndarray:
        """The eigenvalues of the Hessian, ascending, (n,)."""
        return np.linalg.eigvalsh(self.hessian)

    @property
    def largest_curvature(self) -> float:
        """The largest eigenvalue λmax: plain gradient descent is stable for η < 2/λmax."""
        return float(self.curvatures[-1])

    def loss_and_grad(self, params: np.ndarray, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, n) at `params` (*runs, n); `step` plays no part."""
        away = checked_params(params, self.n_params)
        if not self._centred:
            away = away - self.minimum
        grad = away @ self.hessian
        return 0.5 * np.vecdot(away, grad), grad
