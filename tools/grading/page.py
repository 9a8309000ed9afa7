"""What grading writes for people: the feedback page of a learner, as one file that needs no other, and the CSV."""

import csv
import html
import io
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from gclip_lessons.lessons import Lesson
from gclip_lessons.panels import to_html

STYLE = """
:root { color-scheme: light dark; --text: #212121; --back: #ffffff; --soft: #f3f3f3; --line: #8a8a8a;
  --right: #1b5e20; --wrong: #b71c1c; --open: #555555; }
@media (prefers-color-scheme: dark) { :root { --text: #eeeeee; --back: #161616; --soft: #262626; --line: #8a8a8a;
  --right: #81c784; --wrong: #ff8a80; --open: #bdbdbd; } }
body { font: 1.05rem/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); margin: 0; }
main { max-width: 46rem; margin: 0 auto; padding: 1rem 1.2rem 4rem; overflow-wrap: anywhere; }
h1, h2, h3, h4 { line-height: 1.25; } h2 { margin-top: 2.5rem; border-top: 2px solid var(--line); padding-top: 1rem; }
h4 { margin: 0 0 .3rem; font-size: 1.05rem; } p { margin: .4rem 0; }
.item { border-left: .3rem solid var(--open); background: var(--soft); padding: .6rem .9rem; margin: .8rem 0; }
.right { border-color: var(--right); } .wrong { border-color: var(--wrong); }
.right h4 { color: var(--right); } .wrong h4 { color: var(--wrong); }
.file { color: var(--open); } code { font-size: .95em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; overflow-wrap: normal; } caption { text-align: left; padding-bottom: .4rem; }
th, td { text-align: left; padding: .25rem 1.2rem .25rem 0; border-bottom: 1px solid var(--line); }
@media print { .item { break-inside: avoid; } }
"""
MARKS = {"right": "✓", "wrong": "✗", "open": "○"}
WORDS = {
    "complete": "ran to its end",
    "stopped": "was stopped",
    "unreadable": "could not be read",
    "not run": "not run",
}

Notebooks = Sequence[tuple[str, dict[str, Any], list[str]]]


def printable(text: str) -> str:
    """A text without control characters, halves of letters and marks that turn the direction of reading."""
    kept = "".join(c if unicodedata.category(c) not in ("Cc", "Cs", "Co", "Cn") or c in "\n\t" else "�" for c in text)
    return re.sub("[\u202a-\u202e\u2066-\u2069]", "�", kept)


def escaped(text: str) -> str:
    """A text as HTML."""
    return html.escape(printable(text))


def marked_up(text: str) -> str:
    """A text with `code`, **bold** and *emphasis* as HTML; everything else in it stays text."""
    return to_html(printable(text))


def table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows as CSV in UTF-8."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def file_name(learner: str, taken: set[str]) -> str:
    """A file name for a learner's page that every system allows and no other learner has; adds it to `taken`."""
    stem = re.sub(r"[^\w.-]+", "_", printable(learner)).strip("._")[:80] or "learner"
    name, count = stem, 1
    while name.casefold() in taken:
        count += 1
        name = f"{stem}-{count}"
    taken.add(name.casefold())
    return f"{name}.html"


def page(learner: str, notebooks: Notebooks, lessons: dict[str, Lesson]) -> str:
    """The feedback page: for each notebook its exercises, predictions, quiz and capstone, and what happened."""
    parts = [
        f"<h1>Feedback for {escaped(learner)}</h1>",
        "<p>Gradient clipping, hands on.</p>",
        overview(notebooks, lessons),
    ]
    for name, result, happened in notebooks:
        parts += section(name, title(result, lessons), result, happened)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Feedback for {escaped(learner)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def overview(notebooks: Notebooks, lessons: dict[str, Lesson]) -> str:
    """All notebooks in a table."""
    rows = []
    for _, result, _ in notebooks:
        exercises = result.get("exercises", [])
        right = sum(e["kind"] == "right" for e in exercises)
        made = [p["outcome"] for p in result.get("predictions", []) if p["outcome"] != "open"]
        cells = [
            f"{right} of {len(exercises)}" if exercises else "–",
            f"{made.count('right')} of {len(made)}" if made else "–",
            "–" if result.get("quiz") is None else f"{result['quiz']} of {result['quiz_of']}",
            WORDS[result["status"]],
        ]
        data = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{escaped(title(result, lessons))}</th>{data}</tr>')
    head = ("Lesson", "Exercises", "Predictions", "Quiz", "The notebook")
    columns = "".join(f'<th scope="col">{text}</th>' for text in head)
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Overview">'
        "<table><caption>What you handed in</caption>"
        f"<thead><tr>{columns}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def title(result: dict[str, Any], lessons: dict[str, Lesson]) -> str:
    """Number and title of a result's lesson."""
    lesson = lessons.get(result["lesson"])
    return f"{lesson.number} · {lesson.title}" if lesson else result["lesson"] or "No lesson"


def section(name: str, heading: str, result: dict[str, Any], happened: list[str]) -> list[str]:
    """One notebook."""
    parts = [f"<h2>{escaped(heading)}</h2>", f'<p class="file">{escaped(name)}</p>']
    if happened:
        items = "".join(f"<li>{escaped(sentence)}</li>" for sentence in happened)
        parts += ["<h3>What happened when it ran</h3>", f"<ul>{items}</ul>"]
    if result.get("exercises"):
        parts += ["<h3>Exercises</h3>", *map(exercise, result["exercises"])]
    if result.get("predictions"):
        parts += ["<h3>Predictions</h3>", *predictions(result["predictions"])]
    if result.get("quiz") is not None:
        parts += [
            "<h3>Quiz</h3>",
            f"<p>Your best, as your notebook recorded it: {result['quiz']} of {result['quiz_of']}.</p>",
        ]
    if capstone := result.get("capstone"):
        score = "no answer" if capstone["score"] is None else f"{100 * capstone['score']:.0f} of 100"
        shares = "".join(
            f"<p>{escaped(name)}: {100 * share:.0f} of 100</p>" for name, share in capstone["parts"].items()
        )
        body = shares + marked_up(capstone["reason"])
        parts += ["<h3>Capstone, on hidden seeds</h3>", item("open", f"{capstone['title']} – {score}", body)]
    return parts


def item(outcome: str, heading: str, body: str) -> str:
    """A box whose mark and words say what its colour says."""
    return f'<div class="item {outcome}"><h4>{MARKS[outcome]} {escaped(heading)}</h4>{body}</div>'


def exercise(result: dict[str, Any]) -> str:
    """One exercise and what was found."""
    outcome = {"right": "right", "empty": "open", "missing": "open", "unreached": "open"}.get(result["kind"], "wrong")
    word = {"right": "holds", "open": "not answered", "wrong": "does not hold yet"}[outcome]
    example = f"<p>For example: <code>{escaped(result['example'])}</code></p>" if result["example"] else ""
    body = marked_up(result["headline"]) + marked_up(result["detail"]) + example
    return item(outcome, f"{result['key']} {result['title']} – {word}", body)


def predictions(results: list[dict[str, Any]]) -> list[str]:
    """How the guesses went; those not made are counted alone."""
    boxes, words = [], {"right": "It came out as you predicted.", "wrong": "It came out differently."}
    for one in results:
        if one["outcome"] != "open":
            body = marked_up(one["question"]) + marked_up(f"You predicted: **{one['guess']}**.") + marked_up(one["why"])
            boxes.append(item(one["outcome"], f"{one['key']} – {words[one['outcome']]}", body))
    left = len(results) - len(boxes)
    note = f"<p>{left} of {len(results)} predictions are not recorded.</p>" if left else ""
    return [*boxes, note] if note else boxes
