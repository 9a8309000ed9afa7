"""Lesson 10: the temporal-order task, seed by seed over the steps, and how many seeds solve it at each threshold."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, key_above, ring

_LINE = {"color": style.GUIDE, "linewidth": 1.2}


class OrderFigure(style.LiveFigure):
    description = (
        "Left: the accuracy on fresh sequences against the step, one line for each of twenty seeds, unclipped dashed "
        "and clipped solid; thin lines mark chance and the 95% that count as solved, a vertical line the present step. "
        "Right: how many seeds have solved the task by then, against the threshold on a log scale, clipped as dots, "
        "with the number without clipping as a dashed level and a ring at the present threshold."
    )

    def draw(self, result: Any) -> None:
        steps, seeds = result.steps, result.accuracy["raw"].shape[1]
        left = self.panel("accuracy", (0.065, 0.125, 0.46, 0.785), title=f"Accuracy, {seeds} seeds")
        left.set(xlim=(0, 1.02 * steps[-1]), ylim=(0, 1.03), xlabel="step", yticks=[0, 0.25, 0.5, 0.75, 1])
        left.yaxis.set_major_formatter(PLAIN)
        for level, word in ((result.chance, "chance"), (result.solved_at, "solved")):
            left.plot([0, 2 * steps[-1]], [level] * 2, **_LINE, zorder=1)
            left.text(1.035 * steps[-1], level, word, color=style.MUTED, va="center")
        looks = {
            "raw": style.RAW_STYLE | {"linewidth": 1.0},
            "clipped": style.CLIPPED_STYLE | {"linewidth": 1.2},
        }
        names = {"unclipped": (style.RAW_STYLE, style.RAW_TEXT), "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT)}
        key_above(left, names)
        self._curves = {name: self.moving(left.plot([], [], **looks[name], zorder=3)[0], name) for name in looks}
        self._step = self.moving(left.plot([], [], color=style.INK, linewidth=1.2, zorder=5)[0], "step")

        right = self.panel("solved", (0.63, 0.125, 0.355, 0.785), title=f"Solved, of {seeds}")
        low, high = result.thresholds[[0, -1]]
        right.set(xscale="log", xlim=(0.7 * low, 1.43 * high), ylim=(-0.6, seeds + 0.9), xlabel="threshold c")
        right.set_xticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
        right.xaxis.set_minor_locator(NullLocator())
        right.set_yticks(range(0, seeds + 1, 5))
        joined = style.CLIPPED_STYLE | {"marker": "o", "markersize": 7, "linewidth": 1.4}
        self._level = self.moving(right.plot([], [], **style.RAW_STYLE, zorder=2)[0], "raw level")
        self._counts = self.moving(right.plot([], [], **joined, zorder=3)[0], "counts")
        self._line = self.moving(right.plot([], [], **style.THRESHOLD_STYLE, zorder=1)[0], "threshold")
        self._here = ring(self, right, style.CLIPPED, "here")

    def update(self, result: Any) -> None:
        for name, accuracy in result.accuracy.items():
            # One line for all seeds: NaN lifts the pen between two of them.
            steps = np.append(result.steps, np.nan)
            y = np.vstack([accuracy, np.full(accuracy.shape[1], np.nan)])
            self._curves[name].set_data(np.tile(steps, y.shape[1]), y.T.ravel())
        at = result.steps[result.state.hundreds]
        self._step.set_data([at, at], [0, 1.03])
        self._level.set_data([1e-3, 1, 1e3], [result.raw_solved] * 3)
        self._counts.set_data(result.thresholds, result.solved)
        self._line.set_data([result.threshold] * 3, [-1, 1, 50])
        self._here.set_data([result.threshold], [result.count])
