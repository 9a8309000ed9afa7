"""A network of any depth, to ask what its layers, its units and its size do to the norm of a gradient."""

from itertools import pairwise

import numpy as np

from gclip_lessons.models.checks import checked_params, finite_array, whole_number


class DeepNet:
    """A network without biases, n_in → hidden → … → 1: h ← φ(a·h·W) layer by layer, L = ½·mean((out − y)²).

    `x` is (examples, n_in), `y` (examples,), both finite, `hidden` the widths in between, each ≥ 1. φ is tanh, or
    with `linear` the identity, and always the identity at the output. a is 1, or with `ntk` 1/√fan-in, a factor in
    front of weights that are then drawn larger by as much (Jacot, Gabriel, Hongler, NeurIPS 2018).

    All weights stand in one flat vector, each W (fan-in, fan-out) row by row. `blocks` cuts it into layers, and `units`
    into units, the columns of the W: the weights that lead into one unit.
    """

    def __init__(
        self, x: np.ndarray, y: np.ndarray, hidden: tuple[int, ...], *, linear: bool = False, ntk: bool = False
    ) -> None:
        x, y = finite_array("x", x), finite_array("y", y)
        if x.ndim != 2 or y.shape != x.shape[:1] or x.size == 0:
            raise ValueError(
                f"x must be (examples, n_in) and y (examples,), not empty; got shapes {x.shape} and {y.shape}"
            )
        self.x, self.y, self.linear, self.ntk = x, y, linear, ntk
        self.widths = (x.shape[1], *(whole_number("hidden", width) for width in hidden), 1)
        sizes = [fan_in * fan_out for fan_in, fan_out in pairwise(self.widths)]
        ends = np.cumsum([0, *sizes]).tolist()
        self.blocks = tuple(slice(start, stop) for start, stop in pairwise(ends))
        self.units = tuple(
            slice(block.start + unit, block.stop, fan_out)
            for block, fan_out in zip(self.blocks, self.widths[1:], strict=True)
            for unit in range(fan_out)
        )
        self.n_params = ends[-1]

    def _layers(self, params: np.ndarray) -> list[tuple[float, np.ndarray]]:
        """The factor a and the matrix W (*runs, fan-in, fan-out) of each layer."""
        return [
            (fan_in**-0.5 if self.ntk else 1.0, params[..., block].reshape(*params.shape[:-1], fan_in, fan_out))
            for block, (fan_in, fan_out) in zip(self.blocks, pairwise(self.widths), strict=True)
        ]

    def loss_and_grad(self, params: np.ndarray, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, n) at `params` (*runs, n); `step` plays no part."""
        # einsum and not matmul: the threads of a matrix library wait for each other on a machine that is busy.
        params = checked_params(params, self.n_params)
        layers = self._layers(params)
        values = [self.x]
        for number, (a, w) in enumerate(layers, start=1):
            z = a * np.einsum("...bi,...io->...bo", values[-1], w)
            values.append(z if self.linear or number == len(layers) else np.tanh(z))
        error = values.pop()[..., 0] - self.y
        delta = (error / self.y.size)[..., None]  # ∂L/∂z of the last layer, and then layer by layer back
        grad = np.empty_like(params)
        for (a, w), block, h in zip(layers[::-1], self.blocks[::-1], values[::-1], strict=True):
            grad[..., block] = a * np.einsum("...bi,...bo->...io", h, delta).reshape(*params.shape[:-1], -1)
            delta = a * np.einsum("...bo,...io->...bi", delta, w) * (1.0 if self.linear else 1 - h * h)
        return 0.5 * np.vecdot(error, error) / self.y.size, grad
