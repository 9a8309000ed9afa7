"""What the learner has done, kept in one small JSON file beside the notebooks.

GCLIP_PROGRESS names another file, or is "off" to keep nothing. Reading never fails: what cannot be
understood counts as not there, and the file is copied to `.bak` before it is first written over. Two
notebooks may write in turns, since each reads the file anew before it adds its own line.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

_LOCK = Lock()  # widgets' callbacks run on several threads


@dataclass
class Progress:
    """Exercises solved, first guesses {key: {"guess", "right"}} and best quiz results {key: {"score", "of"}}.

    `damaged` says that the file held something else as well; `unreadable` says why it could not be opened.
    """

    exercises: set[str] = field(default_factory=set)
    predictions: dict[str, dict[str, Any]] = field(default_factory=dict)
    quizzes: dict[str, dict[str, int]] = field(default_factory=dict)
    damaged: bool = False
    unreadable: str = ""


def path() -> Path | None:
    """Return where progress is kept, or None where none is."""
    chosen = os.environ.get("GCLIP_PROGRESS") or ".gclip-progress.json"
    return None if chosen == "off" else Path(chosen)


def load() -> Progress:
    """Read the file; whatever is wrong with it, return what can be understood."""
    file = path()
    if file is None:
        return Progress()
    try:
        return understood(file.read_bytes())
    except FileNotFoundError:
        return Progress()
    except OSError as error:
        return Progress(unreadable=error.strerror or type(error).__name__)


def understood(content: bytes) -> Progress:
    """Return what can be understood of the content of a progress file."""
    try:
        stored = json.loads(content.decode())
    except (ValueError, RecursionError):  # not JSON, not text, or nested without end
        return Progress(damaged=True)
    if not isinstance(stored, dict):
        return Progress(damaged=True)
    exercises, predictions, quizzes = (stored.get(name) for name in ("exercises", "predictions", "quizzes"))
    found = Progress(
        exercises={key for key in _as(list, exercises) if isinstance(key, str)},
        predictions={key: p for key, p in _as(dict, predictions).items() if _is_prediction(p)},
        quizzes={key: q for key, q in _as(dict, quizzes).items() if _is_quiz(q)},
    )
    found.damaged = _as_json(found) != stored
    return found


def record_exercise(key: str) -> str:
    """Keep that an exercise is solved. Returns "" or a sentence on why it could not be kept."""
    return _record(lambda progress: progress.exercises.add(key))


def record_prediction(key: str, guess: str | float, right: bool) -> str:
    """Keep a guess, unless there is one already: the first counts. Returns as `record_exercise`."""
    return _record(lambda progress: progress.predictions.setdefault(key, {"guess": guess, "right": right}))


def record_quiz(key: str, score: int, of: int) -> str:
    """Keep the best result of a quiz. Returns as `record_exercise`."""

    def keep(progress: Progress) -> None:
        if score >= progress.quizzes.get(key, {"score": -1})["score"]:
            progress.quizzes[key] = {"score": score, "of": of}

    return _record(keep)


def summary() -> dict[str, dict[str, int]]:
    """Return per lesson number how many exercises are solved, predictions made, and quiz questions right."""
    progress, counts = load(), {}

    def lesson(key: str) -> dict[str, int]:
        return counts.setdefault(key.split(".")[0], {"exercises": 0, "predictions": 0, "quiz": 0})

    for key in progress.exercises:
        lesson(key)["exercises"] += 1
    for key in progress.predictions:
        lesson(key)["predictions"] += 1
    for key, result in progress.quizzes.items():
        lesson(key)["quiz"] = result["score"]
    return dict(sorted(counts.items()))


def _record(change: Callable[[Progress], Any]) -> str:
    file = path()
    if file is None:
        return ""
    with _LOCK:
        progress = load()
        if progress.unreadable:
            return _not_kept(file, progress.unreadable)
        try:
            backup = file.with_name(file.name + ".bak")
            if progress.damaged and not backup.exists():
                shutil.copyfile(file, backup)
            change(progress)
            _write(file, json.dumps(_as_json(progress), indent=1))
        except OSError as error:
            return _not_kept(file, error.strerror or type(error).__name__)
    return ""


def _write(file: Path, text: str) -> None:
    """Write the whole file or nothing: other readers see the old one until the new one is complete."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=file.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _not_kept(file: Path, why: str) -> str:
    return f"Your progress could not be kept in {file.name} ({why}); everything else works."


def _as_json(progress: Progress) -> dict[str, Any]:
    kept = {"predictions": progress.predictions, "quizzes": progress.quizzes}
    return {"exercises": sorted(progress.exercises), **kept}


def _as(kind: type, value: Any) -> Any:
    return value if isinstance(value, kind) else kind()


def _is_prediction(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"guess", "right"} or not isinstance(value["right"], bool):
        return False
    guess = value["guess"]
    return isinstance(guess, str) or (_is_number(guess) and abs(guess) < 1e300)


def _is_quiz(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"score", "of"}:
        return False
    score, of = value["score"], value["of"]
    return all(_is_number(n) and isinstance(n, int) for n in (score, of)) and 0 <= score <= of


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
