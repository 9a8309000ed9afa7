"""Lesson 09: the norm of a network's gradient, and how much of it a fixed threshold clips, as the network grows."""

from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.headed import head
from gclip_lessons.figures.parts import PLAIN, power_of_ten


class SizesFigure(style.LiveFigure):
    description = (
        "Left: norms of the gradient at the start against the number of parameters, both on log scales: a cross for "
        "each network, their medians joined by a dashed line, the threshold as a dotted line, and two grey lines that "
        "grow like the fourth root and the square root of the number. Right: the share of gradients that the "
        "threshold clips, against the width, solid; a ring marks the width that the sentence speaks of."
    )

    def draw(self, result: Any) -> None:
        norms = self.panel("norms", (0.08, 0.13, 0.43, 0.68))
        norms.set(xscale="log", yscale="log", xlim=(100, 7e6), ylim=(0.08, 300), xlabel="parameters")
        norms.set(xticks=[100, 1000, 10_000, 100_000, 1_000_000], yticks=[0.1, 1, 10, 100])
        norms.xaxis.set_major_formatter(FuncFormatter(power_of_ten))
        norms.yaxis.set_major_formatter(PLAIN)
        for axis in (norms.xaxis, norms.yaxis):
            axis.set_minor_formatter(NullFormatter())
        cross = {"marker": "x", "markersize": 5, "markeredgewidth": 1.2, "linestyle": "none", "color": style.RAW}
        names = {
            "one network": (cross, style.RAW_TEXT),
            "median": (style.RAW_STYLE, style.RAW_TEXT),
            "threshold c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        head(norms, "Norm of the gradient at the start", names, handlelength=1.9)
        self._guides = []
        for power, name in ((0.25, "fourth root"), (0.5, "square root")):
            (line,) = norms.plot([], [], color=style.GUIDE, linewidth=1.3, zorder=1)
            words = norms.text(0, 0, name, color=style.MUTED, fontsize=10.5, va="center")
            self._guides.append((power, self.moving(line, name), self.moving(words)))
        self._level = self.moving(norms.plot([], [], **style.THRESHOLD_STYLE)[0], "level")
        self._each = self.moving(norms.plot([], [], **cross, alpha=0.8)[0], "each")
        self._medians = self.moving(norms.plot([], [], **style.RAW_STYLE)[0], "medians")

        shares = self.panel("shares", (0.60, 0.13, 0.38, 0.68))
        shares.set(xscale="log", xlim=(6.5, 630), ylim=(-4, 104), xlabel="width", yticks=[0, 25, 50, 75, 100])
        shares.set_xticks([8, 16, 32, 64, 128, 256, 512])
        shares.xaxis.set_major_formatter(PLAIN)
        shares.xaxis.set_minor_locator(NullLocator())
        shares.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}%"))
        shares.set_title("Gradients that c clips", pad=29)
        self._shares = self.moving(
            shares.plot([], [], **style.CLIPPED_STYLE, marker="o", markersize=6, clip_on=False)[0], "shares"
        )
        look = {"markersize": 15, "markeredgewidth": 1.8, "markerfacecolor": "none", "color": style.INK}
        self._here = self.moving(shares.plot([], [], "o", **look, clip_on=False, zorder=6)[0], "here")

    def update(self, result: Any) -> None:
        widths = 8 * 2.0 ** np.arange(len(result.params))
        for power, line, words in self._guides:
            along = result.medians[0] * (result.params / result.params[0]) ** power
            line.set_data(result.params, along)
            words.set_position((result.params[-1] * 1.25, along[-1]))
        self._level.set_data([100, 1e4, 7e6], [result.state.max_norm] * 3)
        self._each.set_data(np.repeat(result.params, result.norms.shape[1]), result.norms.ravel())
        self._medians.set_data(result.params, result.medians)
        self._shares.set_data(widths, 100 * result.shares)
        at = int(np.log2(int(result.state.width) / 8))
        self._here.set_data([widths[at]], [100 * result.shares[at]])
