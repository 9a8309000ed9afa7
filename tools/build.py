"""Runs the notebooks and stores them in one normal form: what changes in a file has changed in the lesson.

    python3 course.py build            run all, write all, renew the table of lessons in README.md
    python3 course.py build 03         the same for lesson 03 alone
    python3 course.py build --check    run nothing; list what is not in the normal form

The normal form: cell ids that stay, counts from 1, no dead widgets, no times, no version of Python, pictures
of 256 colours, and of the metadata only what a lesson means to say.
"""

import argparse
import base64
import io
import json
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
README = ROOT / "README.md"
TIMEOUT = 120  # seconds for one cell

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
CELL_KEYS = ("deletable", "editable", "gclip", "slideshow", "tags")
FACTS = {"number": str, "title": str, "claim": str, "minutes": int}
PICTURE = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")
CELL_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
TABLE = re.compile(r"(<!-- lessons:begin -->\n).*?(<!-- lessons:end -->)", re.DOTALL)

Notebook = nbformat.NotebookNode


# --- the normal form ---


def read(path: Path) -> Notebook:
    """Read a notebook. A cell without an id gets its position: nbformat would draw one at random."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    for position, cell in enumerate(raw["cells"], start=1):
        cell.setdefault("id", f"cell-{position:02}")
    ids = [cell["id"] for cell in raw["cells"]]
    doubled = sorted({name for name in ids if ids.count(name) > 1})
    if doubled:  # nbformat would give one of them a new id at random
        raise ValueError(f"cell id {', '.join(doubled)} stands twice")
    raw.update(nbformat=4, nbformat_minor=5)
    return nbformat.reads(json.dumps(raw), as_version=4)


def written(notebook: Notebook) -> bytes:
    """The bytes of a notebook as they are stored."""
    return (nbformat.writes(notebook).rstrip("\n") + "\n").encode()


def normalise(notebook: Notebook) -> Notebook:
    """The normal form of a notebook, as a new one; what is normal comes back as it is."""
    facts = {"gclip": notebook.metadata["gclip"]} if "gclip" in notebook.metadata else {}
    cells, count = [], 0
    for cell in notebook.cells:
        kept = {key: cell[key] for key in ("id", "cell_type", "source", "attachments") if key in cell}
        kept["metadata"] = {key: cell.metadata[key] for key in CELL_KEYS if key in cell.metadata}
        if cell.cell_type == "code":
            count += cell.execution_count is not None
            kept["execution_count"] = None if cell.execution_count is None else count
            kept["outputs"] = normal_outputs(cell.outputs, kept["execution_count"])
        cells.append(kept)
    metadata = {**facts, "kernelspec": KERNEL, "language_info": LANGUAGE}
    return nbformat.from_dict({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def normal_outputs(outputs: list[Notebook], count: int | None) -> list[dict[str, Any]]:
    """Outputs without dead widgets, their streams joined and their pictures small."""
    kept: list[dict[str, Any]] = []
    for output in map(dict, outputs):
        if "data" in output:
            data = {kind: value for kind, value in output["data"].items() if kind != WIDGET_VIEW}
            if not data:
                continue
            if "text/html" in data:
                data["text/html"] = PICTURE.sub(smaller_picture, data["text/html"])
            output |= {"data": data, "metadata": {}}
        if "execution_count" in output:
            output["execution_count"] = count
        previous = kept[-1] if kept else {}
        if output["output_type"] == "stream" and previous.get("name") == output["name"]:
            previous["text"] += output["text"]
        else:
            kept.append(output)
    return kept


def smaller_picture(match: re.Match[str]) -> str:
    """A PNG as a data URI with a palette of at most 256 colours; one that has a palette is left alone."""
    image = Image.open(io.BytesIO(base64.b64decode(match[1])))
    if image.mode == "P":
        return match[0]
    stored = io.BytesIO()
    image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(stored, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stored.getvalue()).decode()


def execute(notebook: Notebook, folder: Path) -> Notebook:
    """Run a notebook from top to bottom in `folder`; raises CellExecutionError or CellTimeoutError."""
    client = NotebookClient(
        notebook, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    return client.execute()


# --- what a stored notebook must be ---


class Html(HTMLParser):
    """Collects the images without alternative text and the levels of headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.bare_images: list[str] = []
        self.headings: list[int] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one opening tag."""
        if tag == "img" and not (dict(attrs).get("alt") or "").strip():
            self.bare_images.append(str(dict(attrs).get("src"))[:40])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))


def prose(notebook: Notebook) -> Iterator[str]:
    """The text of each markdown cell, without fenced code."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield re.sub(r"^(```|~~~).*?^\1", "", cell.source, flags=re.DOTALL | re.MULTILINE)


def headings(notebook: Notebook) -> list[int]:
    """The levels of the headings, in order."""
    levels = []
    for line in "\n".join(prose(notebook)).splitlines():
        mark = re.match(r"(#{1,6})\s+\S", line)
        levels += [len(mark[1])] if mark else Html(line).headings
    return levels


def outputs(notebook: Notebook) -> Iterator[tuple[str, Notebook]]:
    """Every stored output with the id of its cell."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            yield cell.id, output


def faults(path: Path) -> list[str]:
    """All that keeps a stored notebook from the normal form and from being readable without a kernel."""
    try:
        notebook = read(path)
        nbformat.validate(notebook)
        normal = written(normalise(notebook)) == path.read_bytes()
    except Exception as error:  # whatever is wrong inside a file is a finding, not a crash
        return [f"cannot be read: {error}".splitlines()[0]]
    return [
        *([] if normal else ["is not in the normal form: python3 course.py build"]),
        *cell_faults(notebook),
        *output_faults(notebook),
        *heading_faults(headings(notebook)),
        *fact_faults(notebook, path),
    ]


def cell_faults(notebook: Notebook) -> Iterator[str]:
    """Ids that are no slugs, cells that were never run, pictures in the prose without a text."""
    for cell in notebook.cells:
        if not CELL_ID.fullmatch(cell.id):
            yield f"cell id {cell.id!r} is no slug (a-z, 0-9 and single hyphens)"
        if cell.cell_type == "code" and cell.execution_count is None:
            yield f"cell {cell.id} was never run"
    for text in prose(notebook):
        bare = Html(text).bare_images + re.findall(r"!\[\s*\]\(([^)]*)\)", text)
        yield from (f"image {source} has no alternative text" for source in bare)


def output_faults(notebook: Notebook) -> Iterator[str]:
    """Errors, warnings, and pictures without a text."""
    for cell, output in outputs(notebook):
        if output.output_type == "error":
            yield f"cell {cell} stores an error: {output.ename}: {output.evalue}"
        if output.get("name") == "stderr":
            yield f"cell {cell} writes to stderr: {output.text.strip().splitlines()[-1]}"
        data = output.get("data", {})
        if any(kind.startswith("image/") for kind in data):
            yield f"cell {cell} stores a picture without alternative text: show it as text/html"
        for source in Html(data.get("text/html", "")).bare_images:
            yield f"cell {cell}: image {source} has no alternative text"


def heading_faults(levels: list[int]) -> Iterator[str]:
    """A page has one top heading, its first, and skips no level on the way down."""
    if levels.count(1) != 1 or levels[0] != 1:
        yield f"must begin with its only top heading; got {levels.count(1)} among levels {levels}"
    for above, level in pairwise(levels):
        if level > above + 1:
            yield f"a heading of level {level} follows one of level {above}"


def fact_faults(notebook: Notebook, path: Path) -> Iterator[str]:
    """A lesson, NN_name.ipynb, says in its metadata what the table of lessons needs; other pages need not."""
    number = path.name[:2]
    if not re.match(r"\d\d_", path.name):
        return
    facts = notebook.metadata.get("gclip", {})
    for key, kind in FACTS.items():
        if not isinstance(facts.get(key), kind) or not facts[key]:
            yield f"metadata.gclip.{key} must be a non-empty {kind.__name__}; got {facts.get(key)!r}"
    if facts.get("number") not in (None, number):
        yield f"metadata.gclip.number is {facts['number']!r} in a file called {path.name}"


# --- the table of lessons ---


def table(paths: list[Path]) -> str:
    """The table of lessons in Markdown, from the metadata of the notebooks; ValueError where it lacks a fact."""
    rows = ["| | Lesson | What you will see | Minutes |", "|---|---|---|---|"]
    for path in paths:
        facts = read(path).metadata.get("gclip")
        if facts:
            missing = [key for key in FACTS if key not in facts]
            if missing:
                raise ValueError(f"{path.name}: metadata.gclip has no {', '.join(missing)}")
            link = f"[{facts['title']}](notebooks/{path.name})"
            rows.append(f"| {facts['number']} | {link} | {facts['claim']} | {facts['minutes']} |")
    return "\n".join(rows) + "\n"


def with_table(readme: str, paths: list[Path]) -> str:
    """README with its table of lessons renewed; ValueError where it has no place for one."""
    if not TABLE.search(readme):
        raise ValueError("README.md lacks the lines <!-- lessons:begin --> and <!-- lessons:end -->")
    return TABLE.sub(lambda place: place[1] + table(paths) + place[2], readme)


# --- commands ---


def check(paths: list[Path]) -> list[str]:
    """Every fault of the notebooks, and of the table in README.md, as one line each."""
    found = [f"{path.name}: {fault}" for path in paths for fault in faults(path)]
    if found:
        return found
    try:
        readme = README.read_text(encoding="utf-8")
        if with_table(readme, sorted(NOTEBOOKS.glob("*.ipynb"))) != readme:
            found.append("README.md: its table of lessons is not that of the notebooks: python3 course.py build")
    except (OSError, ValueError) as error:
        found.append(str(error))
    return found


def build(paths: list[Path]) -> list[str]:
    """Run and store the notebooks, renew the table; what is wrong. A notebook that fails is not stored."""
    failed = []
    for path in paths:
        print(f"running {path.name}", flush=True)
        try:
            notebook = execute(read(path), path.parent)
        except (CellExecutionError, CellTimeoutError, ValueError) as error:
            failed.append(f"{path.name}: {error}")
            continue
        path.write_bytes(written(normalise(notebook)))
    if failed:
        return failed
    try:
        readme = README.read_text(encoding="utf-8")
        README.write_text(with_table(readme, sorted(NOTEBOOKS.glob("*.ipynb"))), encoding="utf-8", newline="\n")
    except (OSError, ValueError) as error:
        failed.append(str(error))
    return failed + check(paths)


def main(arguments: list[str]) -> int:
    """Build or check; 1 where something is wrong."""
    parser = argparse.ArgumentParser("course.py build", description="Run the notebooks and store them.")
    parser.add_argument("numbers", nargs="*", metavar="NN", help="such as 03; all unless given")
    parser.add_argument("--check", action="store_true", help="run nothing; list what is not in the normal form")
    options = parser.parse_args(arguments)
    numbers = {number.zfill(2) for number in options.numbers}
    paths = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if not numbers or path.name[:2] in numbers]
    if not paths:
        parser.error(f"{NOTEBOOKS} has no notebook {' '.join(sorted(numbers))}".rstrip())
    wrong = check(paths) if options.check else build(paths)
    print("\n".join(wrong) if wrong else f"{len(paths)} notebooks in the normal form")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
