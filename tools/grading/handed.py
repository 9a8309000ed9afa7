"""What learners handed in: whose notebooks they are, their code, and of which lesson."""

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gclip_lessons.lessons import Lesson

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
PROGRESS = (".gclip-progress.json", "gclip-progress.json")
LARGEST_NOTEBOOK, LARGEST_PROGRESS = 50 * 10**6, 10**6  # bytes
BINARY = getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class Handed:
    """One notebook: whose it is, its path in the folder, its code cells, and what the learner's progress file says.

    `trouble` says why there are no cells. `digest` changes with anything that the result depends on.
    """

    learner: str
    name: str
    digest: str
    number: str = ""
    cells: tuple[str, ...] = ()
    ran: bool = True
    progress: bytes | None = None
    trouble: str = ""


def handed_in(folder: Path, output: Path, lessons: dict[str, Lesson]) -> list[Handed]:
    """Every notebook of the class: those in the folder, and those anywhere in the folder of a learner."""
    found = [(learner_of(path.stem), path, None) for path in folder.glob("*.ipynb")]
    for home in folder.iterdir():
        ours = home.resolve() == output or home.name.startswith(".")
        if home.is_dir() and not (home.is_symlink() or home.suffix == ".ipynb" or ours):
            found += [(home.name, path, home) for path in home.rglob("*.ipynb") if not within_hidden(path, home)]
    found.sort(key=lambda one: (one[0].casefold(), str(one[1])))
    # What came with the course and is no lesson, as a glossary: nobody answers anything there.
    others = {path.name for path in NOTEBOOKS.glob("*.ipynb") if not path.name[:2].isdigit()}
    return [read(learner, path, home, folder, lessons) for learner, path, home in found if path.name not in others]


def within_hidden(path: Path, home: Path) -> bool:
    """Whether a path leads through a folder such as .ipynb_checkpoints."""
    return any(part.startswith(".") for part in path.relative_to(home).parts)


def learner_of(stem: str) -> str:
    """Who hands in a notebook that lies in the folder itself: its name, without that of a lesson."""
    for lesson in (path.stem for path in NOTEBOOKS.glob("*.ipynb")):
        stem = stem.replace(lesson, "").strip(" _-.") or stem
    return stem


def read(learner: str, path: Path, home: Path | None, folder: Path, lessons: dict[str, Lesson]) -> Handed:
    """Read one notebook; whatever is wrong with it is its `trouble`."""
    name = path.relative_to(folder).as_posix()
    content, progress = b"", progress_of(learner, path, home)
    try:
        content = read_regular(path, LARGEST_NOTEBOOK)
        cells, ran, facts = code_of(content)
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        trouble = getattr(error, "strerror", None) or str(error) or type(error).__name__
        trouble = trouble.splitlines()[0][:200]
        return Handed(learner, name, digest(content, trouble), trouble=trouble)
    number = lesson_of(facts, cells, path.name, lessons)
    return Handed(learner, name, digest(content, progress, number), number, tuple(cells), ran, progress)


def progress_of(learner: str, path: Path, home: Path | None) -> bytes | None:
    """The content of the learner's progress file, if one was handed in: beside the notebook, or in the folder."""
    names = [f"{learner}{PROGRESS[0]}"] if home is None else PROGRESS
    for place in [folder / name for folder in (path.parent, home or path.parent) for name in names]:
        try:
            return read_regular(place, LARGEST_PROGRESS)
        except (OSError, ValueError):
            continue
    return None


def read_regular(path: Path, most: int) -> bytes:
    """The content of a file. ValueError where it is a link, a pipe or larger than `most` bytes; OSError as ever."""
    if path.is_symlink():
        raise ValueError("it is a link")
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | BINARY)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError("it is no file")
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most // 10**6} MB")
    return content


def code_of(content: bytes) -> tuple[list[str], bool, str]:
    """The code cells of a notebook, whether any was run, and the lesson it says it is; ValueError for anything else."""
    try:
        raw = json.loads(content.decode())
    except UnicodeDecodeError:
        raise ValueError("it is no text") from None
    except json.JSONDecodeError as error:
        raise ValueError("it is empty" if not content.strip() else f"{error}") from None
    cells = raw.get("cells") if isinstance(raw, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise ValueError("it has no cells")
    code = [cell for cell in cells if cell.get("cell_type") == "code"]
    sources = [text_of(cell.get("source", "")) for cell in code]
    written = [cell for cell, source in zip(code, sources, strict=True) if source.strip()]
    ran = not written or any(cell.get("execution_count") or cell.get("outputs") for cell in written)
    facts = raw.get("metadata")
    facts = facts.get("gclip") if isinstance(facts, dict) else None
    return sources, ran, str(facts.get("number", "")) if isinstance(facts, dict) else ""


def text_of(source: Any) -> str:
    """The source of a cell, which is a text or a list of lines."""
    lines = [source] if isinstance(source, str) else source
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ValueError("a cell has no source")
    return "".join(lines)


def lesson_of(said: str, cells: list[str], name: str, lessons: dict[str, Lesson]) -> str:
    """The lesson of a notebook: what it says itself, or imports, or is called, or defines; empty for none of these."""
    code = "\n".join(cells)
    named = [said, *re.findall(r"\blesson(\d\d)\b", code), *re.findall(r"(?<!\d)\d\d(?!\d)", name)]
    defined = set(re.findall(r"^def (\w+)\(", code, re.MULTILINE))
    by_function = [n for n, lesson in lessons.items() if defined & {e.name for e in lesson.exercises.values()}]
    return next((number for number in [*named, *by_function] if number in lessons), "")


def digest(*parts: bytes | str | None) -> str:
    """One short text for all of the parts."""
    total = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part or b""
        total.update(f"{part is None} {len(content)} ".encode() + content)
    return total.hexdigest()[:32]
