"""Lesson 01: one steep coordinate near its minimum, and how wide it still swings at the end."""

from typing import Any

import numpy as np

from gclip_lessons.figures import style


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
        y.set(xlim=(0, n_shown), ylim=(-0.12, 0.09), xlabel="step", ylabel="y", yticks=[-0.1, -0.05, 0, 0.05])
        y.axhline(0, color="#9A9A9A", linewidth=0.8, zorder=1)
        self._asleep = self.moving(y.fill([0, 0, 0, 0], [0, 0, 0, 0], color="#D9D9D9", zorder=0)[0])
        self._band = [self.moving(y.plot([], [], **style.THRESHOLD_STYLE, zorder=2)[0]) for _ in range(2)]
        self._raw = self.moving(y.plot([], [], **style.RAW_STYLE | {"linewidth": 1.4}, zorder=3)[0])
        look = {"marker": "o", "markersize": 3.5, "linewidth": 1.2, "zorder": 4}
        self._clipped = self.moving(y.plot([], [], **style.CLIPPED_STYLE | look)[0])
        above, below = {"ha": "right", "va": "bottom"}, {"ha": "right", "va": "center"}
        key = [
            (0.68, 1.02, "– –  raw", style.RAW_TEXT, above),
            (1.0, 1.02, "●  clipped", style.CLIPPED_TEXT, above),
            (0.40, 0.05, "· · ·  ±ηc/2", style.THRESHOLD_TEXT, below),
            (0.98, 0.05, "grey: clipping sleeps", style.MUTED, below),
        ]
        for x, height, text, color, place in key:
            y.text(x, height, text, color=color, transform=y.transAxes, **place)

        end = self.panel("end", (0.57, 0.13, 0.40, 0.76), title=f"Amplitude left after {result.n_steps} steps")
        end.set(xlim=(0, 0.0515), ylim=(-0.004, self.reach), xlabel="learning rate η", ylabel="amplitude")
        end.axvline(result.limit, color=style.MUTED, linewidth=1.2)
        end.text(result.limit - 0.0006, 0.0835, f"2/λ = {result.limit:g}", color=style.MUTED, ha="right", va="top")
        self._theory = self.moving(end.plot([], [], **style.THRESHOLD_STYLE)[0])
        dots = {"linestyle": "none", "marker": "o", "markersize": 5, "color": style.CLIPPED, "alpha": 0.55}
        self._measured = self.moving(end.plot([], [], **dots)[0])
        look = {"markersize": 11, "markeredgecolor": "white", "color": style.CLIPPED, "zorder": 6}
        self._at = self.moving(end.plot([], [], "o", **look)[0])
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
        raw = np.clip(raw[: outside[0] + 1] if len(outside) else raw, -self.reach, self.reach)
        self._raw.set_data(np.arange(len(raw)), raw)
        self._theory.set_data([result.limit, 0.05], [result.limit * c / 2, 0.05 * c / 2])
        self._measured.set_data(result.rates, result.amplitudes)
        self._at.set_data([result.state.learning_rate], [result.amplitude])
        self._theory_name.set_position((0.0445, 0.045 * c / 2 + 0.003))
