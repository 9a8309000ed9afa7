"""Lesson 08: where the clip stands: a run with the clip in its place, one with it elsewhere, one without it."""

from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, drawable, key, off_chart

_LOW, _HIGH = 1e-3, 1e3
_LOOKS = {
    "raw": (style.RAW_STYLE, "s", style.RAW_TEXT),
    "elsewhere": (style.OTHER_STYLE, "D", style.OTHER_TEXT),
    "clipped": (style.CLIPPED_STYLE, "o", style.CLIPPED_TEXT),
}
_SAYS = {"raw": "unclipped", "elsewhere": "clipped elsewhere", "clipped": "in its place"}


class OrderFigure(style.LiveFigure):
    description = (
        "Left: three runs in the plane from one start: unclipped dashed with squares, with the clip in its place solid "
        "with dots, with the clip elsewhere dash-dotted with diamonds; a star marks the minimum, two crosses the "
        "places to which the two micro-batches pull. Right: their distance from the minimum against the step, on a log "
        "scale, with a line where the spike is."
    )

    def draw(self, result: Any) -> None:
        plane = self.panel("plane", (62 / 900, 46 / 400, 320 / 900, 320 / 400), title="Three runs", aspect="equal")
        left, right = result.window
        plane.set(xlim=(left, right), ylim=(left, right), xlabel="θ₁", xticks=range(-3, 3), yticks=range(-3, 3))
        plane.set_ylabel("θ₂", rotation=0, labelpad=2)
        for axis in (plane.xaxis, plane.yaxis):
            axis.set_major_formatter(PLAIN)
        for name, (x, y) in result.pulls.items():
            plane.plot([x], [y], "x", color=style.MUTED, markersize=9, markeredgewidth=2)
            plane.text(x + 0.14, y + 0.08, name, color=style.MUTED)
        plane.plot([0], [0], "*", color=style.INK, markersize=17, zorder=2)
        plane.text(0.16, 0.14, "minimum", color=style.INK)

        last = len(result.paths["raw"]) - 1
        time = self.panel("time", (0.525, 46 / 400, 0.455, 0.8), title="Distance from the minimum")
        time.set(yscale="log", xlim=(0, 1.01 * last), ylim=(_LOW, _HIGH), xlabel="step")
        time.yaxis.set_major_locator(FixedLocator([0.001, 0.01, 0.1, 1, 10, 100, 1000]))
        time.yaxis.set_major_formatter(PLAIN)
        time.yaxis.set_minor_locator(NullLocator())
        time.axvline(result.spike_at, color=style.GUIDE, linewidth=1)
        time.text(result.spike_at + 2, 0.9 * _HIGH, "spike", color=style.MUTED, va="top")
        self._paths, self._heads, self._curves, self._marks = {}, {}, {}, {}
        for name in ("clipped", "elsewhere", "raw"):
            look, marker, _ = _LOOKS[name]
            wide = 1.5 * (name == "elsewhere")  # where two runs are one, the wider line is seen behind the other
            mark = {"markersize": 9 + 2 * wide, "markeredgecolor": "white", "color": look["color"], "zorder": 7}
            points = {"marker": marker, "markersize": 4 + wide, "markevery": 8, "linewidth": 1.6 + wide}
            look = look | {"linewidth": look["linewidth"] + wide}
            self._paths[name] = self.moving(plane.plot([], [], **look | points, zorder=4)[0], name)
            self._heads[name] = self.moving(plane.plot([], [], marker, **mark)[0], f"here {name}")
            self._curves[name] = self.moving(time.plot([], [], **look, zorder=4)[0], f"distance {name}")
            self._marks[name] = self.moving(time.plot([], [], marker, clip_on=False, **mark)[0], f"at {name}")
        names = {_SAYS[n]: (look | {"marker": m, "markersize": 6}, text) for n, (look, m, text) in _LOOKS.items()}
        key(time, names, "upper right", labelspacing=0.3)
        words = {"transform": plane.transAxes, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 2}}
        self._lost = self.moving(plane.text(0.03, 0.95, "", color=style.INK, va="top", **words, zorder=8), "lost")

    def update(self, result: Any) -> None:
        step, lost = result.state.step, {}
        low, high = result.window
        for name, path in result.paths.items():
            distance = np.clip(result.distances[name], 1e-9, 1e9)
            self._paths[name].set_data(*drawable(path[: step + 1]).T)
            self._heads[name].set_data(*drawable(path[step : step + 1]).T)
            self._curves[name].set_data(np.arange(len(distance)), distance)
            self._marks[name].set_data([step], np.clip(distance[[step]], _LOW, _HIGH))
            lost[_SAYS[name]] = not ((low <= path[step]) & (path[step] <= high)).all()
        self._lost.set_text(off_chart(lost))
