"""Lesson 04, cliffs: products of Jacobians, the wall that they build, and what clipping does at its foot."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gclip_lessons.clipping import ClipByGlobalNorm, global_norm
from gclip_lessons.exercises import Exercise, Misconception, Option, Prediction, Probe, Question, Quiz
from gclip_lessons.figures.cliff import CliffFigure
from gclip_lessons.figures.cloud import CloudFigure
from gclip_lessons.figures.fates import FatesFigure
from gclip_lessons.figures.jacobians import JacobiansFigure
from gclip_lessons.figures.parts import power_of_ten
from gclip_lessons.lessons import Demo, Lesson, Preset, State, clamp, control, controls_of, frozen, snap
from gclip_lessons.models import RNN, Recurrence
from gclip_lessons.models.checks import whole_number
from gclip_lessons.optimizers import SGD

UNIT = Recurrence()
WINDOW = (3.0, 7.0, -4.0, 0.0)  # of the pictures: w from, to, b from, to
ARRIVED = 0.05  # the loss of a run that has arrived, at most; on the plateau it is .09, on top of the cliff .2 and more


@lru_cache(maxsize=1)
def surface(n: int = 640) -> np.ndarray:
    """The loss over the window, (n, n), b along the first axis, at the centres of n × n cells."""
    return frozen(np.stack([UNIT.loss_and_grad(row)[0] for row in cells(n)]))


def cells(n: int) -> np.ndarray:
    """The centres (w, b) of n × n cells of the window, (n, n, 2), b along the first axis."""
    left, right, bottom, top = WINDOW
    at = (np.arange(whole_number("n", n)) + 0.5) / n
    return np.stack(np.meshgrid(left + at * (right - left), bottom + at * (top - bottom)), axis=-1)


def sigmoid(x: float) -> float:
    """The logistic function σ(x) = 1/(1 + e^{−x}), between 0 and 1."""
    return 1 / (1 + np.exp(-x))


def edge(w: np.ndarray) -> np.ndarray:
    """The b for which x_0 = ½ stays where it is, x_1 = x_0: the edge of the cliff, where w·σ′(½) > 1."""
    return UNIT.start - w * sigmoid(UNIT.start)


# --- One run at the cliff -----------------------------------------------------------------------------------

N_STEPS = 60


@dataclass(frozen=True)
class CliffState(State):
    w: float = control(5.0, label="start w", linear=WINDOW[:2])
    b: float = control(-2.0, label="start b", linear=WINDOW[2:])
    max_norm: float = control(1.0, label="threshold c", log=(0.01, 100))
    learning_rate: float = control(0.3, label="learning rate η", log=(0.01, 3))
    step: int = control(N_STEPS, label="step", whole=(0, N_STEPS), play=True)


@dataclass(frozen=True)
class CliffResult:
    """Paths (N_STEPS+1, 2), losses and gradient norms before clipping (N_STEPS+1) of the runs "raw" and "clipped"."""

    state: CliffState
    paths: dict[str, np.ndarray]
    losses: dict[str, np.ndarray]
    norms: dict[str, np.ndarray]
    surface: np.ndarray
    window: tuple[float, ...] = WINDOW


@lru_cache(maxsize=64)
def descend(w: float, b: float, max_norm: float, learning_rate: float) -> np.ndarray:
    """Two runs from one start, (N_STEPS+1, 2, 2), the first without clipping.

    `train` does the same and measures angles and norms as it goes, which is twice the work for a slider to wait for.
    """
    limits, eta = np.array([np.inf, ClipByGlobalNorm(max_norm).max_norm]), SGD(learning_rate).learning_rate
    path = np.empty((N_STEPS + 1, 2, 2))
    path[0] = w, b
    for step in range(N_STEPS):
        grad = UNIT.loss_and_grad(path[step])[1]
        norm = np.sqrt(np.vecdot(grad, grad))
        scale = np.minimum(limits, norm) / np.maximum(norm, 1e-300)
        path[step + 1] = path[step] - eta * scale[:, None] * grad
    return frozen(path)


def descend_both(state: CliffState) -> CliffResult:
    path = descend(state.w, state.b, state.max_norm, state.learning_rate)
    loss, grad = UNIT.loss_and_grad(path)
    norm, names = global_norm(grad), ("raw", "clipped")
    return CliffResult(
        state=state,
        paths=dict(zip(names, path.swapaxes(0, 1), strict=True)),
        losses=dict(zip(names, loss.T, strict=True)),
        norms=dict(zip(names, norm.T, strict=True)),
        surface=surface(),
    )


def read_cliff(result: CliffResult) -> str:
    """The live sentence of the two runs."""
    step, c = result.state.step, result.state.max_norm
    loss = {name: _number(values[step]) for name, values in result.losses.items()}
    most = {name: float(values[: step + 1].max()) for name, values in result.norms.items()}
    if most["raw"] <= c:
        where = ", and both are off the chart" if _outside(result, "raw") else ""
        return (
            f"After {step} steps no gradient was longer than c = {c:g}, the largest {_number(most['raw'])}: the two "
            f"runs are one, and the loss is {loss['raw']}{where}."
        )
    sentence = (
        f"After {step} steps the loss is {loss['raw']} unclipped and {loss['clipped']} clipped. The largest gradient "
        f"so far was {_number(most['raw'])} unclipped and {_number(most['clipped'])} clipped, cut down to {c:g}"
    )
    if most["clipped"] <= c:  # only the unclipped run met more
        sentence = sentence.removesuffix(f", cut down to {c:g}")
    gone = [name for name, word in (("raw", "unclipped"), ("clipped", "clipped")) if _outside(result, name)]
    words = {"raw": "the unclipped run", "clipped": "the clipped run"}
    lost = f"; {' and '.join(words[name] for name in gone)} {'are' if len(gone) == 2 else 'is'} off the chart"
    return sentence + (lost if gone else "") + "."


def _outside(result: CliffResult, name: str) -> bool:
    return bool(off_map(result.paths[name][result.state.step]))


def off_map(places: np.ndarray) -> np.ndarray:
    """Whether each of `places` (…, 2) lies outside the window, (…)."""
    left, right, bottom, top = WINDOW
    w, b = places[..., 0], places[..., 1]
    return ~((left <= w) & (w <= right) & (bottom <= b) & (b <= top))


def _number(value: float) -> str:
    if not value < 1e5:
        return "beyond 100,000"
    return two_digits(value) if value >= 1e-8 else "below 10⁻⁸"  # there the digits are rounding noise


def hold_start(state: CliffState, panel: str, x: float, y: float) -> CliffState:
    """The mouse moves the start on the surface, and the threshold line beside it."""
    if panel == "plane":
        return replace(state, w=clamp("w", CliffState, x), b=clamp("b", CliffState, y))
    return replace(state, max_norm=clamp("max_norm", CliffState, y))


CLIFF = Demo(
    CliffState,
    descend_both,
    CliffFigure,
    read_cliff,
    presets={
        "at the foot": Preset(CliffState(), "Which of the two runs meets the larger gradients?"),
        "thrown for good": Preset(
            CliffState(w=5.5, b=-2.3, learning_rate=2.0), "How far can one step take a run that nobody holds?"
        ),
        "c too small": Preset(CliffState(max_norm=0.01), "What is the price of being very careful?"),
        "far from the cliff": Preset(CliffState(w=3.9, b=-0.7), "What is there to clip where the ground is smooth?"),
    },
    drag=hold_start,
)

# --- Many runs at once --------------------------------------------------------------------------------------

_CHUNK = 1024  # runs that are computed together: their 2 × 51 values each stay in the cache


@dataclass(frozen=True, eq=False)
class Flights:
    """What became of many runs (R): where they are, (frames, R, 2), the loss at the end, the largest gradient
    norm met and the longest step taken.
    """

    frames: np.ndarray
    loss: np.ndarray
    largest: np.ndarray
    longest: np.ndarray

    @property
    def stuck(self) -> np.ndarray:
        """Whether the run has not arrived, (R)."""
        return ~(self.loss <= ARRIVED)


def follow(
    starts: np.ndarray, max_norm: np.ndarray | float, learning_rate: float, n_steps: int, every: int = 0
) -> Flights:
    """Follow clipped descent from `starts` (R, 2), each run with its own threshold (R), and forget most of the way.

    `train` keeps every step of every run, here hundreds of megabytes. This loop keeps the place every `every` steps (0:
    only the last), and drops runs that have come to rest: whose gradient could not move them by .001 in all
    the steps that are left. ValueError or TypeError for what does not fit.
    """
    starts = np.asarray(starts, dtype=np.float64)
    if starts.ndim != 2 or starts.shape[1] != 2 or not len(starts):
        raise ValueError(f"starts must be (runs, 2), not empty; got shape {starts.shape}")
    limits = np.broadcast_to(ClipByGlobalNorm(max_norm).max_norm, len(starts))
    eta, n_steps = SGD(learning_rate).learning_rate, whole_number("n_steps", n_steps)
    if every:
        whole_number("every", every)
    n_frames = n_steps // every + 1 if every else 1
    frames = np.empty((n_frames, *starts.shape))
    largest, longest = np.zeros(len(starts)), np.zeros(len(starts))
    for first in range(0, len(starts), _CHUNK):
        chunk = slice(first, first + _CHUNK)
        theta, going = starts[chunk].copy(), np.arange(len(starts[chunk]))
        most, leap = largest[chunk], longest[chunk]
        for step in range(n_steps):
            if every and step % every == 0:
                frames[step // every, chunk] = theta
            grad = UNIT.loss_and_grad(theta[going])[1]
            norm = np.sqrt(grad[:, 0] ** 2 + grad[:, 1] ** 2)
            length = eta * np.minimum(norm, limits[chunk][going])
            theta[going] -= (length / np.maximum(norm, 1e-300))[:, None] * grad
            most[going], leap[going] = np.maximum(most[going], norm), np.maximum(leap[going], length)
            if step % 10 == 9:
                going = going[length * (n_steps - step) > 1e-3]
        frames[-1, chunk] = theta
    loss = np.concatenate([UNIT.loss_and_grad(frames[-1, k : k + _CHUNK])[0] for k in range(0, len(starts), _CHUNK)])
    return Flights(*map(frozen, (frames, loss, largest, longest)))


# --- Paint a thousand fates ---------------------------------------------------------------------------------

GRID = 32  # starts along each side of the window
STARTS = frozen(cells(GRID).reshape(-1, 2))
FATE_STEPS, FATE_RATE = 160, 1.0
BRUSH = 0.2  # its radius
FATES_OF = ("arrived", "thrown", "under way")
LIMITS = (0.01, 10.0)
EVERY_START = tuple(range(GRID * GRID))


@dataclass(frozen=True)
class FatesState(State):
    """`painted` are the numbers of the starts that a brush has left on the surface, rising."""

    w: float = control(6.0, label="brush at w", linear=WINDOW[:2])
    b: float = control(-2.5, label="brush at b", linear=WINDOW[2:])
    brush: bool = control(True, label="brush down")
    max_norm: float = control(1.0, label="threshold c", log=LIMITS, n_stops=13)
    painted: tuple[int, ...] = EVERY_START


@dataclass(frozen=True)
class FatesResult:
    """`fates` (starts) are 0, 1 or 2, as in `names`, of every start at the state's threshold; `shares`
    (thresholds, 3) of the painted ones at each stop of the slider, and `share` (3) at the state's.
    """

    state: FatesState
    starts: np.ndarray
    painted: np.ndarray
    fates: np.ndarray
    thresholds: np.ndarray
    shares: np.ndarray
    share: np.ndarray
    surface: np.ndarray
    names: tuple[str, ...] = FATES_OF
    radius: float = BRUSH
    window: tuple[float, ...] = WINDOW


def fates_of(flights: Flights) -> np.ndarray:
    """0: arrived; 1: thrown, having taken a step longer than 1 and not come back; 2: under way."""
    return np.where(flights.stuck, np.where(flights.longest > 1, 1, 2), 0)


@lru_cache(maxsize=1)
def all_fates() -> np.ndarray:
    """The fates of every start at every stop of the slider, (stops, starts)."""
    stops = np.array(controls_of(FatesState)["max_norm"].values)
    every = np.tile(STARTS, (len(stops), 1))
    flights = follow(every, np.repeat(stops, len(STARTS)), FATE_RATE, FATE_STEPS)
    return frozen(fates_of(flights).reshape(len(stops), -1))


@lru_cache(maxsize=16)
def fates_at(max_norm: float) -> np.ndarray:
    """The fates of every start at any threshold: looked up, or computed where the slider has no such stop."""
    stops = controls_of(FatesState)["max_norm"].values
    if max_norm in stops:
        return all_fates()[stops.index(max_norm)]
    return frozen(fates_of(follow(STARTS, max_norm, FATE_RATE, FATE_STEPS)))


def look_up(state: FatesState) -> FatesResult:
    painted = np.array(state.painted, dtype=int)
    fates = fates_at(state.max_norm)
    kinds, n = np.arange(3), max(1, painted.size)
    return FatesResult(
        state=state,
        starts=STARTS,
        painted=painted,
        fates=fates,
        thresholds=np.array(controls_of(FatesState)["max_norm"].values),
        shares=(all_fates()[:, painted, None] == kinds).sum(1) / n,
        share=(fates[painted, None] == kinds).sum(0) / n,
        surface=surface(),
    )


def read_fates(result: FatesResult) -> str:
    """The live sentence of the brush: shares in coarse words, since single runs are chaotic."""
    state, n = result.state, result.painted.size
    if not n:
        at = f"w = {state.w:g}, b = {state.b:g}".replace("-", "−")
        if not state.brush:
            return f"Nothing is painted yet: the brush is up at {at}. Put it down, and then move it."
        return f"Nothing is painted yet: the brush is down at {at}. Press on the map, or move its sliders."
    arrived, thrown, under_way = (share_in_words(share) for share in result.share)
    starts = "The one painted start" if n == 1 else f"Of {n} painted starts"
    if n == 1:
        fate = ("has arrived", "was thrown", "is still under way")[int(result.share.argmax())]
        return f"{starts} {fate} after {FATE_STEPS} steps with c = {state.max_norm:g}."
    return (
        f"{starts}, after {FATE_STEPS} steps with c = {state.max_norm:g}: {arrived} arrived, {thrown} thrown, "
        f"{under_way} still under way."
    )


def share_in_words(share: float) -> str:
    """A share (0 … 1) in words that another machine's rounding does not change."""
    if share in (0, 1):
        return "all" if share else "none"
    if share <= 0.05:
        return "at most 5%"
    return "at least 95%" if share >= 0.95 else f"about {10 * round(10 * share)}%"


def paint(before: FatesState, after: FatesState, pressed: str = "") -> FatesState:
    """A brush that is down leaves its mark from where it was to where it is; one just put down, a dab."""
    start, end = np.array([before.w, before.b]), np.array([after.w, after.b])
    put_down = pressed == "plane" or not before.brush
    if not after.brush or ((start == end).all() and not put_down):
        return after
    if put_down:
        start = end
    along = end - start
    share = np.clip((STARTS - start) @ along / max(along @ along, 1e-300), 0, 1)
    near = np.hypot(*(STARTS - start - share[:, None] * along).T) <= BRUSH
    return replace(after, painted=tuple(sorted({*after.painted, *np.flatnonzero(near).tolist()})))


def hold_brush(state: FatesState, panel: str, x: float, y: float) -> FatesState:
    """The mouse moves the brush over the surface, and the threshold on the right."""
    if panel == "plane":
        return replace(state, w=clamp("w", FatesState, x), b=clamp("b", FatesState, y))
    return replace(state, max_norm=snap("max_norm", FatesState, x))


def _where(inside: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(inside).tolist())


_ABOVE = STARTS[:, 1] - edge(STARTS[:, 0])  # how far above the edge of the cliff

FATES = Demo(
    FatesState,
    look_up,
    FatesFigure,
    read_fates,
    presets={
        "the whole plane": Preset(FatesState(), "For which c do most of a thousand starts arrive?"),
        "unclipped": Preset(FatesState(max_norm=10.0), "Where do the runs start that are thrown?"),
        "around (6, −2.5)": Preset(
            FatesState(painted=_where(np.hypot(*(STARTS - (6.0, -2.5)).T) < 0.7)),
            "Move c: how long do neighbours share a fate?",
        ),
        "on top of the cliff": Preset(
            FatesState(painted=_where((_ABOVE < 0) & (STARTS[:, 0] > 4.5)), max_norm=10.0),
            "The top is the bright side. With which c do all runs come down safely?",
        ),
        "an empty surface": Preset(
            FatesState(brush=True, painted=()), "Can you paint starts that every c brings home?"
        ),
    },
    drag=hold_brush,
    trail=paint,
)

# --- A thousand nearby starts -------------------------------------------------------------------------------

CLOUD_STEPS, CLOUD_RATE, CLOUD_EVERY = 1000, 0.1, 10
NEARBY = {"1": 1.0, "0.1": 0.1}
AROUND = (6.0, -2.5)


def nearby(seed: int = 0, n: int = 1000) -> np.ndarray:
    """Starts (n, 2) drawn around (6, −2.5) with a standard deviation of .05 in w and b."""
    return np.random.default_rng(seed).normal(AROUND, 0.05, (n, 2))


@lru_cache(maxsize=4)
def cloud(max_norm: float) -> Flights:
    """The thousand runs from `nearby` with one threshold, kept every 10 of 1000 steps."""
    return follow(nearby(), max_norm, CLOUD_RATE, CLOUD_STEPS, CLOUD_EVERY)


@dataclass(frozen=True)
class CloudState(State):
    time: int = control(100, label="tens of steps", whole=(0, CLOUD_STEPS // CLOUD_EVERY), play=True)
    max_norm: str = control("1", label="threshold c", choices=tuple(NEARBY))


@dataclass(frozen=True)
class CloudResult:
    """Places (1000, 2) of the "raw" and the "clipped" runs at the state's time, the share of each whose loss is
    above ARRIVED there, and the share that is off the chart, in words.
    """

    state: CloudState
    raw: np.ndarray
    clipped: np.ndarray
    stuck: dict[str, float]
    lost: dict[str, str]
    surface: np.ndarray
    center: tuple[float, float] = AROUND
    window: tuple[float, ...] = WINDOW


def look_at_cloud(state: CloudState) -> CloudResult:
    for max_norm in NEARBY.values():  # whichever the menu may ask for next, so that it need not be waited for
        _losses(max_norm)
    runs = {"raw": cloud(np.inf), "clipped": cloud(NEARBY[state.max_norm])}
    places = {name: run.frames[state.time] for name, run in runs.items()}
    return CloudResult(
        state=state,
        raw=places["raw"],
        clipped=places["clipped"],
        stuck={name: float((_loss_at(name, state) > ARRIVED).mean()) for name in runs},
        lost={name: share_in_words(float(off_map(place).mean())) for name, place in places.items()},
        surface=surface(),
    )


def _loss_at(name: str, state: CloudState) -> np.ndarray:
    return _losses(np.inf if name == "raw" else NEARBY[state.max_norm])[state.time]


@lru_cache(maxsize=4)
def _losses(max_norm: float) -> np.ndarray:
    """The loss of every frame of the cloud, (frames, 1000)."""
    return frozen(np.stack([UNIT.loss_and_grad(frame)[0] for frame in cloud(max_norm).frames]))


def read_cloud(result: CloudResult) -> str:
    """The live sentence of the thousand neighbours."""
    state = result.state
    raw, clipped = (share_in_words(result.stuck[name]) for name in ("raw", "clipped"))
    words = {"raw": "the unclipped", "clipped": "the clipped"}
    lost = [f"{share} of {words[name]} runs" for name, share in result.lost.items() if share != "none"]
    return (
        f"After {CLOUD_EVERY * state.time} steps at η = {CLOUD_RATE:g}, of the thousand runs from around (6, −2.5) "
        f"{raw} have a loss above {ARRIVED:g} unclipped, and {clipped} clipped at c = {state.max_norm}"
        f"{'; off the chart: ' * bool(lost)}{', '.join(lost)}."
    )


def larger_when_clipped() -> int:
    """How many in three of the thousand runs met a larger norm clipped at c = 1 than unclipped, by 1% or more."""
    return round(3 * float(np.mean(cloud(1.0).largest > 1.01 * cloud(np.inf).largest)))


CLOUD = Demo(
    CloudState,
    look_at_cloud,
    CloudFigure,
    read_cloud,
    presets={
        "the end": Preset(CloudState(), "Where are the thousand runs that nobody held?"),
        "before the wall": Preset(CloudState(time=8), "Can you tell the two clouds apart before they meet the wall?"),
        "at the wall": Preset(CloudState(time=40), "What does the wall do to runs that were neighbours?"),
        "c too small": Preset(CloudState(max_norm="0.1"), "Why are some of the careful runs not there yet?"),
    },
)

# --- Products of Jacobians ----------------------------------------------------------------------------------

WIDTH, LONGEST = 16, 60


@dataclass(frozen=True)
class JacobiansState(State):
    radius: float = control(0.9, label="spectral radius ρ", log=(0.7, 1.4))
    kind: str = control("orthogonal", label="matrix W", choices=("orthogonal", "Gaussian", "one-way"))
    n_steps: int = control(50, label="time steps T", whole=(5, LONGEST))
    max_norm: float = control(0.1, label="threshold c", log=(0.001, 1000))


@dataclass(frozen=True)
class JacobiansResult:
    """`arriving` (T+1): the norm of ∂L/∂h, k steps before the end, over that at the end, of the "linear" and the
    "tanh" network; `parts` (T−1) of the tanh network's gradient from k = 0 … T−2 steps before the end, and
    `clipped` ones; `norm` of its gradient; `sigma` is the largest singular value of W.
    """

    state: JacobiansState
    arriving: dict[str, np.ndarray]
    parts: np.ndarray
    clipped: np.ndarray
    norm: float
    sigma: float


@lru_cache(maxsize=1)
def matrices() -> dict[str, np.ndarray]:
    """Three kinds of matrix (WIDTH, WIDTH) of spectral radius 1."""
    rng = np.random.default_rng(4)
    gaussian = rng.normal(size=(WIDTH, WIDTH))
    upper = np.triu(rng.normal(size=(WIDTH, WIDTH)), 1)
    return {
        "orthogonal": np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0],
        "Gaussian": gaussian / np.abs(np.linalg.eigvals(gaussian)).max(),
        "one-way": np.eye(WIDTH) + 0.3 * upper,
    }


@lru_cache(maxsize=LONGEST)
def networks(n_steps: int) -> dict[str, RNN]:
    """A linear and a tanh network that are given the last `n_steps` of the same inputs, and the same target."""
    if not 1 <= n_steps <= LONGEST:
        raise ValueError(f"n_steps must lie between 1 and {LONGEST}; got {n_steps}")
    rng = np.random.default_rng(5)
    inputs, target = 0.1 * rng.normal(size=(LONGEST, WIDTH)), rng.normal(size=WIDTH) / 4
    return {name: RNN(inputs[-n_steps:], target, linear=name == "linear") for name in ("linear", "tanh")}


def go_back(state: JacobiansState) -> JacobiansResult:
    matrix = state.radius * matrices()[state.kind]
    arriving = {}
    for name, network in networks(state.n_steps).items():  # the tanh network is the last, and its h and δ stay
        h = network.forward(matrix.ravel())
        delta = network.backward(matrix.ravel(), h)
        size = global_norm(delta)[::-1]
        arriving[name] = size / size[0]
    norm = float(global_norm(network.gradient(h, delta)))
    parts = network.part_norms(h, delta)[:0:-1]  # the first is 0, since h_0 is
    return JacobiansResult(
        state=state,
        arriving=arriving,
        parts=parts,
        clipped=parts * min(1.0, state.max_norm / norm),
        norm=norm,
        sigma=float(np.linalg.norm(matrix, 2)),
    )


def read_jacobians(result: JacobiansResult) -> str:
    """The live sentence of the networks."""
    state, far = result.state, result.state.n_steps
    linear, tanh = (two_digits(result.arriving[name][-1]) for name in ("linear", "tanh"))
    ratio = two_digits(result.parts[-1] / result.parts[0])
    scaled = (
        f"Clipping multiplies all its parts by {two_digits(state.max_norm / result.norm)}"
        if result.norm > state.max_norm
        else f"It is not longer than c = {state.max_norm:g} and stays"
    )
    return (
        f"The largest singular value is {result.sigma:.3g}. Going {far} steps back multiplies the last step's gradient "
        f"by {linear} in the linear network and by {tanh} in the tanh one, whose whole gradient has norm "
        f"{_number(result.norm)}. {scaled}; the oldest part is {ratio} times the newest, clipped or not."
    )


def two_digits(value: float) -> str:
    """Two digits, with a power of ten where there would be many zeros."""
    if value == 0 or 1e-3 <= abs(value) < 1e5 or not np.isfinite(value):
        return f"{float(f'{value:.2g}'):,g}".replace("-", "−")
    digits, power = f"{value:.1e}".split("e")
    return f"{digits}·{power_of_ten(10.0 ** int(power))}".replace("-", "−")


def hold_threshold(state: JacobiansState, panel: str, x: float, y: float) -> JacobiansState:
    """The mouse moves the number of steps on the left, and the threshold on the right."""
    if panel == "arriving":
        return replace(state, n_steps=round(clamp("n_steps", JacobiansState, x)))
    return replace(state, max_norm=clamp("max_norm", JacobiansState, y))


JACOBIANS = Demo(
    JacobiansState,
    go_back,
    JacobiansFigure,
    read_jacobians,
    presets={
        "vanishing": Preset(JacobiansState(), "What does clipping do for the gradient of long ago?"),
        "on the border": Preset(
            JacobiansState(radius=1.0, max_norm=1000.0), "At ρ = 1 the linear curve is flat. Why does the other fall?"
        ),
        "exploding": Preset(
            JacobiansState(radius=1.4, kind="Gaussian", max_norm=1.0),
            "Which of the two networks explodes?",
        ),
        "both at once": Preset(
            JacobiansState(radius=1.1, kind="Gaussian", max_norm=1.0),
            "One matrix, one picture: which gradient explodes, and which fades?",
        ),
        "one-way": Preset(
            JacobiansState(radius=0.8, kind="one-way"), "ρ is below 1. Why does the gradient grow first?"
        ),
    },
    drag=hold_threshold,
)

# --- Predictions --------------------------------------------------------------------------------------------


def who_meets_more() -> str:
    """Which of the thousand runs meet the larger gradients, judged by the median of the largest that each run met."""
    raw, clipped = (np.median(cloud(c).largest) for c in (np.inf, 1.0))
    return "clipped" if clipped > 1.5 * raw else "unclipped" if raw > 1.5 * clipped else "same"


def magnitude(value: float) -> str:
    """The order of magnitude in a word, which another machine's rounding does not change."""
    return ("units", "tens", "hundreds", "thousands", "tens of thousands")[min(4, max(0, int(np.log10(value))))]


def what_a_tenth_does() -> str:
    """Whether more, fewer or as many of the thousand runs are stuck at c = .1 as at c = 1."""
    careful, wider = (cloud(c).stuck.mean() for c in (0.1, 1.0))
    return "more" if careful > wider + 0.02 else "fewer" if careful < wider - 0.02 else "same"


def what_becomes_of_the_ratio() -> str:
    """Whether clipping raises, keeps or lowers the oldest part of the gradient relative to the newest."""
    result = go_back(JacobiansState())
    before, after = (parts[-1] / parts[0] for parts in (result.parts, result.clipped))
    return "same" if abs(after / before - 1) < 1e-9 else "up" if after > before else "down"


PREDICTIONS = {
    "norms": Prediction(
        key="04.a",
        question="A thousand runs start around (6, −2.5) and slide towards the cliff at η = 0.1, once without clipping "
        "and once clipped at c = 1. Norms are measured before clipping. Which of them meet the larger gradients, by "
        "the median of the largest norm that each run met?",
        truth=who_meets_more,
        options={
            "unclipped": "the unclipped",
            "same": "both about the same",
            "clipped": "the clipped",
        },
        explain={
            "unclipped": "Clipping holds the *step* down, not the gradient that is met. The first wall throws an "
            "unclipped run onto flat ground, where gradients are small for a long time; a clipped run stays at the "
            "foot of the wall.",
            "same": "The cliff is the same, but not where the runs are: the unclipped ones are thrown away from it by "
            "the first blow, the clipped ones stay at its foot and meet it again and again, nearer and nearer.",
            "clipped": "Yes. The unclipped ones are thrown onto flat ground by the first blow. The clipped ones stay "
            "at the foot of the cliff, come nearer to its edge, and survive.",
        },
        evidence=lambda: (
            "Of the largest norm that each of 1000 runs met, the median lies in the "
            f"{magnitude(float(np.median(cloud(np.inf).largest)))} unclipped and in the "
            f"{magnitude(float(np.median(cloud(1.0).largest)))} clipped at c = 1. About "
            f"{larger_when_clipped()} runs in 3 met more when clipped than unclipped."
        ),
    ),
    "tenth": Prediction(
        key="04.b",
        question="Clipped at c = 1, not one of those thousand runs is stuck after 1000 steps. And at c = 0.1, ten "
        "times as careful?",
        truth=what_a_tenth_does,
        options={
            "same": "none either: smaller steps are at least as safe",
            "more": "some are stuck: 1000 steps were enough at c = 1",
            "fewer": "fewer still: the smaller the threshold, the better",
        },
        explain={
            "same": "They are safe from being thrown, but not there yet. Near the cliff nearly every gradient is cut "
            "to 0.1, and steps of ηc = 0.01 are short.",
            "more": "Yes: nobody is thrown, but near the cliff steps of ηc = 0.01 are short, and they end where the "
            "wall is highest.",
            "fewer": "Fewer than none is not possible; and below some c the price is time. Steps of ηc = 0.01 are "
            "short.",
        },
        evidence=lambda: (
            f"After {CLOUD_STEPS} steps, with a loss above {ARRIVED:g}: "
            f"{share_in_words(float(cloud(1.0).stuck.mean()))} at c = 1, "
            f"{share_in_words(float(cloud(0.1).stuck.mean()))} at c = 0.1."
        ),
    ),
    "ratio": Prediction(
        key="04.c",
        question="A recurrent network's gradient is a sum over time steps. The part from 48 steps before the end is "
        "less than a thousandth of the newest. Now the gradient is clipped. What becomes of that ratio?",
        truth=what_becomes_of_the_ratio,
        options={
            "up": "it rises: the large part is cut, the small one stays",
            "same": "it stays as it is",
            "down": "it falls: clipping makes small gradients smaller",
        },
        explain={
            "up": "That would be clipping each part by itself. The rule sees one gradient, the sum, and multiplies all "
            "of it by one number.",
            "same": "Yes: one number multiplies the whole sum, so every part keeps its share. What has vanished stays "
            "so.",
            "down": "Both parts are multiplied by the same number, so their ratio cannot change.",
        },
        evidence=lambda: read_jacobians(go_back(JacobiansState())),
    ),
}

# --- Exercises ----------------------------------------------------------------------------------------------


def backpropagate(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    s = [sigmoid(x0)]
    for _ in range(n_steps):
        s.append(sigmoid(w * s[-1] + b))
    delta = 2 * (s[-1] - target) * s[-1] * (1 - s[-1])
    grad = np.zeros(2)
    for t in range(n_steps, 0, -1):
        grad += delta * np.array([s[t - 1], 1.0])
        delta *= w * s[t - 1] * (1 - s[t - 1])
    return grad


def backpropagate_stub(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    s = [sigmoid(x0)]
    for _ in range(n_steps):
        s.append(sigmoid(w * s[-1] + b))
    # s[t] is σ(x_t). Go back from the loss (s[-1] - target)² and return np.array([∂L/∂w, ∂L/∂b]).
    ...


# Where the slope σ′ at the step t is taken from, as those write it who know σ′ = σ(1 − σ) and who do not.
_SLOPES: dict[str, Callable[[list[float]], Callable[[int], float]]] = {
    "s": lambda s: lambda t: s[t] * (1 - s[t]),
    "sigmoid(s)": lambda s: lambda t: sigmoid(s[t]) * (1 - sigmoid(s[t])),
    "1 - s": lambda s: lambda t: 1 - s[t],
    "tanh": lambda s: lambda t: 1 - s[t] ** 2,
}


def _back(
    w: float,
    b: float,
    x0: float,
    target: float,
    n_steps: int,
    *,
    last: str = "2(s-y)s'",
    factor: str = "ws'",
    slope_of: str = "s",
    at: str = "before",
    used: str = "s",
    early: bool = False,
    steps: str = "all",
) -> np.ndarray:
    """Backpropagation through time with one of its pieces wrong, as the misconceptions below have it."""
    s, x = [sigmoid(x0)], [x0]
    for _ in range(n_steps):
        x.append(w * s[-1] + b)
        s.append(sigmoid(x[-1]))
    y, out = target, s[-1]
    slope = _SLOPES[slope_of](s)
    delta = {
        "2(s-y)s'": 2 * (out - y) * slope(-1),
        "(s-y)s'": (out - y) * slope(-1),
        "2(s-y)": 2 * (out - y),
        "2(y-s)s'": 2 * (y - out) * slope(-1),
        "2(x-y)": 2 * (x[-1] - y),
    }[last]
    grad = np.zeros(2)
    stop = {"but the first": 1, "last": n_steps - 1}.get(steps, 0)
    for t in range(n_steps - (steps == "but the last"), stop, -1):
        here = {"before": t - 1, "after": t, "end": -1}[at]
        through = {"ws'": w * slope(here), "s'": slope(here), "w": w, "none": 1.0}[factor]
        if early:
            delta *= through
        part = delta * np.array([{"s": s[t - 1], "after": s[t], "x": x[t - 1]}[used], 1.0])
        grad = grad + part
        if not early:
            delta *= through
    return grad


def sees_the_last_step_only(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, steps="last")


def keeps_the_first_step_only(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    if n_steps == 1:
        return _back(w, b, x0, target, 1)
    return _back(w, b, x0, target, n_steps) - _back(w, b, x0, target, n_steps, steps="but the first")


def stops_one_step_early(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, steps="but the first")


def forgets_the_weight_on_the_way_back(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, factor="s'")


def forgets_the_slope_on_the_way_back(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, factor="w")


def passes_everything_back_unchanged(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, factor="none")


def forgets_the_slope_at_the_loss(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, last="2(s-y)")


def forgets_the_two(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, last="(s-y)s'")


def points_uphill(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, last="2(y-s)s'")


def takes_the_slope_of_the_wrong_step(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, at="after")


def multiplies_before_it_adds(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, early=True)


def uses_the_state_after_the_step(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, used="after")


def uses_x_where_its_sigmoid_stands(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, used="x")


def takes_the_slope_of_tanh(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, slope_of="tanh")


def puts_s_through_the_sigmoid_again(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, slope_of="sigmoid(s)")


def forgets_half_of_the_slope(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, slope_of="1 - s")


def forgets_the_slope_everywhere(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, last="2(s-y)", factor="w")


def takes_the_loss_of_x(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, last="2(x-y)")


def forgets_the_last_step(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, steps="but the last")


def averages_over_the_steps(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps) / n_steps


def lets_the_bias_enter_once(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return np.array([_back(w, b, x0, target, n_steps)[0], _back(w, b, x0, target, n_steps, steps="last")[1]])


def walks_forwards(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    s = [sigmoid(x0)]
    for _ in range(n_steps):
        s.append(sigmoid(w * s[-1] + b))
    delta = 2 * (s[-1] - target) * s[-1] * (1 - s[-1])
    grad = np.zeros(2)
    for t in range(1, n_steps + 1):
        grad += delta * np.array([s[t - 1], 1.0])
        delta *= w * s[t - 1] * (1 - s[t - 1])
    return grad


def takes_the_slope_at_the_end_for_all(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps, at="end")


def multiplies_each_part_by_w(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, n_steps) * np.array([w, 1.0])


def knows_only_the_target_of_the_lesson(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, 0.7, n_steps)


def knows_only_the_start_of_the_lesson(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, 0.5, target, n_steps)


def knows_only_fifty_steps(w: float, b: float, x0: float, target: float, n_steps: int) -> np.ndarray:
    return _back(w, b, x0, target, 50)


def most_growth(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    largest = np.linalg.svd(matrix, compute_uv=False)[0]
    return float((slope * largest) ** n_steps)


def most_growth_stub(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    # A factor that the gradient cannot exceed over n_steps, if φ' is nowhere larger than slope.
    ...


def takes_the_spectral_radius(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((slope * np.abs(np.linalg.eigvals(matrix)).max()) ** n_steps)


def takes_the_smallest_singular_value(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((slope * np.linalg.svd(matrix, compute_uv=False)[-1]) ** n_steps)


def takes_the_frobenius_norm(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((slope * np.linalg.norm(matrix)) ** n_steps)


def takes_the_largest_entry(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((slope * np.abs(matrix).max()) ** n_steps)


def takes_the_largest_row(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((slope * np.abs(matrix).sum(1).max()) ** n_steps)


def takes_the_largest_column(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((slope * np.abs(matrix).sum(0).max()) ** n_steps)


def takes_the_determinant(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((slope * abs(np.linalg.det(matrix))) ** n_steps)


def averages_the_singular_values(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((slope * np.linalg.svd(matrix, compute_uv=False).mean()) ** n_steps)


def forgets_the_slope(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float(np.linalg.norm(matrix, 2) ** n_steps)


def divides_by_the_slope(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((np.linalg.norm(matrix, 2) / slope) ** n_steps)


def raises_only_the_matrix(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float(slope * np.linalg.norm(matrix, 2) ** n_steps)


def adds_where_it_multiplies(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float(slope * np.linalg.norm(matrix, 2) * n_steps)


def counts_one_step_too_few(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((slope * np.linalg.norm(matrix, 2)) ** (n_steps - 1))


def looks_at_one_step(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float(slope * np.linalg.norm(matrix, 2))


def forgets_the_root_of_the_eigenvalue(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((slope * np.linalg.norm(matrix, 2) ** 2) ** n_steps)


def takes_the_norm_of_the_power(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float(slope**n_steps * np.linalg.norm(np.linalg.matrix_power(matrix, n_steps), 2))


def takes_an_eigenvalue_with_its_sign(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((slope * np.linalg.eigvals(matrix).real.max()) ** n_steps)


def counts_one_step_too_many(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((slope * np.linalg.norm(matrix, 2)) ** (n_steps + 1))


def adds_the_singular_values(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((slope * np.linalg.svd(matrix, compute_uv=False).sum()) ** n_steps)


def takes_the_frobenius_norm_of_the_power(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float(slope**n_steps * np.linalg.norm(np.linalg.matrix_power(matrix, n_steps)))


def takes_one_root_too_many(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((slope * np.sqrt(np.linalg.norm(matrix, 2))) ** n_steps)


def never_goes_below_1(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float(max(1.0, (slope * np.linalg.norm(matrix, 2)) ** n_steps))


def knows_only_the_logistic_function(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((np.linalg.norm(matrix, 2) / 4) ** n_steps)


def halves_the_power_in_whole_numbers(matrix: np.ndarray, slope: float, n_steps: int) -> float:
    return float((slope * np.linalg.norm(matrix, 2)) ** (2 * (n_steps // 2)))


def clip_the_sum(parts: np.ndarray, max_norm: float) -> np.ndarray:
    total = parts.sum(axis=0)
    norm = np.linalg.norm(total)
    return total * (max_norm / norm) if norm > max_norm else total


def clip_the_sum_stub(parts: np.ndarray, max_norm: float) -> np.ndarray:
    total = np.zeros(parts.shape[1])
    for part in parts:
        norm = np.linalg.norm(part)
        total += part * (max_norm / norm) if norm > max_norm else part
    return total


def _clipped(grad: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.linalg.norm(grad)
    return grad * (max_norm / norm) if norm > max_norm else grad


def clips_each_part_and_then_the_sum(parts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped(np.sum([_clipped(part, max_norm) for part in parts], axis=0), max_norm)


def gives_each_part_its_share_of_c(parts: np.ndarray, max_norm: float) -> np.ndarray:
    return np.sum([_clipped(part, max_norm / len(parts)) for part in parts], axis=0)


def clips_as_it_adds(parts: np.ndarray, max_norm: float) -> np.ndarray:
    total = np.zeros(parts.shape[1])
    for part in parts:
        total = _clipped(total + part, max_norm)
    return total


def adds_the_norms(parts: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.linalg.norm(parts, axis=1).sum()
    return parts.sum(0) * (max_norm / norm) if norm > max_norm else parts.sum(0)


def takes_the_norm_of_all_parts(parts: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.linalg.norm(parts)
    return parts.sum(0) * (max_norm / norm) if norm > max_norm else parts.sum(0)


def lets_the_longest_part_decide(parts: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.linalg.norm(parts, axis=1).max()
    return parts.sum(0) * (max_norm / norm) if norm > max_norm else parts.sum(0)


def averages_the_parts(parts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped(parts.mean(0), max_norm)


def skips_long_parts(parts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped(parts[np.linalg.norm(parts, axis=1) <= max_norm].sum(0), max_norm)


def skips_long_gradients(parts: np.ndarray, max_norm: float) -> np.ndarray:
    total = parts.sum(0)
    return total if np.linalg.norm(total) <= max_norm else np.zeros_like(total)


def looks_back_two_steps_only(parts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped(parts[-2:].sum(0), max_norm)


def clamps_the_sum(parts: np.ndarray, max_norm: float) -> np.ndarray:
    return np.clip(parts.sum(0), -max_norm, max_norm)


def lengthens_short_sums(parts: np.ndarray, max_norm: float) -> np.ndarray:
    total = parts.sum(0)
    norm = np.linalg.norm(total)
    return total * (max_norm / norm) if norm > 0 else total


def makes_every_sum_a_unit(parts: np.ndarray, max_norm: float) -> np.ndarray:
    total = parts.sum(0)
    norm = np.linalg.norm(total)
    return total / norm if norm > max_norm else total


def sums_along_the_wrong_axis(parts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped(parts.sum(1), max_norm)


def forgets_to_clip(parts: np.ndarray, max_norm: float) -> np.ndarray:
    return parts.sum(0)


def sums_everything(parts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped(parts.sum(), max_norm)


def returns_the_threshold(parts: np.ndarray, max_norm: float) -> np.ndarray | float:
    total = parts.sum(0)
    return max_norm if np.linalg.norm(total) > max_norm else total


def lets_the_last_part_decide(parts: np.ndarray, max_norm: float) -> np.ndarray:
    norm = np.linalg.norm(parts[-1])
    return parts.sum(0) * (max_norm / norm) if norm > max_norm else parts.sum(0)


def forgets_the_root(parts: np.ndarray, max_norm: float) -> np.ndarray:
    total = parts.sum(0)
    norm = (total**2).sum()
    return total * (max_norm / norm) if norm > max_norm else total


def turns_the_factor_over(parts: np.ndarray, max_norm: float) -> np.ndarray:
    total = parts.sum(0)
    norm = np.linalg.norm(total)
    return total * (norm / max_norm) if norm > max_norm else total


def clips_what_is_short(parts: np.ndarray, max_norm: float) -> np.ndarray:
    total = parts.sum(0)
    norm = np.linalg.norm(total)
    return total * (max_norm / norm) if 0 < norm < max_norm else total


def adds_the_sizes_of_the_coordinates(parts: np.ndarray, max_norm: float) -> np.ndarray:
    total = parts.sum(0)
    norm = np.abs(total).sum()
    return total * (max_norm / norm) if norm > max_norm else total


def takes_the_largest_coordinate(parts: np.ndarray, max_norm: float) -> np.ndarray:
    total = parts.sum(0)
    norm = np.abs(total).max()
    return total * (max_norm / norm) if norm > max_norm else total


def returns_after_the_first_part(parts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped(parts[0], max_norm)


def keeps_the_last_part_only(parts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped(parts[-1], max_norm)


def clamps_every_part(parts: np.ndarray, max_norm: float) -> np.ndarray:
    return np.clip(parts, -max_norm, max_norm).sum(0)


def allows_c_for_every_step(parts: np.ndarray, max_norm: float) -> np.ndarray:
    return _clipped(parts.sum(0), max_norm * len(parts))


def averages_the_clipped_parts(parts: np.ndarray, max_norm: float) -> np.ndarray:
    return np.mean([_clipped(part, max_norm) for part in parts], axis=0)


_SKEW = np.array([[0.5, 3.0, 0.0], [0.0, 0.25, -1.0], [0.0, 0.0, 0.75]])

EXERCISES = {
    "backpropagate": Exercise(
        key="04.1",
        title="Back through time",
        solution=backpropagate,
        stub=backpropagate_stub,
        probes=(
            Probe((3.0, -1.0, 0.5, 0.7, 1), "a single step"),
            Probe((3.0, -1.0, 0.5, 0.7, 2), "two steps"),
            Probe((2.0, 0.5, -1.0, 0.2, 3), "three steps, another start and target"),
            Probe((6.0, -2.5, 0.5, 0.7, 8), "eight steps, where factors are above 1"),
            Probe((-4.0, 1.0, 0.25, 0.9, 5), "a negative weight"),
            Probe((5.0, -2.6, 0.5, 0.7, 50), "fifty steps, near the cliff"),
            Probe((0.0, 0.3, 0.5, 0.7, 4), "w = 0: nothing is passed on"),
            Probe((5.0, -2.612, 0.5, 0.7, 30), "on the edge of the cliff, where the norm is near 10"),
        ),
        misconceptions=(
            Misconception(
                sees_the_last_step_only,
                "That is the last step alone. w and b serve in *every* step, so every step adds a part: walk back and "
                "add.",
            ),
            Misconception(
                keeps_the_first_step_only,
                "Each step's part replaces the one before instead of joining it, so only that of the first step is "
                "left. It should be `+=`.",
            ),
            Misconception(
                stops_one_step_early,
                "The walk back ends one step early: the part of the very first step, in which w met σ(x₀), is missing. "
                "`range` leaves its end out.",
            ),
            Misconception(
                forgets_the_weight_on_the_way_back,
                "Going back one step crosses two things, σ and the weight. Yours crosses σ alone: "
                "∂x_t/∂x_{t−1} = w·σ′(x_{t−1}).",
            ),
            Misconception(
                forgets_the_slope_on_the_way_back,
                "Going back one step crosses two things, the weight and σ. Yours crosses the weight alone: "
                "∂x_t/∂x_{t−1} = w·σ′(x_{t−1}), with σ′ = σ(1 − σ).",
            ),
            Misconception(
                passes_everything_back_unchanged,
                "The same ∂L/∂x is used at all steps. On its way back it is multiplied by w·σ′ at each, and those "
                "products are what explodes or vanishes.",
            ),
            Misconception(
                forgets_the_slope_at_the_loss,
                "The loss sees σ(x_T), not x_T: the chain begins with 2(σ − target), and then σ′(x_T) = σ(1 − σ) is "
                "missing.",
            ),
            Misconception(
                forgets_the_two,
                "Exactly half: the derivative of (σ − target)² is *2*(σ − target); no ½ stands in this loss.",
            ),
            Misconception(
                points_uphill,
                "Exactly the negative: (target − σ) where (σ − target) should be. It points downhill, and subtracting "
                "it would climb.",
            ),
            Misconception(
                takes_the_slope_of_the_wrong_step,
                "From x_t back to x_{t−1} the slope is that at x_{t−1}, where the step *began*; yours is taken at x_t.",
            ),
            Misconception(
                multiplies_before_it_adds,
                "One factor too many in each part: first add the part of step t with the ∂L/∂x_t that you have, "
                "then multiply to go on to t − 1.",
            ),
            Misconception(
                uses_the_state_after_the_step,
                "w multiplied σ(x_{t−1}), what came *into* step t. Yours uses σ(x_t), what came out of it.",
            ),
            Misconception(
                uses_x_where_its_sigmoid_stands,
                "w multiplies σ(x_{t−1}), not x_{t−1}, so ∂x_t/∂w is σ(x_{t−1}).",
            ),
            Misconception(
                takes_the_slope_of_tanh, "1 − s² is the slope of tanh. That of the logistic function is s(1 − s)."
            ),
            Misconception(
                puts_s_through_the_sigmoid_again,
                "σ(s)(1 − σ(s)) takes σ once too often: s[t] is σ(x_t) already, so the slope there is s[t](1 − s[t]).",
            ),
            Misconception(
                forgets_half_of_the_slope,
                "1 − s is half of the slope: the derivative of the logistic function is s(1 − s).",
            ),
            Misconception(
                forgets_the_slope_everywhere,
                "σ′ is nowhere: neither at the loss nor on the way back. Each σ that the chain crosses multiplies by "
                "s(1 − s).",
            ),
            Misconception(
                takes_the_loss_of_x,
                "That is the gradient of (x_T − target)². The loss compares σ(x_T) with the target, and σ′(x_T) joins "
                "the chain.",
            ),
            Misconception(
                forgets_the_last_step,
                "The walk back begins one step late: the part of the last step, with ∂L/∂x_T itself, is missing. Start "
                "at `n_steps`, not at `n_steps - 1`.",
            ),
            Misconception(
                averages_over_the_steps,
                "The parts are added, not averaged: w is one number that is used T times, and every use counts in "
                "full.",
            ),
            Misconception(
                lets_the_bias_enter_once,
                "∂L/∂w is right. But b is added in *every* step, just as w multiplies in every one: sum its δ as well.",
            ),
            Misconception(
                walks_forwards,
                "The loop runs from the first step to the last. The loss is at the end, so ∂L/∂x_T is known first, and "
                "it is carried from T down to 1: `range(n_steps, 0, -1)`.",
            ),
            Misconception(
                takes_the_slope_at_the_end_for_all,
                "One slope, σ′(x_T), serves at every step. The unit was in another state at each: σ′(x_{t−1}), from "
                "s[t-1].",
            ),
            Misconception(
                multiplies_each_part_by_w,
                "A factor w too many in ∂L/∂w: the derivative of w·σ(x_{t−1}) by w is σ(x_{t−1}), and w itself drops "
                "out.",
            ),
            Misconception(
                knows_only_the_target_of_the_lesson,
                "0.7 is the target of the lesson. Here it is an argument: `target`.",
            ),
            Misconception(
                knows_only_the_start_of_the_lesson, "½ is the start of the lesson. Here it is an argument: `x0`."
            ),
            Misconception(
                knows_only_fifty_steps, "50 steps are those of the lesson. Here their number is an argument: `n_steps`."
            ),
        ),
        hints=(
            "Two things travel back: ∂L/∂x, which changes from step to step, and the gradient, which collects a part "
            "at each.",
            "Start with delta = ∂L/∂x_T = 2(σ − target)·σ(1 − σ). At step t: add delta·σ(x_{t−1}) for w, and delta for "
            "b.",
            "`for t in range(n_steps, 0, -1):` add `delta * np.array([s[t-1], 1])`, then `delta *= w * s[t-1] * (1 - "
            "s[t-1])`.",
        ),
        explanation="Forward the loop keeps every s, since the way back needs them all: this is the memory that "
        "training a recurrent network costs. Backward there is one multiplication a step, and after fifty of them "
        "∂L/∂x₀ holds a product of fifty factors. `Recurrence` in the library does the same with one running product.",
    ),
    "most_growth": Exercise(
        key="04.2",
        title="How much can it grow?",
        solution=most_growth,
        stub=most_growth_stub,
        probes=(
            Probe((np.diag([2.0, 0.5]), 1.0, 3), "a diagonal matrix, slope 1"),
            Probe((np.diag([-3.0, 0.5]), 1.0, 3), "the largest entry is negative"),
            Probe((np.diag([2.0, 0.5]), 0.25, 3), "the slope of the logistic function"),
            Probe((np.array([[0.0, 4.0], [0.0, 0.0]]), 1.0, 2), "all eigenvalues 0"),
            Probe((np.array([[0.6, 0.8], [0.8, -0.6]]) * 1.5, 0.5, 4), "a reflection times 1.5"),
            Probe((_SKEW, 0.8, 5), "three units, lopsided"),
            Probe((np.array([[1.5]]), 0.5, 10), "one unit"),
            Probe((np.ones((5, 5)) - 0.5 * np.eye(5), 1.0, 1), "five units, a single step"),
        ),
        misconceptions=(
            Misconception(
                takes_the_spectral_radius,
                "That is the largest *eigenvalue*: what happens in the long run to a vector along its eigenvector. "
                "Another vector can grow more in a step, up to the largest *singular* value.",
            ),
            Misconception(
                takes_an_eigenvalue_with_its_sign,
                "That is the largest *eigenvalue*, sign and all: −3 stretches more than 0.5. And no eigenvalue tells "
                "what one step can do to another vector: the largest *singular* value does.",
            ),
            Misconception(
                takes_the_norm_of_the_power,
                "‖Wⁿ‖ is the answer for a linear network. Between two W's stands a diagonal matrix of slopes, and with "
                "it the product can be longer than Wⁿ. Bound each step by itself.",
            ),
            Misconception(
                takes_the_frobenius_norm_of_the_power,
                "Two things: `np.linalg.norm` of a matrix adds all squares unless you give it a 2; and ‖Wⁿ‖ is for a "
                "linear network, where no slopes stand between the W's. Bound each step by itself.",
            ),
            Misconception(
                takes_the_smallest_singular_value,
                "The smallest singular value is the *least* that a step does to a vector. `svd` gives them in falling "
                "order.",
            ),
            Misconception(
                takes_the_frobenius_norm,
                "A bound, but too large: `np.linalg.norm(matrix)` without a second argument adds all squares. The "
                "stretch of the worst vector is `np.linalg.norm(matrix, 2)`.",
            ),
            Misconception(
                takes_the_largest_entry,
                "The largest entry is what one unit passes to one other. Several can push together: the stretch of the "
                "whole vector is the largest singular value.",
            ),
            Misconception(
                takes_the_largest_row,
                "The largest row sum bounds the largest *coordinate* (the ∞-norm). Here lengths are Euclidean.",
            ),
            Misconception(
                takes_the_largest_column,
                "The largest column sum bounds the 1-norm, `np.linalg.norm(matrix, 1)`. Here lengths are Euclidean.",
            ),
            Misconception(
                takes_the_determinant,
                "The determinant says what becomes of volumes. A matrix of determinant 0 can still stretch one "
                "direction.",
            ),
            Misconception(
                averages_the_singular_values,
                "The average says what a typical direction meets; *at most* is about the worst, the largest one.",
            ),
            Misconception(
                adds_the_singular_values,
                "Each singular value belongs to a direction of its own; a vector cannot be stretched by their sum. The "
                "worst direction has the largest.",
            ),
            Misconception(
                forgets_the_slope,
                "Each step crosses φ as well, and is multiplied by φ′, at most `slope`. That is why the logistic "
                "function, with ¼, needs σ₁ > 4 before anything can explode.",
            ),
            Misconception(
                divides_by_the_slope,
                "The slope multiplies. (1/slope is where it stands in the *condition* σ₁ > 1/slope, not in the "
                "growth.)",
            ),
            Misconception(
                raises_only_the_matrix, "φ is crossed in each step too, so the slope is raised to the power T with σ₁."
            ),
            Misconception(
                adds_where_it_multiplies,
                "That grows in proportion to time. The factors of the steps *multiply*: a power, which is why fifty "
                "steps make a cliff.",
            ),
            Misconception(
                counts_one_step_too_few,
                "One step too few: `n_steps` Jacobians are multiplied, so the power is `n_steps`.",
            ),
            Misconception(
                counts_one_step_too_many,
                "One step too many: `n_steps` Jacobians are multiplied, so the power is `n_steps`.",
            ),
            Misconception(
                halves_the_power_in_whole_numbers,
                "Right for even `n_steps` only: `n_steps // 2` loses the half. The root is `** (n_steps / 2)`.",
            ),
            Misconception(looks_at_one_step, "That is the growth in a single step; there are `n_steps` of them."),
            Misconception(
                forgets_the_root_of_the_eigenvalue,
                "σ₁² is the largest eigenvalue of WᵀW; the singular value is its root.",
            ),
            Misconception(
                takes_one_root_too_many,
                "One root too many. The root is for an eigenvalue of WᵀW; what `svd` and `norm(matrix, 2)` give is a "
                "singular value already.",
            ),
            Misconception(
                never_goes_below_1,
                "A bound may lie below 1. Then the gradient has to shrink, and over many steps to vanish.",
            ),
            Misconception(
                knows_only_the_logistic_function,
                "¼ is the largest slope of the logistic function. Here it is an argument: `slope`.",
            ),
        ),
        hints=(
            "One step back multiplies by a diagonal matrix of slopes and by Wᵀ. How much can each of them stretch a "
            "vector?",
            "The diagonal one by at most `slope`, the other by at most the largest singular value σ₁ of W. Then T "
            "steps.",
            "`np.linalg.svd(matrix, compute_uv=False)[0]` is σ₁; the answer is `(slope * σ₁) ** n_steps`.",
        ),
        explanation="If slope·σ₁ < 1 the gradient must vanish: this is certain. If it is larger, the gradient *may* "
        "explode, and whether it does depends on the slopes that the run meets and on where the vectors point. Hence "
        "the paper's wording: σ₁ > 1/γ is necessary for an explosion, not sufficient. Nor need the bound be reached: "
        "with W = [[0, 4], [0, 0]] every gradient is 0 after two steps, and the bound says 16.",
    ),
    "clip_the_sum": Exercise(
        key="04.3",
        title="Mend: clipped through time",
        solution=clip_the_sum,
        stub=clip_the_sum_stub,
        probes=(
            Probe((np.array([[3.0, 4.0], [0.0, 0.0]]), 1.0), "one long part, one zero"),
            Probe((np.array([[3.0, 0.0], [0.0, 0.4], [0.2, 0.0]]), 1.0), "one long part, two short ones"),
            Probe((np.array([[3.0, 1.0], [-3.0, -0.5]]), 1.0), "long parts that cancel"),
            Probe((np.array([[0.6, 0.0], [0.6, 0.3], [0.6, 0.0]]), 1.0), "short parts that add up"),
            Probe((np.array([[0.1, 0.2], [0.2, -0.1]]), 1.0), "nothing to clip"),
            Probe((np.zeros((3, 2)), 1.0), "no gradient at all"),
            Probe((np.array([[5.0, -1.0, 2.0], [1.0, 1.0, 1.0], [0.5, -4.0, 0.0]]), 2.5), "three parameters, c = 2.5"),
            Probe(
                (np.array([[0.3, 0, 1, 0, -2.0], [1, 0, 0, 0.5, 0], [0, 9, 0, 0, 1], [1, 1, 1, 1, 1.0]]), 0.5),
                "five parameters, c = ½",
            ),
        ),
        misconceptions=(
            Misconception(
                clips_each_part_and_then_the_sum,
                "The sum is clipped now, but the parts still are as well, and that has turned it. Leave the parts "
                "alone.",
            ),
            Misconception(
                gives_each_part_its_share_of_c,
                "c/T for each part keeps the sum below c, and turns it even further: long parts lose more than short "
                "ones.",
            ),
            Misconception(
                clips_as_it_adds,
                "Clipping while adding makes the order of the parts matter. First the whole sum, then one norm.",
            ),
            Misconception(
                adds_the_norms,
                "Right direction, too short: norms do not add, since parts point different ways and may cancel. Take "
                "the norm of the sum.",
            ),
            Misconception(
                takes_the_norm_of_all_parts,
                "Right direction, wrong length: that is the norm of all parts side by side, as if they were different "
                "parameters. They belong to the same ones: add first.",
            ),
            Misconception(
                lets_the_longest_part_decide, "Right direction, wrong length: the longest part is not the sum."
            ),
            Misconception(
                averages_the_parts,
                "The parts of time steps are added, not averaged: each is a use of the same parameters.",
            ),
            Misconception(
                skips_long_parts,
                "Parts that are too long are left out altogether. They are gradient too: shorten the sum.",
            ),
            Misconception(
                skips_long_gradients,
                "A gradient that is too long becomes zero, and the run stands still at the foot of the cliff. Shorten "
                "it to c.",
            ),
            Misconception(
                looks_back_two_steps_only,
                "That truncates: whatever lies further back than two steps is not learned from. It is another remedy, "
                "truncated backpropagation, and it has its price.",
            ),
            Misconception(
                clamps_the_sum, "That is a box: each coordinate for itself, and the direction turns (lesson 02)."
            ),
            Misconception(
                lengthens_short_sums, "Short gradients are lengthened to c. The factor must never be above 1."
            ),
            Misconception(makes_every_sum_a_unit, "What is too long should come out with length c, not 1."),
            Misconception(
                sums_along_the_wrong_axis,
                "The rows are the time steps: sum over `axis=0`. Yours adds the parameters of each step together.",
            ),
            Misconception(
                sums_everything,
                "`sum()` without an axis adds everything to one number. A gradient has one number for each parameter: "
                "`sum(axis=0)` adds the time steps and keeps the parameters apart.",
            ),
            Misconception(
                returns_the_threshold,
                "A long gradient becomes the number c. Its *norm* should be c: multiply the sum by c/norm.",
            ),
            Misconception(
                lets_the_last_part_decide,
                "The norm is that of one part, the last that the loop met. Take it after the loop, of the whole sum.",
            ),
            Misconception(forgets_the_root, "That is the norm squared: the root is missing."),
            Misconception(
                turns_the_factor_over,
                "norm/c is above 1 and makes long gradients longer. The factor is c/norm, upside down.",
            ),
            Misconception(
                clips_what_is_short,
                "`<` where `>` belongs: short gradients are lengthened to c, and long ones pass. Clip if norm > c.",
            ),
            Misconception(
                adds_the_sizes_of_the_coordinates,
                "Right direction, too short: the sum of the sizes is the 1-norm. Length is the root of the sum of "
                "squares.",
            ),
            Misconception(
                takes_the_largest_coordinate,
                "Right direction, too long: the largest coordinate is the ∞-norm. Length is the root of the sum of "
                "squares.",
            ),
            Misconception(
                returns_after_the_first_part,
                "Only the first part comes out: a `return` inside the loop ends it at once. Move it left, behind the "
                "loop.",
            ),
            Misconception(
                keeps_the_last_part_only,
                "Only the last part comes out: `total = part` puts it in place of the others. Add: `total += part`.",
            ),
            Misconception(
                clamps_every_part,
                "Two things: `np.clip` clips by value, each coordinate for itself, and it does so part by part. Add "
                "first, then one factor for the whole sum.",
            ),
            Misconception(
                allows_c_for_every_step,
                "c for every step lets the gradient of T steps be T times c long. The optimiser receives one gradient, "
                "of one sequence: its norm is c at most.",
            ),
            Misconception(
                averages_the_clipped_parts,
                "Now the norm is below c, but the parts are still clipped one by one, which turns the gradient. Leave "
                "the parts alone, add them, and clip the sum.",
            ),
            Misconception(forgets_to_clip, "The sum is right. Now clip it."),
        ),
        hints=(
            "Which quantity does the optimiser receive, and so which one should have norm c at most?",
            "Add the parts first. They are different time steps of the same parameters.",
            "`total = parts.sum(axis=0)`, its norm, and `total * (max_norm / norm)` if that norm is above `max_norm`.",
        ),
        explanation="Part by part, the direction turns: a long part is cut and a short one is not, so the update no "
        "longer points down the loss of the whole sequence. It may even keep what should cancel. Whoever clips "
        "inside the backward pass follows another rule, with a bias of its own.",
    ),
}

# --- Quiz ---------------------------------------------------------------------------------------------------

QUIZ = Quiz(
    "04",
    (
        Question(
            "A recurrent network forgets what it saw 100 steps ago: that part of its gradient is 10⁻⁹. What does "
            "clipping do?",
            (
                Option(
                    "It lifts the part: all parts come closer to c",
                    "Clipping never lengthens. It multiplies by min(1, c/n), which is at most 1.",
                ),
                Option(
                    "It cuts the recent parts and so balances them",
                    "That would be a rule that clips each part by itself. One factor multiplies all.",
                ),
                Option(
                    "Nothing for it: gates, initialisation or other means are needed",
                    "Yes. Clipping is for gradients that are too long; what has vanished keeps its tiny share.",
                    right=True,
                ),
            ),
        ),
        Question(
            "A tanh network has a recurrent matrix whose largest singular value is 0.8. Can its gradient explode "
            "through time?",
            (
                Option(
                    "No, for any inputs and any number of steps",
                    "Yes: each step multiplies by at most 0.8 · 1, and a product of such factors only shrinks.",
                    right=True,
                ),
                Option(
                    "Yes, if the sequence is long enough",
                    "More steps are more factors of at most 0.8, which makes it smaller still.",
                ),
                Option(
                    "Yes, if the inputs are large enough",
                    "Large inputs saturate tanh and make its slope smaller, never above 1.",
                ),
                Option(
                    "That depends on the eigenvalues",
                    "No eigenvalue is larger in size than the largest singular value, so they cannot change the "
                    "answer.",
                ),
            ),
        ),
        Question(
            "You turn clipping on, and the logged norm (before clipping) is larger than it was without. What has "
            "happened?",
            (
                Option(
                    "Clipping is broken: norms above c should not occur",
                    "The logged norm is that of the gradient that is met. Clipping shortens what is applied.",
                ),
                Option(
                    "The run now stays where gradients are large",
                    "It may well be: unclipped, the first large gradient threw it to flat ground. Look at the loss.",
                    right=True,
                ),
                Option(
                    "c is too large: the gradients have to come down",
                    "A smaller c shortens the steps. In this lesson the norms that were met then grew.",
                ),
                Option(
                    "The gradient was clipped twice",
                    "That would shorten the step, and would not show in the norm before clipping.",
                ),
            ),
        ),
        Question(
            "Two correct programs train from the same start near a cliff, with the same η and c. One ends at loss "
            "0.00, the other at 0.09. Why?",
            (
                Option(
                    "One of them must have a bug in its gradient",
                    "It may, and a gradient check can tell. But these two agree everywhere except in the last digit.",
                ),
                Option(
                    "They clip differently near c",
                    "Neither needs to clip at all for this to happen.",
                ),
                Option(
                    "Their random numbers differ",
                    "Nothing is random in this descent. Only the order of rounding differs.",
                ),
                Option(
                    "Rounding: near the cliff one digit in sixteen decides",
                    "Yes. So compare shares of many starts, not single runs.",
                    right=True,
                ),
            ),
        ),
    ),
)

LESSON = Lesson(
    "04",
    "Cliffs: why gradients explode",
    {"cliff": CLIFF, "cloud": CLOUD, "jacobians": JACOBIANS, "fates": FATES},
    PREDICTIONS,
    EXERCISES,
    QUIZ,
)
