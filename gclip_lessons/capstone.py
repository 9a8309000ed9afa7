"""The capstone in a notebook: try treatments on three patients within a budget of runs, and hand in what you chose.

ward = Ward()
ward.run("A")                                                  # untreated
ward.run("A", Treatment("by norm", threshold=1.0))
ward.hand_in({"A": Treatment(...), "B": …, "C": …}, reason="…")
"""

import html
from collections.abc import Iterable, Mapping

import numpy as np

from gclip_lessons.clinic import HIDDEN, PATIENTS, Course, Treatment, score, treat, treatment_from
from gclip_lessons.figures.ward import WardFigure
from gclip_lessons.panels import Page, to_html
from gclip_lessons.view import static_html

BUDGET = 12


class Ward:
    """Three patients and a budget of runs, each of which trains forty times from seeds to practise on.

    `budget` is a whole number of runs ≥ 1 for all three patients together; the untreated patients are free, since
    they came with their logs. `tried` lists (patient, treatment, share of the forty that learned).
    """

    def __init__(self, budget: int = BUDGET) -> None:
        if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
            raise ValueError(f"budget must be a whole number of runs, 1 or more; got {budget!r}")
        self.budget = budget
        self.tried: list[tuple[str, Treatment, float]] = []

    @property
    def left(self) -> int:
        """How many runs the budget still has."""
        return self.budget - len(self.tried)

    def run(self, patient: str, treatment: Treatment = Treatment()) -> Page:  # noqa: B008 (it is frozen)
        """Train a patient forty times and show how that went; costs one run of the budget, unless untreated.

        Raises ValueError or TypeError for what is no patient or treatment, and costs nothing then. With an empty budget
        nothing is trained.
        """
        treatment = treatment_from(treatment)
        free = treatment == Treatment()
        if not free and not self.left:
            return _said(f"The budget of {self.budget} runs is spent. What have they shown? Hand in what you chose.")
        course = treat(patient, treatment)
        if not free:
            self.tried.append((patient, treatment, float(course.solved.mean())))
        sentence = f"Patient {patient}, {read(course)}"
        if not free:
            sentence += f" {self.left} of {self.budget} runs left."
        figure = WardFigure(course)
        frame = {"png": figure.png(), "alt": f"{figure.description} {sentence}", "sentence": sentence}
        return Page(static_html(frame, figure.size[0]), sentence)

    def hand_in(self, treatments: Mapping[str, Treatment], reason: str = "", seeds: Iterable[int] = HIDDEN) -> Page:
        """Score a treatment for each patient on `seeds` that were hidden until now, and write the report to hand in.

        Raises ValueError for patients that are missing or unknown. A patient may be left untreated: `Treatment()`.
        """
        if set(treatments) != set(PATIENTS):
            raise ValueError(
                f"treatments must be given for {', '.join(PATIENTS)}; got {', '.join(treatments) or 'none'}"
            )
        chosen = {patient: treatment_from(treatments[patient]) for patient in PATIENTS}
        if all(treatment == Treatment() for treatment in chosen.values()):
            return _said("Nobody is treated yet. Choose a treatment for each patient, then run this cell again.")
        seeds = list(seeds)
        shares = {patient: score(patient, treatment, seeds) for patient, treatment in chosen.items()}
        lines = [
            f"{name}: {chosen[name]}. {share:.0%} of {len(seeds)} hidden runs learn." for name, share in shares.items()
        ]
        total = f"Score: {np.mean(list(shares.values())):.0%}, with {len(self.tried)} of {self.budget} runs used."
        log = [f"{patient}: {treatment}: {share:.0%}" for patient, treatment, share in self.tried]
        why = reason.strip() or "No reason was given: say in a sentence for each patient what in the logs decided."
        told = "".join(f"<li>Patient {name}: {html.escape(them.illness)}</li>" for name, them in PATIENTS.items())
        page = (
            f"<h4>Report</h4><ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"
            f"<p><strong>{total}</strong></p><p>{html.escape(why)}</p>"
            f"<p>Runs: {html.escape('; '.join(log)) or 'none'}</p>"
            f'<details><summary data-lm-suppress-shortcuts="true">What they had</summary><ul>{told}</ul></details>'
        )
        return Page(page, "\n".join([*lines, total, why, *log]))


def read(course: Course) -> str:
    """The sentence under a run: what it was treated with, how many of its runs learned, and the error at the end."""
    learned, n_runs = int(course.solved.sum()), course.solved.size
    # Coarse, since runs near a cliff are chaotic: one more or less is another machine's rounding.
    share = {0: "none", n_runs: "all"}.get(learned, "fewer than half" if 2 * learned < n_runs else "at least half")
    broken = not np.isfinite(course.error[-1]).all()
    error = np.median(course.error[-1])
    how = "has overflowed" if broken else f"is {'below' if error <= course.goal else 'above'} {course.goal:g}"
    return f"{course.treatment}: of {n_runs} runs {share} learned; the median error at the end {how}."


def complaints() -> Page:
    """What the three patients came with, in their own words."""
    items = "".join(
        f"<li><strong>Patient {name}.</strong> {html.escape(p.complaint)}</li>" for name, p in PATIENTS.items()
    )
    return Page(f"<ul>{items}</ul>", "\n".join(f"Patient {name}: {p.complaint}" for name, p in PATIENTS.items()))


def _said(text: str) -> Page:
    return Page(to_html(text), text)
