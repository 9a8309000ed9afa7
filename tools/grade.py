"""Runs learners' notebooks and writes what holds: one CSV for the class, one feedback page a learner.

    python3 course.py grade FOLDER

Each notebook of FOLDER/*.ipynb and FOLDER/LEARNER/*.ipynb runs in a kernel of its own, behind a fence. What its
functions did comes back as data and is judged here, in a process in which no learner's code ever runs. Every result
is kept as soon as it is there, so that a second call goes on where the first was stopped. docs/grading.md says what
each column means, and what the fence does not keep out.

`grading/handed.py` reads what was handed in, `run.py` runs one notebook behind the fence of `fence.py`, `result.py`
judges, and `page.py` writes for people.
"""

import argparse
import base64
import contextlib
import hashlib
import importlib
import json
import os
import pickle
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

import course  # noqa: E402
from gclip_lessons.lessons import Lesson, all_lessons  # noqa: E402
from tools.grading import fence, page  # noqa: E402
from tools.grading.handed import LARGEST_PROGRESS, PROGRESS, Handed, digest, handed_in, read_regular  # noqa: E402
from tools.grading.result import COLUMNS, event, result_of, row, sentences  # noqa: E402
from tools.grading.run import Limits  # noqa: E402

OUTPUT, SECRET = "graded", ".secret"
LONGEST_RESULT = 2**28  # bytes
MORE_TIME = 90  # seconds that a kernel may take beyond the notebook's own, to start and to answer


def course_version() -> str:
    """Changes with the course, with this grader, and with what both run on."""
    files = [path for name in ("gclip_lessons", "tools/grading") for path in sorted((ROOT / name).rglob("*.py"))]
    numpy = importlib.import_module("numpy").__version__
    return digest(platform.python_version(), numpy, *(path.read_bytes() for path in files))


# --- one run ---


@dataclass(frozen=True)
class Setting:
    """What all runs of a call have in common."""

    way: str
    hidden: tuple[str, ...]
    needed: tuple[str, ...]
    limits: Limits
    seeds: tuple[int, ...]
    lessons: dict[str, Lesson]


class Runs:
    """Runs notebooks, several at a time, and can end them all."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.running: set[subprocess.Popen] = set()
        self.stopping = False

    def run(self, handed: Handed) -> dict[str, Any]:
        """What happened in a notebook, as run.py tells it; its progress file, read afterwards, in "progress"."""
        if self.stopping or handed.trouble or not handed.number:
            return {}
        with tempfile.TemporaryDirectory(prefix="gclip-", ignore_cleanup_errors=True) as scratch:
            furnish(Path(scratch), handed)
            told = self._told(json.dumps(self._order(handed, scratch)))
            try:
                told["progress"] = read_regular(Path(scratch, PROGRESS[0]), LARGEST_PROGRESS)
            except (OSError, ValueError):
                told["progress"] = handed.progress
        return told

    def _order(self, handed: Handed, scratch: str) -> dict[str, Any]:
        setting = self.setting
        keeper = fence.Fence(setting.way, scratch, setting.limits.memory, setting.limits.disk)
        lesson = setting.lessons[handed.number]
        asked = {e.key: (called, e.name, [p.args for p in e.probes]) for called, e in lesson.exercises.items()}
        if end := lesson.capstone:
            asked[end.key] = ("", end.name, [()])  # a value, taken as it is
        return {
            "fence": {**asdict(keeper), "hidden": setting.hidden, "needed": setting.needed},
            "limits": asdict(setting.limits),
            "cells": handed.cells,
            "tasks": {
                key: {"called": called, "name": name, "probes": base64.b64encode(pickle.dumps(probes)).decode()}
                for key, (called, name, probes) in asked.items()
            },
        }

    def _told(self, order: str) -> dict[str, Any]:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tools" / "grading" / "run.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.running.add(process)
        last = threading.Timer(self.setting.limits.seconds + MORE_TIME, process.kill)
        last.start()
        try:
            process.stdin.write(order.encode() + b"\n")
            process.stdin.flush()
            told = json.loads(process.stdout.read(LONGEST_RESULT))
        except (OSError, ValueError, RecursionError, MemoryError):
            told = None
        finally:
            last.cancel()
            self.running.discard(process)
            end(process)
        return told if isinstance(told, dict) else {"crashed": "it gave no answer"}

    def stop(self) -> None:
        """End everything that runs."""
        self.stopping = True
        for process in list(self.running):
            with contextlib.suppress(OSError, ValueError):
                process.stdin.close()  # run.py ends its kernel, and itself


def end(process: subprocess.Popen) -> None:
    """Wait for a process that has said all; kill it where it does not end."""
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # nobody reads any more
            pipe.close()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def furnish(scratch: Path, handed: Handed) -> None:
    """Put into a scratch folder what a run needs: the progress so far, and the list of fonts, which takes seconds."""
    import matplotlib

    if handed.progress is not None:
        (scratch / PROGRESS[0]).write_bytes(handed.progress)
    fonts = scratch / ".mplconfigdir"
    fonts.mkdir()
    for path in Path(matplotlib.get_cachedir()).glob("fontlist*.json"):
        shutil.copyfile(path, fonts / path.name)


# --- what is kept ---


class Kept:
    """The results of earlier calls, one file each; unreadable ones count as not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.results = dict(filter(None, map(self._read, folder.glob("*.json"))))
        self.not_run: dict[str, dict[str, Any]] = {}

    def _read(self, path: Path) -> tuple[str, dict[str, Any]] | None:
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return (
            (path.stem, result) if isinstance(result, dict) and {"lesson", "status", "events"} <= set(result) else None
        )

    def keep(self, key: str, result: dict[str, Any]) -> None:
        """Keep a result, whole or not at all; one that is not the notebook's fault only for this call."""
        if result["status"] == "not run":
            self.not_run[key] = result
            return
        self.results[key] = result
        course.write(self.folder / f"{key}.json", self.content(key))

    def content(self, key: str) -> bytes:
        """The bytes of a result's file."""
        return (json.dumps(self.results[key], indent=1) + "\n").encode()


class Guard:
    """Where nothing is fenced in: notices what a learner's code changed, and mends it."""

    def __init__(self, folder: Path, output: Path, kept: Kept) -> None:
        self.kept, self.output, self.course = kept, output, course_version()
        self.files = {path: path.read_bytes() for path in [*self._files(folder), *output.glob(SECRET)]}

    def _files(self, folder: Path) -> Iterator[Path]:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and self.output not in path.parents:
                yield path

    def restored(self) -> list[str]:
        """The names of files that were changed or deleted; all are now as they were."""
        if course_version() != self.course:
            raise course.Problem(
                "A notebook changed the course itself, and nothing was graded after it.",
                "Get the course afresh, and grade in a container or as another user.",
            )
        results = {self.kept.folder / f"{key}.json": self.kept.content(key) for key in self.kept.results}
        changed = []
        for path, content in {**self.files, **results}.items():
            if not path.is_file() or path.is_symlink() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                course.write(path, content)
                if path.name == SECRET:
                    path.chmod(0o600)
                changed.append(path.name)
        for stray in set(self.kept.folder.glob("*.json")) - set(results):
            stray.unlink()
            changed.append(stray.name)
        return changed


# --- the command ---


def surroundings(folder: Path, output: Path, unfenced: bool) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """How learners' code is kept here, what it must not see, and what it must see nevertheless; says so.

    Raises Problem where root would have to run it unfenced.
    """
    needed = {ROOT, Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent.parent}
    needed |= {path.resolve() for path in needed}
    unseen = {folder, output, Path.home(), Path(tempfile.gettempdir()), *map(Path, ("/home", "/root", "/run", "/tmp"))}
    closed = {parent for path in needed for parent in path.parents if parent.is_dir() and not parent.stat().st_mode & 1}
    unseen = {path.resolve() for path in unseen | closed if path.is_dir()} - {Path("/")}
    hidden, open_to_it = tuple(sorted(map(str, unseen))), tuple(sorted(map(str, needed)))
    safe = (str(folder), str(output), *open_to_it)
    way, why = ("none", []) if unfenced else fence.strongest(hidden, open_to_it, safe)
    course.say("\n".join([*(f"(not {line})" for line in why), fence.WAYS[way]]))
    if way == "none" and not unfenced and os.name != "nt" and os.geteuid() == 0:
        raise course.Problem(
            "You are root, and learners' code cannot be fenced in here: it could delete everything.",
            "Grade as an ordinary user. In a container that may be lost, add --unfenced.",
        )
    return way, hidden, open_to_it


def warm_up() -> None:
    """Let Python and matplotlib write what a fenced kernel would have to make anew each time."""
    for name in ("ipykernel.kernelapp", "ipykernel.zmqshell", "IPython.core.completer", "matplotlib.font_manager"):
        importlib.import_module(name)
    for name in ("gclip_lessons.panels", "gclip_lessons.explorer"):
        importlib.import_module(name)


def seeds_from(secret: str, count: int = 1000) -> tuple[int, ...]:
    """The hidden seeds of a secret."""
    return tuple(int(hashlib.sha256(f"{secret} {i}".encode()).hexdigest()[:8], 16) for i in range(count))


def secret_in(output: Path) -> str:
    """The secret of an output folder, made when it is first asked for."""
    path = output / SECRET
    if not path.is_file():
        course.write(path, secrets.token_hex(16).encode())
        path.chmod(0o600)
    return path.read_text(encoding="utf-8").strip()


class Bar:
    """How far it is: one line that moves on a terminal, and else a line for each notebook."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.live = total, 0, sys.stdout.isatty()

    def step(self, name: str, status: str) -> None:
        """One more notebook is done."""
        self.done += 1
        share = 30 * self.done // self.total
        line = f"[{'#' * share}{'.' * (30 - share)}] {self.done}/{self.total} {page.printable(name)[:60]}: {status}"
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{line[:width]:<{width}}" if self.live else line, end="" if self.live else "\n", flush=True)

    def close(self) -> None:
        """Leave the line."""
        if self.live and self.done:
            print(flush=True)


def all_told(todo: dict[str, Handed], runs: Runs, jobs: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """What happened in each notebook, as soon as it is known; with one job strictly one after the other."""
    if jobs == 1:
        for key, one in todo.items():
            yield key, runs.run(one)
        return
    with ThreadPoolExecutor(jobs) as pool:
        try:
            running = {pool.submit(runs.run, one): key for key, one in todo.items()}
            for future in as_completed(running):
                yield running[future], future.result()
        except BaseException:  # Ctrl-C among them
            runs.stop()
            pool.shutdown(cancel_futures=True)
            raise


def grade(todo: dict[str, Handed], setting: Setting, kept: Kept, guard: Guard | None, jobs: int) -> None:
    """Run notebooks, and keep each result when it is there."""
    bar = Bar(len(todo))
    try:
        for key, told in all_told(todo, Runs(setting), 1 if guard else jobs):
            result = result_of(todo[key], told, setting.lessons, setting.seeds)
            if changed := guard.restored() if guard else []:
                result["events"].append(event("restored", text=f"{len(changed)} files ({', '.join(changed[:5])})"))
            kept.keep(key, result)
            bar.step(todo[key].name, result["status"])
    finally:
        bar.close()


def main(arguments: list[str]) -> int:
    """Grade a folder; 1 where a notebook could not be run, 2 where there is none."""
    limits = Limits()
    parser = argparse.ArgumentParser("course.py grade", description="Run learners' notebooks and write what holds.")
    parser.add_argument("folder", type=Path, help="with NAME.ipynb, or a folder of notebooks for each learner")
    parser.add_argument("--output", type=Path, help=f"where the results go; FOLDER/{OUTPUT} unless given")
    parser.add_argument("--seconds", type=float, default=limits.seconds, help="for a notebook (default %(default)g)")
    parser.add_argument("--cell-seconds", type=float, default=limits.cell_seconds, help="for a cell (%(default)g)")
    parser.add_argument(
        "--memory", type=int, default=limits.memory // 2**20, help="in MB, for a notebook (%(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="notebooks at a time (%(default)s)")
    parser.add_argument("--again", action="store_true", help="run also what has a result already")
    parser.add_argument(
        "--secret", help="the text that the capstone's hidden seeds come from; a random one unless given"
    )
    parser.add_argument("--unfenced", action="store_true", help="run learners' code with your own rights")
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # a path may hold letters that this terminal does not
    for name in ("seconds", "cell_seconds", "memory", "jobs"):
        if not getattr(options, name) > 0:
            parser.error(f"--{name.replace('_', '-')} must be positive; got {getattr(options, name):g}")
    if not options.folder.is_dir():
        parser.error(f"FOLDER must be a folder; got {options.folder}")
    folder = options.folder.resolve()
    output = (options.output or folder / OUTPUT).resolve()
    lessons = all_lessons()
    handed = handed_in(folder, output, lessons)
    if not handed:
        parser.error(f"{folder} has no notebooks, neither *.ipynb nor LEARNER/*.ipynb")

    output.mkdir(parents=True, exist_ok=True)
    limits = Limits(options.seconds, options.cell_seconds, options.memory * 2**20)
    kept = Kept(output / ".results")
    secret = options.secret or (secret_in(output) if any(lesson.capstone for lesson in lessons.values()) else "")
    version = digest(course_version(), json.dumps(asdict(limits)), secret)
    keys = [digest(version, one.digest) for one in handed]
    if options.again:
        kept.results = {key: result for key, result in kept.results.items() if key not in keys}
    if todo := {key: one for key, one in zip(keys, handed, strict=True) if key not in kept.results}:
        warm_up()
        setting = Setting(*surroundings(folder, output, options.unfenced), limits, seeds_from(secret), lessons)
        guard = Guard(folder, output, kept) if setting.way == "none" else None
        course.say(f"{len(handed)} notebooks, {len(todo)} of them to run.")
        try:
            grade(todo, setting, kept, guard, options.jobs)
        except KeyboardInterrupt:
            course.say("Stopped. What is done is kept: the same command goes on from there.")
            return 130
    results = [kept.results.get(key) or kept.not_run[key] for key in keys]
    write_out(output, handed, results, limits, lessons)
    return int(any(result["status"] == "not run" for result in results))


def write_out(
    output: Path, handed: list[Handed], results: list[dict[str, Any]], limits: Limits, lessons: dict[str, Lesson]
) -> None:
    """Write the table and the pages, and say what is in them."""
    rows = [row(one, result, limits) for one, result in zip(handed, results, strict=True)]
    course.write(output / "grades.csv", page.table(COLUMNS, rows))
    pages = output / "feedback"
    pages.mkdir(exist_ok=True)
    learners: dict[str, list[tuple[str, dict[str, Any], list[str]]]] = {}
    for one, result in zip(handed, results, strict=True):
        learners.setdefault(one.learner, []).append((one.name, result, sentences(result, limits)))
    taken: set[str] = set()
    for learner, notebooks in learners.items():
        course.write(pages / page.file_name(learner, taken), page.page(learner, notebooks, lessons).encode())
    counts = Counter(result["status"] for result in results)
    course.say(
        f"{len(handed)} notebooks of {len(learners)} learners: "
        + ", ".join(f"{counts[status]} {status}" for status in sorted(counts))
    )
    for one, result in zip(handed, results, strict=True):
        if result["status"] != "complete":
            course.say(f"  {page.printable(one.name)}: {sentences(result, limits)[-1]}")
    course.say(f"{output / 'grades.csv'}\n{pages}")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except course.Problem as problem:
        sys.exit(f"course.py: {problem}")
    except OSError as error:
        sys.exit(f"course.py: {course.problem_of(error)}")
