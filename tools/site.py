"""Writes the course as a static site: every lesson a page that any browser opens from a folder, offline.

    python3 course.py site              all lessons, into site/
    python3 course.py site 03 04        these alone
    python3 course.py site --to FOLDER

Sliders move over pictures that are drawn now: from each explorer's preset, one control at a time.
"""

import argparse
import ast
import html
import importlib
import io
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.filters import markdown2html
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PARTS = ROOT / "tools" / "site_parts"
NOTEBOOKS = ROOT / "notebooks"
sys.path[:0] = [str(ROOT)]

from gclip_lessons.exercises import Prediction, Quiz  # noqa: E402
from gclip_lessons.lessons import Control, Demo, Preset, controls_of  # noqa: E402
from gclip_lessons.panels import to_html  # noqa: E402

MOST_FRAMES = 70  # on a page; at some 45 kB each it stays below 5 MB
MOST_BYTES = 5_000_000  # of a page with its pictures
FEWEST = 6  # frames that make a slider worth having
DENSITY = 2  # image pixels for a CSS pixel


# --- what a cell is about -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A call that a cell ends with, `explore(…)`, `predict(…)` or `quiz(…)`, with what it is given."""

    kind: str
    thing: Any
    options: dict[str, Any]


def asked(source: str, names: dict[str, Any]) -> Asked | None:
    """What a cell asks of the course, or None, also where it needs what an earlier cell has made.

    `names` are those that the lesson's first cell imports.
    """
    body = ast.parse(source).body
    call = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in CALLS and call.args):
        return None

    scope = dict(names)

    def value(node: ast.expr) -> Any:
        return eval(compile(ast.Expression(node), "cell", "eval"), scope)  # our own notebooks, not a stranger's

    try:
        exec(compile(ast.Module(body[:-1], []), "cell", "exec"), scope)
        options = {one.arg: value(one.value) for one in call.keywords if one.arg}
        return Asked(call.func.id, value(call.args[0]), options)
    except NameError:
        return None


# --- pictures -----------------------------------------------------------------------------------------------


def small(png: bytes) -> bytes:
    """The picture with a palette of 256 colours: a quarter of the size."""
    stored = io.BytesIO()
    palette = Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    palette.save(stored, "PNG")  # `optimize` would save a tenth more, and take ten times as long
    return stored.getvalue()


def stops(setting: Control, start: Any, count: int) -> list[Any]:
    """At most `count` values of a control, from end to end, one of them `start`; of a slider an even spread."""
    values = list(setting.values)
    if len(values) > count:
        last = max(count - 1, 1)
        values = [values[round(k * (len(values) - 1) / last)] for k in range(count)]
    if start not in values:
        # In place of the nearest stop between the ends; only a slider of two stops gives up an end.
        inner = range(1, len(values) - 1) if len(values) > 2 else range(len(values))
        home = setting.index(start)
        values[min(inner, key=lambda k: abs(setting.index(values[k]) - home))] = start
    return values


def shares(demo: Demo, frames: int, show: Iterable[str] | None = None) -> dict[str, int]:
    """Which controls a page can afford to move, and over how many stops each: thresholds first, then time.

    One frame, the start, is a stop of every control; `show` names the controls that may be moved at all.
    """
    controls = {name: one for name, one in controls_of(demo.state).items() if show is None or name in show}
    order = sorted(controls, key=lambda name: ("threshold" not in controls[name].label, not controls[name].play))
    least = {name: min(FEWEST, len(controls[name].values)) for name in order}
    chosen: list[str] = []
    for name in order:
        if 1 + sum(least[one] - 1 for one in [*chosen, name]) <= frames:
            chosen.append(name)
    chosen = chosen or order[:1]
    given = {name: min(least[name], frames) for name in chosen}
    while spare := [
        name
        for name in chosen
        if given[name] < len(controls[name].values) and sum(given.values()) < frames + len(chosen) - 1
    ]:
        given[min(spare, key=given.__getitem__)] += 1
    return {name: given[name] for name in controls if name in given}


def said(value: Any) -> str:
    """A control's value in words."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


class Explorer:
    """The frames of one explorer: the preset itself, and one control at a time moved away from it."""

    def __init__(self, demo: Demo, preset: str | None, folder: Path, stem: str, tick: Callable[[], None]) -> None:
        self.demo, self.place = demo, demo.presets.get(preset) or Preset(demo.state(), "")
        self.folder, self.stem, self.tick = folder, stem, tick
        self.count = 0
        self.drawing = demo.figure(demo.compute(self.place.state))

    def frame(self, state: Any, at: str = "") -> dict[str, str]:
        """Draw one state into a file of its own, and say what can be seen."""
        result = self.demo.compute(state)
        self.drawing.update(result)
        path = self.folder / f"{self.stem}-{self.count}.png"
        path.write_bytes(small(self.drawing.png(DENSITY)))
        self.count += 1
        self.tick()
        return {"src": f"{self.folder.name}/{path.name}", "says": self.demo.caption(result), "at": at}

    def html(self, frames: int, show: Iterable[str] | None = None) -> str:
        """The explorer as a part of a page, with at most `frames` pictures; `show` as `explore` takes it."""
        state, controls = self.place.state, controls_of(self.demo.state)
        start = self.frame(state)
        moved, rows = [], []
        for name, count in shares(self.demo, frames, show).items():
            setting, home = controls[name], getattr(state, name)
            values = stops(setting, home, count)
            at = values.index(home)
            shown = [
                start | {"at": said(value)} if k == at else self.frame(replace(state, **{name: value}), said(value))
                for k, value in enumerate(values)
            ]
            if len({(self.folder.parent / frame["src"]).read_bytes() for frame in shown}) == 1:
                continue  # it does nothing by itself, as a brush that stands still
            moved.append({"at": at, "frames": shown})
            here = f"{self.stem}-{name}"
            rows.append(
                f'<div class="control"><label for="{here}">{html.escape(setting.label)}</label>'
                f'<input id="{here}" type="range" min="0" max="{len(values) - 1}" value="{at}">'
                f'<output for="{here}">{html.escape(said(values[at]))}</output></div>'
            )
        describes = self.demo.figure.description
        return (
            f'<div class="explorer" data-frames="{self.count}"><p class="asks">{html.escape(self.place.question)}</p>'
            f'<div class="controls">{"".join(rows)}<div><button type="button">Back to the start</button></div></div>'
            f'<figure><div class="wide"><img src="{start["src"]}" width="{self.demo.figure.size[0]}" '
            f'height="{self.demo.figure.size[1]}" alt="{html.escape(describes + " " + start["says"])}" '
            f'data-describes="{html.escape(describes)}"></div>'
            f'<figcaption aria-live="polite">{html.escape(start["says"])}</figcaption></figure>'
            f"{data({'start': start, 'controls': moved})}</div>"
        )


# --- questions ----------------------------------------------------------------------------------------------


def data(value: Any) -> str:
    """A value for the page's script; nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False).replace("</", "<\\/")
    return f'<script type="application/json">{text}</script>'


def plain(text: str) -> str:
    """Marks of emphasis and code taken away, for text that a script puts on the page."""
    return re.sub(r"[`*]", "", text)


def choices(name: str, options: list[tuple[str, str]]) -> str:
    """Radio buttons, one a line."""
    rows = (
        f'<label><input type="radio" name="{name}" value="{html.escape(key)}"> {to_html(text)[3:-4]}</label>'
        for key, text in options
    )
    return "".join(rows)


def prediction_html(prediction: Prediction, name: str) -> str:
    """A prediction that is answered on the page."""
    truth = prediction.truth()
    shown = prediction.options.get(truth) if prediction.options else f"{truth:.4g} {prediction.unit}".strip()
    told = {
        "truth": truth if prediction.options else float(truth),
        "shown": plain(str(shown)),
        "tolerance": prediction.tolerance,
        "unit": prediction.unit,
        "explain": {key: plain(text) for key, text in prediction.explain.items()},
        "evidence": plain(prediction.evidence()) if prediction.evidence else "",
    }
    if prediction.options:
        kind, inside = "choice", choices(name, list(prediction.options.items()))
    else:
        kind = "number"
        unit = f" in {html.escape(prediction.unit)}" if prediction.unit else ""
        inside = f'<label>Your guess{unit}: <input type="text" inputmode="decimal"></label>'
    return question_html(kind, f"Predict. {prediction.question}", inside, told, "Compare", prediction.key)


def quiz_html(quiz: Quiz, name: str) -> str:
    """All questions of a quiz, each with its own answer."""
    parts = []
    for k, question in enumerate(quiz.questions, start=1):
        options = [(str(i), option.text) for i, option in enumerate(question.options)]
        told = {
            "truth": next(str(i) for i, option in enumerate(question.options) if option.right),
            "explain": {str(i): plain(option.why) for i, option in enumerate(question.options)},
        }
        parts.append(question_html("quiz", f"{k}. {question.text}", choices(f"{name}-{k}", options), told, "Answer"))
    return "".join(parts)


def question_html(kind: str, text: str, inside: str, told: dict[str, Any], button: str, key: str = "") -> str:
    """One question: its text, what can be chosen, a button, and the place for the answer; `key` opens a picture."""
    return (
        f'<div class="ask" data-kind="{kind}" data-key="{key}">'
        f"<fieldset><legend>{to_html(text)[3:-4]}</legend>{inside}</fieldset>"
        f'<button type="button">{button}</button><p class="answer" role="status"></p>{data(told)}</div>'
    )


# --- pages --------------------------------------------------------------------------------------------------

CALLS = ("explore", "predict", "quiz")
WORK = ("check", "progress_panel")  # what only a kernel can do


def markdown(text: str) -> str:
    """Markdown as HTML, its mathematics left for KaTeX, its headings with ids, its links to pages of the site."""
    return re.sub(r'href="((?:\w|-)+)\.ipynb', r'href="\1.html', markdown2html(text))


def code(source: str) -> str:
    """The source of a cell, closed until it is asked for."""
    return f"<details><summary>Code</summary><pre><code>{html.escape(source)}</code></pre></details>"


def outputs(cell: Any) -> Iterator[str]:
    """What a cell printed or showed when it was stored."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield f"<pre>{html.escape(output.text)}</pre>"
        elif "text/html" in output.data:
            yield output.data["text/html"]
        else:
            yield f"<pre>{html.escape(output.data['text/plain'])}</pre>"


def cells_of(notebook: Any) -> list[tuple[Any, Asked | None]]:
    """The cells of a notebook that are not empty, each with what it asks of the course."""
    cells = [cell for cell in notebook.cells if cell.source.strip()]
    names: dict[str, Any] = {}
    if number := notebook.metadata.get("gclip", {}).get("number"):
        names["lesson"] = importlib.import_module(f"gclip_lessons.lessons.lesson{number}")
        for imported in re.findall(
            r"from gclip_lessons\.lessons import (\w+) as (\w+)", "\n".join(c.source for c in cells)
        ):
            names[imported[1]] = importlib.import_module(f"gclip_lessons.lessons.{imported[0]}")
    return [(cell, asked(cell.source, names) if cell.cell_type == "code" else None) for cell in cells]


def lesson_page(path: Path, folder: Path, tick: Callable[[], None]) -> str:
    """The body of a lesson's page; its pictures go into a folder beside it."""
    pictures = folder / path.stem
    shutil.rmtree(pictures, ignore_errors=True)
    pictures.mkdir()
    cells = cells_of(nbformat.read(path, as_version=4))
    explorers = sum(call is not None and call.kind == "explore" for _, call in cells)
    parts = []
    for k, (cell, call) in enumerate(cells):
        if cell.cell_type == "markdown":
            parts.append(markdown(cell.source))
        elif call and call.kind == "explore":
            explorer = Explorer(call.thing, call.options.get("preset"), pictures, cell.id, tick)
            made = explorer.html(MOST_FRAMES // explorers, call.options.get("show"))
            if after := call.options.get("after"):
                closed = "<summary>The picture, when you have predicted</summary>"
                made = f'<details class="after" data-after="{after.key}">{closed}{made}</details>'
            parts.append(made)
        elif call and call.kind == "predict":
            parts.append(prediction_html(call.thing, f"p{k}"))
        elif call:
            parts.append(quiz_html(call.thing, f"q{k}"))
        elif any(f"{name}(" in cell.source for name in WORK):
            parts.append(f"<pre><code>{html.escape(cell.source)}</code></pre>{CHECKED}")
        else:
            parts += [code(cell.source), *outputs(cell)]
    return "\n".join(parts)


CHECKED = '<p class="hint">In the live course this cell says what your answer does, and which idea it shows.</p>'


def page(title: str, body: str) -> str:
    """A whole page around its body."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title>"
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="katex/katex.min.css">'
        '<link rel="stylesheet" href="site.css">'
        '</head><body><header class="bar"><a href="index.html">Gradient clipping, hands on</a>'
        '<button type="button" id="theme" hidden>Dark</button></header>'
        f"<main>\n{body}\n</main>"
        "<footer><p>Sliders on these pages move over pictures that were drawn beforehand, one at a time. In the live "
        "course they move together, and exercises are checked.</p></footer>"
        '<script src="katex/katex.min.js"></script><script src="katex/auto-render.min.js"></script>'
        '<script src="site.js"></script>'
        "</body></html>\n"
    )


def contents(paths: list[Path]) -> str:
    """The body of the contents page."""
    rows, more = [], []
    for path in paths:
        facts = nbformat.read(path, as_version=4).metadata.get("gclip")
        if facts:
            link = f'<a href="{path.stem}.html">{html.escape(facts["title"])}</a>'
            rows.append(
                f"<tr><td>{facts['number']}</td><td>{link}</td><td>{html.escape(facts['claim'])}</td><td>{facts['minutes']}</td></tr>"
            )
        else:
            more.append(
                f'<p><a href="{path.stem}.html">{html.escape(path.stem.replace("_", " ").capitalize())}</a></p>'
            )
    return (
        "<h1>Gradient clipping, hands on</h1><p>Every claim about gradient clipping is something you can move with a "
        "slider. These pages need no Python: their sliders move over pictures that were drawn beforehand, one "
        "control at a time. In the live course every combination can be reached, and exercises are "
        "checked.</p><table><thead><tr><th></th><th>Lesson</th><th>What you will "
        "see</th><th>Minutes</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>{''.join(more)}"
    )


def main(arguments: list[str]) -> int:
    """Write the site; 1 where a page cannot be written, or weighs too much."""
    parser = argparse.ArgumentParser("course.py site", description="Write the course as a static site.")
    parser.add_argument("numbers", nargs="*", metavar="NN", help="such as 03, or glossary; all unless given")
    parser.add_argument("--to", type=Path, default=ROOT / "site", metavar="FOLDER", help="where to; site/ unless given")
    options = parser.parse_args(arguments)
    every = sorted(NOTEBOOKS.glob("*.ipynb"))
    numbers = {number.zfill(2) for number in options.numbers}
    chosen = [path for path in every if not numbers or {path.stem, path.stem[:2]} & numbers]
    if not chosen:
        parser.error(f"there is no lesson {' '.join(sorted(numbers))}")
    folder = options.to
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(PARTS, folder, dirs_exist_ok=True)
    except OSError as error:
        print(
            f"course.py site: {folder} cannot be written to ({error.strerror or error}): choose another with --to",
            file=sys.stderr,
        )
        return 1
    heavy: list[str] = []
    for k, path in enumerate(chosen, start=1):
        drawn = 0

        def tick(name: str = path.stem, k: int = k) -> None:
            nonlocal drawn
            drawn += 1
            if sys.stdout.isatty():
                print(f"\r{k} of {len(chosen)}: {name}, {drawn} pictures", end="", flush=True)

        body = lesson_page(path, folder, tick)
        title = nbformat.read(path, as_version=4).metadata.get("gclip", {}).get("title", path.stem.capitalize())
        (folder / f"{path.stem}.html").write_text(page(title, body), encoding="utf-8")
        weight = sum(file.stat().st_size for file in (folder / f"{path.stem}.html", *(folder / path.stem).iterdir()))
        heavy += [f"{path.stem} with {weight / 1e6:.1f}"] * (weight >= MOST_BYTES)
        print(f"\r{k} of {len(chosen)}: {path.stem}, {drawn} pictures", flush=True)
    here = [path for path in every if (folder / f"{path.stem}.html").is_file()]
    (folder / "index.html").write_text(page("Gradient clipping, hands on", contents(here)), encoding="utf-8")
    print(f"Open {folder / 'index.html'} in any browser.")
    if heavy:
        print(f"course.py site: more than {MOST_BYTES / 1e6:g} MB: {', '.join(heavy)}", file=sys.stderr)
    return 1 if heavy else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
