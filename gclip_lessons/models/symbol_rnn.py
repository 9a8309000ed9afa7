"""A recurrent network that reads symbols and says which comes next, or what it has read."""

from itertools import pairwise

import numpy as np

from gclip_lessons.models.checks import checked_params, whole_number


class SymbolRNN:
    """h_t = tanh(h_{t−1}·W + U[s_t] + b) from h_0 = 0, answers softmax(h_t·V + a), mean cross-entropy over a batch.

    `symbols` are whole numbers below `n_symbols`, (batches, T, *seeds, examples), and `targets` whole numbers below
    `n_answers`, (batches, asked, *seeds, examples): the right answers at the last `asked` of the T steps. A row of the
    states h is an example. Step k of training reads batch k, and begins again after the last. Runs share the batches
    of their seed: the axes of seeds are the last ones of the runs.

    All parameters stand in one flat vector; `blocks` cuts it into W (hidden × hidden), U (n_symbols × hidden),
    b (hidden), V (hidden × n_answers) and a (n_answers), row by row. The gradient is backpropagation through time.
    TypeError or ValueError for what does not fit.
    """

    def __init__(self, symbols: np.ndarray, targets: np.ndarray, n_symbols: int, n_answers: int, hidden: int) -> None:
        self.n_symbols, self.n_answers = whole_number("n_symbols", n_symbols), whole_number("n_answers", n_answers)
        self.symbols = _codes("symbols", symbols, self.n_symbols)
        self.targets = _codes("targets", targets, self.n_answers)
        self.hidden = whole_number("hidden", hidden)
        read, asked = self.symbols.shape, self.targets.shape
        if len(read) < 3 or (read[0], *read[2:]) != (asked[0], *asked[2:]) or read[1] < asked[1] or 0 in read + asked:
            raise ValueError(
                "symbols must be (batches, T, *seeds, examples) and targets the same with 1 to T steps, not empty; "
                f"got shapes {read} and {asked}"
            )
        self._shapes = ((hidden, hidden), (n_symbols, hidden), (hidden,), (hidden, n_answers), (n_answers,))
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self._shapes)]).tolist()
        self.blocks = tuple(slice(start, stop) for start, stop in pairwise(ends))
        self.n_params = ends[-1]

    def init(self, rng: np.random.Generator, *, radius: float, inputs: float, outputs: float) -> np.ndarray:
        """Random parameters (n): W Gaussian with this spectral radius, U and V with these deviations, b and a zero."""
        recurrent = rng.normal(size=(self.hidden, self.hidden))
        recurrent *= radius / np.abs(np.linalg.eigvals(recurrent)).max()
        params = np.zeros(self.n_params)
        params[self.blocks[0]] = recurrent.ravel()
        params[self.blocks[1]] = rng.normal(0.0, inputs, self.n_symbols * self.hidden)
        params[self.blocks[3]] = rng.normal(0.0, outputs, self.hidden * self.n_answers)
        return params

    def _parts(self, params: np.ndarray) -> list[np.ndarray]:
        parts = zip(self.blocks, self._shapes, strict=True)
        return [params[..., block].reshape(*params.shape[:-1], *shape) for block, shape in parts]

    def forward(self, params: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """The states h_0 … h_T, (T+1, *runs, examples, hidden), reading `symbols` (T, *seeds, examples)."""
        w, u, b, _, _ = self._parts(params)
        u = u + b[..., None, :]
        one_hot = np.eye(self.n_symbols)
        h = np.zeros((len(symbols) + 1, *params.shape[:-1], symbols.shape[-1], self.hidden))
        for t, read in enumerate(symbols):
            np.matmul(h[t], w, out=h[t + 1])
            h[t + 1] += one_hot[read] @ u
            np.tanh(h[t + 1], out=h[t + 1])
        return h

    def loss_and_grad(self, params: np.ndarray, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Loss (*runs) and gradient (*runs, n) at `params` (*runs, n), on the batch of `step`."""
        params = checked_params(params, self.n_params)
        symbols, targets = (batches[step % len(batches)] for batches in (self.symbols, self.targets))
        one_hot, right = np.eye(self.n_symbols), np.eye(self.n_answers)
        w, _, _, v, a = parts = self._parts(params)
        w_back, v_back = (np.ascontiguousarray(matrix.swapaxes(-1, -2)) for matrix in (w, v))
        w_grad, u_grad, b_grad, v_grad, a_grad = grads = [np.zeros(part.shape) for part in parts]
        h = self.forward(params, symbols)
        n_asked = len(targets) * targets.shape[-1]
        loss, delta = np.zeros(params.shape[:-1]), np.zeros(h.shape[1:])
        for t in range(len(symbols), 0, -1):
            asked = t - 1 - len(symbols) + len(targets)
            if asked >= 0:
                surprise, error = _cross_entropy(h[t] @ v + a[..., None, :], right[targets[asked]])
                loss += surprise.sum(-1)
                v_grad += h[t].swapaxes(-1, -2) @ error
                a_grad += error.sum(-2)
                delta += error @ v_back
            delta *= 1 - h[t] * h[t]  # through tanh
            w_grad += h[t - 1].swapaxes(-1, -2) @ delta
            u_grad += one_hot[symbols[t - 1]].swapaxes(-1, -2) @ delta
            b_grad += delta.sum(-2)
            delta = delta @ w_back  # to the step before
        flat = [grad.reshape(*loss.shape, -1) for grad in grads]
        return loss / n_asked, np.concatenate(flat, axis=-1) / n_asked

    def answers(self, params: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """The likeliest answer after reading `symbols` (T, *seeds, examples): whole numbers (*runs, examples)."""
        _, _, _, v, a = self._parts(params)
        return (self.forward(params, symbols)[-1] @ v + a[..., None, :]).argmax(-1)

    def sample(self, params: np.ndarray, n_symbols: int, rng: np.random.Generator, first: int = 0) -> np.ndarray:
        """Let the network write: each answer is drawn and read as the next symbol. Whole numbers (n_symbols, *runs).

        It begins after reading `first`. All runs meet the same draws, so that they differ by what they learned alone.
        """
        w, u, b, v, a = self._parts(params)
        u, one_hot = u + b[..., None, :], np.eye(self.n_symbols)
        written = np.empty((n_symbols, *params.shape[:-1]), dtype=int)
        h, last = np.zeros((*params.shape[:-1], 1, self.hidden)), np.full(params.shape[:-1], first)
        with np.errstate(all="ignore"):  # parameters that diverged write as well as they can
            for k, draw in enumerate(rng.random(n_symbols)):
                h = np.tanh(h @ w + one_hot[last][..., None, :] @ u)
                scores = (h @ v)[..., 0, :] + a
                chances = np.exp(scores - scores.max(-1, keepdims=True)).cumsum(-1)
                last = written[k] = (chances < draw * chances[..., -1:]).sum(-1)
        return written


def _cross_entropy(scores: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """−log p of the right answer (…), and its derivative by the scores, p − one-hot (…, answers)."""
    scores -= scores.max(-1, keepdims=True)
    chances = np.exp(scores)
    total = chances.sum(-1, keepdims=True)
    surprise = np.log(total[..., 0]) - (scores * right).sum(-1)
    chances /= total
    chances -= right
    return surprise, chances


def _codes(name: str, value: np.ndarray, count: int) -> np.ndarray:
    """Whole numbers in 0 … count − 1."""
    codes = np.asarray(value)
    if codes.dtype.kind not in "iu":
        raise TypeError(f"{name} must be an array of whole numbers; got dtype {codes.dtype}")
    if codes.size and (codes.min() < 0 or codes.max() >= count):
        raise ValueError(f"{name} must lie in 0 to {count - 1}; got {codes.min()} to {codes.max()}")
    return codes
