"""Lesson 03: a small network trained on prices, without clipping, with one norm, and with one norm a tensor."""

from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import key

_LOWEST, _HIGHEST = 0.05, 300.0


class TwoLayerFigure(style.LiveFigure):
    description = (
        "Left: standardised prices as dots, with the curve of a network trained without clipping (dashed), with global "
        "clipping (solid) and with per-tensor clipping (dash-dotted). Right: their losses against the training step."
    )

    def draw(self, result: Any) -> None:
        fit = self.panel("fit", (0.06, 0.13, 0.40, 0.76), title="Prices and three networks")
        fit.set(xlim=(-1.8, 1.8), ylim=(-2.6, 2.6), xlabel="date, standardised", ylabel="price, standardised")
        fit.plot(result.x, result.y, ".", color="#8A8A8A", markersize=6)
        self._fits = [
            self.moving(fit.plot([], [], **look)[0])
            for look in (style.RAW_STYLE, style.CLIPPED_STYLE, style.OTHER_STYLE)
        ]
        loss = self.panel("loss", (0.56, 0.13, 0.41, 0.76), title="Loss against step")
        loss.set(yscale="log", xlim=(0, result.losses[0].size - 1), ylim=(_LOWEST, _HIGHEST), xlabel="step")
        loss.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        loss.yaxis.set_minor_locator(NullLocator())
        self._losses = [
            self.moving(loss.plot([], [], **look)[0])
            for look in (style.RAW_STYLE, style.CLIPPED_STYLE, style.OTHER_STYLE)
        ]
        self._step = self.moving(loss.axvline(0, color=style.MUTED, linewidth=1))
        names = {
            "raw": (style.RAW_STYLE, style.RAW_TEXT),
            "global": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "per tensor": (style.OTHER_STYLE, style.OTHER_TEXT),
        }
        key(fit, names, "upper left")

    def update(self, result: Any) -> None:
        steps = np.arange(result.losses[0].size)
        for line, curve in zip(self._fits, result.curves, strict=True):
            seen = np.isfinite(curve).all()
            line.set_data(result.x if seen else [], np.clip(curve, -9, 9) if seen else [])
        for line, values in zip(self._losses, result.losses, strict=True):
            finite = np.isfinite(values)
            line.set_data(steps[finite], np.clip(values[finite], _LOWEST, 10 * _HIGHEST))
        self._step.set_xdata([result.state.step, result.state.step])
