"""Lesson 04: two runs at the cliff of a recurrent unit, and the gradient norms that they meet."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.ticker import NullLocator

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import PLAIN, drawable, key_above, off_chart, ring

LEVELS = (0, 0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.07, 0.08, 0.085, 0.088, 0.2, 0.3, 0.4, 0.45, 0.48, 0.5)
_NAMED = {2: "0.003", 4: "0.02", 6: "0.05", 8: "0.08", 11: "0.2", 13: "0.4"}
SQUARE = (62 / 900, 46 / 400, 320 / 900, 320 / 400)  # a panel of 320 × 320 pixels
_LOW, _HIGH = 1e-3, 1e4


def _pale() -> ListedColormap:
    """cividis, lightened, so that lines and dots on it can be seen: dark is low."""
    colors = matplotlib.colormaps["cividis"](np.linspace(0, 1, len(LEVELS) - 1))[:, :3]
    return ListedColormap(0.45 + 0.55 * colors)


def draw_surface(axes: Axes, loss: np.ndarray, window: tuple[float, ...]) -> None:
    """Paint the loss over the window (w from, to, b from, to) in steps of LEVELS, and name the axes."""
    norm = BoundaryNorm(LEVELS, len(LEVELS) - 1)
    axes.imshow(loss, extent=window, origin="lower", cmap=_pale(), norm=norm, interpolation="nearest", zorder=0)
    axes.set(xlim=window[:2], ylim=window[2:], xlabel="weight w", xticks=range(3, 8), yticks=range(-4, 1))
    axes.yaxis.set_major_formatter(PLAIN)


def draw_key(figure: style.LiveFigure, rectangle: tuple[float, float, float, float]) -> None:
    """Say beside a surface which colour is which loss."""
    axes = figure.figure.add_axes(rectangle)
    axes.imshow(np.arange(len(LEVELS) - 1)[:, None], origin="lower", cmap=_pale(), aspect="auto")
    axes.set_xticks([])
    axes.set_yticks(np.array(list(_NAMED)) - 0.5, list(_NAMED.values()))
    axes.yaxis.tick_right()
    axes.tick_params(length=3)
    axes.set_title("loss", fontsize=11, fontweight="normal", loc="left", color=style.INK)


class CliffFigure(style.LiveFigure):
    description = (
        "Left: the loss over weight w and bias b as a map, dark where it is low, with a cliff that runs down to the "
        "right from its middle, and two runs from one start, unclipped dashed with squares, clipped solid with dots; "
        "the ring at the start can be dragged. Right: the gradient norm that each run meets against the step, on a "
        "log scale, with the threshold as a dotted line."
    )

    def draw(self, result: Any) -> None:
        plane = self.panel("plane", SQUARE, title="Two runs", aspect="equal")
        draw_surface(plane, result.surface, result.window)
        plane.set_ylabel("bias b", labelpad=1)
        draw_key(self, (0.436, 0.115, 0.014, 0.715))
        looks = {
            "raw": (style.RAW_STYLE | {"marker": "s", "markersize": 3.5}, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE | {"marker": "o", "markersize": 3.5}, style.CLIPPED_TEXT),
        }
        key_above(plane, {{"raw": "unclipped"}.get(name, name): look for name, look in looks.items()})
        norm = self.panel("norm", (0.572, 0.115, 0.412, 0.8), title="Gradient norm")
        last = len(result.norms["raw"]) - 1
        norm.set(yscale="log", xlim=(0, 1.015 * last), ylim=(_LOW, _HIGH), xlabel="step")
        norm.set_yticks([1e-3, 0.01, 0.1, 1, 10, 100, 1000, 1e4])
        norm.set_yticklabels(["0.001", "0.01", "0.1", "1", "10", "100", "1000", "10⁴"])
        norm.yaxis.set_minor_locator(NullLocator())
        key_above(norm, {"threshold c": (style.THRESHOLD_STYLE, style.THRESHOLD_TEXT)})
        self._level = self.moving(norm.plot([], [], **style.THRESHOLD_STYLE)[0], "threshold")
        self._paths, self._here, self._curves, self._marks = {}, {}, {}, {}
        for name in ("clipped", "raw"):
            look = looks[name][0]
            plain = {k: v for k, v in look.items() if not k.startswith("marker")}
            self._paths[name] = self.moving(plane.plot([], [], **look | {"linewidth": 1.6})[0], name)
            self._curves[name] = self.moving(norm.plot([], [], **plain)[0], f"norm {name}")
        for name in ("clipped", "raw"):  # over both paths, since what moves is drawn in the order of its making
            look = looks[name][0]
            dot = {"markersize": 9, "markeredgecolor": "white", "color": look["color"]}
            self._here[name] = self.moving(plane.plot([], [], look["marker"], **dot)[0], f"here {name}")
            self._marks[name] = self.moving(norm.plot([], [], look["marker"], clip_on=False, **dot)[0], f"at {name}")
        self._start = ring(self, plane, name="start")
        words = {"transform": plane.transAxes, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 2}}
        self._lost = self.moving(plane.text(0.03, 0.03, "", color=style.INK, **words, zorder=8), "lost")

    def update(self, result: Any) -> None:
        state, lost = result.state, {}
        left, right, bottom, top = result.window
        for name, path in result.paths.items():
            norms = np.clip(np.nan_to_num(result.norms[name], nan=1e9, posinf=1e9), 1e-9, 1e9)
            self._paths[name].set_data(*drawable(path[: state.step + 1]).T)
            self._here[name].set_data(*drawable(path[state.step : state.step + 1]).T)
            self._curves[name].set_data(np.arange(len(norms)), norms)
            self._marks[name].set_data([state.step], np.clip(norms[state.step : state.step + 1], _LOW, _HIGH))
            w, b = path[state.step]
            lost[{"raw": "unclipped"}.get(name, name)] = not (left <= w <= right and bottom <= b <= top)
        self._level.set_data([0, len(result.norms["raw"]) - 1], [state.max_norm] * 2)
        self._start.set_data([state.w], [state.b])
        self._lost.set_text("off the chart: both" if all(lost.values()) else off_chart(lost))
