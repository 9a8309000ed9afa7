"""Shows a lesson to a class: its explorers one by one, full screen, in large type, and nothing else.

    python3 course.py present 04             arrow keys switch; Escape leaves a slider
    python3 course.py present 04 --slides    the whole lesson as slides, whose sliders stay live

The page comes from Voila on this machine's own address and ends with Ctrl-C. What you do in it is not recorded.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
DECK = ROOT / "tools" / "deck"  # a folder as JUPYTER_PATH wants them, with our page for Voila
sys.path[:0] = [str(ROOT)]

import course  # noqa: E402

Notebook = nbformat.NotebookNode
WAITING = re.compile(r",\s*after=lesson\.PREDICTIONS\[[^\]]*\]")


def cards(lesson: Notebook) -> Notebook:
    """A notebook of a lesson's explorers alone, each under the heading of its section.

    Predictions are asked aloud in a room, so no picture waits for one. ValueError for a lesson without explorers.
    """
    code = [cell for cell in lesson.cells if cell.cell_type == "code"]
    kept, heading = [nbformat.v4.new_code_cell(code[0].source)], ""
    for cell in lesson.cells:
        found = re.findall(r"(?m)^#{1,3} (.+)$", cell.source) if cell.cell_type == "markdown" else []
        heading = found[-1] if found else heading
        if cell.cell_type == "code" and cell is not code[0] and "explore(" in cell.source:
            kept += [
                nbformat.v4.new_markdown_cell(f"### {heading}"),
                nbformat.v4.new_code_cell(WAITING.sub("", cell.source)),
            ]
    if len(kept) == 1:
        raise ValueError("this lesson has no explorers")
    kept.insert(0, kept.pop(1))  # the imports belong to the first slide, not to one of their own
    return nbformat.v4.new_notebook(cells=kept, metadata=lesson.metadata)


def slides(lesson: Notebook) -> Notebook:
    """A notebook with the cells of a lesson, as they are; the page makes a slide of every section."""
    return nbformat.v4.new_notebook(cells=lesson.cells, metadata=lesson.metadata)


def command(notebook: Path, port: int | None, show: bool) -> list[str]:
    """The Voila that shows a notebook on this machine's own address, behind a token."""
    words = [sys.executable, "-m", "voila", str(notebook), "--template=deck", "--token", "--Voila.ip=127.0.0.1"]
    words += [f"--port={port}"] if port else []
    return words if show else [*words, "--no-browser"]


def main(arguments: list[str]) -> int:
    """Show a lesson until Ctrl-C."""
    parser = argparse.ArgumentParser("course.py present", description="Show a lesson's explorers to a class.")
    parser.add_argument("lesson", help="such as 04")
    parser.add_argument("--slides", action="store_true", help="the whole lesson as slides, instead of its explorers")
    parser.add_argument("--port", type=int, help="on which to listen; 8866 or the first free one after it unless given")
    parser.add_argument("--no-browser", action="store_true", help="print the address instead of opening it")
    options = parser.parse_args(arguments)
    try:
        path = course.find_lesson(options.lesson, course.LESSONS)
        if options.port is not None:
            course.require_free(options.port)
    except course.Problem as problem:
        print(f"course.py: {problem}", file=sys.stderr)
        return 1
    made = (slides if options.slides else cards)(nbformat.read(path, as_version=4))
    with tempfile.TemporaryDirectory(prefix="gclip-") as folder:
        notebook = Path(folder) / path.name
        nbformat.write(made, notebook)
        env = os.environ | course.LAB_SETTINGS | {"JUPYTER_PATH": str(DECK), "PYTHONPATH": str(ROOT)}
        show = not options.no_browser and course.has_display()
        print("Arrow keys switch, Escape leaves a slider, Ctrl-C here ends the show.", flush=True)
        try:
            return subprocess.call(command(notebook, options.port, show), env=env)
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
