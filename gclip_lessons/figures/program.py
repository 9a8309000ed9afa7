"""Lesson 01: the ten parameters of the article's program, mended, and their loss."""

from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter

from gclip_lessons.figures import style


class ProgramFigure(style.LiveFigure):
    description = (
        "Left: ten parameters against the step, clipped. "
        "Right: the sum of their squares on a log scale, clipped (solid) and without clipping (dashed)."
    )
    reach = 2.0
    low, high = 1e-8, 1e4

    def draw(self, result: Any) -> None:
        last = result.n_steps
        theta = self.panel("theta", (0.085, 0.13, 0.37, 0.76), title="Ten parameters, clipped")
        theta.set(xlim=(0, last), ylim=(-self.reach, self.reach), xlabel="step", ylabel="θ")
        theta.axhline(0, color="#9A9A9A", linewidth=0.8, zorder=1)
        look = style.CLIPPED_STYLE | {"linewidth": 1.3}
        self._lines = [self.moving(theta.plot([], [], **look)[0]) for _ in range(result.clipped.shape[-1])]
        loss = self.panel("loss", (0.57, 0.13, 0.40, 0.76), title="Sum of squares")
        loss.set(yscale="log", xlim=(0, last), ylim=(self.low, self.high), xlabel="step", ylabel="loss")
        loss.set_yticks([1e-8, 1e-6, 1e-4, 1e-2, 1, 1e2, 1e4])
        loss.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        for x, text, color in ((0.71, "– –  raw", style.RAW_TEXT), (1.0, "●  clipped", style.CLIPPED_TEXT)):
            loss.text(x, 1.02, text, color=color, transform=loss.transAxes, ha="right", va="bottom")
        look = style.CLIPPED_STYLE | {"marker": "o", "markersize": 5, "markevery": 3}
        self._clipped = self.moving(loss.plot([], [], **look)[0])
        self._raw = self.moving(loss.plot([], [], **style.RAW_STYLE)[0])

    def update(self, result: Any) -> None:
        steps = np.arange(result.n_steps + 1)
        for line, values in zip(self._lines, result.clipped.T, strict=True):
            line.set_data(steps, np.clip(values, -10, 10))
        for line, values in ((self._clipped, result.clipped_loss), (self._raw, result.raw_loss)):
            line.set_data(steps, np.clip(values, self.low / 100, self.high * 100))
