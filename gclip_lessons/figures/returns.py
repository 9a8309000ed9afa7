"""Lesson 06: the tail of real daily returns, and their mean under per-example clipping."""

from typing import Any

from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.headed import head
from gclip_lessons.figures.parts import PLAIN

_LOW, _HIGH = 0.026, 35.0  # of the threshold, and of how far a day lies from the mean, in percent


class ReturnsFigure(style.LiveFigure):
    description = (
        "Left: the share of days whose return lies further from the mean than x percent, against x, both on log "
        "scales, real days as a stepped line and a Gaussian of the same deviation dash-dotted; the threshold c is a "
        "dotted vertical line with a ring that can be dragged. Right: the mean daily return that training ends with "
        "against c, clipped solid with a band of one standard error, unclipped dashed with its own band."
    )

    def draw(self, result: Any) -> None:
        left = self.panel("tail", (0.08, 0.14, 0.385, 0.665))
        left.set(xscale="log", yscale="log", xlim=(_LOW, _HIGH), ylim=(5e-4, 1.5), xlabel="x, and threshold c (%)")
        left.set(yticks=[0.001, 0.01, 0.1, 1])
        left.set_yticklabels(["0.1%", "1%", "10%", "all"])
        left.yaxis.set_minor_locator(NullLocator())
        _percent(left.xaxis)
        real = {"color": style.INK, "linewidth": 1.8, "drawstyle": "steps-post"}
        names = {
            "real days": (real, style.INK),
            "Gaussian": (style.OTHER_STYLE, style.OTHER_TEXT),
            "c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        head(left, "Days further from the mean than x", names)
        self._gauss = self.moving(left.plot([], [], **style.OTHER_STYLE, zorder=3)[0], "gauss")
        self._real = self.moving(left.plot([], [], **real, zorder=4)[0], "real")
        self._level = self.moving(left.plot([], [], **style.THRESHOLD_STYLE, zorder=2)[0], "level")
        hollow = {"markersize": 12, "markeredgewidth": 2, "markerfacecolor": "white", "zorder": 6}
        self._cut = self.moving(left.plot([], [], "o", color=style.THRESHOLD, clip_on=False, **hollow)[0], "cut")

        right = self.panel("mean", (0.565, 0.14, 0.415, 0.665))
        right.set(xscale="log", xlim=(_LOW, _HIGH), ylim=(-0.2, 0.45), xlabel="threshold c (%)")
        right.set(yticks=[-0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.4])
        right.yaxis.set_major_formatter(PLAIN)
        _percent(right.xaxis)
        names = {
            "unclipped": (style.RAW_STYLE, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "± std. error": ({"color": style.MUTED, "linewidth": 1.0}, style.MUTED),
        }
        head(right, "Mean return a day (%)", names)
        right.axhline(0, color=style.GUIDE, linewidth=1, zorder=1)
        thin = {"linewidth": 1.0, "zorder": 2}
        self._bands, self._lines = {}, {}
        for role, look in (("raw", style.RAW_STYLE), ("clipped", style.CLIPPED_STYLE)):
            self._bands[role] = [
                self.moving(right.plot([], [], **look | thin)[0], f"{role} {side}") for side in ("low", "high")
            ]
            self._lines[role] = self.moving(right.plot([], [], **look, zorder=3)[0], role)
        (shade,) = right.fill([0, 0, 0], [0, 0, 0], color=style.CLIPPED, alpha=0.13, linewidth=0, zorder=1)
        self._shade = self.moving(shade, "band")
        self._at = self.moving(right.plot([], [], **style.THRESHOLD_STYLE, zorder=2)[0], "at")
        self._here = self.moving(right.plot([], [], "o", color=style.CLIPPED, clip_on=False, **hollow)[0], "here")

    def update(self, result: Any) -> None:
        c = result.state.max_norm
        self._real.set_data(result.distances, result.shares)
        self._gauss.set_data(result.gauss[:, 0], result.gauss[:, 1])
        self._level.set_data([c] * 3, [5e-4, 0.1, 1.5])
        self._cut.set_data([c], [min(max(result.clipped_share, 5e-4), 1)])
        cs, mean, error = result.thresholds, result.means, result.errors
        self._lines["clipped"].set_data(cs, mean)
        self._lines["raw"].set_data([_LOW, 1, _HIGH], [result.raw_mean] * 3)
        for line, side in zip(self._bands["clipped"], (-1, 1), strict=True):
            line.set_data(cs, mean + side * error)
        for line, side in zip(self._bands["raw"], (-1, 1), strict=True):
            line.set_data([_LOW, 1, _HIGH], [result.raw_mean + side * result.raw_error] * 3)
        self._shade.set_xy(result.band)
        self._at.set_data([c] * 3, [-0.2, 0, 0.45])
        self._here.set_data([c], [result.mean])


def _percent(axis: Any) -> None:
    axis.set_ticks([0.03, 0.1, 0.3, 1, 3, 10, 30])
    axis.set_major_formatter(PLAIN)
    axis.set_minor_locator(NullLocator())
