"""What a notebook is worth: its functions judged, its guesses compared, and what happened to it in words.

No learner's code runs here: `told` is what came back from `run.py`, plain data from a process that is not trusted.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gclip_lessons.diagnosis import judge
from gclip_lessons.exercises import Capstone, Prediction
from gclip_lessons.lessons import Lesson
from gclip_lessons.progress import Progress, understood
from gclip_lessons.trials import Attempt, brief, unpacked
from tools.grading.handed import Handed
from tools.grading.page import printable
from tools.grading.run import Limits

COLUMNS = (
    "learner",
    "notebook",
    "lesson",
    "status",
    "exercises_right",
    "exercises",
    "right",
    "misconceptions",
    "wrong_otherwise",
    "not_answered",
    "predictions_right",
    "predictions_made",
    "predictions",
    "wrong_predictions",
    "quiz_right",
    "quiz",
    "capstone",
    "what_happened",
    "look_at",
)

# What can happen to a notebook, as it is told; those of STOPPED end it.
HAPPENED = {
    "damaged": "It cannot be read as a notebook: {text}.",
    "no_lesson": "It belongs to no lesson of this course.",
    "never_run": "It was handed in without having been run.",
    "error": "Cell [{cell}] stopped with {text}.",
    "more_errors": "{text} more cells stopped with an error.",
    "slow": "Cell [{cell}] ran longer than {cell_seconds:g} s and was interrupted.",
    "stuck": "Cell [{cell}] ran longer than {cell_seconds:g} s and could not be interrupted: the run ended there.",
    "time": "All in all it ran longer than {seconds:g} s: the run ended in cell [{cell}].",
    "memory": "Cell [{cell}] took more than {memory_mb:.0f} MB of memory: the run ended there.",
    "output": "Cell [{cell}] printed or showed without end: the run ended there.",
    "disk": "Cell [{cell}] wrote without end: the run ended there.",
    "processes": "Cell [{cell}] started more than {processes} processes: the run ended there.",
    "died": "Cell [{cell}] ended its own kernel: the run ended there.",
    "crashed": "It brought down the process that watched it ({text}).",
    "left": "Processes that it left running were ended: {text}.",
    "tampered": "Cell [{cell}] {text}. No verdict depends on that.",
    "claimed": "It shows “✓” for {text}, and that does not hold.",
    "restored": "It changed or deleted {text}, which were restored.",
    "not_run": "It could not be run here: {text}",
}
STOPPED = ("stuck", "time", "memory", "output", "disk", "processes", "died", "crashed")
TAMPERING = ("gives `check` another meaning", "changes the course itself", "reaches into sys.modules")
MOST_ERRORS = 5


def result_of(handed: Handed, told: dict[str, Any], lessons: dict[str, Lesson], seeds: Sequence[int]) -> dict[str, Any]:
    """All that is to be said of a notebook, as data for the CSV and the page. `told` is empty where it was not run."""
    if handed.trouble or not handed.number:
        kind = "damaged" if handed.trouble else "no_lesson"
        return {"lesson": "", "status": "unreadable", "events": [event(kind, text=handed.trouble)]}
    lesson = lessons[handed.number]
    events = told.get("events", []) + ([event("crashed", text=str(told["crashed"]))] if "crashed" in told else [])
    if "failed" in told:
        events.append(event("not_run", text=str(told["failed"])))
    kinds = {one["kind"] for one in events}
    errors = [one for one in events if one["kind"] == "error"]
    if len(errors) > MOST_ERRORS:
        events = [one for one in events if one not in errors[MOST_ERRORS:]]
        events.append(event("more_errors", text=str(len(errors) - MOST_ERRORS)))
    exercises = [exercise_result(exercise, told, errors) for exercise in lesson.exercises.values()]
    claimed = [e["key"] for e in exercises if told.get("claims", {}).get(e["key"]) and e["kind"] != "right"]
    remarks = [(cell, what) for cell, what in told.get("remarks", [])]
    events = [
        *([] if handed.ran else [event("never_run")]),
        *events,
        *(event("tampered", cell, what) for cell, what in remarks if what in TAMPERING),
        *([event("claimed", text=", ".join(claimed))] if claimed else []),
    ]
    progress = understood(told["progress"]) if told.get("progress") else Progress()
    quiz = progress.quizzes.get(lesson.quiz.key)
    return {
        "lesson": handed.number,
        "status": "not run" if "not_run" in kinds else "stopped" if kinds & set(STOPPED) else "complete",
        "events": events,
        "exercises": exercises,
        "predictions": [prediction_result(p, progress.predictions.get(p.key)) for p in lesson.predictions.values()],
        "quiz": quiz["score"] if quiz and quiz["of"] == len(lesson.quiz.questions) else None,
        "quiz_of": len(lesson.quiz.questions),
        "capstone": lesson.capstone and capstone_result(lesson.capstone, told, seeds),
        "look_at": [f"Cell [{cell}] {what}" for cell, what in remarks],
    }


def event(kind: str, cell: int = 0, text: str = "") -> dict[str, Any]:
    """Something that happened, as run.py tells it too."""
    return {"kind": kind, "cell": cell, "text": text}


def exercise_result(exercise: Any, told: dict[str, Any], errors: list[dict[str, Any]]) -> dict[str, Any]:
    """What the learner's function is worth."""
    made = attempt_at(exercise.key, exercise.name, told, errors)
    if isinstance(made, Attempt):
        if made.module.startswith("gclip_lessons.lessons"):
            made = ("borrowed", "Not your own: this is the course's function itself.", "")
        else:
            try:
                return {"key": exercise.key, "title": exercise.title, **asdict(judge(exercise, made))}
            except Exception as error:  # the answer comes from a process in which anything may have happened
                made = ("lost", "No answer that can be judged came back.", f"{type(error).__name__}: {error}"[:300])
    kind, headline, detail = made
    nothing = {"passed": False, "example": "", "misconception": None}
    return {
        "key": exercise.key,
        "title": exercise.title,
        "kind": kind,
        "headline": headline,
        "detail": detail,
        **nothing,
    }


def attempt_at(
    key: str, name: str, told: dict[str, Any], errors: list[dict[str, Any]]
) -> Attempt | tuple[str, str, str]:
    """What the learner's function did, or why that is not known: kind, headline and detail."""
    answer, cell = told.get("attempts", {}).get(key), told.get("places", {}).get(key)
    if answer is None:
        if cell is None and "crashed" not in told and "failed" not in told:
            return "missing", f"There is no `{name}` in the notebook.", ""
        return "unreached", f"`{name}` was not tried: the run ended before.", ""
    if answer["kind"] == "slow":
        return "slow", f"`{name}` took too long: is there a loop that never ends?", ""
    if answer["kind"] == "missing":
        why = [f"Its cell stopped with {one['text']}." for one in errors if one["cell"] == cell]
        return "missing", f"There is no `{name}` when its cell has run.", " ".join(why)
    try:
        if answer["kind"] == "attempt":
            return unpacked(answer["text"])
        detail = answer["text"]
    except ValueError as error:
        detail = str(error)
    return "lost", "No answer that can be judged came back.", detail


def prediction_result(prediction: Prediction, recorded: dict[str, Any] | None) -> dict[str, Any]:
    """How a prediction went. Right or wrong is found out here; the learner's file only says what was guessed."""
    guess = recorded["guess"] if recorded else None
    known = guess in prediction.options if prediction.options else isinstance(guess, int | float)
    base = {"key": prediction.key, "question": prediction.question, "outcome": "open", "guess": "", "why": ""}
    if guess is None or not known:
        return base
    said = prediction.options[guess] if prediction.options else f"{guess:.4g} {prediction.unit}".strip()
    outcome = "right" if prediction.outcome(guess) == "right" else "wrong"
    return {**base, "outcome": outcome, "guess": said, "choice": str(guess), "why": prediction.why(guess)}


def capstone_result(capstone: Capstone, told: dict[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    """The score on hidden seeds, from 0 to 1, and that of each part; None and a reason where there is no answer."""
    nothing = {"title": capstone.title, "score": None, "parts": {}}
    made = attempt_at(capstone.key, capstone.name, told, [])
    if not isinstance(made, Attempt) or not made.trials:
        return {**nothing, "reason": "It could not be read." if isinstance(made, Attempt) else made[1]}
    try:
        parts = capstone.score(made.trials[0][0].value, list(seeds)[: capstone.n_seeds])
        shares = {name: min(max(float(share), 0.0), 1.0) for name, share in parts.items()}
    except Exception as error:  # an answer may be anything
        return {**nothing, "reason": brief(error) or type(error).__name__}
    return {**nothing, "score": round(sum(shares.values()) / len(shares), 4), "parts": shares, "reason": ""}


def sentences(result: dict[str, Any], limits: Limits) -> list[str]:
    """What happened to a notebook, in words."""
    known = {**asdict(limits), "memory_mb": limits.memory / 2**20}
    return [HAPPENED[one["kind"]].format(**{**known, **{"text": "", **one}}) for one in result["events"]]


def row(handed: Handed, result: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """The line of a notebook in the CSV."""
    exercises, predictions = result.get("exercises", []), result.get("predictions", [])
    right = [e["key"] for e in exercises if e["kind"] == "right"]
    shown = [(e["key"], e["misconception"]) for e in exercises if e["misconception"]]
    empty = [e["key"] for e in exercises if e["kind"] in ("empty", "missing", "unreached")]
    known = {*right, *empty, *(key for key, _ in shown)}
    made = [p for p in predictions if p["outcome"] != "open"]
    capstone = result.get("capstone")
    cells = {
        "learner": handed.learner,
        "notebook": handed.name,
        "lesson": result["lesson"],
        "status": result["status"],
        "exercises_right": len(right),
        "exercises": len(exercises),
        "right": " ".join(right),
        "misconceptions": " ".join(f"{key}={name}" for key, name in shown),
        "wrong_otherwise": " ".join(f"{e['key']}={e['kind']}" for e in exercises if e["key"] not in known),
        "not_answered": " ".join(empty),
        "predictions_right": sum(p["outcome"] == "right" for p in made),
        "predictions_made": len(made),
        "predictions": len(predictions),
        "wrong_predictions": " ".join(f"{p['key']}={p['choice']}" for p in made if p["outcome"] == "wrong"),
        "quiz_right": result.get("quiz"),
        "quiz": result.get("quiz_of"),
        "capstone": capstone["score"] if capstone else None,
        "what_happened": " ".join(sentences(result, limits)),
        "look_at": "; ".join(result.get("look_at", [])),
    }
    return {name: safe_cell(cells[name]) for name in COLUMNS}


def safe_cell(value: Any) -> Any:
    """A value on one line; a text that a spreadsheet would take for a formula gets an apostrophe in front."""
    if not isinstance(value, str):
        return "" if value is None else value
    text = " ".join(printable(value).split())
    return f"'{text}" if text[:1] in tuple("=+-@") else text
