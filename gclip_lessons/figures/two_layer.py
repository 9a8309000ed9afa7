"""Lesson 03: a small network trained on prices, without clipping, with one norm, and with one norm a tensor."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, key, off_chart

_LOWEST, _HIGHEST = 0.05, 300.0
_REACH = 2.6


class TwoLayerFigure(style.LiveFigure):
    description = (
        "Left: standardised prices as dots, with the curve of a network trained without clipping (dashed), with global "
        "clipping (solid) and with per-tensor clipping (dash-dotted). Right: their losses against the training step."
    )

    def draw(self, result: Any) -> None:
        fit = self.panel("fit", (0.06, 0.13, 0.40, 0.76), title="Prices and three networks")
        fit.set(xlim=(-1.8, 1.8), ylim=(-_REACH, _REACH), xlabel="date, standardised", ylabel="price, standardised")
        fit.plot(result.x, result.y, ".", color=style.GUIDE, markersize=6)
        names = {
            "raw": (style.RAW_STYLE, style.RAW_TEXT),
            "global": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "per tensor": (style.OTHER_STYLE, style.OTHER_TEXT),
        }
        self._fits = {name: self.moving(fit.plot([], [], **look)[0], name) for name, (look, _) in names.items()}
        words = {"color": style.INK, "ha": "right", "transform": fit.transAxes}
        self._lost = self.moving(fit.text(0.985, 0.03, "", **words), "lost")
        loss = self.panel("loss", (0.56, 0.13, 0.41, 0.76), title="Loss against step")
        loss.set(yscale="log", xlim=(0, result.losses[0].size - 1), ylim=(_LOWEST, _HIGHEST), xlabel="step")
        loss.yaxis.set_major_formatter(PLAIN)
        loss.yaxis.set_minor_locator(NullLocator())
        self._losses = [self.moving(loss.plot([], [], **look)[0], f"loss {name}") for name, (look, _) in names.items()]
        self._step = self.moving(loss.axvline(0, color=style.MUTED, linewidth=1))
        key(fit, names, "upper left")

    def update(self, result: Any) -> None:
        steps = np.arange(result.losses[0].size)
        lost = [not (np.abs(curve) < _REACH).any() for curve in result.curves]
        self._lost.set_text(off_chart(dict(zip(self._fits, lost, strict=True))))
        for line, curve in zip(self._fits.values(), result.curves, strict=True):
            seen = np.isfinite(curve).all()
            line.set_data(result.x if seen else [], np.clip(curve, -9, 9) if seen else [])
        for line, values in zip(self._losses, result.losses, strict=True):
            finite = np.isfinite(values)
            line.set_data(steps[finite], np.clip(values[finite], _LOWEST, 10 * _HIGHEST))
        self._step.set_xdata([result.state.step, result.state.step])
