"""Lesson 09: the steps of two layers and of their units, relative to their weights, under four scopes."""

from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.headed import head
from gclip_lessons.figures.parts import power_of_ten

_LOW, _HIGH = 1e-8, 1e6  # of relative steps
_DECADES = FixedLocator([10.0**k for k in range(-8, 7, 2)])


class ScopesFigure(style.LiveFigure):
    description = (
        "Left: the step of every unit relative to its weights, over η, on a log scale, with the units of layer 1 "
        "beside each other and the one of layer 2 apart: crosses unclipped, dots clipped; bars are a whole layer. "
        "With AGC λ is a dotted line. Right: the relative step of layer 1, solid, and of layer 2, dash-dotted, "
        "against the threshold, both on log scales, with the present threshold as a dotted line."
    )

    def draw(self, result: Any) -> None:
        units = self.panel("units", (0.085, 0.13, 0.385, 0.68))
        units.set(yscale="log", xlim=(0.2, 11.8), ylim=(_LOW, _HIGH), xticks=[4.5, 10.8])
        units.set_xticklabels(["layer 1, its eight units", "layer 2"])
        units.tick_params(axis="x", length=0, labelsize=11)
        units.axvline(9.4, color=style.FAINT, linewidth=1)
        cross = {"marker": "x", "markersize": 7, "markeredgewidth": 1.7, "linestyle": "none", "color": style.RAW}
        dot = {"marker": "o", "markersize": 6, "linestyle": "none", "color": style.CLIPPED}
        names = {
            "unclipped": (cross, style.RAW_TEXT),
            "clipped": (dot, style.CLIPPED_TEXT),
            "AGC's λ": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        head(units, "Step over weights, by unit", names, handlelength=1.8)
        self._level = self.moving(units.plot([], [], **style.THRESHOLD_STYLE)[0], "level")
        self._raw = self.moving(units.plot([], [], **cross)[0], "raw units")
        bar = {"linewidth": 5, "alpha": 0.45, "solid_capstyle": "butt", "linestyle": "-"}
        self._bars = [
            self.moving(units.plot([], [], color=color, **bar, zorder=1)[0], f"{role} layer {layer}")
            for role, color in (("raw", style.RAW), ("clipped", style.CLIPPED))
            for layer in (1, 2)
        ]
        self._clipped = self.moving(units.plot([], [], **dot, zorder=4)[0], "clipped units")

        layers = self.panel("layers", (0.57, 0.13, 0.41, 0.68))
        low, high = result.thresholds[[0, -1]]
        layers.set(xscale="log", yscale="log", xlim=(low, high), ylim=(_LOW, _HIGH), xlabel="threshold: c, or AGC's λ")
        for axis in (layers.xaxis, layers.yaxis, units.yaxis):
            axis.set_major_locator(_DECADES)
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(power_of_ten))
        names = {
            "layer 1": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "layer 2": (style.OTHER_STYLE, style.OTHER_TEXT),
            "threshold": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        head(layers, "Step over weights, by layer", names)
        self._at = self.moving(layers.plot([], [], **style.THRESHOLD_STYLE)[0], "at")
        looks = style.CLIPPED_STYLE, style.OTHER_STYLE
        self._curves = [self.moving(layers.plot([], [], **look)[0], f"layer {k + 1}") for k, look in enumerate(looks)]
        mark = {"markersize": 10, "markeredgecolor": "white", "zorder": 6, "linestyle": "none"}
        self._here = [
            self.moving(layers.plot([], [], symbol, color=look["color"], **mark)[0], f"here {k + 1}")
            for k, (symbol, look) in enumerate(zip("oD", looks, strict=True))
        ]

    def update(self, result: Any) -> None:
        t = result.threshold
        places = np.r_[1:9, 10.8]
        self._level.set_data(*(([0.2, 6, 11.8], [t] * 3) if result.adaptive else ([], [])))
        self._raw.set_data(places, result.raw_units)
        self._clipped.set_data(places, result.clipped_units)
        bars = [*result.raw_layers, *result.clipped_layers]
        for line, height, ends in zip(self._bars, bars, [(0.5, 8.5), (10.1, 11.5)] * 2, strict=True):
            line.set_data(ends, [height, height])
        self._at.set_data([t] * 3, [_LOW, 1, _HIGH])
        for k in (0, 1):
            self._curves[k].set_data(result.thresholds, result.curves[:, k])
            self._here[k].set_data([t], [result.clipped_layers[k]])
