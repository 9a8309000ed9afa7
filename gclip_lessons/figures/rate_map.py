"""A map of (η, c): what thousands of runs ended with, a cross that picks one of them, and that run beside it."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.image import PcolorImage

from gclip_lessons.figures import style
from gclip_lessons.figures.parts import drawable, key, power_of_ten

LOW, HIGH = -8, 4  # powers of ten of the first and the last colour
LOST = 1e6  # a loss beyond this counts as diverged


def colours(values: np.ndarray, low: int = LOW, high: int = HIGH, per_decade: int = 1) -> np.ndarray:
    """The number of the colour of each value: 0 for at most 10^low, `per_decade` more for a power of ten, to 10^high.

    NaN, no colour at all, where the value is not finite or beyond LOST.
    """
    with np.errstate(all="ignore"):
        place = np.ceil(per_decade * np.log10(np.clip(values, 10.0**low, 10.0**high)))
        return np.where(values <= LOST, place - per_decade * low, np.nan)


class RateMapFigure(style.LiveFigure):
    """The map, and the loss of the picked run against the step.

    A result has `rates` (L,), `thresholds` (C,), `values` (L, C) and `unclipped` (L,), each axis in equal steps on a
    log scale; a `state` with `learning_rate` and `max_norm`; and `losses`, two rows "raw" and "clipped".
    """

    description = (
        "Left: a map of the learning rate η against the threshold c, both on log scales; the brighter a cell, the "
        "smaller the loss that its run ended with; hatched cells are runs that diverged. A strip above it shows the "
        "runs without clipping. A ring marks the picked cell, on a thin line of equal ηc. Right: the loss of the "
        "picked run (solid) and of the unclipped run with the same η (dashed) against the step, on a log scale."
    )
    beside = (0.56, 0.13, 0.42, 0.77)
    scale = (LOW, HIGH, 1)  # powers of ten of the first and the last colour, and colours for each power
    bar_every = 4

    def draw(self, result: Any) -> None:
        (low, high, per_decade), last = self.scale, (self.scale[1] - self.scale[0]) * self.scale[2]
        x, y = np.log10(result.rates), np.log10(result.thresholds)
        edges = [_edges(x), _edges(y)]
        cells = ListedColormap(matplotlib.colormaps["cividis_r"](np.linspace(0.0, 1.0, last + 1)))
        cells = cells.with_extremes(bad=(0.0, 0.0, 0.0, 0.0))  # the hatching behind shows through
        look = {"cmap": cells, "vmin": -0.5, "vmax": last + 0.5, "origin": "lower", "interpolation": "nearest"}
        wide = {"xlim": edges[0], "xticks": _whole(x)}

        strip = self.panel("strip", (0.08, 0.855, 0.30, 0.045), **wide, ylim=(0, 1), yticks=[])
        strip.set_title("Loss at the end")
        strip.set_xticklabels([])
        strip.set_ylabel("c = ∞", rotation=0, ha="right", va="center", color=style.INK)
        plane = self.panel("map", (0.08, 0.13, 0.30, 0.695), **wide, ylim=edges[1], yticks=_whole(y)[::2])
        plane.set(xlabel="learning rate η", ylabel="threshold c")
        plane.set_xticklabels([power_of_ten(10.0**power) for power in _whole(x)])
        plane.set_yticklabels([power_of_ten(10.0**power) for power in _whole(y)[::2]])
        for axes in (strip, plane):
            axes.patch.set(hatch="////", edgecolor=style.GUIDE, facecolor="white", linewidth=0)
            axes.spines[:].set_visible(True)
        # PcolorImage is drawn seven times as fast as imshow, which resamples.
        self._sides = [np.linspace(*edge, len(values) + 1) for edge, values in zip(edges, (x, y), strict=True)]
        shade = {"cmap": cells, "norm": Normalize(-0.5, last + 0.5), "zorder": 2}
        blank = np.full((len(y), len(x)), np.nan)
        self._cells = self.moving(PcolorImage(plane, *self._sides, blank, **shade), "values")
        self._row = self.moving(PcolorImage(strip, self._sides[0], _STRIP, blank[:1], **shade), "unclipped")
        for axes, image in ((plane, self._cells), (strip, self._row)):
            image.set_in_layout(False)  # it knows no extent of its own, which a picture cropped to its content asks for
            axes.add_image(image)
        self._guide = self.moving(plane.plot([], [], color="white", linewidth=1.2, zorder=3)[0], "same ηc")
        self._below = self.moving(
            plane.plot([], [], "o", color=style.INK, **_RING | {"markeredgewidth": 5})[0], "below"
        )
        self._cross = self.moving(plane.plot([], [], "o", color="white", **_RING)[0], "picked")
        self._mark = self.moving(strip.plot([], [], "v", color=style.RAW, markeredgecolor="white", **_MARK)[0], "η")

        bar = self.figure.add_axes((0.392, 0.13, 0.014, 0.695), ylim=(-0.5, last + 0.5), xticks=[], label="bar")
        bar.set_title("loss", fontsize=11, fontweight="normal", pad=5)
        bar.imshow(np.arange(last + 1.0)[:, None], aspect="auto", extent=(0, 1, -0.5, last + 0.5), **look)
        ticks = range(low, high + 1, self.bar_every)
        bar.set_yticks([per_decade * (power - low) for power in ticks], [power_of_ten(10.0**power) for power in ticks])
        bar.yaxis.tick_right()
        bar.tick_params(length=0)
        self.draw_beside(result)

    def draw_beside(self, result: Any) -> None:
        """Create what stands to the right of the map."""
        n_steps = len(result.losses["raw"]) - 1
        loss = self.panel("loss", self.beside, title="Its loss")
        loss.set(yscale="log", xlim=(0, n_steps), ylim=(10.0**LOW, 1e8), xlabel="step")
        powers = range(LOW, 9, 4)
        loss.set_yticks([10.0**power for power in powers], [power_of_ten(10.0**power) for power in powers])
        loss.minorticks_off()
        self._raw_loss = self.moving(loss.plot([], [], **style.RAW_STYLE, zorder=4)[0], "loss raw")
        self._loss = self.moving(loss.plot([], [], **style.CLIPPED_STYLE, zorder=3)[0], "loss clipped")
        names = {
            "unclipped": (style.RAW_STYLE, style.RAW_TEXT),
            "clipped": (style.CLIPPED_STYLE, style.CLIPPED_TEXT),
        }
        key(loss, names, "upper right", labelspacing=0.3)

    def update(self, result: Any) -> None:
        x, y = np.log10(result.state.learning_rate), np.log10(result.state.max_norm)
        self._cells.set_data(*self._sides, colours(result.values.T, *self.scale))
        self._row.set_data(self._sides[0], _STRIP, colours(result.unclipped[None], *self.scale))
        self._cross.set_data([x], [y])
        self._below.set_data([x], [y])
        self._mark.set_data([x], [0.5])
        self._guide.set_data([x - 20, x, x + 20], [y + 20, y, y - 20])
        self.update_beside(result)

    def update_beside(self, result: Any) -> None:
        """Show the picked run."""
        for name, curve in (("raw", self._raw_loss), ("clipped", self._loss)):
            loss = result.losses[name]
            shown = np.where(np.isfinite(loss), np.clip(loss, 10.0 ** (LOW - 2), 1e12), np.nan)
            curve.set_data(np.arange(len(shown)), shown)


class PathMapFigure(RateMapFigure):
    """The map, the path of the picked run on the contours of its loss, and its loss against the step.

    A result also has `lands`, a dict of what can be drawn, one of them its `land`; each has a `model`, `levels` of
    contours, a `middle` and a `reach`, half of the width that is shown. `paths` (steps, 2) are drawn in units of that
    reach around that middle.
    """

    description = RateMapFigure.description.replace(
        "Right: the loss of", "Middle: the paths of both runs on contours of the loss. Right: the loss of"
    )
    beside = (0.765, 0.13, 0.215, 0.77)

    def draw_beside(self, result: Any) -> None:
        plane = self.panel("path", (0.463, 0.13, 0.235, 0.77), title="The picked run", aspect="equal")
        plane.set(xlim=(-1, 1), ylim=(-_TALL, _TALL))
        plane.set(xticks=[], yticks=[], xlabel="start ○   minimum +")
        plane.spines[:].set_visible(True)
        self._contours = {}
        for name, land in result.lands.items():
            grid = np.stack(np.meshgrid(np.linspace(-1, 1, 121), np.linspace(-_TALL, _TALL, 175)), axis=-1)
            loss = land.model.loss_and_grad(np.array(land.middle) + land.reach * grid, 0)[0]
            traced = plane.contour(grid[..., 0], grid[..., 1], loss, levels=land.levels)
            segments = [segment for level in traced.allsegs for segment in level]
            traced.remove()
            lines = LineCollection(segments, colors=style.GUIDE, linewidths=0.8, zorder=1)
            self._contours[name] = self.moving(plane.add_collection(lines), f"contours {name}")
        self._minimum = self.moving(plane.plot([], [], "+", color=style.INK, markersize=9, zorder=2)[0], "minimum")
        dots = style.CLIPPED_STYLE | {"marker": ".", "markersize": 5, "linewidth": 1.5}
        self._path = self.moving(plane.plot([], [], **dots, zorder=3)[0], "path clipped")
        self._raw_path = self.moving(plane.plot([], [], **style.RAW_STYLE, zorder=4)[0], "path raw")
        self._start = self.moving(plane.plot([], [], "o", color=style.INK, **_RING | {"markersize": 9})[0], "start")
        super().draw_beside(result)

    def update_beside(self, result: Any) -> None:
        super().update_beside(result)
        land = result.land
        for name, lines in self._contours.items():
            lines.set_visible(result.lands[name] is land)
        for name, path in (("raw", self._raw_path), ("clipped", self._path)):
            path.set_data(*drawable((result.paths[name] - land.middle) / land.reach, far=40.0).T)
        self._start.set_data(*((np.array([land.start]) - land.middle) / land.reach).T)
        self._minimum.set_data(*((np.array([land.minimum]) - land.middle) / land.reach).T)


_RING: dict[str, Any] = {"markersize": 14, "markerfacecolor": "none", "markeredgewidth": 2, "zorder": 5}
_TALL = 0.77 * 400 / (0.235 * 900)  # height of the picked run's panel in units of its width
_STRIP = np.array([0.0, 1.0])
_MARK: dict[str, Any] = {"markersize": 9, "zorder": 6}


def _edges(centres: np.ndarray) -> tuple[float, float]:
    """The outer edges of cells around equally spaced centres."""
    half = (centres[-1] - centres[0]) / (len(centres) - 1) / 2
    return float(centres[0] - half), float(centres[-1] + half)


def _whole(powers: np.ndarray) -> list[int]:
    return list(range(round(powers[0]), round(powers[-1]) + 1))
