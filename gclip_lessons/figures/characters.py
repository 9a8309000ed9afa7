"""Lesson 10: a character model as it learns, its gradient norms, and what it writes."""

from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import key_above

_LOSS, _NORM = (1.3, 120), (1e-2, 1e4)
_LETTERS = 88  # on one line
_SLOW = style.OTHER_STYLE | {"linewidth": 1.6}
_GUESSING = {"color": style.GUIDE, "linewidth": 1.2}


class CharactersFigure(style.LiveFigure):
    size = (900, 500)
    description = (
        "Left: the loss of a character model against the step, on a log scale, unclipped dashed, clipped solid, and "
        "unclipped at a learning rate of 1 dash-dotted; a thin line is the loss of guessing. Right: the gradient norms "
        "of the first two before clipping, on a log scale, with the threshold as a dotted line. Dots mark the step. "
        "Below: what the unclipped and the clipped model write after that many steps."
    )

    def draw(self, result: Any) -> None:
        last = len(result.losses["raw"]) - 1
        looks = {
            "raw": (style.RAW_STYLE | {"linewidth": 1.4}, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE | {"linewidth": 1.9}, style.CLIPPED_TEXT),
            "slow": (_SLOW, style.OTHER_TEXT),
        }
        words = {"raw": "unclipped", "clipped": "clipped", "slow": "η = 1"}
        loss = self.panel("loss", (0.067, 0.4, 0.405, 0.535), title="Loss")
        norm = self.panel("norm", (0.565, 0.4, 0.42, 0.535), title="Gradient norm")
        loss.set(yscale="log", xlim=(0, 1.01 * last), ylim=_LOSS, xlabel="step")
        loss.set_yticks([2, 3, 5, 10, 30, 100], ["2", "3", "5", "10", "30", "100"])
        norm.set(yscale="log", xlim=(0, 1.01 * last), ylim=_NORM, xlabel="step")
        norm.set_yticks([0.01, 0.1, 1, 10, 100, 1000, 1e4], ["0.01", "0.1", "1", "10", "100", "1000", "10⁴"])
        for axes in (loss, norm):
            axes.yaxis.set_minor_locator(NullLocator())
        key_above(loss, {words[name]: look for name, look in looks.items()})
        key_above(norm, {"threshold c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT)})
        loss.plot([0, last], [result.guessing] * 2, **_GUESSING, zorder=2)
        loss.text(0.99 * last, result.guessing * 1.04, "guessing", color=style.MUTED, ha="right", va="bottom")
        self._losses, self._norms, self._at, self._lines = {}, {}, {}, {}
        for name, (look, color) in looks.items():
            self._losses[name] = self.moving(loss.plot([], [], **look, zorder=4)[0], f"loss {name}")
            if name == "slow":
                continue
            thin = look | {"linewidth": 1.0}
            self._norms[name] = self.moving(norm.plot([], [], **thin, zorder=3)[0], f"norm {name}")
            dot = {"markersize": 8, "markeredgecolor": "white", "color": look["color"], "zorder": 6, "clip_on": False}
            marker = "s" if name == "raw" else "o"
            self._at[name] = [
                self.moving(axes.plot([], [], marker, **dot)[0], f"at {kind} {name}")
                for axes, kind in ((loss, "loss"), (norm, "norm"))
            ]
            self._lines[name] = self._writing(name, words[name], color)
        self._level = self.moving(norm.plot([], [], **style.THRESHOLD_STYLE, zorder=5)[0], "threshold")
        self._heading = self.moving(self.figure.text(0.012, 0.262, "", weight="bold", color=style.INK), "heading")

    def _writing(self, name: str, word: str, color: str) -> list[Any]:
        top = {"raw": 0.205, "clipped": 0.1}[name]
        self.figure.text(0.012, top, word, color=color)
        mono = {"family": "monospace", "color": color, "fontsize": 10.5}
        return [
            self.moving(self.figure.text(0.115, top - 0.045 * line, "", **mono), f"text {name} {line}")
            for line in range(2)
        ]

    def update(self, result: Any) -> None:
        step = result.state.step
        for name, losses in result.losses.items():
            shown = np.nan_to_num(losses, nan=1e9, posinf=1e9).clip(1e-9, 1e9)
            self._losses[name].set_data(np.arange(len(shown)), shown)
            if name not in self._norms:
                continue
            norms = np.nan_to_num(result.norms[name], nan=1e9, posinf=1e9).clip(1e-9, 1e9)
            self._norms[name].set_data(np.arange(len(norms)), norms)
            here = min(step, len(norms) - 1)
            for mark, values, limits in zip(self._at[name], (shown, norms), (_LOSS, _NORM), strict=True):
                at = step if values is shown else here
                mark.set_data([at], values[at : at + 1].clip(*limits))
            for line, artist in enumerate(self._lines[name]):
                artist.set_text(result.texts[name][_LETTERS * line : _LETTERS * (line + 1)])
        self._level.set_data([0, len(result.norms["raw"])], [result.state.max_norm] * 2)
        self._heading.set_text(f"What they write after {result.written_after} steps")
