"""Lesson 12: a board on which one point attacks a line and a clip defends it, and how much of the board is lost."""

from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.image import PcolorImage
from matplotlib.ticker import FuncFormatter

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, key, key_above, off_chart, ring

_LOST, _LOST_TEXT = "#F3D9C6", style.RAW_TEXT  # the vermilion of what is unclipped, pale
_TRUE: dict[str, Any] = {"color": style.MUTED, "linestyle": "-", "linewidth": 1.2}
_CURVES = {
    "each example": (style.CLIPPED_STYLE | {"marker": "o", "markersize": 4}, style.CLIPPED_TEXT),
    "batch, by norm": (style.OTHER_STYLE | {"marker": "D", "markersize": 4}, style.OTHER_TEXT),
    "batch, by value": (
        {"color": style.MUTED, "linestyle": (0, (3, 1.5)), "marker": "^", "markersize": 4},
        style.MUTED,
    ),
}


class DuelFigure(style.LiveFigure):
    description = (
        "Left: twenty honest points and the best line through them (thin), the saboteur's point as a ring that can be "
        "dragged, and the lines that training ends with, unclipped dashed, clipped solid. Shaded are the places from "
        "which one point would win against this clip. Right: the share of such places against the threshold c, on a "
        "log scale, for three rules; the dotted line is c."
    )

    def draw(self, result: Any) -> None:
        side = result.side
        board = self.panel("board", (0.065, 0.125, 0.37, 0.765), title="The board")
        board.set(xlim=(-side, side), ylim=(-side, side), xlabel="x", ylabel="y")
        board.yaxis.labelpad = 0
        board.xaxis.set_major_formatter(PLAIN)
        board.yaxis.set_major_formatter(PLAIN)
        cell = 2 * side / (len(result.places) - 1) / 2
        self._sides = np.linspace(-side - cell, side + cell, len(result.places) + 1)
        shade = {"cmap": ListedColormap(["#FFFFFF", _LOST]), "norm": Normalize(0, 1), "zorder": 0}
        self._lost = self.moving(PcolorImage(board, self._sides, self._sides, result.board, **shade), "board")
        self._lost.set_in_layout(False)
        board.add_image(self._lost)
        across = np.array([-side, 0, side])
        best = board.plot(across, result.best[0] + result.best[1] * across, **_TRUE, zorder=2)
        dots = board.plot(*result.honest.T, ".", color=style.INK, markersize=5, zorder=3)
        for artist, name in ((best[0], "best"), (dots[0], "honest")):  # they never move, but the shades below them do
            self.moving(artist, name)
        self._lines = {
            name: self.moving(board.plot([], [], **look, zorder=4)[0], name)
            for name, look in (("raw", style.RAW_STYLE), ("clipped", style.CLIPPED_STYLE))
        }
        self._point = ring(self, board, name="point")
        self._core = self.moving(board.plot([], [], "x", color=style.INK, markersize=7, zorder=6)[0], "core")
        words = {"transform": board.transAxes, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 2}}
        self._words = self.moving(board.text(0.03, 0.03, "", color=style.INK, **words, zorder=7), "lost lines")
        names = {
            "unclipped": (style.RAW_STYLE, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
        }
        key_above(board, names)

        shares = self.panel("shares", (0.535, 0.125, 0.445, 0.615), xscale="log", ylim=(-0.03, 1.03))
        shares.set_title("Board lost to a single point", pad=54)
        shares.set(xlim=(result.thresholds[0] / 1.2, result.thresholds[-1] * 1.2), xlabel="threshold c")
        shares.xaxis.set_major_formatter(PLAIN)
        shares.minorticks_off()
        shares.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}%"))
        shares.axhline(result.unclipped, color=style.RAW, linestyle=(0, (5, 2)), linewidth=1.2, zorder=1)
        for name, (look, _) in _CURVES.items():
            shares.plot(result.thresholds, result.shares[name], **look, zorder=3)
        names = {**_CURVES, "unclipped": (style.RAW_STYLE | {"linewidth": 1.2}, style.RAW_TEXT)}
        key(shares, names, "lower left", ncols=2, bbox_to_anchor=(-0.02, 1.0), columnspacing=1.2, labelspacing=0.3)
        self._level = self.moving(shares.plot([], [], **style.THRESHOLD_STYLE, zorder=2)[0], "threshold")
        dot = {"markersize": 11, "markeredgecolor": "white", "color": style.INK, "zorder": 5}
        self._here = self.moving(shares.plot([], [], "o", clip_on=False, **dot)[0], "here")

    def update(self, result: Any) -> None:
        state, side = result.state, result.side
        self._lost.set_data(self._sides, self._sides, result.board)
        across, gone = np.array([-side, 0, side]), {}
        for name, line in self._lines.items():
            height, slope = result.lines[name]
            ends = height + slope * across
            shown = np.isfinite(ends).all() and np.abs(ends).max() < 1e4
            line.set_data(across, ends if shown else np.full(3, np.nan))
            gone[{"raw": "unclipped"}.get(name, name)] = not shown
        self._words.set_text(off_chart(gone))
        self._point.set_data([state.x], [state.y])
        self._core.set_data([state.x], [state.y])
        self._level.set_data([state.max_norm] * 3, [-1, 0.5, 2])
        self._here.set_data([state.max_norm], [result.lost])
