"""Lesson 08: six optimisers under one spike: the update of one of them, and what the spike costs each."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import key

_LOW = -2e5
_ROW = 0.13  # how far above and below the middle of its row a mark lies


class SixFigure(style.LiveFigure):
    description = (
        "Left: the update of the chosen optimiser, in units of its usual update, against the number of steps counted "
        "from the spike, unclipped dashed and clipped solid; the horizontal axis is a log scale, and so is the "
        "vertical one below −1; a level line at 1 is the usual step. Right: for each of the six optimisers, on a log "
        "scale, how many usual steps the spike costs it in all, unclipped as a square, clipped as a disc; the row of "
        "the chosen optimiser is shaded, and a click on another row chooses it."
    )

    def draw(self, result: Any) -> None:
        left = self.panel("update", (0.085, 0.13, 0.40, 0.77), title="Update, in usual updates")
        left.set_yscale("symlog", linthresh=1, linscale=2.2)
        left.set(xscale="log", xlim=(0.9, result.steps[-1]), ylim=(_LOW, 2.1), xlabel="step, counted from the spike")
        left.set_xticks([1, 10, 100, 1000, 10000], ["1", "10", "100", "1000", "10⁴"])
        left.set_yticks([-1e5, -1e4, -1e3, -100, -10, -1, -0.5, 0, 0.5, 1])
        ticks = ["−10⁵", "−10⁴", "−1000", "−100", "−10", "−1", "−0.5", "0", "0.5", "1"]
        left.set_yticklabels(ticks)
        for axis in (left.xaxis, left.yaxis):
            axis.set_minor_locator(NullLocator())
        left.axhline(1, color=style.GUIDE, linewidth=1)
        left.axhline(0, color=style.FAINT, linewidth=1)
        marked = {"markevery": [0], "markeredgecolor": "white"}
        raw = style.RAW_STYLE | {"marker": "s", "markersize": 9}
        clipped = style.CLIPPED_STYLE | {"marker": "o", "markersize": 9}
        self._clipped = self.moving(left.plot([], [], **clipped | marked, zorder=4)[0], "clipped")
        self._raw = self.moving(left.plot([], [], **raw | marked, zorder=5)[0], "raw")
        names = {"unclipped": (raw, style.RAW_TEXT), "clipped": (clipped, style.CLIPPED_TEXT)}
        key(left, names, "lower right", labelspacing=0.35)

        right = self.panel("cost", (0.635, 0.13, 0.345, 0.77), title="Usual steps that the spike costs")
        rows = _heights(result)
        right.set(xscale="log", xlim=(1, 3e5), ylim=(-0.5, len(rows) - 0.5), xlabel="steps")
        right.set_yticks(rows, result.names)
        right.tick_params(axis="y", length=0, labelcolor=style.INK)
        right.set_xticks([1, 10, 100, 1000, 1e4, 1e5], ["1", "10", "100", "1000", "10⁴", "10⁵"])
        right.xaxis.set_minor_locator(NullLocator())
        for row in rows[1:]:
            right.axhline(row + 0.5, color=style.FAINT, linewidth=0.8)
        band = {"color": "#EEF1F4", "zorder": 0}
        self._row = self.moving(right.fill([1, 1, 1, 1], [0, 0, 0, 0], **band)[0], "row")
        marks = {"linestyle": "none", "markersize": 9, "markeredgecolor": "white", "zorder": 5}
        self._costs = {
            "raw": self.moving(right.plot([], [], marker="s", color=style.RAW, **marks)[0], "cost raw"),
            "clipped": self.moving(right.plot([], [], marker="o", color=style.CLIPPED, **marks)[0], "cost clipped"),
        }

    def update(self, result: Any) -> None:
        self._raw.set_data(result.steps, result.update["raw"])
        self._clipped.set_data(result.steps, result.update["clipped"])
        rows = _heights(result)
        row = rows[result.names.index(result.state.optimizer)]
        self._row.set_xy([(1, row - 0.5), (3e5, row - 0.5), (3e5, row + 0.5), (1, row + 0.5)])
        self._costs["raw"].set_data(result.cost["raw"], rows + _ROW)
        self._costs["clipped"].set_data(result.cost["clipped"], rows - _ROW)


def _heights(result: Any) -> np.ndarray:
    """Where the rows lie, from the top down."""
    return np.arange(len(result.names))[::-1]
