"""Lesson 01: the ten parameters of the article's program, mended, and their loss."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, key_above


class ProgramFigure(style.LiveFigure):
    description = (
        "Left: ten parameters against the step, clipped. "
        "Right: the sum of their squares on a log scale, clipped (solid) and without clipping (dashed)."
    )
    reach = 16.0
    low, high = 1e-8, 1e4

    def draw(self, result: Any) -> None:
        last = result.n_steps
        theta = self.panel("theta", (0.085, 0.13, 0.37, 0.76), title="Ten parameters, clipped")
        theta.set(xlim=(0, last), ylim=(-self.reach, self.reach), xlabel="step", ylabel="θ")
        theta.set_yscale("symlog", linthresh=1, linscale=2)  # a swing may be as wide as ±10 or as narrow as ±0.05
        theta.set_yticks([-10, -1, -0.5, 0, 0.5, 1, 10])
        theta.yaxis.set_major_formatter(PLAIN)
        theta.yaxis.set_minor_locator(NullLocator())
        theta.axhline(0, color=style.GUIDE, linewidth=0.8, zorder=1)
        look = {"marker": "o", "markersize": 2.5, "color": style.CLIPPED, "linewidth": 0.4}
        self._lines = [self.moving(theta.plot([], [], **look)[0], f"θ{k}") for k in range(result.clipped.shape[-1])]
        loss = self.panel("loss", (0.57, 0.13, 0.40, 0.76), title="Sum of squares")
        loss.set(yscale="log", xlim=(0, last), ylim=(self.low, self.high), xlabel="step", ylabel="loss")
        loss.set_yticks([1e-8, 1e-6, 1e-4, 1e-2, 1, 1e2, 1e4])
        loss.yaxis.set_major_formatter(PLAIN)
        look = style.CLIPPED_STYLE | {"marker": "o", "markersize": 5, "markevery": 3}
        self._clipped = self.moving(loss.plot([], [], **look)[0], "clipped")
        self._raw = self.moving(loss.plot([], [], **style.RAW_STYLE)[0], "raw")
        key_above(loss, {"raw": (style.RAW_STYLE, style.RAW_TEXT), "clipped": (look, style.CLIPPED_TEXT)})

    def update(self, result: Any) -> None:
        steps = np.arange(result.n_steps + 1)
        for line, values in zip(self._lines, result.clipped.T, strict=True):
            line.set_data(steps, np.clip(values, -100, 100))
        for line, values in ((self._clipped, result.clipped_loss), (self._raw, result.raw_loss)):
            line.set_data(steps, np.clip(values, self.low / 100, self.high * 100))
