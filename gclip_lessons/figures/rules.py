"""Lesson 07: one stream of norms under every threshold rule, and three measures of each rule."""

from typing import Any

import numpy as np
from matplotlib.ticker import FixedFormatter, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, key_above

_NEVER = 4000.0  # where a lag without end is drawn; the longest that can be measured is 1000
_LEAST = 0.01  # of what is left of a spike, on its axis


class RulesFigure(style.LiveFigure):
    """A result has norms, clipped, thresholds and trend, all (steps), names, rates, left and lags, all (rules), and
    the place `picked` of one rule; lags are NaN where the stream has no rise.
    """

    size = (900, 430)
    description = (
        "Left: gradient norms over the steps on a log scale, those above the picked rule's threshold in another "
        "colour, with what is left of each, the threshold as a dotted line and the trend without spikes. Right: three "
        "rows of dots with one line for each rule: the share of steps that it clips, what it leaves of a spike in "
        "units of the norm that was due, and how many steps it lags behind a rise. The picked rule has a ring."
    )

    def draw(self, result: Any) -> None:
        n_steps, rules = len(result.norms), len(result.names)
        left = self.panel("norms", (0.065, 0.13, 0.385, 0.775), title="Norms")
        left.set(yscale="log", xlim=(-0.01 * n_steps, 1.01 * n_steps), ylim=(0.08, 5000), xlabel="step")
        left.set(yticks=[0.1, 1, 10, 100, 1000], xticks=np.linspace(0, n_steps, 5))
        left.yaxis.set_major_formatter(PLAIN)
        left.yaxis.set_minor_locator(NullLocator())
        left.xaxis.set_major_formatter("{x:,.0f}")
        dots = {"marker": "o", "markersize": 2.2, "markeredgewidth": 0, "linestyle": "none"}
        self._raw = self.moving(left.plot([], [], color=style.RAW, **dots, zorder=2)[0], "raw")
        self._clipped = self.moving(left.plot([], [], color=style.CLIPPED, **dots, zorder=3)[0], "clipped")
        self._trend = self.moving(left.plot([], [], color=style.INK, linewidth=1.2, zorder=4)[0], "trend")
        self._threshold = self.moving(left.plot([], [], **style.THRESHOLD_STYLE, zorder=5)[0], "threshold")
        names = {
            "n > c": (dots | {"color": style.RAW, "markersize": 6}, style.RAW_TEXT),
            "left": (dots | {"color": style.CLIPPED, "markersize": 6}, style.CLIPPED_TEXT),
            "trend": ({"color": style.INK, "linewidth": 1.2}, style.INK),
            "c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        key_above(left, names)

        rows = {"ylim": (-0.5, rules - 0.5), "yticks": range(rules)}
        panels = {
            "rates": self.panel("rates", (0.575, 0.13, 0.115, 0.775), **rows, xlim=(-9, 109), xticks=[0, 50, 100]),
            "left": self.panel("left", (0.727, 0.13, 0.115, 0.775), **rows, xscale="log", xlim=(_LEAST / 2.5, 250)),
            "lags": self.panel("lags", (0.877, 0.13, 0.1, 0.775), **rows, xscale="log", xlim=(0.4, 4 * _NEVER)),
        }
        for panel, title, says in zip(
            panels.values(),
            ("clipped", "spike left", "lag"),
            ("% of steps", "× the norm due", "steps"),
            strict=True,
        ):
            panel.set_title(title)
            panel.set_xlabel(says)
            panel.tick_params(axis="y", length=0, labelleft=False)
            panel.xaxis.set_minor_locator(NullLocator())
            for row in range(rules):
                panel.axhline(row, color=style.FAINT, linewidth=1, zorder=1)
        panels["rates"].set_yticklabels(result.names[::-1])
        panels["rates"].tick_params(axis="y", labelleft=True, labelcolor=style.INK)
        panels["left"].set_xticks([0.01, 1, 100])
        panels["left"].xaxis.set_major_formatter(PLAIN)
        panels["left"].axvline(1, color=style.MUTED, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
        panels["lags"].set_xticks([1, 30, _NEVER])
        panels["lags"].xaxis.set_major_formatter(FixedFormatter(["1", "30", "never"]))

        ring = {"markersize": 14, "markerfacecolor": "none", "markeredgewidth": 2.2, "color": style.THRESHOLD}
        self._dots, self._rings = {}, {}
        for name, panel in panels.items():
            self._rings[name] = self.moving(panel.plot([], [], "o", **ring, zorder=3)[0], f"picked {name}")
            look = {"color": style.INK, "markersize": 7, "zorder": 4}
            self._dots[name] = self.moving(panel.plot([], [], "o", **look)[0], name)
        middle = {"ha": "center", "va": "center", "color": style.MUTED, "backgroundcolor": "white"}
        self._none = self.moving(panels["lags"].text(60, (rules - 1) / 2, "", **middle), "no rise")

    def update(self, result: Any) -> None:
        steps = np.arange(len(result.norms))
        above = result.norms > result.thresholds
        self._raw.set_data(steps[above], result.norms[above])
        self._clipped.set_data(steps, result.clipped)
        self._trend.set_data(steps, result.trend)
        self._threshold.set_data(steps, result.thresholds)
        values = {
            "rates": 100 * result.rates,
            "left": np.maximum(result.left, _LEAST),
            "lags": np.clip(result.lags, 1, _NEVER),
        }
        rows, k = np.arange(len(result.names))[::-1], result.picked  # the first rule on top
        for name, value in values.items():
            self._dots[name].set_data(value, rows)
            self._rings[name].set_data(value[[k]], rows[[k]])
        self._none.set_text("no rise" if np.isnan(result.lags).all() else "")
