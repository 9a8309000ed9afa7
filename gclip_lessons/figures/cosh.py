"""Lesson 00: two paths down a wall that grows exponentially, and the gradient norm along them."""

from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator

from gclip_lessons.figures import style

_LOW, _HIGH = 1e-8, 1e7
_FAR = 1e3  # nobody comes back from here: cosh overflows at 710
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class CoshFigure(style.LiveFigure):
    description = (
        "Left: level lines of cosh x + cosh y with the paths of two runs from one start, raw dashed and clipped "
        "solid; the ring at the start can be dragged. Right: the gradient norm against the step on a log scale, "
        "with the threshold as a dotted line and the goal, a norm of one millionth, as a thin line."
    )
    reach = 12.0

    def draw(self, result: Any) -> None:
        r = self.reach
        plane = self.panel("plane", (0.07, 0.13, 0.35, 0.77), title="cosh x + cosh y", aspect="equal")
        plane.set(xlim=(-r, r), ylim=(-r, r), xlabel="x", ylabel="y")
        style.draw_contours(plane, lambda p: np.cosh(p).sum(-1), levels=4.0 ** np.arange(1, 9))
        plane.plot([0], [0], "+", color=style.INK, markersize=9)
        self._path = self.moving(
            plane.plot([], [], "-o", color=style.CLIPPED, linewidth=2.2, markersize=4, zorder=4)[0]
        )
        self._raw_path = self.moving(plane.plot([], [], **style.RAW_STYLE, zorder=5)[0])
        ring = {"markersize": 15, "markeredgewidth": 1.8, "markerfacecolor": "none", "color": style.INK, "zorder": 6}
        self._start = self.moving(plane.plot([], [], "o", **ring)[0])
        here = {"markersize": 9, "markeredgecolor": "white", "zorder": 7}
        self._here = self.moving(plane.plot([], [], "o", color=style.CLIPPED, **here)[0])
        self._raw_here = self.moving(plane.plot([], [], "s", color=style.RAW, **here)[0])
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2}
        words = {"transform": plane.transAxes, "va": "bottom", "bbox": box}
        plane.text(0.03, 0.105, "–•–  clipped", color=style.CLIPPED_TEXT, **words)
        plane.text(0.03, 0.03, "– –  raw", color=style.RAW_TEXT, **words)
        plane.text(0.97, 0.03, "+ minimum", color=style.INK, ha="right", **words)

        norm = self.panel("norm", (0.535, 0.13, 0.445, 0.77), title="Gradient norm ‖g‖ at each step")
        norm.set(yscale="log", xlim=(0, result.n_steps), ylim=(_LOW, _HIGH), xlabel="step")
        norm.yaxis.set_major_locator(LogLocator(10, numticks=8))
        norm.yaxis.set_major_formatter(FuncFormatter(_power))
        norm.minorticks_off()
        norm.axhline(result.goal, color="#7A7A7A", linewidth=1)
        norm.text(125, result.goal * 1.3, f"goal {_power(result.goal)}", color=style.INK, ha="center", va="bottom")
        self._level = self.moving(norm.plot([], [], **style.THRESHOLD_STYLE)[0])
        self._level_says = self.moving(norm.text(0, 1, "", color=style.THRESHOLD_TEXT, ha="center", va="bottom"))
        self._norm = self.moving(norm.plot([], [], **style.CLIPPED_STYLE)[0])
        self._raw_norm = self.moving(norm.plot([], [], **style.RAW_STYLE)[0])
        self._at = self.moving(norm.plot([], [], "o", color=style.CLIPPED, clip_on=False, **here)[0])
        self._raw_at = self.moving(norm.plot([], [], "s", color=style.RAW, clip_on=False, **here)[0])
        cross = {"markeredgecolor": "white", "zorder": 8, "clip_on": False}
        self._clipped_gone = self.moving(norm.plot([], [], "X", color=style.CLIPPED, markersize=15, **cross)[0])
        self._raw_gone = self.moving(norm.plot([], [], "X", color=style.RAW, markersize=10, **cross)[0])
        self._gone_says = self.moving(norm.text(0, _HIGH / 5, "", color=style.INK, va="center"))

    def update(self, result: Any) -> None:
        state = result.state
        step = state.step
        for run, path, here, curve, at in (
            (result.clipped, self._path, self._here, self._norm, self._at),
            (result.raw, self._raw_path, self._raw_here, self._raw_norm, self._raw_at),
        ):
            path.set_data(*drawable(run.points[: step + 1]).T)
            here.set_data(*drawable(run.points[step : step + 1]).T)
            shown = np.where(np.isfinite(run.norm), np.clip(run.norm, _LOW / 1e3, _HIGH * 1e3), np.nan)
            curve.set_data(np.arange(len(shown)), shown)
            at.set_data([step], [shown[step] if shown[step] > _LOW else np.nan])
        gone = {"raw": result.raw.gone, "clipped": result.clipped.gone}
        for cross, at in ((self._raw_gone, gone["raw"]), (self._clipped_gone, gone["clipped"])):
            cross.set_data([] if at is None else [at], [] if at is None else [_HIGH / 5])
        said = [f"{name} at step {at}" for name, at in gone.items() if at is not None]
        last = max((at for at in gone.values() if at is not None), default=0)
        late = last > 0.5 * result.n_steps
        self._gone_says.set_text("inf: " + ", ".join(said) if said else "")
        self._gone_says.set_x(min(at for at in gone.values() if at is not None) - 7 if late else last + 7)
        self._gone_says.set_ha("right" if late else "left")
        self._start.set_data([state.x], [state.y])
        self._level.set_data([0, result.n_steps], [state.max_norm] * 2)
        self._level_says.set_position((125, state.max_norm * 1.15))
        self._level_says.set_text("threshold c")


def drawable(points: np.ndarray) -> np.ndarray:
    """A path up to where it leaves the map for good; a leap that is too long to draw is shortened in its direction."""
    points = points[np.isfinite(points).all(-1)]
    far = (np.abs(points) > _FAR).any(-1)
    if not far.any():
        return points
    first = int(far.argmax())
    if first == 0:
        return points[:0]
    leap = points[first] - points[first - 1]
    return np.vstack([points[:first], points[first - 1] + leap * (_FAR / np.abs(leap).max())])


def _power(value: float, _: Any = None) -> str:
    """A power of ten in plain characters: mathtext is kept out of live figures."""
    return "10" + f"{round(np.log10(value))}".translate(_SUPERSCRIPTS)
