"""A small neural network with its backpropagation by hand: fitted to numbers, or taught to tell two classes apart."""

from itertools import pairwise

import numpy as np

from gclip_lessons.models.checks import checked_params, finite_array, whole_number


class _Network:
    """A tanh network n_in → hidden → 1: out = W₂·tanh(W₁x + b₁) + b₂, without a loss.

    All parameters stand in one flat vector; `blocks` cuts it into W₁ (hidden × n_in, row by row), b₁ (hidden),
    W₂ (hidden), b₂ (1).
    """

    def __init__(self, n_in: int, hidden: int) -> None:
        self.n_in, self.hidden = n_in, whole_number("hidden", hidden)
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

    def _forward(self, params: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hidden values (*runs, examples, hidden), outputs (*runs, examples), and W₂ (*runs, hidden)."""
        w1, b1, w2, b2 = (params[..., block] for block in self.blocks)
        w1 = w1.reshape(*w1.shape[:-1], self.hidden, self.n_in)
        h = np.tanh(x @ w1.swapaxes(-1, -2) + b1[..., None, :])
        return h, (h @ w2[..., None])[..., 0] + b2, w2

    def _backward(self, x: np.ndarray, h: np.ndarray, w2: np.ndarray, d_out: np.ndarray) -> np.ndarray:
        """The gradient (*runs, n), given what `_forward` gave and ∂L/∂out (*runs, examples)."""
        d_hidden = d_out[..., None] * w2[..., None, :] * (1 - h * h)
        grad_w1 = d_hidden.swapaxes(-1, -2) @ x
        parts = (
            grad_w1.reshape(*d_out.shape[:-1], -1),
            d_hidden.sum(-2),
            (d_out[..., None, :] @ h)[..., 0, :],
            d_out.sum(-1)[..., None],
        )
        return np.concatenate(parts, axis=-1)


class TwoLayer(_Network):
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
        self.x, self.y = x, y
        super().__init__(x.shape[1], hidden)

    def predict(self, params: np.ndarray) -> np.ndarray:
        """The network's outputs (*runs, examples)."""
        return self._forward(checked_params(params, self.n_params), self.x)[1]

    def loss_and_grad(self, params: np.ndarray, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, n) at `params` (*runs, n); `step` plays no part."""
        params = checked_params(params, self.n_params)
        h, out, w2 = self._forward(params, self.x)
        error = out - self.y
        d_out = error / self.y.size
        return 0.5 * np.vecdot(error, d_out), self._backward(self.x, h, w2, d_out)


class TwoLayerClassifier(_Network):
    """The same network on two classes, L = mean log(1 + exp(−y·out)) over a batch: logistic loss.

    `x` is (*seeds, points, n_in), finite, and `y` (*seeds, points) holds labels ±1: a data set for each seed, where the
    axes of seeds are the last ones of the runs. `batches`, whole numbers (batches, *seeds, examples), says which points
    step k learns from, and begins again after the last; without it each step sees all points.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, hidden: int, batches: np.ndarray | None = None) -> None:
        x, y = finite_array("x", x), finite_array("y", y)
        if x.ndim < 2 or y.shape != x.shape[:-1] or x.size == 0:
            raise ValueError(
                "x must be (*seeds, points, n_in) and y (*seeds, points), not empty; "
                f"got shapes {x.shape} and {y.shape}"
            )
        if not (np.abs(y) == 1).all():
            raise ValueError(f"y must hold labels −1 and 1; got {y[np.abs(y) != 1][0]}")
        if batches is not None:
            batches = np.asarray(batches)
            if batches.dtype.kind not in "iu":
                raise TypeError(f"batches must hold whole numbers; got dtype {batches.dtype}")
            if batches.ndim != x.ndim or batches.shape[1:-1] != x.shape[:-2] or batches.size == 0:
                raise ValueError(
                    f"batches must be (batches, *seeds, examples) with seeds {x.shape[:-2]}; got shape {batches.shape}"
                )
            if batches.min() < 0 or batches.max() >= x.shape[-2]:
                raise ValueError(f"batches must lie in 0 to {x.shape[-2] - 1}; got {batches.min()} to {batches.max()}")
        self.x, self.y, self.batches = x, y, batches
        super().__init__(x.shape[-1], hidden)

    def predict(self, params: np.ndarray, x: np.ndarray | None = None) -> np.ndarray:
        """Outputs (*runs, points) for the points learned from or `x` (*seeds, points, n_in); positive for class 1."""
        return self._forward(checked_params(params, self.n_params), self.x if x is None else x)[1]

    def loss(self, params: np.ndarray) -> np.ndarray:
        """The loss over all points learned from, (*runs)."""
        return np.logaddexp(0, -self.y * self.predict(params)).mean(-1)

    def loss_and_grad(self, params: np.ndarray, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, n) at `params` (*runs, n), on the batch of `step`."""
        params = checked_params(params, self.n_params)
        x, y = self.x, self.y
        if self.batches is not None:
            chosen = self.batches[step % len(self.batches)]
            x, y = np.take_along_axis(x, chosen[..., None], -2), np.take_along_axis(y, chosen, -1)
        h, out, w2 = self._forward(params, x)
        margin = y * out
        d_out = -y * np.exp(-np.logaddexp(0, margin)) / y.shape[-1]
        return np.logaddexp(0, -margin).mean(-1), self._backward(x, h, w2, d_out)
