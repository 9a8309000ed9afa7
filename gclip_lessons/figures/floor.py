"""Lesson 01: one steep coordinate near its minimum, and how wide it still swings at the end."""

from typing import Any

import numpy as np

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import key


class FloorFigure(style.LiveFigure):
    description = (
        "Left: a steep coordinate y against the step, without clipping (dashed) and clipped (solid), dotted lines "
        "at plus and minus ηc/2, and a grey band around the minimum in which the gradient is below the threshold. "
        "Right: the amplitude of the swing that is left at the end against the learning rate, measured (discs) "
        "and as the line ηc/2 (dotted), with the limit 2/λ."
    )
    reach = 0.085

    def draw(self, result: Any) -> None:
        n_shown = 50
        self._shown = slice(0, n_shown + 1)
        y = self.panel("y", (0.09, 0.13, 0.37, 0.76), title=f"First {n_shown} steps")
        y.set(xlim=(0, n_shown), ylim=(-0.135, 0.09), xlabel="step", ylabel="y", yticks=[-0.1, -0.05, 0, 0.05])
        y.axhline(0, color=style.GUIDE, linewidth=0.8, zorder=1)
        self._asleep = self.moving(y.fill([0, 0, 0, 0], [0, 0, 0, 0], color=style.FAINT, zorder=0)[0])
        self._band = [self.moving(y.plot([], [], **style.THRESHOLD_STYLE, zorder=2)[0]) for _ in range(2)]
        self._raw = self.moving(y.plot([], [], **style.RAW_STYLE | {"linewidth": 1.4}, zorder=3)[0], "raw")
        look = {"marker": "o", "markersize": 3.5, "linewidth": 1.2, "zorder": 4}
        self._clipped = self.moving(y.plot([], [], **style.CLIPPED_STYLE | look)[0], "clipped")
        names = {
            "raw": (style.RAW_STYLE, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE | look, style.CLIPPED_TEXT),
            "±ηc/2": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT),
        }
        key(y, names, "lower left", ncols=3, handlelength=2.0, columnspacing=1.2)
        y.text(0.03, 0.11, "grey: clipping sleeps", color=style.MUTED, transform=y.transAxes)

        end = self.panel("end", (0.57, 0.13, 0.40, 0.76), title=f"Amplitude left after {result.n_steps} steps")
        self._last = last = result.rates[-1]
        end.set(xlim=(0, 1.03 * last), ylim=(-0.004, self.reach), xlabel="learning rate η", ylabel="amplitude")
        end.axvline(result.limit, color=style.MUTED, linewidth=1.2)
        end.text(
            result.limit - 0.012 * last,
            self.reach - 0.0015,
            f"2/λ = {result.limit:g}",
            color=style.MUTED,
            ha="right",
            va="top",
        )
        self._theory = self.moving(end.plot([], [], **style.THRESHOLD_STYLE)[0])
        dots = {"linestyle": "none", "marker": "o", "markersize": 5, "color": style.CLIPPED, "alpha": 0.55}
        self._measured = self.moving(end.plot([], [], **dots)[0], "amplitudes")
        look = {"markersize": 11, "markeredgecolor": "white", "color": style.CLIPPED, "zorder": 6}
        self._at = self.moving(end.plot([], [], "o", **look)[0], "at")
        words = {"color": style.THRESHOLD_TEXT, "ha": "right", "va": "bottom"}
        self._theory_name = self.moving(end.text(0, 0, "ηc/2", **words))

    def update(self, result: Any) -> None:
        c, half = result.state.max_norm, result.half_step
        last = self._shown.stop - 1
        asleep = c / result.curvature
        self._asleep.set_xy([(0, -asleep), (last, -asleep), (last, asleep), (0, asleep)])
        for line, side in zip(self._band, (-1, 1), strict=True):
            line.set_data([0, last], [side * half, side * half])
        self._clipped.set_data(np.arange(last + 1), result.clipped[self._shown])
        raw = result.raw[self._shown]
        outside = np.flatnonzero(np.abs(raw) > self.reach)  # a run that leaves the picture is drawn until it leaves
        raw = np.clip(raw[: outside[0] + 1] if len(outside) else raw, -1e3, 1e3)
        self._raw.set_data(np.arange(len(raw)), raw)
        self._theory.set_data([result.limit, self._last], [result.limit * c / 2, self._last * c / 2])
        self._measured.set_data(result.rates, result.amplitudes)
        self._at.set_data([result.state.learning_rate], [result.amplitude])
        self._theory_name.set_position((0.89 * self._last, 0.9 * self._last * c / 2 + 0.003))
