"""Lesson 01: two runs in a bowl whose product ηc is the same, and the length of their steps."""

from typing import Any

import numpy as np

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, drawable, key_above, off_chart, ring

# Run B lies as a broad band under run A, so that both are seen when they are one.
A_LOOK: dict[str, Any] = style.CLIPPED_STYLE | {"marker": "o", "markersize": 5, "markevery": 6}
B_LOOK: dict[str, Any] = style.OTHER_STYLE | {
    "color": "#E6BBD3",
    "linewidth": 7.0,
    "dash_capstyle": "butt",
    "marker": "D",
    "markersize": 9,
    "markerfacecolor": "none",
    "markeredgecolor": style.OTHER_TEXT,
    "markeredgewidth": 1.6,
    "markevery": (3, 6),
}


class TwinsFigure(style.LiveFigure):
    description = (
        "Left: contours of a quadratic bowl with the path without clipping (dashed) and two clipped paths: "
        "A (solid, discs) and B (broad, dash-dotted, diamonds). "
        "Right: the length of each step of A and B on a log scale, with the ceiling ηc dotted."
    )
    reach = 4.0
    floor = 1e-4

    def draw(self, result: Any) -> None:
        r = self.reach
        plane = self.panel("plane", (0.06, 0.13, 0.36, 0.76), title="Paths", aspect="equal")
        plane.set(xlim=(-r, r), ylim=(-r, r), xlabel="x", ylabel="y")
        style.draw_contours(plane, result.loss, levels=np.geomspace(0.3, 40, 8))
        plane.plot([0], [0], "+", color=style.INK, markersize=10)
        names = {
            "raw": (style.RAW_STYLE, style.RAW_TEXT),
            "A": (A_LOOK, style.CLIPPED_TEXT),
            "B": (B_LOOK, style.OTHER_TEXT),
        }
        key_above(plane, names)
        self._raw = self.moving(plane.plot([], [], **style.RAW_STYLE)[0], "raw")
        b, a = (self.moving(plane.plot([], [], **names[name][0])[0], name) for name in "BA")
        self._paths = a, b
        self._start = ring(self, plane)
        words = {"transform": plane.transAxes, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 2}}
        self._lost = self.moving(plane.text(0.03, 0.03, "", color=style.INK, **words, zorder=7), "lost")

        last = result.n_steps
        length = self.panel("length", (0.55, 0.13, 0.42, 0.76), title="Length of each step")
        length.set(yscale="log", xlim=(0, last + 1), ylim=(self.floor, 30), xlabel="step", ylabel="length")
        length.yaxis.set_major_formatter(PLAIN)
        self._ceiling = self.moving(length.plot([], [], **style.THRESHOLD_STYLE)[0])
        b, a = (self.moving(length.plot([], [], **names[name][0])[0], f"length {name}") for name in "BA")
        self._lengths = a, b
        words = {"color": style.THRESHOLD_TEXT, "ha": "right", "va": "bottom"}
        self._ceiling_name = self.moving(length.text(last + 0.8, 1, "", **words))

    def update(self, result: Any) -> None:
        shown = result.state.step
        self._raw.set_data(*drawable(result.raw[: shown + 1]).T)
        self._start.set_data([result.state.x], [result.state.y])
        for path, steps, points, lengths in zip(self._paths, self._lengths, result.paths, result.lengths, strict=True):
            path.set_data(*drawable(points[: shown + 1]).T)
            steps.set_data(np.arange(1, shown + 1), np.clip(lengths[:shown], self.floor / 10, 1e3))
        ends = {"raw": result.raw[shown], "A": result.paths[0][shown], "B": result.paths[1][shown]}
        self._lost.set_text(off_chart({name: not (np.abs(end) <= self.reach).all() for name, end in ends.items()}))
        ceiling = result.state.learning_rate * result.state.max_norm
        self._ceiling.set_data([0, result.n_steps + 1], [ceiling, ceiling])
        self._ceiling_name.set_position((result.n_steps + 0.8, min(ceiling * 1.4, 14.0)))
        self._ceiling_name.set_text(f"ceiling ηc = {ceiling:.3g}")
