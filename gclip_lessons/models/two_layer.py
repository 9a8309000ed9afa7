"""A small neural network with its backpropagation by hand."""

from itertools import pairwise

import numpy as np

from gclip_lessons.models.checks import checked_params, finite_array, whole_number


class TwoLayer:
    """A tanh network n_in → hidden → 1: out = W₂·tanh(W₁x + b₁) + b₂, L = ½·mean((out − y)²).

    `x` is (examples, n_in), `y` (examples,), both finite. All parameters stand in one flat vector; `blocks`
    cuts it into W₁ (hidden × n_in, row by row), b₁ (hidden), W₂ (hidden), b₂ (1).
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, hidden: int) -> None:
        x, y = finite_array("x", x), finite_array("y", y)
        if x.ndim != 2 or y.shape != x.shape[:1] or x.size == 0:
            raise ValueError(
                f"x must be (examples, n_in) and y (examples,), not empty; got shapes {x.shape} and {y.shape}"
            )
        self.x, self.y, self.hidden = x, y, whole_number("hidden", hidden)
        self.n_in = x.shape[1]
        ends = np.cumsum([0, self.hidden * self.n_in, self.hidden, self.hidden, 1]).tolist()
        self.blocks = tuple(slice(start, stop) for start, stop in pairwise(ends))
        self.n_params = ends[-1]

    def init(self, rng: np.random.Generator, runs: tuple[int, ...] = ()) -> np.ndarray:
        """Random parameters (*runs, n): weights N(0, 1/fan-in), biases 0."""
        params = np.zeros((*runs, self.n_params))
        for block, fan_in in ((self.blocks[0], self.n_in), (self.blocks[2], self.hidden)):
            size = (*runs, block.stop - block.start)
            params[..., block] = rng.normal(0.0, fan_in**-0.5, size=size)
        return params

    def _forward(self, params: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hidden values (*runs, examples, hidden), outputs (*runs, examples), and W₂ (*runs, hidden)."""
        w1, b1, w2, b2 = (params[..., block] for block in self.blocks)
        w1 = w1.reshape(*w1.shape[:-1], self.hidden, self.n_in)
        h = np.tanh(self.x @ w1.swapaxes(-1, -2) + b1[..., None, :])
        return h, (h @ w2[..., None])[..., 0] + b2, w2

    def predict(self, params: np.ndarray) -> np.ndarray:
        """The network's outputs (*runs, examples)."""
        return self._forward(checked_params(params, self.n_params))[1]

    def loss_and_grad(self, params: np.ndarray, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, n) at `params` (*runs, n); `step` plays no part."""
        params = checked_params(params, self.n_params)
        h, out, w2 = self._forward(params)
        error = out - self.y
        d_out = error / self.y.size
        d_hidden = d_out[..., None] * w2[..., None, :] * (1 - h * h)
        grad_w1 = d_hidden.swapaxes(-1, -2) @ self.x
        parts = (
            grad_w1.reshape(*params.shape[:-1], -1),
            d_hidden.sum(-2),
            (d_out[..., None, :] @ h)[..., 0, :],
            d_out.sum(-1)[..., None],
        )
        return 0.5 * np.vecdot(error, d_out), np.concatenate(parts, axis=-1)
