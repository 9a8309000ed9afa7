"""Lesson 06: what clipping makes of noisy averages, and their error against the threshold."""

from typing import Any

from matplotlib.ticker import NullFormatter, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, key, ring

SPREAD_STYLE = {"color": style.INK, "linestyle": (0, (1, 2.4)), "linewidth": 1.6}
# Broad, so that it is seen under a dotted line.
TRUTH_STYLE = {"color": "#C8C8C8", "linestyle": "-", "linewidth": 7, "solid_capstyle": "butt"}
_LEAST, _LOW = 7e-4, 0.02  # of the shares and of the errors


class UCurveFigure(style.LiveFigure):
    description = (
        "Left: how often the average of one batch falls where, on a log scale, unclipped dashed and clipped solid, "
        "with the threshold as a dotted line, the true gradient as a broad grey line and the mean of the clipped "
        "averages as a triangle below. Right: the error of the clipped average against the threshold, both on log "
        "scales, a U that is made of the bias, dash-dotted, and the spread, dotted; the unclipped error is a dashed "
        "level, the true gradient a broad grey line, and a ring marks what was measured at the present threshold."
    )

    def draw(self, result: Any) -> None:
        left = self.panel("estimates", (0.065, 0.13, 0.395, 0.77), title="Share of batches, by their average")
        left.set(yscale="log", xlim=(-0.4, 6.4), ylim=(_LEAST, 9), xlabel="average of a batch")
        left.set(yticks=[0.001, 0.01, 0.1, 1])
        left.yaxis.set_major_formatter(PLAIN)
        left.yaxis.set_minor_locator(NullLocator())
        self._truth = self.moving(left.plot([], [], **TRUTH_STYLE, zorder=1)[0], "truth")
        self._wall = self.moving(left.plot([], [], **style.THRESHOLD_STYLE)[0], "wall")
        steps = {"drawstyle": "steps-mid"}
        self._raw = self.moving(left.plot([], [], **style.RAW_STYLE | steps | {"linewidth": 1.6})[0], "raw")
        self._clipped = self.moving(left.plot([], [], **style.CLIPPED_STYLE | steps | {"linewidth": 1.9})[0], "clipped")
        triangle = {"marker": "^", "markersize": 11, "color": style.CLIPPED, "markeredgecolor": "white", "zorder": 6}
        self._mean = self.moving(left.plot([], [], linestyle="none", **triangle, clip_on=False)[0], "mean")
        names = {
            "unclipped": (style.RAW_STYLE, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "its mean": (triangle | {"linestyle": "none"}, style.CLIPPED_TEXT),
            "threshold c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
            "truth": (TRUTH_STYLE, style.INK),
        }
        key(left, names, "upper left", ncols=3, columnspacing=1.1, handlelength=2.2)

        right = self.panel("error", (0.53, 0.13, 0.45, 0.77), title="Error of the average")
        low, high = result.thresholds[[0, -1]]
        right.set(xscale="log", yscale="log", xlim=(0.8 * low, 1.25 * high), ylim=(_LOW, 14), xlabel="threshold c")
        right.set(xticks=[0.1, 1, 10, 100], yticks=[0.03, 0.1, 0.3, 1, 3])
        for axis in (right.xaxis, right.yaxis):
            axis.set_major_formatter(PLAIN)
            axis.set_minor_formatter(NullFormatter())
        right.yaxis.set_minor_locator(NullLocator())
        bias, spread = style.OTHER_STYLE | {"linewidth": 1.7}, SPREAD_STYLE
        self._truth_at = self.moving(right.plot([], [], **TRUTH_STYLE, zorder=1)[0], "truth at")
        self._at = self.moving(right.plot([], [], **style.THRESHOLD_STYLE)[0], "at")
        self._level = self.moving(right.plot([], [], **style.RAW_STYLE)[0], "unclipped")
        self._bias = self.moving(right.plot([], [], **bias)[0], "bias")
        self._spread = self.moving(right.plot([], [], **spread)[0], "spread")
        self._error = self.moving(right.plot([], [], **style.CLIPPED_STYLE | {"linewidth": 2.8})[0], "error")
        self._measured = ring(self, right, style.CLIPPED, "measured")
        self._measured.set_clip_on(False)
        names = {
            "error": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "its bias": (bias, style.OTHER_TEXT),
            "its spread": (spread, style.INK),
            "unclipped": (style.RAW_STYLE, style.RAW_TEXT),
        }
        key(right, names, "upper right", ncols=2, columnspacing=1.4)

    def update(self, result: Any) -> None:
        state = result.state
        mu, c = state.true_gradient, state.max_norm
        self._truth.set_data([mu, mu], [_LEAST, 1.4])
        self._wall.set_data([c, c], [_LEAST, 1.4])
        self._raw.set_data(result.places, result.raw_shares)
        self._clipped.set_data(result.places, result.shares)
        self._mean.set_data([mu + result.bias], [1.2 * _LEAST])
        self._truth_at.set_data([mu, mu], [_LOW, 4])
        self._at.set_data([c, c], [_LOW, 4])
        self._level.set_data(result.thresholds[[0, 1, -1]], [result.raw_error] * 3)
        self._bias.set_data(result.thresholds, result.biases)
        self._spread.set_data(result.thresholds, result.spreads)
        self._error.set_data(result.thresholds, result.errors)
        self._measured.set_data([c], [result.measured])
