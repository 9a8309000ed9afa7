"""Lesson 06: one example's gradient under squared error and under cross-entropy, raw, clipped, and by Huber."""

from typing import Any

from gclip_lessons.figures import style
from gclip_lessons.figures.headed import head
from gclip_lessons.figures.parts import PLAIN


class LossesFigure(style.LiveFigure):
    description = (
        "Left: the gradient of squared error for one example against its residual, raw dashed, clipped at c solid, and "
        "Huber's as a wide grey line under it. Right: the gradient of cross-entropy against the margin, raw dashed, "
        "clipped solid, and its derivative before it is multiplied by the size of the example dash-dotted. Dotted "
        "lines mark c; a ring on each panel is the example and can be dragged."
    )
    reach = 6.0
    top = 4.6

    def draw(self, result: Any) -> None:
        r, top = self.reach, self.top
        left = self.panel("squared", (0.08, 0.14, 0.385, 0.665))
        left.set(xlim=(-r, r), ylim=(-top, top), xlabel="residual r", ylabel="gradient along x")
        right = self.panel("margin", (0.565, 0.14, 0.415, 0.665))
        right.set(xlim=(-r, r), ylim=(-4.4, 0.5), xlabel="margin m (below 0: the model is wrong)")
        grey = {"color": style.FAINT, "linewidth": 8, "solid_capstyle": "butt"}
        names = {
            "raw": (style.RAW_STYLE, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "Huber": (grey, style.MUTED),
            "±c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        head(left, "Squared error", names, handlelength=1.9, columnspacing=0.9)
        names = {
            "raw": (style.RAW_STYLE, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
            "before it meets x": (style.OTHER_STYLE, style.OTHER_TEXT),
        }
        head(right, "Cross-entropy", names, handlelength=1.9, columnspacing=0.9)
        for axes in (left, right):
            axes.axhline(0, color=style.FAINT, linewidth=1, zorder=0)
            axes.axvline(0, color=style.FAINT, linewidth=1, zorder=0)
            axes.set_yticks(range(-4, 1) if axes is right else range(-4, 5, 2))
            axes.yaxis.set_major_formatter(PLAIN)
            axes.xaxis.set_major_formatter(PLAIN)
        self._huber = self.moving(left.plot([], [], **grey, zorder=1)[0], "huber")
        self._levels = {
            side: self.moving(left.plot([], [], **style.THRESHOLD_STYLE, zorder=2)[0], f"level {side}")
            for side in ("above", "below")
        }
        self._floor = self.moving(right.plot([], [], **style.THRESHOLD_STYLE, zorder=2)[0], "level margin")
        self._bare = self.moving(right.plot([], [], **style.OTHER_STYLE, zorder=2)[0], "bare")
        self._raw, self._clipped, self._dots, self._rings = {}, {}, {}, {}
        for name, axes in (("squared", left), ("margin", right)):
            self._raw[name] = self.moving(axes.plot([], [], **style.RAW_STYLE, zorder=3)[0], f"raw {name}")
            self._clipped[name] = self.moving(axes.plot([], [], **style.CLIPPED_STYLE, zorder=4)[0], f"clipped {name}")
            square = {"marker": "s", "markersize": 8, "markeredgecolor": "white", "color": style.RAW, "zorder": 5}
            self._dots[name] = self.moving(axes.plot([], [], **square)[0], f"raw {name} here")
            hollow = {"markersize": 13, "markeredgewidth": 2.2, "markerfacecolor": "white", "zorder": 6}
            self._rings[name] = self.moving(
                axes.plot([], [], "o", color=style.CLIPPED, clip_on=False, **hollow)[0], f"clipped {name} here"
            )

    def update(self, result: Any) -> None:
        c, r = result.state.max_norm, self.reach
        here = {"squared": result.state.residual, "margin": result.state.margin}
        for name, at in here.items():
            self._raw[name].set_data(result.axis, result.raw[name])
            self._clipped[name].set_data(result.axis, result.clipped[name])
            self._dots[name].set_data([at], [result.raw_here[name]])
            self._rings[name].set_data([at], [result.clipped_here[name]])
        self._huber.set_data(result.axis, result.huber)
        self._bare.set_data(result.axis, result.bare)
        self._levels["above"].set_data([-r, 0, r], [c] * 3)
        self._levels["below"].set_data([-r, 0, r], [-c] * 3)
        self._floor.set_data([-r, 0, r], [-c] * 3)
