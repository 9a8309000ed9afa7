"""A log of gradient norms: over the steps, by size, and what a fixed threshold would clip of them."""

import math
from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import key

_DOTS = 4000  # more norms than these are drawn as a band, the extremes of each of `_PIECES` pieces
_PIECES = 450
_BINS = 40
_PERCENT = FuncFormatter(lambda value, _: f"{value:.0f}%")


class NormsFigure(style.LiveFigure):
    """One log, an `Advice` of norm_log.py; `update` moves the threshold and shows a rule, so that a slider can."""

    description = (
        "Left: the gradient norms of the log over its steps, on a logarithmic axis, with the trend, the spikes as "
        "crosses and the threshold as a dotted line, and if one is chosen the thresholds of a rule as a solid line. "
        "Middle, on the same axis of norms: how many norms there are of each size, those above the threshold darker. "
        "Right, on the same axis: the share of steps that a threshold of this height would have clipped, with the "
        "present one marked."
    )

    def draw(self, result: Any) -> None:
        log, norms = result.log, result.log.norms[result.finite]
        steps = (log.steps if log.in_order else np.arange(len(log)))[result.finite]
        left = self.panel("norms", (0.1, 0.14, 0.46, 0.76), title="Norms")
        middle = self.panel("sizes", (0.59, 0.14, 0.125, 0.76))
        right = self.panel("fraction", (0.745, 0.14, 0.225, 0.76))
        left.set(xlabel="step" if log.in_order else "place in the log", ylabel="norm")
        middle.set(xlim=(0, 1), xticks=[])
        middle.set_xlabel("how many", labelpad=19)  # level with the others, which have ticks
        right.set(xlabel="share of steps clipped", xlim=(0, 103), xticks=range(0, 101, 25))
        right.xaxis.set_major_formatter(_PERCENT)
        left.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace("-", "−")))
        left.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))

        drawn = norms > 0
        self._steps = steps
        self._edges, self._counts = np.array([0.5, 1.5]), np.zeros(1)
        if result.grid.size:
            limits = float(result.grid[0]), float(result.grid[-1])
            self._edges = np.geomspace(*limits, _BINS + 1)
            self._counts = np.histogram(norms, self._edges)[0] / 1.0
            for axes in (left, middle, right):
                axes.set(yscale="log", ylim=limits)
                axes.yaxis.set_major_locator(FixedLocator(log_ticks(*limits, 7)))
                axes.yaxis.set_minor_locator(NullLocator())
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _words(value)))
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
            middle.set_xlim(0, 1.08 * self._counts.max())
            middle.fill(*_stairs(self._edges, self._counts, 0), color=style.RAW, alpha=0.25, linewidth=0)
            right.plot(100 * result.fraction, result.grid, **style.CLIPPED_STYLE, zorder=3)
            names = {"norm": (dots | {"markersize": 6}, style.RAW_TEXT)}
            names["trend"] = {"color": style.INK, "linewidth": 1.3}, style.INK
            if spikes.any():
                names["spike"] = cross | {"marker": "x"}, style.OTHER_TEXT
            names["c"] = style.THRESHOLD_STYLE, style.THRESHOLD_TEXT
            key(left, names, "lower right", ncols=4, bbox_to_anchor=(1.02, 0.985), columnspacing=1, handlelength=1.6)
        else:
            for axes in (left, middle, right):
                axes.set(xticks=[], yticks=[])
            left.text(0.5, 0.5, "no norm above 0", transform=left.transAxes, ha="center", color=style.MUTED)
        for axes in (middle, right):
            axes.yaxis.set_tick_params(labelleft=False)
        self._cut = self.moving(middle.fill([0, 0, 0], [1, 1, 1], color=style.RAW, linewidth=0)[0], "cut")
        self._rule = self.moving(left.plot([], [], color=style.THRESHOLD, linewidth=2.4, zorder=5)[0], "rule")
        self._levels = [
            self.moving(axes.plot([], [], **style.THRESHOLD_STYLE, zorder=5)[0], f"threshold {name}")
            for name, axes in self.axes.items()
        ]
        dot = {"color": style.THRESHOLD, "markersize": 9, "markeredgecolor": "white", "zorder": 6}
        self._dot = self.moving(right.plot([], [], "o", **dot)[0], "clipped")
        above = {"transform": right.transAxes, "ha": "right", "va": "bottom", "color": style.THRESHOLD_TEXT}
        self._says = self.moving(right.text(1, 1.025, "", **above), "says")

    def update(self, result: Any) -> None:
        c, path = result.threshold, result.paths.get(result.rule, np.empty(0))
        seen = np.arange(len(self._steps) - len(path), len(self._steps), max(1, len(path) // 1000))
        self._rule.set_data(self._steps[seen], np.where(np.isfinite(path), path, np.nan)[seen - len(self._steps)])
        if c is None:
            for line in (*self._levels, self._dot):
                line.set_data([], [])
            self._cut.set_xy(np.zeros((3, 2)))
            self._says.set_text("no c suggested")
            return
        share = 100 * result.clip_fraction(c)
        for level, axes in zip(self._levels, self.axes.values(), strict=True):
            level.set_data(np.linspace(*axes.get_xlim(), 3), [c, c, c])
        self._cut.set_xy(np.transpose(_stairs(self._edges, self._counts, c)))
        self._dot.set_data([share], [c])
        self._says.set_text(f"c = {_words(c)} would have clipped {share:.1f}%")


def _stairs(edges: np.ndarray, counts: np.ndarray, above: float) -> tuple[np.ndarray, np.ndarray]:
    """The outline of a histogram that lies on its side, x and y, from the height `above` upwards."""
    heights = np.clip(np.repeat(edges, 2), above, None)
    return np.concatenate([[0.0], np.repeat(counts, 2), [0.0]]), heights


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
