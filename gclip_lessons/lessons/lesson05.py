"""Lesson 05, why clipping can be faster: curvature that grows with the gradient, and runs that one should not trust."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np

from gclip_lessons.clipping import ClipByGlobalNorm
from gclip_lessons.exercises import Exercise, Misconception, Option, Prediction, Probe, Question, Quiz
from gclip_lessons.figures.ceiling import CeilingFigure
from gclip_lessons.figures.hidden_clip import HiddenClipFigure
from gclip_lessons.figures.rate_map import PathMapFigure
from gclip_lessons.figures.zigzag import ZigzagFigure
from gclip_lessons.lessons import Demo, Lesson, Preset, State, clamp, control, controls_of, frozen, signed, snap
from gclip_lessons.models import Cosh, Model, Power, Quadratic, Rosenbrock, Wells
from gclip_lessons.optimizers import SGD
from gclip_lessons.training import sweep


def walk(
    model: Model, params: np.ndarray, learning_rate: float | np.ndarray, max_norm: float | np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the points (*runs, 2) of clipped descent and the gradient norms (*runs) there, from the start on.

    Rates and thresholds are (*runs) or single numbers; inf clips nothing. `train` records more and takes as many steps
    as it is told; here runs of a thousand steps end where they arrive.
    """
    learning_rate, max_norm = SGD(learning_rate).learning_rate, ClipByGlobalNorm(max_norm).max_norm  # each is checked
    while True:
        with np.errstate(all="ignore"):
            grad = model.loss_and_grad(params, 0)[1]
            norm = np.hypot(grad[..., 0], grad[..., 1])
            step = learning_rate * np.minimum(1.0, max_norm / norm)
            ahead = params - step[..., None] * grad
        yield params, norm
        params = ahead


@dataclass(frozen=True)
class Run:
    """One run: its points (steps, 2) and gradient norms (steps) after so many `steps`, which need not be all.

    `arrives` is the number of steps to the goal and `gone` the step with the first norm that is not finite, or None.
    """

    steps: np.ndarray
    points: np.ndarray
    norm: np.ndarray
    arrives: int | None
    gone: int | None

    def __post_init__(self) -> None:
        for array in (self.steps, self.points, self.norm):
            frozen(array)


# --- Curvature, and the ceiling over it ---------------------------------------------------------------------------

N_CLIPPED, N_RAW = 400, 10_000
STARTS = tuple(range(1, 12))
# Every early step, then as many to each decade as a log scale can show.
SHOWN = np.unique(np.concatenate([np.arange(31), np.geomspace(30, N_RAW, 80).astype(int)]))


@dataclass(frozen=True)
class Surface:
    """A loss of the first demo: its model, its goal for ‖g‖, and L0 and L1 with curvature ≤ L0 + L1·‖g‖."""

    model: Model
    goal: float
    l0: float
    l1: float

    def curvature(self, points: np.ndarray) -> np.ndarray:
        """The largest eigenvalue of the Hessian at points (..., 2); all three losses have diagonal ones."""
        with np.errstate(all="ignore"):
            if isinstance(self.model, Cosh):
                return np.cosh(points).max(-1)
            if isinstance(self.model, Power):
                return 12 * (points**2).max(-1)
        return np.full(points.shape[:-1], self.l0)


# The fourth power is so flat at the bottom that it gets a goal of its own.
SURFACES = {
    "cosh": Surface(Cosh(2), 1e-6, 1.0, 1.0),
    "x⁴": Surface(Power(4, 2), 1e-3, 16.0, 1.0),
    "bowl": Surface(Quadratic.diagonal([1.0, 1.0]), 1e-6, 1.0, 0.0),
}


@dataclass(frozen=True)
class WallState(State):
    loss: str = control("cosh", label="loss", choices=tuple(SURFACES))
    learning_rate: float = control(0.5, label="η, clipped run", log=(1e-3, 10))
    max_norm: float = control(1.0, label="threshold c", log=(1e-3, 1e5))
    raw_rate: float = control(0.0017, label="η, unclipped run", log=(1.7e-4, 1.7), n_stops=41)
    start: int = control(10, label="start x (y = 1)", whole=(STARTS[0], STARTS[-1]))


@dataclass(frozen=True)
class WallResult:
    """`above` counts the clipped run's steps at which the curvature exceeds its ceiling 2/(η·min(1, c/n))."""

    state: WallState
    surface: Surface
    clipped: Run
    raw: Run
    above: int

    n_raw = N_RAW

    def ceiling(self, norm: np.ndarray) -> np.ndarray:
        """The curvature above which the clipped run's step overshoots, where the gradient has this norm."""
        return 2 / self.state.learning_rate * np.maximum(1.0, norm / self.state.max_norm)


def _named(known: Mapping[str, Any], loss: str) -> Any:
    if loss not in known:
        raise ValueError(f"loss must be one of {', '.join(map(repr, known))}; got {loss!r}")
    return known[loss]


@lru_cache(maxsize=64)
def clipped_run(loss: str, start: int, learning_rate: float, max_norm: float) -> Run:
    """The clipped run from (start, 1), up to the goal, to overflow, or to N_CLIPPED steps."""
    surface = _named(SURFACES, loss)
    points, norms = [], []
    for point, norm in itertools.islice(
        walk(surface.model, np.array([start, 1.0]), learning_rate, max_norm), N_CLIPPED + 1
    ):
        points.append(point)
        norms.append(float(norm))
        if not surface.goal < norm < np.inf:
            break
    last = len(norms) - 1
    arrives, gone = norms[-1] <= surface.goal, not np.isfinite(norms[-1])
    return Run(
        np.arange(last + 1), np.array(points), np.array(norms), last if arrives else None, last if gone else None
    )


@lru_cache(maxsize=16)
def raw_runs(loss: str, rates: tuple[float, ...], starts: tuple[int, ...] = STARTS) -> dict[tuple[int, float], Run]:
    """The unclipped runs from every one of `starts` with every rate, N_RAW steps in one batch, at the steps SHOWN."""
    surface = _named(SURFACES, loss)
    grid = np.array([[(start, 1.0)] * len(rates) for start in starts])
    arrives, gone = (np.full(grid.shape[:-1], -1) for _ in range(2))
    last_point, last_norm = grid.copy(), np.zeros(grid.shape[:-1])
    points, norms = [], []
    for step, (point, norm) in enumerate(
        itertools.islice(walk(surface.model, grid, np.array(rates), np.inf), N_RAW + 1)
    ):
        there = (arrives < 0) & (norm <= surface.goal)
        arrives[there], last_point[there], last_norm[there] = step, point[there], norm[there]
        gone[(gone < 0) & ~np.isfinite(norm)] = step
        if step in _SHOWN:
            points.append(point)
            norms.append(norm)
        if ((arrives >= 0) | (gone >= 0)).all():
            break
    paths, lengths = np.stack(points), np.stack(norms)
    runs = {}
    for (i, start), (j, rate) in itertools.product(enumerate(starts), enumerate(rates)):
        run = _raw_run(paths[:, i, j], lengths[:, i, j], int(arrives[i, j]), int(gone[i, j]))
        if run.arrives is not None and run.steps[-1] < run.arrives:  # it arrived between two of the steps SHOWN
            run = replace(
                run,
                steps=np.append(run.steps, run.arrives),
                points=np.vstack([run.points, last_point[i, j]]),
                norm=np.append(run.norm, last_norm[i, j]),
            )
        runs[start, rate] = run
    return runs


_SHOWN = frozenset(SHOWN.tolist())


def _raw_run(points: np.ndarray, norm: np.ndarray, arrives: int, gone: int) -> Run:
    """A run cut off where it arrives or is gone."""
    ends = min([step for step in (arrives, gone) if step >= 0], default=N_RAW)
    steps = SHOWN[: len(norm)]
    kept = ends >= steps
    return Run(
        steps[kept],
        points[kept],
        norm[kept],
        arrives if arrives >= 0 else None,
        gone if gone >= 0 else None,
    )


def climb(state: WallState) -> WallResult:
    """Both runs from one start; an unclipped rate on a stop of the slider is looked up, another is computed."""
    stops = controls_of(WallState)["raw_rate"].values
    for loss in SURFACES:  # whichever the menu may ask for next, so that it need not be waited for
        raw_runs(loss, stops, STARTS)
    batch = (stops, STARTS) if state.raw_rate in stops else ((float(state.raw_rate),), (state.start,))
    surface = SURFACES[state.loss]
    clipped = clipped_run(state.loss, state.start, state.learning_rate, state.max_norm)
    raw = raw_runs(state.loss, *batch)[state.start, float(state.raw_rate)]
    result = WallResult(state, surface, clipped, raw, 0)
    with np.errstate(all="ignore"):
        above = surface.curvature(clipped.points[:-1]) > result.ceiling(clipped.norm[:-1])  # no step leaves the last
    return replace(result, above=int(above.sum()))


def read_wall(result: WallResult) -> str:
    """The live sentence of the first demo."""
    state, clipped, raw, goal = result.state, result.clipped, result.raw, f"{result.surface.goal:.0e}"
    goal = goal.replace("e-0", "e-")
    words = (
        f"{state.loss} from ({state.start}, 1), goal ‖g‖ ≤ {goal}. Clipped (η = {state.learning_rate:g}, "
        f"c = {plain(state.max_norm)}): {_fate(clipped, N_CLIPPED)}, {_above(result)}. "
        f"Unclipped (η = {state.raw_rate:g}): {_fate(raw, N_RAW)}"
    )
    if clipped.arrives and raw.arrives:
        ratio = raw.arrives / clipped.arrives
        if ratio <= 1:
            return f"{words}, {clipped.arrives - raw.arrives} fewer." if ratio < 1 else f"{words}, as many."
        return f"{words}, {ratio:,.0f} times as many." if ratio >= 100 else f"{words}, {ratio:.3g} times as many."
    return f"{words}."


def _fate(run: Run, most: int) -> str:
    if run.gone is not None:
        return f"gone at step {run.gone} (inf)"
    if run.arrives is not None:
        return f"{run.arrives} step{'s' if run.arrives != 1 else ''}"
    return f"not there after {most} steps"


def _above(result: WallResult) -> str:
    many = f"at {result.above} step{'s' if result.above > 1 else ''}"
    return f"above its ceiling {many}" if result.above else "never above its ceiling"


def plain(value: float) -> str:
    """A number without a padded exponent: 0.01, 1e5."""
    return f"{value:g}".replace("e+0", "e").replace("e-0", "e-")


def hold_ceiling(state: WallState, panel: str, x: float, y: float) -> WallState:
    """The mouse takes the knee of the clipped run's ceiling, which stands at ‖g‖ = c and curvature 2/η."""
    if panel != "curvature":
        return state
    return replace(
        state,
        max_norm=clamp("max_norm", WallState, x),
        learning_rate=clamp("learning_rate", WallState, 2 / max(y, 1e-300)),
    )


WALL = Demo(
    WallState,
    climb,
    CeilingFigure,
    read_wall,
    presets={
        "8557 or 39": Preset(WallState(), "Same start, same goal: why does one of them need so many more steps?"),
        "same η": Preset(WallState(raw_rate=0.5), "How long does the unclipped run last with the clipped run's η?"),
        "c too small": Preset(WallState(max_norm=0.1), "The ceiling is higher than it need be: what does that cost?"),
        "x⁴": Preset(WallState(loss="x⁴", raw_rate=0.0049), "Another curvature that grows: is 2/η again in the way?"),
        "bowl": Preset(
            WallState(loss="bowl", raw_rate=0.5), "The same bottom without the wall: which of the two runs is faster?"
        ),
    },
    drag=hold_ceiling,
)

# --- A map of thousands of runs -----------------------------------------------------------------------------------

N_MAP = 200
FLOOR = 1e-8  # what is nearer to the minimum than this counts as there


@dataclass(frozen=True)
class Land:
    """A loss of the map: model, start, least loss, and the middle and half the width of the part that is drawn."""

    model: Model
    start: tuple[float, float]
    least: float
    minimum: tuple[float, float]
    middle: tuple[float, float]
    reach: float
    levels: tuple[float, ...]


LANDS = {
    "cosh": Land(Cosh(2), (10.0, 1.0), 2.0, (0.0, 0.0), (0.0, 0.0), 12.0, tuple(4.0 ** np.arange(1, 13))),
    "bowl": Land(
        Quadratic.diagonal([1.0, 1.0]),
        (10.0, 1.0),
        0.0,
        (0.0, 0.0),
        (0.0, 0.0),
        12.0,
        tuple(np.arange(2.0, 22, 2) ** 2 / 2),
    ),
    "Rosenbrock": Land(Rosenbrock(), (-2.0, 2.0), 0.0, (1.0, 1.0), (0.0, 1.0), 2.5, (1, 4, 16, 64, 256, 1024, 4096)),
}


@dataclass(frozen=True)
class MapState(State):
    loss: str = control("cosh", label="loss", choices=tuple(LANDS))
    learning_rate: float = control(0.5, label="learning rate η", log=(1e-4, 10), n_stops=71)
    max_norm: float = control(1.0, label="threshold c", log=(1e-2, 1e5), n_stops=71)


@dataclass(frozen=True)
class MapResult:
    """`values` (rates, thresholds) and `unclipped` (rates) are losses above the minimum after N_MAP steps.

    `paths` (N_MAP+1, 2) and `losses` (N_MAP+1) are those of the picked run, "clipped", and of "raw", with the same rate
    and no threshold.
    """

    state: MapState
    rates: np.ndarray
    thresholds: np.ndarray
    values: np.ndarray
    unclipped: np.ndarray
    paths: dict[str, np.ndarray]
    losses: dict[str, np.ndarray]
    land: Land

    floor = FLOOR
    lands = LANDS


@cache
def final_losses(loss: str) -> tuple[np.ndarray, np.ndarray]:
    """Losses above the minimum after N_MAP steps for every stop of the sliders, (rates, thresholds), and without c."""
    land = _named(LANDS, loss)
    rates, thresholds = (np.array(controls_of(MapState)[name].values) for name in ("learning_rate", "max_norm"))
    path = sweep(
        land.model,
        np.array(land.start),
        SGD,
        ClipByGlobalNorm,
        learning_rates=rates,
        thresholds=np.append(thresholds, np.inf),
        n_steps=N_MAP,
    )
    final = frozen(np.where(np.isfinite(path.loss[-1]), path.loss[-1] - land.least, np.inf))
    return final[:, :-1], final[:, -1]


@lru_cache(maxsize=64)
def picked(loss: str, learning_rate: float, max_norm: float) -> tuple[np.ndarray, np.ndarray]:
    """The run at (η, c) and the one at (η, inf): points (N_MAP+1, 2 runs, 2), losses above the minimum (N_MAP+1, 2)."""
    land = _named(LANDS, loss)
    start, thresholds = np.array([land.start] * 2), np.array([max_norm, np.inf])
    steps = itertools.islice(walk(land.model, start, learning_rate, thresholds), N_MAP + 1)
    points = np.array([point for point, _ in steps])
    with np.errstate(all="ignore"):
        return frozen(points), frozen(land.model.loss_and_grad(points, 0)[0] - land.least)


def pick(state: MapState) -> MapResult:
    for loss in LANDS:  # whichever the menu may ask for next
        final_losses(loss)
    values, unclipped = final_losses(state.loss)
    points, losses = picked(state.loss, state.learning_rate, state.max_norm)
    controls = controls_of(MapState)
    return MapResult(
        state,
        np.array(controls["learning_rate"].values),
        np.array(controls["max_norm"].values),
        values,
        unclipped,
        {"clipped": points[:, 0], "raw": points[:, 1]},
        {"clipped": losses[:, 0], "raw": losses[:, 1]},
        LANDS[state.loss],
    )


def read_map(result: MapResult) -> str:
    """The live sentence of the second demo."""
    state = result.state
    clipped, raw = (_final(result.losses[name][-1]) for name in ("clipped", "raw"))
    there = result.values <= 1e-6
    rates = int(there.any(1).sum())
    return (
        f"{state.loss}, {N_MAP} steps with η = {state.learning_rate:g}: at c = {plain(state.max_norm)} {clipped}; "
        f"unclipped {raw}. Within 1e-6 of the minimum: {int(there.sum())} of {there.size} cells, at {rates} of "
        f"{len(there)} rates; unclipped {int((result.unclipped <= 1e-6).sum())} of {len(there)}."
    )


def _final(loss: float) -> str:
    if not np.isfinite(loss):
        return "the run is gone (inf)"
    if loss >= 1e4:
        return "the loss is beyond 10,000"
    return "the loss is down to 1e-8 or less" if loss <= FLOOR else f"the loss is {plain(float(f'{loss:.2g}'))}"


def hold_cross(state: Any, panel: str, x: float, y: float) -> Any:
    """The mouse picks a cell: x and y are the powers of ten of η and c. The strip above picks in the highest row."""
    if panel not in ("map", "strip"):
        return state
    powers = {"learning_rate": x, "max_norm": y if panel == "map" else np.inf}
    cell = {name: snap(name, type(state), 10 ** float(np.clip(power, -300, 300))) for name, power in powers.items()}
    return replace(state, **cell)


MAP = Demo(
    MapState,
    pick,
    PathMapFigure,
    read_map,
    presets={
        "cosh": Preset(MapState(), "How many of the rates work with some threshold, and how many without?"),
        "every step clipped": Preset(
            MapState(learning_rate=0.1, max_norm=0.1), "Follow the thin line of equal ηc: what changes along it?"
        ),
        "never clipped": Preset(
            MapState(learning_rate=0.001, max_norm=3e4), "Move c up from here: what does a row more change?"
        ),
        "bowl": Preset(MapState(loss="bowl"), "No wall: does any cell arrive where the strip above the map does not?"),
        "Rosenbrock": Preset(
            MapState(loss="Rosenbrock", learning_rate=0.001, max_norm=10.0),
            "Up and to the right, light cells lie hard by dark ones: which of them would you trust?",
        ),
    },
    drag=hold_cross,
)

# --- Three wells: one run, or a thousand --------------------------------------------------------------------------

WELLS_MODEL = Wells()
N_WELLS = 100
N_STARTS = 1000
SPREAD = 0.001  # standard deviation of the thousand starts around (0, 0)
WELLS_RATES = ("0.2", "0.5", "1")


@dataclass(frozen=True)
class WellsState(State):
    max_norm: float = control(0.5, label="threshold c", log=(0.01, 10), n_stops=61)
    learning_rate: str = control("0.5", label="learning rate η", choices=WELLS_RATES)
    x: float = control(0.0, label="start x", linear=(-0.003, 0.003), n_stops=61)
    y: float = control(0.0, label="start y", linear=(-0.003, 0.003), n_stops=61)


@dataclass(frozen=True)
class WellsResult:
    """Final losses after N_WELLS steps over all `thresholds`: of one start, `zigzag`, and quartiles (3, thresholds).

    `final` is that at the state's own threshold, `raw` that without clipping; `band` are the quartiles at that
    threshold, `path` the run to it and `raw_path` the unclipped one.
    """

    state: WellsState
    thresholds: np.ndarray
    zigzag: np.ndarray
    quartiles: np.ndarray
    final: float
    raw: float
    band: np.ndarray
    path: np.ndarray
    raw_path: np.ndarray
    starts: np.ndarray

    model = WELLS_MODEL


THRESHOLDS = frozen(np.array(controls_of(WellsState)["max_norm"].values))


@cache
def thousand_starts() -> np.ndarray:
    """The starts N(0, SPREAD²) that every threshold shares, (N_STARTS, 2)."""
    return frozen(np.random.default_rng(0).normal(0.0, SPREAD, (N_STARTS, 2)))


def last_losses(learning_rate: float, thresholds: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Final losses (thresholds, *starts) after N_WELLS steps from every start (*starts, 2) with every threshold."""
    limits = np.asarray(thresholds, float).reshape(-1, *(1,) * (starts.ndim - 1))
    runs = np.broadcast_to(starts, (limits.size, *starts.shape))
    point, _ = next(itertools.islice(walk(WELLS_MODEL, runs, learning_rate, limits), N_WELLS, None))
    return WELLS_MODEL.loss_and_grad(point)[0]


@lru_cache(maxsize=8)
def quartiles(learning_rate: float) -> np.ndarray:
    """Lower quartile, median and upper quartile of the thousand final losses at every one of THRESHOLDS, (3, C)."""
    losses = last_losses(learning_rate, THRESHOLDS, thousand_starts())
    return frozen(np.percentile(losses, [25, 50, 75], axis=1))


@lru_cache(maxsize=64)
def band(learning_rate: float, max_norm: float) -> np.ndarray:
    """The three quartiles at one threshold: looked up at a stop of the slider, computed elsewhere."""
    stops = controls_of(WellsState)["max_norm"].values
    if max_norm in stops:
        return quartiles(learning_rate)[:, stops.index(max_norm)]
    losses = last_losses(learning_rate, np.array([max_norm]), thousand_starts())
    return frozen(np.percentile(losses[0], [25, 50, 75]))


def bounce(state: WellsState) -> WellsResult:
    """The runs of one start at every threshold, at the state's own and at none, all in one batch."""
    for eta in WELLS_RATES:  # whichever the menu may ask for next
        quartiles(float(eta))
    rate, limits = float(state.learning_rate), np.append(THRESHOLDS, [state.max_norm, np.inf])
    steps = walk(WELLS_MODEL, np.tile([state.x, state.y], (limits.size, 1)), rate, limits)
    path = np.array([point for point, _ in itertools.islice(steps, N_WELLS + 1)])
    *zigzag, final, raw = WELLS_MODEL.loss_and_grad(path[-1])[0].tolist()
    return WellsResult(
        state,
        THRESHOLDS,
        np.array(zigzag),
        quartiles(rate),
        final,
        raw,
        band(rate, state.max_norm),
        path[:, -2],
        path[:, -1],
        thousand_starts(),
    )


def read_wells(result: WellsResult) -> str:
    """The live sentence of the third demo."""
    state, (low, middle, high) = result.state, map(two, result.band.tolist())
    spread = f"half of them end between {low} and {high}" if low != high else "the middle half of them all end there"
    return (
        f"From {place(state.x, state.y)} with η = {state.learning_rate} and c = "
        f"{plain(state.max_norm)}, the loss after {N_WELLS} steps is {two(result.final)}; unclipped {two(result.raw)}. "
        f"Of {N_STARTS} starts nearby the median is {middle}, and {spread}. The bottom of a well lies at "
        f"{two(-WELLS_MODEL.depth)}."
    )


def place(x: float, y: float) -> str:
    """A start in words: true minus signs, and none of the digits that arithmetic left behind."""
    return f"({round(x, 6):zg}, {round(y, 6):zg})".replace("-", "−")


def two(value: float) -> str:
    """A loss to two decimals."""
    return signed(value, 2)


def hold_wells(state: WellsState, panel: str, x: float, y: float) -> WellsState:
    """The mouse moves the start, in the inset, and the threshold, over the losses."""
    if panel == "starts":
        return replace(state, x=clamp("x", WellsState, x / 1000), y=clamp("y", WellsState, y / 1000))
    if panel == "loss":
        return replace(state, max_norm=snap("max_norm", WellsState, x))  # elsewhere a thousand runs are trained anew
    return state


WELLS = Demo(
    WellsState,
    bounce,
    ZigzagFigure,
    read_wells,
    presets={
        "c = 0.5": Preset(WellsState(), "Drag the ring in the inset by a hair: does the zigzag stay where it is?"),
        "c = 1": Preset(WellsState(max_norm=1.0), "This run is among the best. Is c = 1 among the best thresholds?"),
        "c = 0.05": Preset(WellsState(max_norm=0.05), "What do nearly all starts agree on?"),
        "c too small": Preset(WellsState(max_norm=0.02), "No run bounces here. Why do none arrive?"),
        "η = 1": Preset(
            WellsState(learning_rate="1", max_norm=0.25), "Twice the rate: where has the smooth valley gone?"
        ),
    },
    drag=hold_wells,
)

# --- Rosenbrock: find the hidden clip -----------------------------------------------------------------------------

N_HIDDEN = 300
FOUND = 0.01  # how near the two paths must be everywhere


@dataclass(frozen=True)
class HiddenState(State):
    puzzle: str = control("A", label="picture", choices=("A", "B", "C", "D"))
    max_norm: float = control(10.0, label="your threshold c", log=(0.1, 1e4), n_stops=101)
    x: float = control(-2.0, label="start x", linear=(-2.4, 2.4), n_stops=97)
    y: float = control(2.0, label="start y", linear=(-1.4, 3.4), n_stops=97)


# (η, hidden c) of each picture. The threshold of A is that of the gallery named in the notebook.
PUZZLES = {"A": (0.1, 1.0), "B": (0.02, 20.0), "C": (0.0015, 316.0), "D": (0.001, 2000.0)}


@dataclass(frozen=True)
class HiddenResult:
    """Paths (N_HIDDEN+1, 2) and step lengths (N_HIDDEN) of the "picture" and of "yours".

    `apart` is the largest distance between the two paths; `clipped` says of each whether any step was clipped.
    """

    state: HiddenState
    learning_rate: float
    paths: dict[str, np.ndarray]
    lengths: dict[str, np.ndarray]
    apart: float
    clipped: dict[str, bool]
    longest: float

    model = Rosenbrock()


@lru_cache(maxsize=64)
def hide(state: HiddenState) -> HiddenResult:
    rate, hidden = PUZZLES[state.puzzle]
    limits = np.array([hidden, state.max_norm])
    start = np.array([[state.x, state.y]] * 2)
    steps = itertools.islice(walk(HiddenResult.model, start, rate, limits), N_HIDDEN + 1)
    points, norms = (frozen(np.array(values)) for values in zip(*steps, strict=True))
    with np.errstate(all="ignore"):
        apart = np.hypot(*(points[:, 0] - points[:, 1]).T).max()
        lengths = frozen(rate * np.minimum(norms[:-1], limits))
    names = ("picture", "yours")
    return HiddenResult(
        state,
        rate,
        {name: points[:, k] for k, name in enumerate(names)},
        {name: lengths[:, k] for k, name in enumerate(names)},
        float(np.nan_to_num(apart, nan=np.inf)),
        {name: bool((norms[:-1, k] > limits[k]).any()) for k, name in enumerate(names)},
        float(norms[:, 0].max()),
    )


def read_hidden(result: HiddenResult) -> str:
    """The live sentence of the fourth demo; it says the hidden threshold only when it is found."""
    state, c = result.state, plain(result.state.max_norm)
    begin = f"Picture {state.puzzle}, η = {result.learning_rate:g}, from {place(state.x, state.y)}:"
    if result.apart <= FOUND:
        if result.clipped["picture"]:
            return f"{begin} found. With c = {c} the two paths are never more than {FOUND:g} apart: there was a clip."
        unclipped = "the picture is not" if result.clipped["yours"] else "neither is"
        return (
            f"{begin} the two paths are one at c = {c}, but {unclipped} clipped at any step. The longest gradient is "
            f"{result.longest:,.0f}: every c above it draws this picture. Where would the clip wake up?"
        )
    if not np.isfinite(result.apart) or result.apart > 100:
        return f"{begin} yours, with c = {c}, leaves the chart (more than 100 away), and the picture does not."
    mine, theirs = (float(result.lengths[name].max()) for name in ("yours", "picture"))
    return (
        f"{begin} with c = {c} the two paths come {result.apart:.2g} apart. Your longest step is {mine:.3g}, the "
        f"picture's {theirs:.3g}."
    )


def hold_hidden(state: HiddenState, panel: str, x: float, y: float) -> HiddenState:
    """The mouse moves the common start, and on the right the length ηc of your clipped steps."""
    if panel == "plane":
        return replace(state, x=clamp("x", HiddenState, x), y=clamp("y", HiddenState, y))
    return replace(state, max_norm=clamp("max_norm", HiddenState, y / PUZZLES[state.puzzle][0]))


HIDDEN = Demo(
    HiddenState,
    hide,
    HiddenClipFigure,
    read_hidden,
    presets={
        "picture A": Preset(HiddenState(), "Nobody says that this run was clipped. At which c?"),
        "picture B": Preset(
            HiddenState(puzzle="B", max_norm=1.0),
            "Its steps are longer: what do you read off the right panel?",
        ),
        "picture C": Preset(
            HiddenState(puzzle="C", max_norm=100.0), "Only a few steps were clipped here: can you still tell?"
        ),
        "picture D": Preset(
            HiddenState(puzzle="D", max_norm=1e4), "The paths are one at once. Is there a clip at all?"
        ),
    },
    drag=hold_hidden,
)

# --- Predictions --------------------------------------------------------------------------------------------------


def bowl_steps(learning_rate: float = 0.5) -> tuple[int | None, int | None]:
    """Steps to the goal in the bowl from (10, 1): clipped at c = 1, and unclipped with the same η."""
    result = climb(WallState(loss="bowl", learning_rate=learning_rate, raw_rate=learning_rate))
    return result.clipped.arrives, result.raw.arrives


def faster_in_the_bowl() -> str:
    clipped, raw = bowl_steps()
    return "same" if clipped == raw else "fewer" if clipped < raw else "more"


def rates_that_work() -> tuple[int, int]:
    """At how many rates of the map cosh comes within 1e-6 of its minimum: with some threshold, and with none."""
    values, unclipped = final_losses("cosh")
    return int((values <= 1e-6).any(1).sum()), int((unclipped <= 1e-6).sum())


def between_its_neighbours() -> str:
    """Where the final loss at c = 0.5 from (0, 0) lies beside those at 0.2 and at 1: is it worse, and much worse?"""
    at = last_losses(0.5, np.array([0.2, 0.5, 1.0]), np.zeros(2))
    behind = at[1] - max(at[0], at[2])
    return "between" if behind <= 0 else "little" if behind < 0.5 else "much"


PREDICTIONS = {
    "bowl": Prediction(
        key="05.a",
        question="Take the wall away: a bowl, ½(x² + y²), has the same curvature 1 at its bottom and everywhere else. "
        "From the same start, with η = 0.5 for both, the unclipped run takes 24 steps to ‖g‖ ≤ 1e-6. How many does "
        "the one clipped at c = 1 take?",
        truth=faster_in_the_bowl,
        options={
            "fewer": "fewer than 24: clipping speeds descent up",
            "same": "24: the steps near the minimum decide",
            "more": "more than 24: clipping slows it down",
        },
        explain={
            "fewer": "It sped things up on the wall because there the unclipped run had to make do with a tiny η. In "
            "the bowl it need not: η = 0.5 is safe from everywhere, and a clipped step is only a shorter one.",
            "same": "Near the minimum the two runs do the same. But to get there the clipped one walks 10 in steps of "
            "ηc = 0.5, and the unclipped one halves the distance each time.",
            "more": "Yes. In the bowl η = 0.5 is safe from everywhere. A clipped step is then only a shorter one.",
        },
        evidence=lambda: (
            "Clipped {}, unclipped {} steps. (At η = 1, the best there is: {} and {}. At η = 1.7, which "
            "bounces: {} and {}.)".format(*bowl_steps(), *bowl_steps(1.0), *bowl_steps(1.7))
        ),
    ),
    "rates": Prediction(
        key="05.b",
        question="Now thousands of runs on cosh from (10, 1): 71 rates from 0.0001 to 10, each with 71 thresholds and "
        "once without, 200 steps each. Unclipped, no rate at all comes within 1e-6 of the minimum. For how many of "
        "the 71 rates is there a threshold with which it does?",
        truth=lambda: float(rates_that_work()[0]),
        unit="rates",
        tolerance=0.25,
        explain={
            "low": "More. A threshold takes care of the wall, so the bottom alone limits η: every rate from a few "
            "hundredths up to nearly 2 has one.",
            "close": "Yes: with a threshold that suits it, every rate from a few hundredths up to nearly 2.",
            "high": "Fewer. No threshold makes a rate above 2 settle at a bottom of curvature 1, and the small rates "
            "run out of steps there, clipped or not.",
        },
        evidence=lambda: "{} of 71 rates with a threshold, {} without.".format(*rates_that_work()),
    ),
    "wells": Prediction(
        key="05.c",
        question="Three narrow wells with bottoms at −3.98. From (0, 0), η = 0.5, 100 steps, somebody tries "
        "thresholds: c = 0.2 ends at −3.73 and c = 1 at −3.83. Where does c = 0.5 end?",
        truth=between_its_neighbours,
        options={
            "much": "much worse than both, above −3.2",
            "between": "near −3.8, like its neighbours, or better",
            "little": "a little worse than both",
        },
        explain={
            "between": "One would think so: a smooth change of c, a smooth change of the result. But these runs do not "
            "settle in their well. They jump to and fro in it, and step 100 catches each of them somewhere else.",
            "little": "Worse, yes, and by far more than a little. The runs jump to and fro in their well, and step 100 "
            "catches each of them somewhere else.",
            "much": "Yes. And c = 0.5 is not to blame: the run jumps to and fro in its well, and step 100 catches it "
            "on the wrong side.",
        },
        evidence=lambda: "c = 0.2 ends at {}, c = 0.5 at {}, c = 1 at {}.".format(
            *(two(float(loss)) for loss in last_losses(0.5, np.array([0.2, 0.5, 1.0]), np.zeros(2)))
        ),
    ),
}

# --- Exercises ----------------------------------------------------------------------------------------------------


def steps_to_goal(start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if norm <= goal:
            return step
        theta = theta - learning_rate * min(1.0, max_norm / norm) * grad
    return np.inf


def steps_to_goal_stub(start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int) -> float:
    # How many clipped steps on Σ cosh θᵢ until ‖g‖ ≤ goal? inf if not within max_steps.
    ...


def counts_the_start_as_a_step(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    return steps_to_goal(start, learning_rate, max_norm, goal, max_steps) + 1


def looks_before_the_last_step_only(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    return steps_to_goal(start, learning_rate, max_norm, goal, max_steps - 1)


def always_takes_a_step_first(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    norm = np.sqrt(np.sum(np.sinh(start) ** 2))
    ahead = start - learning_rate * min(1.0, max_norm / max(norm, 1e-300)) * np.sinh(start)
    return steps_to_goal(ahead, learning_rate, max_norm, goal, max_steps - 1) + 1


def gives_the_last_step_instead_of_inf(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    return min(steps_to_goal(start, learning_rate, max_norm, goal, max_steps), max_steps)


def compares_the_clipped_norm(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    return 0 if max_norm <= goal else steps_to_goal(start, learning_rate, max_norm, goal, max_steps)


def always_steps_by_the_full_length(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if norm <= goal:
            return step
        theta = theta - learning_rate * max_norm / norm * grad
    return np.inf


def clips_each_coordinate(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        if np.sqrt(np.sum(grad**2)) <= goal:
            return step
        theta = theta - learning_rate * np.clip(grad, -max_norm, max_norm)
    return np.inf


def forgets_to_clip(start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int) -> float:
    return steps_to_goal(start, learning_rate, np.inf, goal, max_steps)


def forgets_the_learning_rate(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    return steps_to_goal(start, 1.0, max_norm, goal, max_steps)


def compares_the_largest_entry(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        if np.max(np.abs(grad)) <= goal:
            return step
        theta = theta - learning_rate * min(1.0, max_norm / np.sqrt(np.sum(grad**2))) * grad
    return np.inf


def compares_the_length_of_the_step(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if learning_rate * min(norm, max_norm) <= goal:
            return step
        theta = theta - learning_rate * min(1.0, max_norm / norm) * grad
    return np.inf


def asks_for_less_than_the_goal(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if norm < goal:
            return step
        theta = theta - learning_rate * min(1.0, max_norm / max(norm, 1e-300)) * grad
    return np.inf


def never_comes_nearer(start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int) -> float:
    return steps_to_goal(start, -learning_rate, max_norm, goal, max_steps)


def takes_cosh_for_the_gradient(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.cosh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if norm <= goal:
            return step
        theta = theta - learning_rate * min(1.0, max_norm / norm) * grad
    return np.inf


def allows_one_step_too_many(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    return steps_to_goal(start, learning_rate, max_norm, goal, max_steps + 1)


def gives_minus_one_instead_of_inf(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    steps = steps_to_goal(start, learning_rate, max_norm, goal, max_steps)
    return -1 if np.isinf(steps) else steps


def clips_the_step_instead_of_the_gradient(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if norm <= goal:
            return step
        theta = theta - min(learning_rate, max_norm / norm) * grad
    return np.inf


def skips_steps_that_are_too_long(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if norm <= goal:
            return step
        theta = theta - learning_rate * (norm <= max_norm) * grad
    return np.inf


def shortens_to_one(start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if norm <= goal:
            return step
        theta = theta - learning_rate * (grad / norm if norm > max_norm else grad)
    return np.inf


def forgets_the_square_root(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if norm**2 <= goal:
            return step
        theta = theta - learning_rate * min(1.0, max_norm / norm**2) * grad
    return np.inf


def compares_the_loss(start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if np.sum(np.cosh(theta)) <= goal:
            return step
        theta = theta - learning_rate * min(1.0, max_norm / max(norm, 1e-300)) * grad
    return np.inf


def compares_the_mean_entry(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if np.mean(np.abs(grad)) <= goal:
            return step
        theta = theta - learning_rate * min(1.0, max_norm / norm) * grad
    return np.inf


def counts_the_clipped_steps_only(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta, count = start.copy(), 0
    for _ in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if norm <= goal:
            return count
        count += int(norm > max_norm)
        theta = theta - learning_rate * min(1.0, max_norm / norm) * grad
    return np.inf


def takes_the_larger_factor(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if norm <= goal:
            return step
        theta = theta - learning_rate * max(1.0, max_norm / norm) * grad
    return np.inf


def turns_the_factor_over(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if norm <= goal:
            return step
        theta = theta - learning_rate * min(1.0, norm / max_norm) * grad
    return np.inf


def adds_up_sizes(start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sum(np.abs(grad))
        if norm <= goal:
            return step
        theta = theta - learning_rate * min(1.0, max_norm / norm) * grad
    return np.inf


def measures_the_way_to_the_minimum(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if np.sqrt(np.sum(theta**2)) <= goal:
            return step
        theta = theta - learning_rate * min(1.0, max_norm / max(norm, 1e-300)) * grad
    return np.inf


def stops_while_still_far(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if norm >= goal:
            return step
        theta = theta - learning_rate * min(1.0, max_norm / max(norm, 1e-300)) * grad
    return np.inf


def leaves_the_rate_out_where_it_clips(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    theta = start.copy()
    for step in range(max_steps + 1):
        grad = np.sinh(theta)
        norm = np.sqrt(np.sum(grad**2))
        if norm <= goal:
            return step
        theta = theta - (max_norm / norm if norm > max_norm else learning_rate) * grad
    return np.inf


def says_nothing_of_runs_that_do_not_arrive(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float | None:
    steps = steps_to_goal(start, learning_rate, max_norm, goal, max_steps)
    return None if np.isinf(steps) else steps


def gives_nan_instead_of_inf(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    steps = steps_to_goal(start, learning_rate, max_norm, goal, max_steps)
    return np.nan if np.isinf(steps) else steps


def knows_only_the_goal_of_the_lesson(
    start: np.ndarray, learning_rate: float, max_norm: float, goal: float, max_steps: int
) -> float:
    return steps_to_goal(start, learning_rate, max_norm, 1e-6, max_steps)


def largest_rate(start: float, max_norm: float) -> float:
    widest = min(abs(start), (max_norm / 4) ** (1 / 3))
    return 1 / (2 * widest**2)


def largest_rate_stub(start: float, max_norm: float) -> float:
    # On x⁴, below which η does no clipped step from |x| ≤ |start| land further out than it began?
    ...


def forgets_that_it_is_clipped(start: float, max_norm: float) -> float:
    return 1 / (2 * start**2)


def looks_at_the_first_step_only(start: float, max_norm: float) -> float:
    return max(1 / (2 * start**2), 2 * abs(start) / max_norm)


def takes_two_over_the_curvature(start: float, max_norm: float) -> float:
    return largest_rate(start, max_norm) / 3


def stops_at_the_minimum(start: float, max_norm: float) -> float:
    return largest_rate(start, max_norm) / 2


def forgets_the_start(start: float, max_norm: float) -> float:
    return 1 / (2 * (max_norm / 4) ** (2 / 3))


def takes_the_wider_of_the_two(start: float, max_norm: float) -> float:
    return 1 / (2 * max(abs(start), (max_norm / 4) ** (1 / 3)) ** 2)


def clips_the_position(start: float, max_norm: float) -> float:
    return 1 / (2 * min(abs(start), max_norm) ** 2)


def forgets_the_four(start: float, max_norm: float) -> float:
    return 1 / (2 * min(abs(start), max_norm ** (1 / 3)) ** 2)


def forgets_the_square(start: float, max_norm: float) -> float:
    return 1 / (2 * min(abs(start), (max_norm / 4) ** (1 / 3)))


def takes_the_square_root(start: float, max_norm: float) -> float:
    return 1 / (2 * min(abs(start), np.sqrt(max_norm / 4)) ** 2)


def forgets_the_sign_of_the_start(start: float, max_norm: float) -> float:
    return 1 / (2 * min(start, (max_norm / 4) ** (1 / 3)) ** 2)


def lets_the_step_reach_c(start: float, max_norm: float) -> float:
    return 2 * min(abs(start), (max_norm / 4) ** (1 / 3)) / max_norm


def takes_the_curvature_at_the_start(start: float, max_norm: float) -> float:
    return 2 / (12 * start**2)


def trusts_the_ceiling_at_the_start(start: float, max_norm: float) -> float:
    return 2 / (12 * start**2) * max(1.0, 4 * abs(start) ** 3 / max_norm)


def stops_at_the_minimum_and_forgets_to_clip(start: float, max_norm: float) -> float:
    return 1 / (4 * start**2)


def writes_a_third_without_brackets(start: float, max_norm: float) -> float:
    return 1 / (2 * min(abs(start), (max_norm / 4) ** 1 / 3) ** 2)


def forgets_how_far_the_start_is(start: float, max_norm: float) -> float:
    return 2 / min(4 * abs(start) ** 3, max_norm)


def divides_by_c_beyond_the_knee(start: float, max_norm: float) -> float:
    return 1 / (2 * start**2) if 4 * abs(start) ** 3 <= max_norm else 2 / max_norm


def divides_after_the_root(start: float, max_norm: float) -> float:
    return 1 / (2 * min(abs(start), max_norm ** (1 / 3) / 4) ** 2)


def trusts_the_rule_of_the_lesson(start: float, max_norm: float) -> float:
    return 2 / (16 + max_norm)


def gives_the_knee(start: float, max_norm: float) -> float:
    return min(abs(start), (max_norm / 4) ** (1 / 3))


def fair_comparison(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    def best(losses: np.ndarray) -> float:
        losses = np.where(np.isnan(losses), np.inf, losses)
        return float(np.median(losses, axis=1).min())

    return best(clipped), best(raw)


def fair_comparison_stub(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    rate, seed = np.unravel_index(np.nanargmin(clipped), clipped.shape)
    return float(clipped[rate, seed]), float(raw[rate, seed])


def takes_the_best_run_of_all(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return float(np.nanmin(clipped)), float(np.nanmin(raw))


def _nan_is_lost(losses: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(losses), np.inf, losses)


def gives_both_the_clipped_rate(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    medians = [np.median(_nan_is_lost(losses), axis=1) for losses in (clipped, raw)]
    rate = int(np.argmin(medians[0]))
    return float(medians[0][rate]), float(medians[1][rate])


def takes_the_mean_over_seeds(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return tuple(float(_nan_is_lost(losses).mean(1).min()) for losses in (clipped, raw))


def drops_the_runs_that_diverged(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    kept = [np.where(np.isfinite(losses), losses, np.nan) for losses in (clipped, raw)]
    kept = [losses[np.isfinite(losses).any(1)] for losses in kept]
    return tuple(float(np.nanmedian(losses, axis=1).min()) if losses.size else np.inf for losses in kept)


def lets_nan_spoil_the_median(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return tuple(float(np.median(losses, axis=1).min()) for losses in (clipped, raw))


def drops_nan_alone(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return tuple(float(np.nanmin(np.nanmedian(losses, axis=1))) for losses in (clipped, raw))


def takes_nan_for_zero(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return tuple(float(np.median(np.nan_to_num(losses), axis=1).min()) for losses in (clipped, raw))


def swaps_rates_and_seeds(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return tuple(float(np.median(_nan_is_lost(losses), axis=0).min()) for losses in (clipped, raw))


def chooses_the_rate_for_each_seed(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return tuple(float(np.median(_nan_is_lost(losses).min(0))) for losses in (clipped, raw))


def takes_the_median_of_everything(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return tuple(float(np.median(_nan_is_lost(losses))) for losses in (clipped, raw))


def takes_the_first_seed(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return tuple(float(_nan_is_lost(losses)[:, 0].min()) for losses in (clipped, raw))


def takes_the_worst_rate(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return tuple(float(np.median(_nan_is_lost(losses), axis=1).max()) for losses in (clipped, raw))


def takes_the_best_seed_of_the_best_rate(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    answer = []
    for losses in (_nan_is_lost(clipped), _nan_is_lost(raw)):
        answer.append(float(losses[np.argmin(np.median(losses, axis=1))].min()))
    return tuple(answer)


def gives_raw_first(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return fair_comparison(raw, clipped)


def chooses_the_rate_by_the_mean(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    def best(losses: np.ndarray) -> float:
        return float(np.median(losses, axis=1)[losses.mean(1).argmin()])

    return best(_nan_is_lost(clipped)), best(_nan_is_lost(raw))


def mends_only_the_raw_side(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return takes_the_best_run_of_all(clipped, raw)[0], fair_comparison(clipped, raw)[1]


def gives_both_the_raw_rate(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return gives_both_the_clipped_rate(raw, clipped)[::-1]


def makes_inf_a_number(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return tuple(float(np.median(np.nan_to_num(losses, nan=np.inf), axis=1).min()) for losses in (clipped, raw))


def takes_diverged_for_the_best(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    kept = (np.where(np.isnan(losses), -np.inf, losses) for losses in (clipped, raw))
    return tuple(float(np.median(losses, axis=1).min()) for losses in kept)


def takes_nan_for_the_worst_finite(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    def best(losses: np.ndarray) -> float:
        worst = np.max(losses, initial=-np.inf, where=np.isfinite(losses))
        return float(np.median(np.where(np.isfinite(losses), losses, worst), axis=1).min())

    return best(clipped), best(raw)


def drops_every_rate_with_a_diverged_seed(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    kept = (losses[np.isfinite(losses).all(1)] for losses in (clipped, raw))
    return tuple(float(np.median(losses, axis=1).min(initial=np.inf)) for losses in kept)


def takes_the_median_over_rates(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return tuple(float(np.median(np.median(_nan_is_lost(losses), axis=1))) for losses in (clipped, raw))


def gives_the_number_of_the_rate(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return tuple(int(np.median(_nan_is_lost(losses), axis=1).argmin()) for losses in (clipped, raw))


def takes_one_of_the_two_middle_runs(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return tuple(
        float(np.sort(_nan_is_lost(losses), axis=1)[:, losses.shape[1] // 2].min()) for losses in (clipped, raw)
    )


def takes_the_worst_seed(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return tuple(float(_nan_is_lost(losses).max(1).min()) for losses in (clipped, raw))


def chooses_the_rate_by_its_best_run(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    def best(losses: np.ndarray) -> float:
        return float(np.median(losses, axis=1)[losses.min(1).argmin()])

    return best(_nan_is_lost(clipped)), best(_nan_is_lost(raw))


def mends_only_the_clipped_side(clipped: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    return fair_comparison(clipped, raw)[0], takes_the_best_run_of_all(clipped, raw)[1]


nan, inf = np.nan, np.inf
EXERCISES = {
    "steps_to_goal": Exercise(
        key="05.1",
        title="Count the steps",
        solution=steps_to_goal,
        stub=steps_to_goal_stub,
        probes=(
            Probe((np.array([3.0, 1.0]), 0.5, 1.0, 1e-3, 100), "from the wall to the bottom"),
            Probe((np.array([0.1, -0.2]), 0.5, 1.0, 0.5, 10), "already there"),
            Probe((np.array([0.0, 0.0]), 0.5, 1.0, 0.0, 10), "the norm equals the goal"),
            Probe((np.array([3.0, 1.0]), 0.5, 1.0, 1e-3, 4), "too few steps allowed"),
            Probe((np.array([0.3]), 0.5, 1.0, 0.2, 1), "there with the last step allowed"),
            Probe((np.array([2.0, 0.5]), 0.4, 0.25, 0.3, 60), "c below the goal"),
            Probe((np.array([-2.0, 2.0, 1.0]), 0.3, 2.0, 0.05, 60), "three parameters, c = 2"),
            Probe((np.array([1.0, -1.5, 2.0, 0.5, -0.25]), 0.2, 0.7, 0.4, 80), "five parameters"),
            Probe((np.array([1.8]), 0.25, 10.0, 1.0, 40), "one parameter, never clipped"),
            Probe((np.array([2.0]), 0.2, 0.5, 1.45, 100), "a goal that is far from the bottom"),
            Probe((np.array([3.0, 1.0]), 0.5, 1.0, 1e-3, 14), "one step too few allowed"),
            Probe((np.array([1.2, 0.3]), 0.4, 1.5, 2.05, 60), "a goal above the number of parameters"),
            Probe((np.array([2.5, 1.0]), 0.4, 1.5, 2.05, 60), "from further out, the same goal"),
            Probe((np.array([1.0, -3.0]), 0.5, 4.0, 1e-3, 60), "c = 4"),
        ),
        misconceptions=(
            Misconception(
                counts_the_start_as_a_step,
                "One too many: at the start no step has been taken yet, so the count there is 0.",
            ),
            Misconception(
                looks_before_the_last_step_only,
                "After the last step that is allowed, nobody looks at the gradient. With `max_steps` steps there are "
                "`max_steps + 1` points: `range(max_steps + 1)`.",
            ),
            Misconception(
                always_takes_a_step_first,
                "A run that starts at the goal needs 0 steps. Look at the norm *before* stepping.",
            ),
            Misconception(
                gives_the_last_step_instead_of_inf,
                "A run that has not arrived gets `max_steps` here, as if it had. In a table of step counts that would "
                "look like a result: return `np.inf`.",
            ),
            Misconception(
                compares_the_clipped_norm,
                "The *clipped* norm is compared with the goal. It is never above c, so with c ≤ goal every run "
                "seems to have arrived. The norm before clipping tells where the run is.",
            ),
            Misconception(
                always_steps_by_the_full_length,
                "Every step has the length ηc here, near the minimum too: that is normalising, and such a run jumps "
                "over the minimum for ever. Clipping has a `min(1, …)` in it.",
            ),
            Misconception(
                clips_each_coordinate,
                "This clips every coordinate for itself, lesson 02. Here the whole gradient gets one factor.",
            ),
            Misconception(
                forgets_to_clip, "No step is clipped here: the factor min(1, c/n) is missing. That is the other run."
            ),
            Misconception(forgets_the_learning_rate, "The step is η times the clipped gradient; here η is missing."),
            Misconception(
                compares_the_largest_entry,
                "You compare the largest entry with the goal. The goal is for the norm of the whole gradient.",
            ),
            Misconception(
                compares_the_length_of_the_step,
                "You compare the length of the *step*, which a small η or c makes short anywhere. A run that creeps "
                "has not arrived.",
            ),
            Misconception(asks_for_less_than_the_goal, "A norm that equals the goal has reached it: `<=`, not `<`."),
            Misconception(
                never_comes_nearer,
                "Every run that has to take a step comes out as inf. Either the sign is wrong (a step goes *against* "
                "the gradient), or the gradient is computed once, before the loop, or `return np.inf` stands inside "
                "the loop and ends it after one step.",
            ),
            Misconception(
                takes_the_larger_factor,
                "max(1, c/n) lengthens short gradients and leaves the long ones long. The smaller of the two is "
                "wanted.",
            ),
            Misconception(
                turns_the_factor_over,
                "n/c is below 1 where the gradient is *short*. The factor is c/n, upside down.",
            ),
            Misconception(
                adds_up_sizes, "The sum of the sizes is the 1-norm. ‖g‖ is the root of the sum of the squares."
            ),
            Misconception(
                measures_the_way_to_the_minimum,
                "You ask how near θ is to the minimum. In training nobody knows where that is; the goal is for ‖g‖.",
            ),
            Misconception(
                stops_while_still_far,
                "`>` where `<=` belongs: the count stops while the norm is still *above* the goal.",
            ),
            Misconception(
                leaves_the_rate_out_where_it_clips,
                "Where you clip, η is missing. Clipping shortens the gradient to c, and the step is then ηc long.",
            ),
            Misconception(
                says_nothing_of_runs_that_do_not_arrive,
                "A run that does not arrive falls off the end of the function, which then gives None. `return np.inf` "
                "after the loop.",
            ),
            Misconception(
                gives_nan_instead_of_inf, "NaN means *no number*. *Never* is a number of steps here: `np.inf`."
            ),
            Misconception(
                knows_only_the_goal_of_the_lesson, "1e-6 is the goal of the lesson. Here it is an argument: `goal`."
            ),
            Misconception(
                takes_cosh_for_the_gradient, "cosh is the loss. Its derivative, the gradient, is sinh, without a minus."
            ),
            Misconception(
                allows_one_step_too_many,
                "This run gets one step more than it is allowed: `range(max_steps + 1)` looks at the start and after"
                " each step, and that is all.",
            ),
            Misconception(
                gives_minus_one_instead_of_inf,
                "In a table of step counts −1 would come first, as if it were the fastest run. One that has not "
                "arrived gets `np.inf`.",
            ),
            Misconception(
                clips_the_step_instead_of_the_gradient,
                "You clip the *step* ηg to the length c. Clip the gradient, then multiply by η: a clipped step is ηc"
                " long.",
            ),
            Misconception(
                skips_steps_that_are_too_long,
                "A gradient longer than c is left out here, and the run stands still for ever. Clipping shortens it.",
            ),
            Misconception(
                shortens_to_one,
                "Longer gradients get the length 1. They should get the length c: `max_norm * grad / norm`.",
            ),
            Misconception(
                forgets_the_square_root,
                "This is n², the sum of the squares, wherever n is meant: a square root is missing.",
            ),
            Misconception(
                compares_the_loss,
                "You compare the *loss* with the goal. Σ cosh θᵢ is never below the number of parameters, not even "
                "at the minimum.",
            ),
            Misconception(
                compares_the_mean_entry,
                "You compare the mean of the entries. The goal is for the norm of the whole gradient: squares, sum, "
                "root.",
            ),
            Misconception(counts_the_clipped_steps_only, "Every step counts, not only those that were clipped."),
        ),
        hints=(
            "At how many points does the run stand, start and end included, if it takes `max_steps` steps?",
            "In the loop: gradient, norm, arrived? If so return the number of steps taken so far. If not, step.",
            "`for step in range(max_steps + 1):` with `if norm <= goal: return step`, then "
            "`theta = theta - learning_rate * min(1, max_norm / norm) * grad`; `return np.inf` after the loop.",
        ),
        explanation="`range(max_steps + 1)` looks at the start and at the point after every step. The `if` comes "
        "before the division, so that a zero gradient never divides.",
    ),
    "largest_rate": Exercise(
        key="05.2",
        title="The largest safe η",
        solution=largest_rate,
        stub=largest_rate_stub,
        probes=(
            Probe((10.0, inf), "never clipped"),
            Probe((10.0, 4.0), "clipped far out"),
            Probe((0.5, 4.0), "a start too near to be clipped"),
            Probe((-10.0, 4.0), "from the left"),
            Probe((-0.5, 4.0), "from the left, too near to be clipped"),
            Probe((2.0, 32.0), "the start is where clipping begins"),
            Probe((3.0, 1.0), "c = 1"),
            Probe((3.0, 0.032), "a small c"),
            Probe((10.0, 500.0), "a large c"),
        ),
        misconceptions=(
            Misconception(
                forgets_that_it_is_clipped,
                "That is the limit without clipping: there the start alone decides. Where |x| is above (c/4)^⅓ the "
                "gradient is cut to c, and a larger η is safe.",
            ),
            Misconception(
                looks_at_the_first_step_only,
                "It holds for the first step. Further in, the gradient is shorter but the way back is shorter as well: "
                "the worst place is where clipping begins, 4|x|³ = c.",
            ),
            Misconception(
                takes_two_over_the_curvature,
                "2/f″ with f″ = 12x² is the limit for *staying near* a point of that curvature. Here the step starts "
                "at x and must not land beyond −x: 4ηx² < 2. That is three times as much.",
            ),
            Misconception(
                stops_at_the_minimum,
                "With this η the step lands exactly *on* the minimum. It may go past it, as far as −x: twice as much.",
            ),
            Misconception(
                forgets_the_start,
                "Right for starts that are clipped. A start that is too near for that never meets the knee, and allows "
                "a larger η.",
            ),
            Misconception(
                takes_the_wider_of_the_two,
                "The *nearer* of the two decides, start or knee: beyond the knee the gradient no longer grows.",
            ),
            Misconception(
                clips_the_position,
                "You compare |x| with c, but it is the gradient 4|x|³ that is clipped. At which |x| is it c?",
            ),
            Misconception(
                forgets_the_four, "The gradient of x⁴ is 4x³: clipping begins where 4|x|³ = c, at |x| = (c/4)^⅓."
            ),
            Misconception(
                forgets_the_square, "From |4ηx³| < 2|x| you may cancel |x| once: 4ηx² < 2. A square is left."
            ),
            Misconception(takes_the_square_root, "4|x|³ = c has a *cube* root: |x| = (c/4)^⅓."),
            Misconception(
                forgets_the_sign_of_the_start,
                "A start on the left is negative, so it always is the smaller number. Its distance counts: `abs`.",
            ),
            Misconception(
                lets_the_step_reach_c,
                "2|x|/c is right where the gradient *is* c. A start that is too near to be clipped has a shorter one.",
            ),
            Misconception(
                takes_the_curvature_at_the_start,
                "That is 2/f″ at the start, the limit for *staying near* a point, and not clipped. Here the step "
                "must only not land beyond −x, and far out it is cut.",
            ),
            Misconception(
                trusts_the_ceiling_at_the_start,
                "That is the ceiling of this lesson, a rule for *short* steps, at the start. Here a step may reach "
                "as far as −x; and the worst place is the knee, where 4|x|³ = c.",
            ),
            Misconception(
                stops_at_the_minimum_and_forgets_to_clip,
                "With this η an unclipped step lands exactly *on* the minimum. It may go as far as −x; and beyond "
                "the knee it is clipped.",
            ),
            Misconception(
                writes_a_third_without_brackets,
                "`** 1 / 3` is first `** 1`, then `/ 3`. Write `** (1 / 3)`, or `np.cbrt`.",
            ),
            Misconception(
                forgets_how_far_the_start_is,
                "2/n is not yet a limit for η: a step ηn may be as long as 2|x|, so divide 2|x| by n.",
            ),
            Misconception(
                divides_by_c_beyond_the_knee,
                "Beyond the knee a step is ηc long, and may be 2|x| long. It is most dangerous where |x| is least: "
                "at the knee.",
            ),
            Misconception(
                divides_after_the_root,
                "The 4 belongs under the root: from 4|x|³ = c follows |x|³ = c/4, and then the cube root of that.",
            ),
            Misconception(
                trusts_the_rule_of_the_lesson,
                "2/η = L0 + L1·c is the safe *rule*, for short steps, and on x⁴ far too careful. Asked is the exact "
                "limit: follow one step from x, and ask when it lands beyond −x.",
            ),
            Misconception(
                gives_the_knee,
                "That is the most dangerous *place*. The limit there is the η with which 4ηx³ is 2|x| long.",
            ),
        ),
        hints=(
            "Without clipping the step goes from x to x − 4ηx³. When is that further out than x?",
            "Unclipped: 4ηx² < 2. It is worst far out, where x is large. With clipping, where is it worst?",
            "At the knee, 4|x|³ = c, or at the start if that is nearer: with z = "
            "`min(abs(start), (max_norm / 4) ** (1 / 3))` the answer is `1 / (2 * z**2)`.",
        ),
        explanation="Unclipped the limit shrinks with the square of the start: whoever starts further out needs "
        "another η. Clipped it depends on c alone, however far out the run starts. That is what the map shows.",
    ),
    "fair_comparison": Exercise(
        key="05.3",
        title="Mend: a fair comparison",
        solution=fair_comparison,
        stub=fair_comparison_stub,
        probes=(
            Probe(
                (np.array([[3.0, 1.0, 2.0], [0.5, 4.0, 6.0]]), np.array([[2.5, 2.0, 7.0], [9.0, 8.0, 9.5]])),
                "two rates, three seeds",
            ),
            Probe(
                (np.array([[5.0, 5.5, 9.0], [1.0, 2.0, 3.0]]), np.array([[1.5, 1.0, 4.0], [8.0, inf, inf]])),
                "the rate that suits clipping makes raw diverge",
            ),
            Probe(
                (np.array([[2.0, nan, nan], [3.0, 4.0, 5.0]]), np.array([[nan, 0.1, nan], [6.0, 9.0, 7.0]])),
                "most seeds of a rate are NaN",
            ),
            Probe(
                (np.array([[0.2, inf, 0.6, 0.4, inf]]), np.array([[inf, 3.0, nan, inf, 1.0]])),
                "one rate, five seeds, some diverge",
            ),
            Probe(
                (np.array([[-3.0, -1.0], [-2.5, -2.0]]), np.array([[-2.0, -0.5], [0.0, -4.0]])),
                "negative losses, two seeds",
            ),
            Probe(
                (np.array([[1.0, 2.0, 6.0]] * 2), np.array([[nan, nan, nan], [inf, inf, nan]])),
                "nothing raw survives",
            ),
            Probe(
                (
                    np.array([[1.0, 1.0, 90.0], [2.0, 2.0, 2.0], [7.0, 7.0, 7.0]]),
                    np.array([[9.0, 9.0, 9.0], [4.0, 4.0, 70.0], [inf, 5.0, 5.0]]),
                ),
                "the best rate has one bad seed",
            ),
        ),
        misconceptions=(
            Misconception(
                takes_the_best_run_of_all,
                "The best single run of all: with enough seeds anybody is lucky once. First the median over seeds, "
                "then the best rate.",
            ),
            Misconception(
                gives_both_the_clipped_rate,
                "Raw is judged at the rate that suits clipping. Each of the two has the right to its own best rate.",
            ),
            Misconception(
                takes_the_mean_over_seeds,
                "One diverged seed makes the mean infinite, one outlier makes it what it likes. The median asks what a "
                "typical run does.",
            ),
            Misconception(
                drops_the_runs_that_diverged,
                "Runs that diverged are left out, so a rate that nearly always diverges can win with its one survivor. "
                "A diverged run is a result: the worst.",
            ),
            Misconception(
                lets_nan_spoil_the_median,
                "`np.median` and `min` give NaN as soon as one number is NaN. A run that ended in NaN diverged: inf.",
            ),
            Misconception(
                drops_nan_alone,
                "`nanmedian` forgets the runs that ended in NaN. They diverged like those that ended in inf.",
            ),
            Misconception(
                takes_nan_for_zero,
                "`nan_to_num` turns NaN into 0: a diverged run becomes one with loss 0, the best there is.",
            ),
            Misconception(
                swaps_rates_and_seeds,
                "The axes are swapped: rows are rates, columns are seeds. The median runs along a row, `axis=1`.",
            ),
            Misconception(
                chooses_the_rate_for_each_seed,
                "The best rate is chosen anew for every seed, after the fact. A rate has to be chosen before: median "
                "over seeds first, then the minimum over rates.",
            ),
            Misconception(
                takes_the_median_of_everything,
                "Rates that nobody would use count here as much as the best one. The best rate is what is compared.",
            ),
            Misconception(takes_the_first_seed, "One seed is one run. The zigzag over c was one run, too."),
            Misconception(takes_the_worst_rate, "The *best* rate of each: losses are to be small, so `min`."),
            Misconception(
                takes_the_best_seed_of_the_best_rate,
                "The rate is chosen by its median, but then its luckiest run is reported. Report the median.",
            ),
            Misconception(gives_raw_first, "The right numbers in the wrong order: clipped first, then raw."),
            Misconception(
                chooses_the_rate_by_the_mean,
                "You report the median, and choose the rate by the *mean*: one bad seed decides. Choose by what you "
                "report.",
            ),
            Misconception(
                mends_only_the_raw_side,
                "Raw is mended; the clipped side still reports its luckiest run. What is fair to one is owed to the "
                "other.",
            ),
            Misconception(
                gives_both_the_raw_rate,
                "Clipped is judged at the rate that suits raw. Each of the two has the right to its own best rate.",
            ),
            Misconception(
                makes_inf_a_number,
                "`nan_to_num` turns inf into 1.8e308 unless you say `posinf=np.inf`. Diverged is not a number.",
            ),
            Misconception(
                takes_diverged_for_the_best,
                "−inf is the *best* loss there could be. A diverged run is the worst: +inf.",
            ),
            Misconception(
                takes_nan_for_the_worst_finite,
                "A diverged run is put level with the worst that survived. It is worse than any other: inf.",
            ),
            Misconception(
                drops_every_rate_with_a_diverged_seed,
                "One diverged seed throws the whole rate out. It is one bad run among several: as inf it moves the "
                "median a little.",
            ),
            Misconception(
                takes_the_median_over_rates,
                "Median over seeds, right; but then of the rates the *best* is wanted, not the middle one.",
            ),
            Misconception(
                gives_the_number_of_the_rate,
                "That is *which* rate is best, its index. Asked for is the median loss at that rate: `min`, not "
                "`argmin`.",
            ),
            Misconception(
                takes_one_of_the_two_middle_runs,
                "Of an even number of seeds two are in the middle, and the median is their mean. `np.median` knows.",
            ),
            Misconception(
                takes_the_worst_seed,
                "The worst seed is one run too, the unluckiest. The median asks what a typical run does.",
            ),
            Misconception(
                chooses_the_rate_by_its_best_run,
                "You report the median, and choose the rate by its *luckiest* run. Choose by what you report.",
            ),
            Misconception(
                mends_only_the_clipped_side,
                "Clipped is mended; the raw side still reports its luckiest run. What is asked of one is asked of the "
                "other.",
            ),
        ),
        hints=(
            "Two things are unfair: one run stands for all seeds, and raw gets a rate that it did not choose.",
            "For each of the two arrays by itself: what does a typical run do at each rate? Which rate is best?",
            "`losses = np.where(np.isnan(losses), np.inf, losses)`, then `np.median(losses, axis=1).min()`, for both.",
        ),
        explanation="Median over seeds, then the best rate, for each by itself; a diverged run counts as the worst. "
        "Whoever chooses the rate by the same seeds that are reported is still a little too kind to both.",
    ),
}

# --- Quiz ---------------------------------------------------------------------------------------------------------

QUIZ = Quiz(
    "05",
    (
        Question(
            "A paper reports: clipped SGD with its best η needs 39 steps, plain SGD with the same η diverges. What is "
            "shown?",
            (
                Option(
                    "clipping is faster",
                    "Not yet: plain SGD was not asked at its own best η. From high up on cosh it is still slower "
                    "there; in the bowl it is not.",
                ),
                Option(
                    "plain SGD cannot solve this problem",
                    "At this η. On cosh a smaller η arrives, with no threshold at all; it only takes longer.",
                ),
                Option(
                    "that this η is too large without clipping",
                    "Yes, and no more. Give each of the two its own best η, then compare.",
                    right=True,
                ),
                Option(
                    "that the threshold is right",
                    "39 steps say nothing about other thresholds: none of them was tried.",
                ),
            ),
        ),
        Question(
            "On which loss does a threshold not raise the largest η that is safe?",
            (
                Option(
                    "a bowl, ½x²",
                    "Yes: its curvature is the same everywhere, and the bottom already sets the limit 2.",
                    right=True,
                ),
                Option("x⁴", "Its curvature 12x² grows without bound: unclipped the limit is 1/(2x²) at a start x."),
                Option("cosh x", "Its curvature grows exponentially: from 10 the unclipped limit is 0.0018."),
                Option("Rosenbrock", "Its walls are steeper the further out: from (−2, 2) it diverges near 0.0018."),
            ),
        ),
        Question(
            "The zigzag of final losses over c came from one start. What is the best next step?",
            (
                Option(
                    "take the c with the lowest point", "That is the luckiest run. One step later it may be the worst."
                ),
                Option("smooth the curve", "Smoothing averages over c what differs by luck. Average over starts."),
                Option("test c on a finer grid", "More dots, more zigzag: each run still stops mid-bounce."),
                Option(
                    "repeat each c from many starts",
                    "Yes: the median over starts shows what c does, and the band how much luck there is.",
                    right=True,
                ),
            ),
        ),
        Question(
            "In the worst case plain and clipped descent both need of the order of 1/ε² steps. What differs?",
            (
                Option("nothing: clipping is about safety", "The power of ε is equal, not the number in front."),
                Option(
                    "the constant: plain descent pays for the steepest place",
                    "Yes: its constant carries the largest gradient that the path may meet. Clipping removes it.",
                    right=True,
                ),
                Option(
                    "the power of ε, once steps are clipped",
                    "No: clipped or not, halving ε takes four times as many steps in the worst case.",
                ),
                Option(
                    "the size of the largest stable η at the minimum",
                    "Near the minimum clipping sleeps: η < 2 over the curvature there, for both.",
                ),
            ),
        ),
    ),
)

LESSON = Lesson(
    "05",
    "Why clipping can be faster",
    {"wall": WALL, "map": MAP, "wells": WELLS, "hidden": HIDDEN},
    PREDICTIONS,
    EXERCISES,
    QUIZ,
)
