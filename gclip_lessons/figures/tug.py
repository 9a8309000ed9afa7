"""Lesson 06: the tug of war between good examples and outliers, and the slope at which it ends."""

from typing import Any

from matplotlib.ticker import NullFormatter, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, key, ring

_TOP = 5.2  # of the slopes


class TugFigure(style.LiveFigure):
    description = (
        "Left: the pull of the good examples towards larger slopes, against the slope, on a log scale, unclipped "
        "dashed and clipped solid, and the pull of the outliers the other way, unclipped dashed and clipped dotted; a "
        "circle marks where the clipped pulls cancel. Right: that slope against the threshold, the mean of 20 data "
        "sets solid with a band from the least to the largest, and the same without outliers dash-dotted; thin lines "
        "mark the true slope 2 and a dashed line what comes of no clipping."
    )

    def draw(self, result: Any) -> None:
        left = self.panel("pulls", (0.085, 0.13, 0.365, 0.77), title="Tug of war: the summed gradients")
        left.set(yscale="log", xlim=(-0.35, _TOP), ylim=(1, 1.6e6), xlabel="slope θ")
        left.set(yticks=[1, 10, 100, 1000, 10_000, 100_000])
        left.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        left.yaxis.set_minor_locator(NullLocator())
        outer = style.RAW_STYLE | {"linewidth": 1.4}
        self._raw_good = self.moving(left.plot([], [], **style.RAW_STYLE)[0], "raw good")
        triangles = outer | {"marker": "v", "markersize": 5}
        self._raw_bad = self.moving(left.plot([], [], **triangles, markevery=12)[0], "raw outliers")
        self._good = self.moving(left.plot([], [], **style.CLIPPED_STYLE)[0], "good")
        self._bad = self.moving(left.plot([], [], **style.THRESHOLD_STYLE)[0], "outliers")
        self._meet = ring(self, left, name="meet")
        names = {
            "good, unclipped": (style.RAW_STYLE, style.RAW_TEXT),
            "good, clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "outliers, unclipped": (triangles, style.RAW_TEXT),
            "outliers, clipped": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        key(left, names, "upper right", ncols=2, columnspacing=0.7, handlelength=1.6, handletextpad=0.4, fontsize=10)

        right = self.panel("slopes", (0.53, 0.13, 0.45, 0.77), title="Where it ends")
        low, high = result.thresholds[[0, -1]]
        right.set(
            xscale="log", xlim=(0.75 * low, 1.35 * high), ylim=(-0.2, _TOP), xlabel="threshold c", ylabel="slope θ"
        )
        right.set(xticks=[0.1, 1, 10, 100, 1000])
        right.xaxis.set_major_formatter(PLAIN)
        right.xaxis.set_minor_formatter(NullFormatter())
        right.axhline(2, color=style.INK, linewidth=1.1)
        right.text(high * 0.75, 2.06, "true slope 2", color=style.INK, ha="right", va="bottom")
        self._at = self.moving(right.plot([], [], **style.THRESHOLD_STYLE)[0], "at")
        (band,) = right.fill([0, 0, 0], [0, 0, 0], color=style.CLIPPED, alpha=0.25, linewidth=0)
        self._band = self.moving(band, "band")
        self._level = self.moving(right.plot([], [], **style.RAW_STYLE)[0], "unclipped")
        right.plot(result.thresholds, result.clean, **style.OTHER_STYLE, zorder=3)
        self._curve = self.moving(right.plot([], [], **style.CLIPPED_STYLE, zorder=4)[0], "slopes")
        self._here = ring(self, right, name="here")
        self._here.set_clip_on(False)
        band = {"color": style.CLIPPED, "alpha": 0.25, "linewidth": 9, "solid_capstyle": "butt"}
        names = {
            "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "least to largest": (band, style.CLIPPED_TEXT),
            "clipped, no outliers": (style.OTHER_STYLE, style.OTHER_TEXT),
            "unclipped": (style.RAW_STYLE, style.RAW_TEXT),
            "threshold c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        key(right, names, "upper right", labelspacing=0.35)

    def update(self, result: Any) -> None:
        c = result.state.max_norm
        self._raw_good.set_data(result.slopes, result.raw_good)
        self._raw_bad.set_data(result.slopes, result.raw_bad)
        self._good.set_data(result.slopes, result.good)
        self._bad.set_data(result.slopes, result.bad)
        self._meet.set_data([result.first_slope], [result.pull])
        self._at.set_data([c, c], [-0.2, 3.2])
        self._band.set_xy(result.band)
        self._level.set_data(result.thresholds[[0, -1]], [result.raw_slope] * 2)
        self._curve.set_data(result.thresholds, result.means)
        self._here.set_data([c], [result.slope])
