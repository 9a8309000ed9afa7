"""Lesson 08: one past, many futures: how far a run is from the minimum after a spike, for every threshold."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, key

LOW, HIGH = 0.01, 1000
_GHOST: dict[str, Any] = {"color": "#7F9DB3", "linestyle": "-", "linewidth": 1.1}
_GHOST_TEXT = "#4A6578"


class ForkFigure(style.LiveFigure):
    description = (
        "Left: the distance from the minimum against the step, on a log scale: one line up to the pause, and from "
        "there a thin ghost line for each of several thresholds, the unclipped future dashed and the future at the "
        "present threshold solid, each with a mark at the present step. Right: on the same vertical axis, the distance "
        "at the present step against the threshold, with the ghosts as small dots, the unclipped run as a dashed level "
        "and the threshold as a dotted line that can be dragged."
    )

    def draw(self, result: Any) -> None:
        last, pause = len(result.raw) - 1, result.pause
        time = self.panel("time", (0.075, 0.13, 0.50, 0.77), title="Distance from the minimum")
        now = self.panel("now", (0.66, 0.13, 0.32, 0.77), title="… at this step, for each c")
        for panel in (time, now):
            panel.set(yscale="log", ylim=(LOW, HIGH), yticks=[0.01, 0.1, 1, 10, 100, 1000])
            panel.yaxis.set_major_formatter(PLAIN)
            panel.yaxis.set_minor_locator(NullLocator())
        time.set(xlim=(0, 1.01 * last), xlabel="step")
        low, high = result.thresholds[[0, -1]]
        now.set(xscale="log", xlim=(low / 1.2, high * 1.2), xlabel="threshold c, from the pause on")
        now.set(xticks=[0.1, 1, 10, 100, 1000])
        now.xaxis.set_major_formatter(PLAIN)
        now.xaxis.set_minor_locator(NullLocator())

        time.axvline(pause, color=style.GUIDE, linewidth=1)
        time.text(pause + 3, 0.93 * HIGH, "pause, then the spike", color=style.MUTED, va="top")
        self._cursor = self.moving(time.plot([], [], color=style.FAINT, linewidth=5, zorder=0)[0], "cursor")
        self._ghosts = self.moving(time.plot([], [], **_GHOST, zorder=2)[0], "ghosts")
        dots = {"linestyle": "none", "marker": "o", "color": _GHOST["color"], "markersize": 4.5}
        self._heads = self.moving(time.plot([], [], **dots, zorder=5, clip_on=False)[0], "heads")
        looks = {
            "raw": (style.RAW_STYLE, "s", style.RAW),
            "clipped": (style.CLIPPED_STYLE, "o", style.CLIPPED),
        }
        self._lines, self._marks = {}, {}
        for name, (look, marker, color) in looks.items():
            mark = {"markersize": 9, "markeredgecolor": "white", "color": color, "clip_on": False, "zorder": 7}
            self._lines[name] = self.moving(time.plot([], [], **look, zorder=4)[0], name)
            self._marks[name] = self.moving(time.plot([], [], marker, **mark)[0], f"at {name}")
        names = {
            "unclipped": (style.RAW_STYLE | {"marker": "s", "markersize": 6}, style.RAW_TEXT),
            "clipped at c": (style.CLIPPED_STYLE | {"marker": "o", "markersize": 6}, style.CLIPPED_TEXT),
            "other thresholds": (_GHOST | {"marker": "o", "markersize": 4.5}, _GHOST_TEXT),
        }
        key(time, names, "upper right", labelspacing=0.3)

        self._threshold = self.moving(now.plot([], [], **style.THRESHOLD_STYLE)[0], "threshold")
        self._level = self.moving(now.plot([], [], **style.RAW_STYLE, zorder=3)[0], "level")
        self._curve = self.moving(now.plot([], [], **_GHOST, zorder=4)[0], "curve")
        self._dots = self.moving(now.plot([], [], **dots, zorder=5, clip_on=False)[0], "dots")
        mark = {"markersize": 10, "markeredgecolor": "white", "color": style.CLIPPED, "clip_on": False, "zorder": 7}
        self._here = self.moving(now.plot([], [], "o", **mark)[0], "here")

    def update(self, result: Any) -> None:
        state, step = result.state, np.arange(len(result.raw))
        ghosts = result.distances[result.pause :, result.ghosts]
        gaps = np.full((1, ghosts.shape[1]), np.nan)  # one line for all of them, lifted in between
        times = np.vstack([np.tile(step[result.pause :, None], ghosts.shape[1]), gaps])
        self._ghosts.set_data(times.T.ravel(), np.vstack([ghosts, gaps]).T.ravel())
        at = _seen(result.distances[state.step])
        self._heads.set_data(np.full(len(result.ghosts), state.step), at[result.ghosts])
        for name, path in (("raw", result.raw), ("clipped", result.clipped)):
            self._lines[name].set_data(step, path)
            self._marks[name].set_data([state.step], _seen(path[[state.step]]))
        self._cursor.set_data([state.step] * 2, [LOW, 40])
        self._threshold.set_data([state.max_norm] * 2, [LOW, HIGH])
        self._level.set_data(result.thresholds[[0, -1]], [_seen(result.raw[state.step])] * 2)
        self._curve.set_data(result.thresholds, at)
        self._dots.set_data(result.thresholds[result.ghosts], at[result.ghosts])
        self._here.set_data([state.max_norm], _seen(result.clipped[[state.step]]))


def _seen(distance: np.ndarray) -> np.ndarray:
    """A mark for what is nearer than the chart shows lies on its edge."""
    return np.clip(distance, LOW, HIGH)
