"""What lesson 10 trains: three tasks, each with its data, start and yardstick, for one seed or many at once.

Every seed draws its own data, start and batches, whoever trains beside it: a run can be repeated alone. What takes
minutes was measured beforehand with the functions below (`python -m tools.record10`), and lies in `record10.npz`;
the tests train some of it anew.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from gclip_lessons.clipping import ClipByGlobalNorm
from gclip_lessons.data import python_english
from gclip_lessons.models import Model, SymbolRNN, TwoLayerClassifier
from gclip_lessons.optimizers import SGD
from gclip_lessons.training import LongRun

START = {"radius": 1.2, "inputs": 0.5, "outputs": 0.3}  # of both recurrent networks


@dataclass(frozen=True, eq=False)
class Task:
    """A model with one start a seed (seeds, n), and fresh examples to judge it by: inputs and right answers."""

    model: Model
    start: np.ndarray
    fresh: tuple[np.ndarray, np.ndarray] | None = None

    def train(
        self,
        learning_rates: np.ndarray | float,
        thresholds: np.ndarray | float,
        n_steps: int,
        keep: Sequence[int] = (),
    ) -> LongRun:
        """SGD, clipped by the global norm, from each seed's start. Rates and thresholds are numbers, or rows (settings)
        of equal length: the runs are then (settings, seeds).
        """
        rates, limits = np.broadcast_arrays(np.atleast_1d(learning_rates), np.atleast_1d(thresholds))
        optimizer, clipper = SGD(rates[:, None]), ClipByGlobalNorm(limits[:, None])
        return LongRun(self.model, self.start[None], optimizer, clipper, n_steps=n_steps, keep=keep)


# --- Characters ---------------------------------------------------------------------------------------------

ALPHABET = " abcdefghijklmnopqrstuvwxyz"
WINDOW, WINDOWS = 24, 16  # characters in a row, rows in a batch
GUESSING = float(np.log(len(ALPHABET)))  # the loss of one who holds all characters for equally likely


def characters(seeds: Sequence[int], n_steps: int) -> Task:
    """Read a window of English and say, after each character, which comes next: 32 units, 16 windows a batch."""
    codes = np.array([ALPHABET.index(letter) for letter in python_english()], dtype=np.int8)
    shape = n_steps, WINDOWS
    first = [np.random.default_rng([seed, 1]).integers(0, len(codes) - WINDOW, shape) for seed in seeds]
    windows = codes[np.stack(first, 1)[:, None] + np.arange(WINDOW + 1)[:, None, None]]
    model = SymbolRNN(windows[:, :-1], windows[:, 1:], len(ALPHABET), len(ALPHABET), hidden=32)
    return Task(model, np.stack([model.init(np.random.default_rng([seed, 0]), **START) for seed in seeds]))


def spelled(codes: np.ndarray) -> str:
    """Numbers of characters (n) as text."""
    return "".join(ALPHABET[code] for code in codes.tolist())


# --- Temporal order -----------------------------------------------------------------------------------------

LENGTH, EXAMPLES = 20, 20
CHANCE, SOLVED = 0.25, 0.95


def sequences(rng: np.random.Generator, count: tuple[int, ...], examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Symbols (*count, 20, examples) and classes (*count, examples) of the temporal-order task.

    Symbols 2 and 3 are distractors. One of 0 and 1 stands in the first four places and one in places 10 to 13; the
    class, 0 to 3, says which two they are and in which order. After Pascanu, Mikolov, Bengio (ICML 2013), made smaller.
    """
    draws = rng.random((*count, LENGTH + 4, examples))
    symbols = np.where(draws[..., 4:, :] < 0.5, 2, 3).astype(np.int8)
    which = (draws[..., :2, :] < 0.5).astype(np.int8)
    place = (4 * draws[..., 2:4, :]).astype(int) + np.array([[0], [10]])
    np.put_along_axis(symbols, place, which, -2)
    return symbols, 2 * which[..., 0, :] + which[..., 1, :]


def temporal_order(seeds: Sequence[int], n_steps: int) -> Task:
    """Say which two symbols stood early in a sequence of 20: 20 units, 20 sequences a batch, 500 fresh to judge."""
    batches = [sequences(np.random.default_rng([seed, 1]), (n_steps,), EXAMPLES) for seed in seeds]
    symbols, classes = (np.stack(part, -2) for part in zip(*batches, strict=True))
    model = SymbolRNN(symbols, classes[:, None], n_symbols=4, n_answers=4, hidden=20)
    generators = [np.random.default_rng([seed, 0]) for seed in seeds]
    start = np.stack([model.init(rng, **START) for rng in generators])
    fresh = [sequences(rng, (), 500) for rng in generators]
    return Task(model, start, tuple(np.stack(part, -2) for part in zip(*fresh, strict=True)))


def order_accuracy(task: Task, params: np.ndarray) -> np.ndarray:
    """The share of each seed's 500 fresh sequences that are named rightly, (*runs)."""
    symbols, classes = task.fresh
    return (task.model.answers(params, symbols) == classes).mean(-1)


# --- Two classes --------------------------------------------------------------------------------------------


def quadrants(rng: np.random.Generator, points: int, flipped: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian points (points, 2), and 1 where both coordinates have one sign, else −1; a share of labels `flipped`."""
    x = rng.normal(size=(points, 2))
    y = np.where(x.prod(-1) > 0, 1.0, -1.0)
    return x, np.where(rng.random(points) < flipped, -y, y)


def two_classes(seeds: Sequence[int], n_steps: int, *, points: int, examples: int, flipped: float = 0.0) -> Task:
    """Tell the quadrants apart: 64 units, `examples` of `points` points a batch, 2000 fresh, unflipped, to judge."""
    generators = [np.random.default_rng([seed, 0]) for seed in seeds]
    x, y = (np.stack(part) for part in zip(*(quadrants(rng, points, flipped) for rng in generators), strict=True))
    shape = n_steps, examples
    batches = np.stack([np.random.default_rng([seed, 1]).integers(0, points, shape) for seed in seeds], 1)
    model = TwoLayerClassifier(x, y, 64, batches)
    start = np.stack([model.init(rng) for rng in generators])
    fresh = (np.stack(part) for part in zip(*(quadrants(rng, 2000) for rng in generators), strict=True))
    return Task(model, start, tuple(fresh))


def class_accuracy(task: Task, params: np.ndarray) -> np.ndarray:
    """The share of each seed's 2000 fresh points on the right side, (*runs)."""
    x, y = task.fresh
    return (task.model.predict(params, x) * y > 0).mean(-1)


# --- What was measured beforehand ---------------------------------------------------------------------------

RECORD = Path(__file__).with_name("record10.npz")
THRESHOLDS = (0.01, 0.0316, 0.1, 0.316, 1.0, 3.16, 10.0)  # and, in the record, inf behind them
RATES = {
    "characters": (0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 10.0),
    "order": (0.01, 0.03, 0.1, 0.3, 1.0),
    "classes": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
}
CHARACTER_STEPS, ORDER_STEPS, CLASS_STEPS = 400, 3000, 1000
FLIPPED = {"points": 60, "examples": 10, "flipped": 0.15}
OVERFIT_STEPS = tuple(np.unique(np.geomspace(20, 8000, 81).round().astype(int)).tolist())
# Of the side trip on overfitting: rate and threshold of each setting.
OVERFIT_SETTINGS = ((0.3, np.inf), (0.05, np.inf), *((0.3, c) for c in (0.01, 0.0316, 0.1, 0.316, 1.0)))


def measure_characters(seeds: Sequence[int], rate: float, thresholds: Sequence[float]) -> np.ndarray:
    """The mean loss of the last 50 steps, (thresholds, seeds)."""
    run = characters(seeds, CHARACTER_STEPS).train(rate, np.array(thresholds), CHARACTER_STEPS).finish()
    return run.loss[-50:].mean(0)


def measure_order(seeds: Sequence[int], rate: float, thresholds: Sequence[float], n_steps: int) -> np.ndarray:
    """The accuracy after 0, 100, 200, … steps, (checkpoints, thresholds, seeds)."""
    task = temporal_order(seeds, n_steps)
    run = task.train(rate, np.array(thresholds), n_steps)
    return np.stack([order_accuracy(task, params) for params in _stations(run, range(0, n_steps + 1, 100))])


def measure_classes(seeds: Sequence[int], rate: float, thresholds: Sequence[float]) -> np.ndarray:
    """The accuracy at the end, (thresholds, seeds)."""
    task = two_classes(seeds, CLASS_STEPS, points=400, examples=20)
    return class_accuracy(task, task.train(rate, np.array(thresholds), CLASS_STEPS).finish().params)


def measure_overfitting(seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Training loss and accuracy after each of OVERFIT_STEPS, both (checkpoints, settings, seeds)."""
    task = two_classes(seeds, OVERFIT_STEPS[-1], **FLIPPED)
    run = task.train(*np.transpose(OVERFIT_SETTINGS), OVERFIT_STEPS[-1])
    both = [(task.model.loss(params), class_accuracy(task, params)) for params in _stations(run, OVERFIT_STEPS)]
    loss, accuracy = zip(*both, strict=True)
    return np.stack(loss), np.stack(accuracy)


def _stations(run: LongRun, steps: Sequence[int]) -> Iterator[np.ndarray]:
    """The parameters after each of `steps`, as the run comes past."""
    for step in steps:
        while run.step < step:
            run.advance()
        yield run.params


@lru_cache(maxsize=1)
def record() -> dict[str, np.ndarray]:
    """The record: the arrays of the `measure_…` functions, by name, with the learning rates as a first axis.

    characters (rates, thresholds, 10 seeds), order (rates, checkpoints, thresholds, 50 seeds), classes (rates,
    thresholds, 20 seeds), overfit_loss and overfit_accuracy (checkpoints, settings, 24 seeds).
    The axis of thresholds holds THRESHOLDS and then inf.
    """
    with np.load(RECORD) as file:
        arrays = {name: file[name].astype(np.float64) for name in file.files}
    for values in arrays.values():
        values.flags.writeable = False
    return arrays
