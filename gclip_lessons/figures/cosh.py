"""Lesson 00: two paths down a wall that grows exponentially, and the gradient norm along them."""

from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import drawable, key_above, power_of_ten, ring

_LOW, _HIGH = 1e-8, 1e7


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
        dotted = style.CLIPPED_STYLE | {"marker": "o", "markersize": 4}
        self._path = self.moving(plane.plot([], [], **dotted, zorder=4)[0], "clipped")
        self._raw_path = self.moving(plane.plot([], [], **style.RAW_STYLE, zorder=5)[0], "raw")
        self._start = ring(self, plane)
        here = {"markersize": 9, "markeredgecolor": "white", "zorder": 7}
        self._here = self.moving(plane.plot([], [], "o", color=style.CLIPPED, **here)[0])
        self._raw_here = self.moving(plane.plot([], [], "s", color=style.RAW, **here)[0])
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2}
        words = {"transform": plane.transAxes, "va": "bottom", "bbox": box}
        plane.text(0.97, 0.03, "+ minimum", color=style.INK, ha="right", **words)
        key_above(plane, {"raw": (style.RAW_STYLE, style.RAW_TEXT), "clipped": (dotted, style.CLIPPED_TEXT)})

        norm = self.panel("norm", (0.535, 0.13, 0.445, 0.77), title="Gradient norm ‖g‖")
        norm.set(yscale="log", xlim=(0, result.n_steps), ylim=(_LOW, _HIGH), xlabel="step")
        norm.yaxis.set_major_locator(LogLocator(10, numticks=8))
        norm.yaxis.set_major_formatter(FuncFormatter(power_of_ten))
        norm.minorticks_off()
        norm.axhline(result.goal, color=style.GUIDE, linewidth=1)
        norm.text(
            125, result.goal * 1.3, f"goal {power_of_ten(result.goal)}", color=style.INK, ha="center", va="bottom"
        )
        self._level = self.moving(norm.plot([], [], **style.THRESHOLD_STYLE)[0])
        key_above(norm, {"threshold c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT)})
        self._norm = self.moving(norm.plot([], [], **style.CLIPPED_STYLE)[0], "clipped norm")
        self._raw_norm = self.moving(norm.plot([], [], **style.RAW_STYLE)[0], "raw norm")
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
