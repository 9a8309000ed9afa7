"""Lesson 02: one spike among many coordinates, clamped, and how far that turns the whole."""

from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, key


class SpikeFigure(style.LiveFigure):
    description = (
        "Left: the coordinates of a gradient on a log scale, a spike first and then ones, before clipping "
        "(hollow circles on dashed stems) and after (squares on solid stems), with the threshold c as a "
        "dotted line. Right: the angle by which clipping turns the gradient against the number of "
        "coordinates, below the bound arccos(1/√d), with a ring at the present number."
    )
    most = 12

    def draw(self, result: Any) -> None:
        bars = self.panel("bars", (0.105, 0.13, 0.345, 0.76), title="Coordinate by coordinate")
        bars.set(yscale="log", xlim=(0, 1.08), ylim=(0.05, 1e8), xlabel="the spike, then the ones", xticks=[])
        bars.set(yticks=[10.0**k for k in range(-1, 7)])
        bars.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}" if value < 1e6 else "1,000,000"))
        bars.yaxis.set_minor_locator(NullLocator())
        self._level = self.moving(bars.plot([], [], **style.THRESHOLD_STYLE)[0])
        stems = [style.RAW_STYLE | {"linewidth": 1.6}, style.CLIPPED_STYLE | {"linewidth": 1.6}]
        self._stems = [self.moving(bars.add_collection(LineCollection([], zorder=3, **look))) for look in stems]
        hollow = {"markersize": 8, "markeredgewidth": 1.8, "markerfacecolor": "white", "zorder": 4}
        before, after = {"marker": "o", "color": style.RAW, **hollow}, {"marker": "s", "color": style.CLIPPED}
        dots = {"linestyle": "none"}
        self._raw = self.moving(bars.plot([], [], **before, **dots)[0], "raw")
        self._clipped = self.moving(bars.plot([], [], **after, **dots, markersize=7, zorder=5)[0], "clipped")
        names = {"before": (before | stems[0], style.RAW_TEXT), "after": (after | stems[1], style.CLIPPED_TEXT)}
        key(bars, names, "upper left", ncols=2, handlelength=2.0, columnspacing=1.0)
        self._handle = self.moving(bars.plot([], [], "o", color=style.THRESHOLD, **hollow | {"markersize": 12})[0])
        self._level_name = self.moving(bars.text(1, 1, "c", color=style.THRESHOLD_TEXT, ha="right", va="bottom"))
        self._more = self.moving(
            bars.text(0.995, 0.91, "", color=style.MUTED, transform=bars.transAxes, ha="right", va="top")
        )

        angle = self.panel("angle", (0.55, 0.13, 0.42, 0.76), title="Turn of the whole gradient")
        angle.set(xscale="log", xlim=(1.85, 118), ylim=(-2, 100), xlabel="number of coordinates d")
        angle.set(ylabel="turn in degrees", xticks=[2, 5, 10, 20, 50, 100], yticks=range(0, 91, 15))
        angle.xaxis.set_major_formatter(PLAIN)
        angle.xaxis.set_minor_formatter(NullFormatter())
        angle.axhline(90, color=style.GUIDE, linewidth=1)
        angle.text(2, 91, "90°: no longer downhill", color=style.MUTED)
        numbers = np.arange(2, 101)
        angle.plot(numbers, np.degrees(np.arccos(1 / np.sqrt(numbers))), color=style.FAINT, linewidth=6, zorder=1)
        angle.text(9.5, 57, "grey: the bound, arccos(1/√d)", color=style.MUTED)
        self._curve = self.moving(angle.plot([], [], **style.CLIPPED_STYLE)[0], "turns")
        look = {"markersize": 12, "markeredgewidth": 2, "markerfacecolor": "white", "color": style.CLIPPED}
        self._at = self.moving(angle.plot([], [], "o", **look, zorder=6)[0], "at")

    def update(self, result: Any) -> None:
        state, shown = result.state, min(result.state.n_params, self.most)
        places = (np.arange(shown) + 0.5) / shown
        for stems, tops, values, offset in zip(
            self._stems,
            (self._raw, self._clipped),
            (result.grad, result.clipped),
            (-0.016, 0.016),
            strict=True,
        ):
            x, y = places + offset, values[:shown]
            stems.set_segments(np.stack([np.stack([x, np.full(shown, 0.05)], -1), np.stack([x, y], -1)], 1))
            tops.set_data(x, y)
        self._level.set_data([0, 1.08], [state.max_value, state.max_value])
        self._handle.set_data([1.04], [state.max_value])
        self._level_name.set_position((1.075, state.max_value * 2))
        hidden = state.n_params - shown
        self._more.set_text(f"and {hidden} more ones" if hidden else "")
        self._curve.set_data(result.numbers, result.turns)
        self._at.set_data([state.n_params], [result.turn])
