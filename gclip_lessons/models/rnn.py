"""A recurrent network small enough to see every step of its backpropagation through time."""

import numpy as np

from gclip_lessons.models.checks import checked_params, finite_array


class RNN:
    """h_t = φ(W·h_{t−1} + u_t) from h_0 = 0, with the loss ½·‖h_T − y‖² at the last step.

    `inputs` u is (T, width) and `target` y (width,), both finite; `linear` takes φ(z) = z in place of tanh.
    `params` is (*runs, width²): the matrix W row by row. The gradient is backpropagation through time.
    """

    def __init__(self, inputs: np.ndarray, target: np.ndarray, *, linear: bool = False) -> None:
        self.inputs, self.target, self.linear = finite_array("inputs", inputs), finite_array("target", target), linear
        if self.inputs.ndim != 2 or self.target.shape != self.inputs.shape[1:] or not self.inputs.size:
            raise ValueError(
                "inputs must be (steps, width) and target (width,), not empty; "
                f"got shapes {self.inputs.shape} and {self.target.shape}"
            )
        self.n_steps, self.width = self.inputs.shape
        self.n_params = self.width**2

    def forward(self, params: np.ndarray) -> np.ndarray:
        """The states h_0 … h_T, (T+1, *runs, width)."""
        params = checked_params(params, self.n_params)
        matrix = params.reshape(*params.shape[:-1], self.width, self.width)
        h = np.zeros((self.n_steps + 1, *params.shape[:-1], self.width))
        for t in range(1, self.n_steps + 1):
            h[t] = (matrix @ h[t - 1, ..., None])[..., 0] + self.inputs[t - 1]
            if not self.linear:
                np.tanh(h[t], out=h[t])
        return h

    def backward(self, params: np.ndarray, h: np.ndarray) -> np.ndarray:
        """∂L/∂h_t for t = 0 … T, (T+1, *runs, width): from the last step back, one Jacobian at a time."""
        params = checked_params(params, self.n_params)
        matrix = params.reshape(*params.shape[:-1], self.width, self.width)
        delta = np.empty_like(h)
        delta[-1] = h[-1] - self.target
        for t in range(self.n_steps, 0, -1):
            delta[t - 1] = ((delta[t] * self._slope(h[t]))[..., None, :] @ matrix)[..., 0, :]
        return delta

    def _slope(self, h: np.ndarray) -> np.ndarray:
        """φ′ where the state is h."""
        return np.ones_like(h) if self.linear else 1 - h * h

    def part_norms(self, h: np.ndarray, delta: np.ndarray) -> np.ndarray:
        """Norms of the parts of ∂L/∂W that come from steps 1 … T, (T, *runs), given what `forward` and `backward` gave:
        each part is an outer product.
        """
        inner = (delta * self._slope(h))[1:]
        return np.sqrt(np.vecdot(inner, inner) * np.vecdot(h[:-1], h[:-1]))

    def gradient(self, h: np.ndarray, delta: np.ndarray) -> np.ndarray:
        """∂L/∂W (*runs, width²), the sum of the parts, given what `forward` and `backward` gave."""
        inner = (delta * self._slope(h))[1:]
        return np.einsum("t...i,t...j->...ij", inner, h[:-1]).reshape(*h.shape[1:-1], self.n_params)

    def loss_and_grad(self, params: np.ndarray, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, width²) at `params` (*runs, width²); `step` plays no part."""
        params = checked_params(params, self.n_params)
        h = self.forward(params)
        delta = self.backward(params, h)
        return 0.5 * np.vecdot(delta[-1], delta[-1]), self.gradient(h, delta)
