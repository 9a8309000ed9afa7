"""One look for every figure, and the canvas that redraws only what moves.

The palette is Okabe and Ito's (2008), safe for colour-blind eyes; each role also has a line style and a marker,
so that no figure depends on colour. Text uses the darker shade of a role, which reaches a contrast of 4.5 on white.
"""

import struct
import zlib
from threading import RLock
from typing import Any, ClassVar

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

RAW, RAW_TEXT = "#D55E00", "#A84A00"
CLIPPED, CLIPPED_TEXT = "#0072B2", "#005A8D"
THRESHOLD, THRESHOLD_TEXT = "#009E73", "#00684B"
OTHER, OTHER_TEXT = "#CC79A7", "#8F3F6C"
INK, MUTED, FAINT, GUIDE = "#222222", "#595959", "#DDDDDD", "#9A9A9A"

RAW_STYLE: dict[str, Any] = {"color": RAW, "linestyle": (0, (5, 2)), "linewidth": 2.0}
CLIPPED_STYLE: dict[str, Any] = {"color": CLIPPED, "linestyle": "-", "linewidth": 2.4}
THRESHOLD_STYLE: dict[str, Any] = {"color": THRESHOLD, "linestyle": (0, (1, 1.2)), "linewidth": 2.2}
OTHER_STYLE: dict[str, Any] = {"color": OTHER, "linestyle": (0, (6, 1.5, 1, 1.5)), "linewidth": 2.0}

RC = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "figure.dpi": 100,
}

# matplotlib's settings and fonts belong to the whole process, and callbacks run on threads of their own.
_DRAWING = RLock()


class LiveFigure:
    """A figure that is drawn once and then only has its moving artists redrawn.

    A subclass sets `size` (CSS pixels) and `description` (what the panels show, for readers who cannot see
    them), creates everything in `draw` and sets data, nothing else, in `update`; artists that `update`
    touches are registered with `moving`. Then `F(a)` followed by `update(b)` shows the same as `F(b)`.
    Neither pyplot nor mathtext is used: both keep state that threads would share.
    """

    size: ClassVar[tuple[int, int]] = (900, 400)
    description: ClassVar[str] = ""

    def __init__(self, result: Any) -> None:
        width, height = self.size
        self.axes: dict[str, Axes] = {}
        self._moving: list[Artist] = []
        self._named: dict[str, Artist] = {}
        self._background: Any = None
        with _DRAWING, matplotlib.rc_context(RC):
            self.figure = Figure(figsize=(width / 100, height / 100), dpi=100)
            self._canvas = FigureCanvasAgg(self.figure)
            self.draw(result)
            self.update(result)

    def draw(self, result: Any) -> None:
        """Create axes, everything that never changes, and the moving artists."""
        raise NotImplementedError

    def update(self, result: Any) -> None:
        """Set the moving artists' data to show `result`."""
        raise NotImplementedError

    def panel(self, name: str, rectangle: tuple[float, float, float, float], **settings: Any) -> Axes:
        """Add named axes at `rectangle` (left, bottom, width, height as fractions of the figure)."""
        axes = self.figure.add_axes(rectangle)
        axes.set(**settings)
        self.axes[name] = axes
        return axes

    def moving(self, artist: Any, name: str | None = None) -> Any:
        """Register an artist that `update` changes, and return it; `data` finds it by `name`."""
        artist.set_animated(True)
        self._moving.append(artist)
        if name:
            self._named[name] = artist
        return artist

    def data(self, name: str) -> Any:
        """Return what the moving artist `name` shows: a text's words, an image's values, or points (n, 2)."""
        artist = self._named[name]
        getter = next(g for g in ("get_text", "get_xydata", "get_xy", "get_array") if hasattr(artist, g))
        return getattr(artist, getter)()

    def png(self, density: int = 1) -> bytes:
        """Return the picture as PNG bytes, `density` image pixels to a CSS pixel."""
        with _DRAWING:
            if self.figure.dpi != 100 * density:
                self.figure.set_dpi(100 * density)
                self._background = None
            if self._background is None:
                with matplotlib.rc_context(RC):
                    self._canvas.draw()
                self._background = self._canvas.copy_from_bbox(self.figure.bbox)
            self._canvas.restore_region(self._background)
            for artist in self._moving:
                artist.axes.draw_artist(artist) if artist.axes else self.figure.draw_artist(artist)
        return encode_png(np.asarray(self._canvas.buffer_rgba()))

    def panel_at(self, x: float, y: float) -> str | None:
        """Return the name of the panel at a point in CSS pixels from the top left, or None off the panels."""
        point = self._pixels(x, y)
        return next((name for name, axes in self.axes.items() if axes.bbox.contains(*point)), None)

    def to_data(self, name: str, x: float, y: float) -> tuple[float, float]:
        """Return the data coordinates, in the panel `name`, of a point in CSS pixels from the top left."""
        data = self.axes[name].transData.inverted().transform(self._pixels(x, y))
        return float(data[0]), float(data[1])

    def _pixels(self, x: float, y: float) -> tuple[float, float]:
        ratio = self.figure.dpi / 100
        return x * ratio, (self.size[1] - y) * ratio

    def place(self, name: str, x: float, y: float) -> tuple[float, float]:
        """Return where the point (x, y) of a panel's data lies, in CSS pixels from the top left."""
        ratio = self.figure.dpi / 100
        px, py = self.axes[name].transData.transform((x, y))
        return float(px / ratio), float(self.size[1] - py / ratio)

    def shown(self) -> list[tuple[Any, ...]]:
        """Return the data and text of the moving artists, for tests that compare two figures."""
        return [_data_of(artist) for artist in self._moving]


def encode_png(rgba: np.ndarray) -> bytes:
    """Encode (height, width, 4) bytes as PNG: lossless, and three times as fast as the usual encoders' defaults.

    Encoding is most of what a slider move costs, so rows go unfiltered to zlib's fastest level.
    """
    height, width, channels = rgba.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)
    rows[:, 1:] = rgba.reshape(height, -1)
    header = struct.pack(">2I5B", width, height, 8, 6, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _data_of(artist: Artist) -> tuple[Any, ...]:
    """What the artist shows, as plain values; numbers as text, in which NaN equals itself."""
    facts: list[Any] = [type(artist).__name__, artist.get_visible()]
    if not artist.get_visible() or getattr(artist, "get_text", lambda: "text")() == "":
        return tuple(facts)
    for name in ("get_xydata", "get_xy", "get_offsets", "get_position", "get_array", "get_width", "get_height"):
        if hasattr(artist, name):
            value = getattr(artist, name)()
            facts.append(None if value is None else str(np.asarray(value, float).round(9).tolist()))
    if hasattr(artist, "get_paths"):
        facts.append(str([path.vertices.round(9).tolist() for path in artist.get_paths()]))
    if hasattr(artist, "get_text"):
        facts.append(artist.get_text())
    if hasattr(artist, "get_color"):
        facts.append(str(artist.get_color()))
    return tuple(facts)


def draw_contours(axes: Axes, loss: Any, *, levels: Any, n_points: int = 121) -> None:
    """Draw the contours of `loss` (points (..., 2) -> values) over the limits that `axes` has."""
    xs, ys = (np.linspace(*limits, n_points) for limits in (axes.get_xlim(), axes.get_ylim()))
    points = np.stack(np.meshgrid(xs, ys), axis=-1)
    axes.contour(xs, ys, loss(points), levels=levels, colors=GUIDE, linewidths=0.8, zorder=1)
