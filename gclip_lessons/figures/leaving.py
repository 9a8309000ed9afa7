"""Lesson 09: how far a sum of gradients moves when one example leaves, and what clipping and noise do to its error."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.headed import head
from gclip_lessons.figures.parts import PLAIN, Arrow, ring
from gclip_lessons.figures.ucurve import SPREAD_STYLE

_REACH = 3.6, 3.6 * 272 / 360  # as the panel is
_LOW, _HIGH = 2e-3, 3.0  # of the errors


class LeavingFigure(style.LiveFigure):
    description = (
        "Left: how far the sum of all gradients moves when one example leaves, a mark for each example: crosses "
        "unclipped, dots clipped, all of these within the dotted circle of radius C. Arrows, dashed and solid, belong "
        "to the example that leaves now. Grey marks are draws of the noise that is added to the clipped sum. Right: "
        "the error of the noisy clipped mean against C on log scales, a U made of the bias, dash-dotted, and the "
        "noise, dotted, with the present C as a dotted line with a ring."
    )

    def draw(self, result: Any) -> None:
        moves = self.panel("moves", (0.065, 0.13, 0.40, 0.68), aspect="equal")
        moves.set(xlim=(-_REACH[0], _REACH[0]), ylim=(-_REACH[1], _REACH[1]))
        moves.set(xticks=[-2, 0, 2], yticks=[-2, 0, 2], xlabel="first parameter", ylabel="second")
        for axis in (moves.xaxis, moves.yaxis):
            axis.set_major_formatter(PLAIN)
        cross = {"marker": "x", "markersize": 6, "markeredgewidth": 1.5, "linestyle": "none", "color": style.RAW}
        dot = {"marker": "o", "markersize": 4.5, "linestyle": "none", "color": style.CLIPPED}
        noise = {"marker": "+", "markersize": 5, "linestyle": "none", "color": style.GUIDE}
        names = {
            "unclipped": (cross, style.RAW_TEXT),
            "clipped": (dot, style.CLIPPED_TEXT),
            "C": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
            "noise": (noise, style.MUTED),
        }
        head(moves, "One example leaves: the sum moves", names, handlelength=1.8)
        self._noise = self.moving(moves.plot([], [], **noise, zorder=1)[0], "noise")
        self._raw = self.moving(moves.plot([], [], **cross, alpha=0.55, zorder=2)[0], "raw")
        self._clipped = self.moving(moves.plot([], [], **dot, alpha=0.45, zorder=3)[0], "clipped")
        self._circle = self.moving(moves.plot([], [], **style.THRESHOLD_STYLE)[0], "circle")
        self._raw_move = Arrow(self, moves, "raw move", head=0.28, **style.RAW_STYLE)
        self._move = Arrow(self, moves, "move", head=0.28, **style.CLIPPED_STYLE | {"linewidth": 3})

        error = self.panel("error", (0.56, 0.13, 0.42, 0.68))
        low, high = result.thresholds[[0, -1]]
        error.set(xscale="log", yscale="log", xlim=(0.9 * low, 1.1 * high), ylim=(_LOW, _HIGH), xlabel="threshold C")
        error.set(xticks=[0.1, 1, 10], yticks=[0.01, 0.1, 1])
        for axis in (error.xaxis, error.yaxis):
            axis.set_major_formatter(PLAIN)
            axis.set_minor_formatter(NullFormatter())
        error.yaxis.set_minor_locator(NullLocator())
        names = {
            "error": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "its bias": (style.OTHER_STYLE, style.OTHER_TEXT),
            "its noise": (SPREAD_STYLE, style.INK),
            "C": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        head(error, "Error of the noisy mean", names, handlelength=1.8)
        self._at = self.moving(error.plot([], [], **style.THRESHOLD_STYLE)[0], "at")
        self._error = self.moving(error.plot([], [], **style.CLIPPED_STYLE | {"linewidth": 4})[0], "errors")
        self._bias = self.moving(error.plot([], [], **style.OTHER_STYLE)[0], "biases")
        self._spread = self.moving(error.plot([], [], **SPREAD_STYLE)[0], "spreads")
        self._here = ring(self, error, style.CLIPPED, "here")

    def update(self, result: Any) -> None:
        c, leaver = result.state.max_norm, result.state.leaver - 1
        around = np.linspace(0, 2 * np.pi, 129)
        self._noise.set_data(*result.noise.T)
        self._raw.set_data(*-result.grads.T)
        self._clipped.set_data(*-result.clipped.T)
        self._circle.set_data(c * np.cos(around), c * np.sin(around))
        self._raw_move.set(-result.grads[leaver])
        self._move.set(-result.clipped[leaver])
        self._at.set_data([c] * 3, [_LOW, 0.1, _HIGH])
        self._bias.set_data(result.thresholds, np.maximum(result.biases, _LOW / 10))
        self._spread.set_data(result.thresholds, result.spreads)
        self._error.set_data(result.thresholds, result.errors)
        self._here.set_data([c], [result.error])
