"""Lesson 10: what three tasks reach at each learning rate, with and without clipping."""

from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, key

_PLACES = {"characters": 0.058, "order": 0.392, "classes": 0.726}
_TITLES = {"characters": "Characters: loss", "order": "Order: solved by 1500", "classes": "Two classes: accuracy"}
_TICKS = {
    "characters": ([0.1, 1, 10], [2, 5, 20, 100]),
    "order": ([0.01, 0.1, 1], [0, 10, 20, 30, 40, 50]),
    "classes": ([0.1, 1, 10], [0.5, 0.6, 0.7, 0.8, 0.9, 1]),
}
_LIMITS = {"characters": (1.6, 200), "order": (-1.5, 52.5), "classes": (0.48, 1.005)}


class RatesFigure(style.LiveFigure):
    description = (
        "Three panels, each against the learning rate on a log scale, unclipped dashed with squares and clipped solid "
        "with dots. Left: the loss of the character model, low is good, the median of ten seeds with bars from best "
        "to worst. Middle: how many of fifty seeds solve temporal order within 1500 steps. Right: the accuracy on two "
        "classes, the median of twenty seeds with such bars."
    )

    def draw(self, result: Any) -> None:
        looks = {
            "raw": style.RAW_STYLE | {"marker": "s", "markersize": 6},
            "clipped": style.CLIPPED_STYLE | {"marker": "o", "markersize": 6},
        }
        self._lines: dict[tuple[str, str], Any] = {}
        self._bars: dict[tuple[str, str], Any] = {}
        for task, left in _PLACES.items():
            axes = self.panel(task, (left, 0.13, 0.258, 0.77), title=_TITLES[task])
            rates = result.rates[task]
            axes.set(xscale="log", xlim=(0.75 * rates[0], 1.33 * rates[-1]), xlabel="learning rate η")
            if task == "characters":
                axes.set_yscale("log")
            axes.set_ylim(*_LIMITS[task])
            for axis, ticks in zip((axes.xaxis, axes.yaxis), _TICKS[task], strict=True):
                axis.set_major_locator(FixedLocator(ticks))
                axis.set_major_formatter(PLAIN)
                axis.set_minor_locator(NullLocator())
            for name, look in looks.items():
                thin = {"color": look["color"], "linewidth": 1.2, "alpha": 0.7}
                if task != "order":
                    bars = axes.plot([], [], **thin, zorder=2)[0]
                    self._bars[task, name] = self.moving(bars, f"{task} {name} bars")
                self._lines[task, name] = self.moving(axes.plot([], [], **look, zorder=3)[0], f"{task} {name}")
        names = {"unclipped": (looks["raw"], style.RAW_TEXT), "clipped": (looks["clipped"], style.CLIPPED_TEXT)}
        key(self.axes["characters"], names, "upper left")

    def update(self, result: Any) -> None:
        for (task, name), line in self._lines.items():
            rates, reached = np.array(result.rates[task]), result.reached[task][name]
            line.set_data(rates, np.minimum(reached.middle, 1e6))
            if (task, name) in self._bars:
                shift = 0.97 if name == "raw" else 1.03  # side by side, so that none hides the other
                x = np.repeat(rates * shift, 3)
                y = np.stack([reached.lowest, reached.highest, np.full(len(rates), np.nan)], -1).ravel()
                self._bars[task, name].set_data(x, np.minimum(y, 1e6))
