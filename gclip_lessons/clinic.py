"""Three training runs that went wrong, and what can be done about them: the patients of the last lesson.

A `Treatment` says which rule clips what, and where; `treat` trains many runs of one patient with it, each from a seed
of its own. Which illness a patient has stands in `PATIENTS`, so whoever wants to find out does not look there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from gclip_lessons.clipping import clip_by_global_norm, clip_by_value, global_norm
from gclip_lessons.data import standardize
from gclip_lessons.models import Recurrence
from gclip_lessons.models.checks import real_number
from gclip_lessons.optimizers import SGD, Momentum, Optimizer

SOLVED = 0.2  # a run has learned when its error is no larger
RULES: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "none": lambda grad, c: grad,
    "by norm": clip_by_global_norm,
    "by value": clip_by_value,
}
PLACES = ("each example", "batch", "update")


@dataclass(frozen=True)
class Treatment:
    """What to change about a run: a `rule` with its `threshold`, the `place` where it clips, η, and the data.

    `rule` is "none", "by norm" or "by value"; `threshold` is > 0. `place` is "each example" (then the mean is taken),
    "batch" (the mean gradient) or "update" (what the optimiser makes of it, over η). `learning_rate` is > 0, or None
    for the patient's own; `standardize` gives every feature mean 0 and standard deviation 1. ValueError or TypeError
    for anything else.
    """

    rule: str = "none"
    threshold: float = 1.0
    place: str = "batch"
    learning_rate: float | None = None
    standardize: bool = False

    def __post_init__(self) -> None:
        for name, known in (("rule", tuple(RULES)), ("place", PLACES), ("standardize", (False, True))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}; got {getattr(self, name)!r}")
        for name in ("threshold", "learning_rate"):
            value = getattr(self, name)
            if (name == "threshold" or value is not None) and not real_number(name, value) > 0:
                raise ValueError(f"{name} must be > 0; got {value!r}")

    def __str__(self) -> str:
        """The treatment in words."""
        words = [f"clip {self.rule} at c = {self.threshold:g}, {_AT[self.place]}"] if self.rule != "none" else []
        words += [f"η = {self.learning_rate:g}"] if self.learning_rate is not None else []
        words += ["features standardised"] if self.standardize else []
        return "; ".join(words) or "untreated"


_AT = {"each example": "each example by itself", "batch": "the batch", "update": "after the optimiser"}


@dataclass(frozen=True, eq=False)
class Course:
    """How a patient's runs went under a treatment; steps come first.

    `error` (n_steps + 1, runs) is the typical error on examples that training never saw, `grad_norm` (n_steps, runs)
    the norm of the mean gradient before any clipping. inf and NaN stand where they arose.
    """

    treatment: Treatment
    error: np.ndarray
    grad_norm: np.ndarray

    @property
    def goal(self) -> float:
        """The error at which a run counts as solved."""
        return SOLVED

    @property
    def solved(self) -> np.ndarray:
        """Whether a run ended with an error of at most SOLVED, (runs)."""
        return self.error[-1] <= SOLVED


class Case:
    """A patient's runs, one for each seed: where they start, the gradient of every example, and the error."""

    start: np.ndarray

    def example_grads(self, params: np.ndarray, step: int) -> np.ndarray:
        """(runs, examples, n) at `params` (runs, n)."""
        raise NotImplementedError

    def error(self, params: np.ndarray) -> np.ndarray:
        """(runs) at `params` (runs, n)."""
        raise NotImplementedError


class _Regression(Case):
    """Least squares with two features and a height, on mini-batches; the error is the median on 200 fresh examples."""

    n_examples, batch_size = 200, 20

    def __init__(self, seeds: Iterable[int], scaled: bool, *, centre: float, spread: float, wrong: float) -> None:
        features, targets, batches = [], [], []
        for seed in seeds:
            rng = np.random.default_rng(seed)
            plain = rng.normal(size=(2 * self.n_examples, 2))
            weights = rng.normal(size=2)
            target = plain @ (3 * weights / np.linalg.norm(weights)) + 0.1 * rng.normal(size=len(plain))
            mistaken = rng.random(self.n_examples) < wrong
            target[: self.n_examples][mistaken] = rng.choice([-1000.0, 1000.0], mistaken.sum())
            measured = plain * [1.0, spread] + [0.0, centre]
            features.append(standardize(measured) if scaled else measured)
            targets.append(target)
            batches.append(rng.integers(0, self.n_examples, (_N_STEPS, self.batch_size)))
        x = np.stack(features)
        x = np.concatenate([np.ones_like(x[..., :1]), x], axis=-1)
        self._target, self._batches = np.stack(targets), np.stack(batches, axis=1)
        self._x, self._runs = x, np.arange(len(x))[:, None]
        self.start = np.zeros((len(x), 3))

    def example_grads(self, params: np.ndarray, step: int) -> np.ndarray:
        chosen = self._runs, self._batches[step]
        x = self._x[chosen]
        residual = (x @ params[:, :, None])[..., 0] - self._target[chosen]
        return residual[..., None] * x

    def error(self, params: np.ndarray) -> np.ndarray:
        fresh = slice(self.n_examples, None)
        residual = (self._x[:, fresh] @ params[:, :, None])[..., 0] - self._target[:, fresh]
        return np.median(np.abs(residual), axis=-1)


class _Cliff(Case):
    """The one-unit recurrence of lesson 04 from starts around (6, −2.5): one example, so a batch of one."""

    def __init__(self, seeds: Iterable[int], scaled: bool) -> None:
        self._unit = Recurrence()
        self.start = np.stack([np.random.default_rng(seed).normal((6.0, -2.5), 0.05) for seed in seeds])

    def example_grads(self, params: np.ndarray, step: int) -> np.ndarray:
        return self._unit.loss_and_grad(params)[1][:, None]

    def error(self, params: np.ndarray) -> np.ndarray:
        return np.sqrt(self._unit.loss_and_grad(params)[0])


@dataclass(frozen=True)
class Patient:
    """Somebody's training run: the `complaint` they came with, its settings, and the `illness` for afterwards."""

    complaint: str
    case: Callable[[Iterable[int], bool], Case]
    optimizer: Callable[[float], Optimizer]
    learning_rate: float
    n_steps: int
    illness: str


_N_STEPS = 400
PATIENTS = {
    "A": Patient(
        "“The loss is infinite after a few steps. Somebody said that clipping helps with that.” Two features, 20 "
        "examples a batch, plain descent.",
        lambda seeds, scaled: _Regression(seeds, scaled, centre=100.0, spread=30.0, wrong=0.0),
        SGD,
        0.1,
        _N_STEPS,
        "One feature lies around 100 with a spread of 30, the other around 0 with a spread of 1. No η suits both, "
        "and a clipped run stays finite without learning. Standardised, it learns without any clip.",
    ),
    "B": Patient(
        "“It never settles: the error jumps up, comes down, jumps again.” Two features, 20 examples a batch, momentum "
        "with β = 0.9.",
        lambda seeds, scaled: _Regression(seeds, scaled, centre=0.0, spread=1.0, wrong=0.02),
        Momentum,
        0.03,
        _N_STEPS,
        "Two labels in a hundred are wrong by a thousand. Each wrong example has a gradient hundreds of times too "
        "long, so every example has to be cut by itself, before the mean and before the velocity. A batch clipped "
        "whole works only where c is so small that a spoilt batch counts no more than any other.",
    ),
    "C": Patient(
        "“It was going down nicely. Then one step, and since then nothing moves.” A recurrent unit over 50 steps, one "
        "sequence, plain descent.",
        _Cliff,
        SGD,
        0.1,
        1000,
        "The cliff of lesson 04. One gradient of the wall throws the run to flat ground. Clipped by its norm the "
        "fall is harmless; data and η are not the trouble.",
    ),
}
PRACTICE = range(160, 200)  # the forty seeds of a run in the ward


def treat(patient: str, treatment: Treatment, seeds: Iterable[int] = PRACTICE) -> Course:
    """Train a patient's runs, one for each seed, under a treatment.

    θ ← θ + u, where u is what the optimiser makes of the mean gradient; `treatment.place` says which of the three, an
    example's gradient, their mean, or u/η, is clipped. ValueError for a patient that is not in PATIENTS and
    for no seeds.
    """
    if patient not in PATIENTS:
        raise ValueError(f"patient must be one of {', '.join(map(repr, PATIENTS))}; got {patient!r}")
    if not isinstance(treatment, Treatment):
        raise TypeError(f"treatment must be a Treatment; got {treatment!r}")
    seeds = list(seeds)
    if not seeds:
        raise ValueError("seeds must not be empty; got []")
    them = PATIENTS[patient]
    case, rate = them.case(seeds, treatment.standardize), treatment.learning_rate or them.learning_rate
    optimizer = them.optimizer(rate)

    def clip(values: np.ndarray, place: str) -> np.ndarray:
        return RULES[treatment.rule](values, treatment.threshold) if treatment.place == place else values

    params = case.start
    state = optimizer.init(params)
    error, grad_norm = np.empty((them.n_steps + 1, len(seeds))), np.empty((them.n_steps, len(seeds)))
    with np.errstate(all="ignore"):  # a run that overflows is a result
        for step in range(them.n_steps):
            error[step] = case.error(params)
            grads = case.example_grads(params, step)
            grad_norm[step] = global_norm(grads.mean(-2))
            grad = clip(clip(grads, "each example").mean(-2), "batch")
            update, state = optimizer.update(grad, state, params)
            params = params + rate * clip(update / rate, "update")
        error[-1] = case.error(params)
    return Course(treatment, error, grad_norm)


HIDDEN = range(1000, 1200)  # the seeds of a score, unless a teacher names others


def score(patient: str, treatment: Treatment, seeds: Iterable[int] = HIDDEN) -> float:
    """The share, 0 to 1, of a patient's runs that learn under a treatment, over seeds that nobody has practised on."""
    return float(treat(patient, treatment, seeds).solved.mean())


def treatment_from(settings: Any) -> Treatment:
    """A Treatment from one, or from a dict of its fields, as a notebook's answer is read by the grader.

    TypeError or ValueError for what is neither or has other fields.
    """
    if isinstance(settings, Treatment):
        return settings
    if not isinstance(settings, dict):
        raise TypeError(f"a treatment must be a Treatment or a dict of its settings; got {settings!r}")
    known = [field.name for field in fields(Treatment)]
    if unknown := [name for name in settings if name not in known]:
        raise ValueError(f"a treatment has the settings {', '.join(known)}; got {unknown[0]!r}")
    return Treatment(**settings)
