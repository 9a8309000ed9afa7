"""A learner's own log of gradient norms: the norms over the steps, and what a fixed threshold would clip."""

import math
from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import key

_DOTS = 4000  # more norms than these are drawn as a band, the extremes of each of `_PIECES` pieces
_PIECES = 450
_PERCENT = FuncFormatter(lambda value, _: f"{value:.0f}%")


class NormsFigure(style.LiveFigure):
    """One log, an `Advice` of norm_log.py; `update` moves the threshold alone, so that a slider can."""

    description = (
        "Left: the gradient norms of the log over its steps, on a logarithmic axis, with the trend, the spikes as "
        "crosses and the threshold as a dotted line. Right: the share of steps that a fixed threshold c would have "
        "clipped, against c, with the threshold marked."
    )

    def draw(self, result: Any) -> None:
        log, norms = result.log, result.log.norms[result.finite]
        steps = (log.steps if log.in_order else np.arange(len(log)))[result.finite]
        left = self.panel("norms", (0.095, 0.14, 0.48, 0.76), title="Norms")
        right = self.panel("fraction", (0.665, 0.14, 0.315, 0.76))
        left.set(xlabel="step" if log.in_order else "place in the log", ylabel="norm")
        right.set(xlabel="threshold c", ylabel="share of steps clipped", ylim=(0, 103))
        right.yaxis.set_major_formatter(_PERCENT)
        left.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace("-", "−")))
        left.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))

        drawn = norms > 0
        if result.grid.size:
            limits = float(result.grid[0]), float(result.grid[-1])
            left.set(yscale="log", ylim=limits)
            right.set(xscale="log", xlim=limits)
            for axis, most in ((left.yaxis, 7), (right.xaxis, 5)):
                axis.set_major_locator(FixedLocator(log_ticks(*limits, most)))
                axis.set_minor_locator(NullLocator())
                axis.set_major_formatter(FuncFormatter(lambda value, _: _words(value)))
            dots = {
                "color": style.RAW,
                "marker": "o",
                "markersize": 5 if drawn.sum() < 200 else 2.4,
                "linestyle": "none",
            }
            if drawn.sum() <= _DOTS:
                left.plot(steps[drawn], norms[drawn], **dots, markeredgewidth=0, zorder=2)
            else:
                left.fill_between(*_band(steps[drawn], norms[drawn]), color=style.RAW, linewidth=0.5, zorder=2)
            left.plot(steps, result.trend, color=style.INK, linewidth=1.3, zorder=3)
            spikes = np.isin(result.finite, result.spikes)
            cross = {"color": style.OTHER_TEXT, "markersize": 7, "markeredgewidth": 1.8, "linestyle": "none"}
            left.plot(steps[spikes], norms[spikes], "x", **cross, zorder=4)
            right.plot(result.grid, 100 * result.fraction, **style.CLIPPED_STYLE, zorder=3)
            names = {"norm": (dots | {"markersize": 6}, style.RAW_TEXT)}
            names["trend"] = {"color": style.INK, "linewidth": 1.3}, style.INK
            if spikes.any():
                names["spike"] = cross | {"marker": "x"}, style.OTHER_TEXT
            names["c"] = style.THRESHOLD_STYLE, style.THRESHOLD_TEXT
            key(left, names, "lower right", ncols=4, bbox_to_anchor=(1.02, 0.985), columnspacing=1, handlelength=1.6)
        else:
            left.set(xticks=[], yticks=[])
            right.set(xticks=[])
            left.text(0.5, 0.5, "no norm above 0", transform=left.transAxes, ha="center", color=style.MUTED)
        self._level = self.moving(left.plot([], [], **style.THRESHOLD_STYLE, zorder=5)[0], "threshold")
        self._at = self.moving(right.plot([], [], **style.THRESHOLD_STYLE, zorder=2)[0], "threshold right")
        dot = {"color": style.THRESHOLD, "markersize": 9, "markeredgecolor": "white", "zorder": 6}
        self._dot = self.moving(right.plot([], [], "o", **dot)[0], "clipped")
        self._says = self.moving(right.text(0, 1.025, "", transform=right.transAxes, va="bottom"), "says")
        self._says.set_color(style.THRESHOLD_TEXT)

    def update(self, result: Any) -> None:
        c = result.threshold
        if c is None:
            for line in (self._level, self._at, self._dot):
                line.set_data([], [])
            self._says.set_text("no c suggested")
            return
        share = 100 * result.clip_fraction(c)
        self._level.set_data(self.axes["norms"].get_xlim(), [c, c])
        self._at.set_data([c, c], [0, 103])
        self._dot.set_data([c], [share])
        self._says.set_text(f"c = {_words(c)} would have clipped {share:.1f}%")


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers between low and high, both > 0: powers of ten, or 1, 2, 5, or plain ones."""
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    every = max(1, math.ceil(len(powers) / most))
    ticks = [10.0**power for power in powers if power % every == 0]
    if len(ticks) < 3:
        ticks = [k * 10.0**e for e in range(powers.start - 1, powers.stop) for k in (1, 2, 5)]
        ticks = [tick for tick in ticks if low <= tick <= high]
    if not 3 <= len(ticks) <= most:
        ticks = [tick for tick in MaxNLocator(most - 1).tick_values(low, high) if low <= tick <= high]
    return ticks


def _words(value: float) -> str:
    """A number with three digits; powers of ten where it has many."""
    text = f"{value:.3g}"
    digits, _, power = text.partition("e")
    if not power and 1e-4 <= value < 1e5:
        return text
    power = power or str(math.floor(math.log10(value)))
    digits = f"{value / 10.0 ** int(power):.3g}"
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if digits == "1" else f"{digits}·10{raised}"


def _band(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each piece of a long line begins, its lowest and its highest value."""
    starts = np.linspace(0, len(x), _PIECES, endpoint=False).astype(int)
    return x[starts], np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
