"""Long lines of text that change with every move of a slider, drawn from a sheet of letters."""

from functools import lru_cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from gclip_lessons.figures.style import RC, LiveFigure

LETTERS = " abcdefghijklmnopqrstuvwxyz"
_WIDTH, _HEIGHT, _BASELINE, _SIZE = 9, 16, 4, 10.5  # of a letter: CSS pixels, and points


def typed_line(figure: LiveFigure, x: float, y: float, color: str, name: str) -> Text:
    """Return a moving line of small letters and spaces in a typewriter's face, that begins at (x, y) of the figure.

    matplotlib shapes a text anew for each picture, which for a line of ninety letters costs as much as all else.
    Here every letter is drawn once, and a line is put together from copies.
    """
    line = _Typed(x, y, "", color=color, fontsize=_SIZE, transform=figure.figure.transFigure)
    return figure.moving(figure.figure.add_artist(line), name)


class _Typed(Text):
    def draw(self, renderer: Any) -> None:
        if not self.get_visible() or not self.get_text():
            return
        density = round(renderer.dpi / 100)
        sheet = _sheet(self.get_color(), density)
        letters = sheet[[LETTERS.index(letter) for letter in self.get_text()]]
        line = letters.swapaxes(0, 1).reshape(sheet.shape[1], -1, 4)
        x, y = self.get_transform().transform(self.get_position())
        gc = renderer.new_gc()
        renderer.draw_image(gc, round(x), round(y) - _BASELINE * density, line[::-1])
        gc.restore()


@lru_cache(maxsize=8)
def _sheet(color: str, density: int) -> np.ndarray:
    """Every letter in a cell of its own, (letters, height, width, 4)."""
    width, height = _WIDTH * len(LETTERS), _HEIGHT
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(width / 100, height / 100), dpi=100 * density)
        canvas = FigureCanvasAgg(figure)
        for place, letter in enumerate(LETTERS):
            x = (place + 1e-6) / len(LETTERS)  # or rounding would put some letters a pixel too far left
            figure.text(x, _BASELINE / height, letter, family="monospace", fontsize=_SIZE, color=color)
        canvas.draw()
    cells = np.array(canvas.buffer_rgba()).reshape(height * density, len(LETTERS), _WIDTH * density, 4)
    return cells.swapaxes(0, 1)
