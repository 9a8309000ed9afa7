"""The picture widget: an image whose alternative text and sentence arrive in the same message as its pixels."""

import base64
import html
from pathlib import Path
from typing import Any

import anywidget
import traitlets

_HERE = Path(__file__).parent


class Picture(anywidget.AnyWidget):
    """Show `frame` and report the pointer.

    `frame` holds png (bytes), alt, sentence, question, error (text) and controls (name and value in words of each
    control, for screen readers). `gesture` is one whole drag so far: from and to in CSS pixels of the figure, and
    a number that grows. `density` is what the screen can show, 1 or 2 image pixels per CSS pixel.
    """

    _esm = (_HERE / "view.js").read_text(encoding="utf-8")
    _css = (_HERE / "view.css").read_text(encoding="utf-8")

    width = traitlets.Int().tag(sync=True)
    height = traitlets.Int().tag(sync=True)
    draggable = traitlets.Bool().tag(sync=True)
    density = traitlets.Int(1).tag(sync=True)
    frame = traitlets.Dict().tag(sync=True)
    gesture = traitlets.Dict().tag(sync=True)


def static_html(frame: dict[str, Any], width: int) -> str:
    """Return the frame as HTML that needs no kernel: the picture, its alternative text, and its caption."""
    data = base64.b64encode(frame["png"]).decode("ascii")
    return (
        f'<figure style="margin:0;max-width:{width}px">'
        f'<img src="data:image/png;base64,{data}" alt="{html.escape(frame["alt"])}" style="max-width:100%">'
        f"<figcaption>{html.escape(frame['sentence'])}</figcaption></figure>"
    )
