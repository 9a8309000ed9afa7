"""What a notebook shows of a lesson's questions: predict, check, hint, solution, quiz, progress_panel.

Panels work without a browser too: `panel.guess("b")`, `panel.answer(1, "c")` do what a click does. Each
carries a static page of itself, which knows nothing of the learner: a stored notebook reads the same for all.
"""

import html
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets

from gclip_lessons import progress
from gclip_lessons.diagnosis import Report, diagnose
from gclip_lessons.exercises import Exercise, Prediction, Question, Quiz
from gclip_lessons.lessons import all_lessons

_RIGHT, _WRONG, _OPEN = ("✓", "#2e7d32"), ("✗", "#c62828"), ("○", "#757575")


# ---- text


def to_html(text: str) -> str:
    """Turn `code`, **bold**, *emphasis* and paragraphs into HTML, and escape everything else."""
    paragraphs = (p.strip() for p in re.split(r"\n\s*\n", text.strip()))
    return "".join(f"<p>{_inline(p)}</p>" for p in paragraphs if p)


def _inline(text: str) -> str:
    plain = re.split(r"(`+)(.+?)\1(?!`)", html.escape(text, quote=False), flags=re.DOTALL)
    for i in range(0, len(plain), 3):
        plain[i] = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", plain[i], flags=re.DOTALL)
        plain[i] = re.sub(r"\*(?! )(.+?)(?<! )\*", r"<em>\1</em>", plain[i], flags=re.DOTALL)
        if i + 2 < len(plain):
            plain[i + 1], plain[i + 2] = "", f"<code>{plain[i + 2].strip()}</code>"
    return "".join(plain)


def _plain(text: str) -> str:
    return re.sub(r"[`*]", "", text)


def _verdict(mark: tuple[str, str], headline: str, *parts: str) -> str:
    """A box whose icon and words say what its colour says."""
    icon, colour = mark
    body = "".join(parts)
    return (
        f'<div style="border-left:4px solid {colour};padding:2px 12px;margin:6px 0;max-width:75ch">'
        f"<p><strong>{icon} {_inline(headline)}</strong></p>{body}</div>"
    )


def _details(summary: str, body: str) -> str:
    """A closed part. Without the data attribute JupyterLab would take the Enter key for itself."""
    return (
        '<details style="margin:6px 0;max-width:75ch"><summary data-lm-suppress-shortcuts="true">'
        f"{_inline(summary)}</summary>{body}</details>"
    )


def _pre(source: str) -> str:
    whole = "white-space:pre;word-break:normal"  # a line never breaks inside a word; it scrolls
    code = f'<code style="{whole}">{html.escape(source, quote=False)}</code>'
    return f'<pre style="{whole};overflow-x:auto">{code}</pre>'


# ---- pages: results and texts that need no kernel once they are shown


@dataclass(frozen=True)
class Page:
    """Something to show: `html` in a notebook, `text` elsewhere."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, repr=False)
class CheckPage(Page):
    """The result of `check`, with the diagnosis as `report`."""

    report: Report

    @property
    def passed(self) -> bool:
        """Whether the learner's function is right."""
        return self.report.passed


def check(exercise: Exercise, function: Callable[..., Any]) -> CheckPage:
    """Diagnose the learner's function, keep a success, and return what there is to say."""
    report = diagnose(exercise, function)
    note = progress.record_exercise(exercise.key) if report.passed else ""
    mark = _RIGHT if report.passed else _OPEN if report.kind == "empty" else _WRONG
    example = f"<p>For example: <code>{html.escape(report.example)}</code></p>" if report.example else ""
    shown = _verdict(mark, report.headline, to_html(report.detail), example, to_html(note))
    lines = [f"{exercise.key} {mark[0]} {report.headline}", report.detail, report.example, note]
    return CheckPage(shown, "\n".join(line for line in lines if line), report)


def hint(exercise: Exercise) -> Page:
    """Show three closed hints, each inside the one before: the second can be opened once the first is."""
    page = ""
    for level, text in reversed(list(enumerate(exercise.hints, start=1))):
        page = _details(f"Hint {level} of 3", to_html(text) + page)
    return Page(page, f"Three hints for {exercise.key}, to open one by one.")


def solution(exercise: Exercise) -> Page:
    """Show the worked solution, closed until it is asked for."""
    page = _details("A worked solution", _pre(exercise.solution_source) + to_html(exercise.explanation))
    return Page(page, f"A worked solution of {exercise.key}, to open when you have yours.")


def show_source(function: Callable[..., Any]) -> Page:
    """Show a function of the course as it stands in the package, docstring included."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(function))).strip()
    return Page(_pre(source), source)


# ---- panels: live widgets, each with its static page


class Status(anywidget.AnyWidget):
    """A live region, spoken when its `html` changes.

    It also names the radio buttons that stand before it, joins them into one group for the arrow keys, keeps
    JupyterLab from taking those keys and Enter for itself, and lets Enter in a text box press the button.
    """

    _esm = """
    function render({ model, el }) {
      const region = document.createElement("div");
      region.className = "gclip-status";
      region.setAttribute("role", "status");
      el.append(region);
      const show = () => { region.innerHTML = model.get("html"); };
      const set = "gclip-" + Math.random();
      const name = () => {
        if (!el.parentElement) return;
        // JupyterLab looks for this on what has the focus, and lets it keep its keys.
        for (const node of el.parentElement.querySelectorAll("input, button"))
          node.setAttribute("data-lm-suppress-shortcuts", "true");
        const radios = el.parentElement.querySelector(".widget-radio-box");
        if (!radios || !model.get("group")) return;
        radios.setAttribute("role", "radiogroup");
        radios.setAttribute("aria-label", model.get("group"));
        // Without a common name the arrow keys would not move among them.
        for (const input of radios.querySelectorAll("input")) input.name = set;
      };
      const enter = (event) => {
        // The timer lets the box send its text before the button is pressed.
        if (event.key === "Enter" && event.target.matches("input[type=text]"))
          setTimeout(() => el.parentElement?.querySelector("button")?.click());
      };
      model.on("change:html", show);
      show();
      const observer = new MutationObserver(name);  // the radio buttons may come later than this
      const start = requestAnimationFrame(() => {
        if (el.parentElement) observer.observe(el.parentElement, { childList: true, subtree: true });
        el.parentElement?.addEventListener("keydown", enter, true);  // the box lets no key bubble up
        name();
      });
      return () => { cancelAnimationFrame(start); observer.disconnect(); model.off("change:html", show); };
    }
    export default { render };
    """
    _css = """
    .gclip-panel { max-width: 75ch; line-height: 1.45; padding: 2px 4px; }
    .gclip-panel, .gclip-panel .widget-html-content, .gclip-panel .widget-radio-box label, .gclip-status {
      color: var(--jp-content-font-color1, #212121); font-size: var(--jp-content-font-size1, 14px);
      line-height: 1.45; }
    .gclip-panel .widget-html, .gclip-panel .widget-html-content { height: auto; }
    .gclip-panel p { margin: 4px 0; }
    .gclip-panel code, .gclip-status code { font-size: 0.93em; background: var(--jp-layout-color2, #eeeeee);
      padding: 0 3px; overflow-wrap: anywhere; }
    .gclip-panel .widget-radio, .gclip-panel .widget-radio-box { width: auto; height: auto; max-width: 100%; }
    .gclip-panel .widget-radio-box { margin: 0; }
    .gclip-panel .widget-radio-box label { display: flex; align-items: flex-start; gap: 8px; height: auto;
      width: auto; white-space: normal; margin: 3px 0; }
    .gclip-panel .widget-radio-box label input { position: static; margin: 2px 0 0; flex: none; order: -1; }
    .gclip-panel table { border-collapse: collapse; }
    .gclip-panel th, .gclip-panel td { text-align: left; padding: 3px 12px 3px 0; }
    .gclip-panel button:focus-visible, .gclip-panel input:focus-visible { outline: 3px solid #0072B2;
      outline-offset: 2px; }
    """

    html = traitlets.Unicode().tag(sync=True)
    group = traitlets.Unicode().tag(sync=True)


class Panel(widgets.VBox):
    """A live panel; `page()` and `line()` are what stands for it where no kernel runs."""

    def __init__(self, children: Iterable[widgets.Widget]) -> None:
        super().__init__(list(children))
        self.add_class("gclip-panel")

    def page(self) -> str:
        """Return the panel as HTML; it must not depend on what the learner did."""
        raise NotImplementedError

    def line(self) -> str:
        """Return the panel as one line of text."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        live = super()._repr_mimebundle_(**options) or {}
        return {**live, "text/html": self.page(), "text/plain": self.line()}


def _radios(options: Iterable[tuple[str, str]]) -> widgets.RadioButtons:
    return widgets.RadioButtons(options=list(options), value=None)


def _button(text: str) -> widgets.Button:
    return widgets.Button(description=text, layout={"width": "auto", "align_self": "flex-start"})


def _number_text(typed: str, unit: str) -> str:
    """What `float` can read of a typed number: 1,000 has thousands, 0,5 a decimal mark, and the unit may follow."""
    text = typed.replace("−", "-").strip().removesuffix("°").removesuffix(unit).strip()
    thousands = re.fullmatch(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?", text)
    return text.replace(",", "" if thousands else ".")


def _answer_text(prediction: Prediction, value: str | float) -> str:
    return prediction.options[value] if prediction.options else f"{value:.4g} {prediction.unit}".strip()


class Predict(Panel):
    """A guess to record, then the contrast with what is computed. The first guess stays."""

    def __init__(self, prediction: Prediction) -> None:
        self.prediction = prediction
        self.guessed: str | float | None = None
        question = widgets.HTML(to_html(f"**Predict.** {prediction.question}"))
        if prediction.options:
            self.input = _radios((text, key) for key, text in prediction.options.items())
        else:
            unit = f" ({prediction.unit})" if prediction.unit else ""
            # Sent when the box is left: while typing, the last digits could arrive after the click.
            self.input = widgets.Text(
                description=f"Your guess{unit}",
                continuous_update=False,
                style={"description_width": "initial"},
            )
        self.button = _button("Record my prediction")
        self.status = Status(group=_plain(prediction.question))
        self.button.on_click(lambda _: self._clicked())
        super().__init__([question, self.input, self.button, self.status])
        earlier = progress.load().predictions.get(prediction.key, {}).get("guess")
        if earlier is not None and self._understood(earlier) is not None:
            self._show(self._understood(earlier))

    def guess(self, guess: str | float) -> str:
        """Record a guess (an option's key, or a number) and return the contrast as HTML."""
        understood = self._understood(guess)
        if understood is None:
            options = " or ".join(map(repr, self.prediction.options)) or "a number"
            raise ValueError(f"guess must be {options}; got {guess!r}")
        if self.guessed is None:
            right = self.prediction.outcome(understood) == "right"
            self._show(understood, progress.record_prediction(self.prediction.key, understood, right))
        return self.status.html

    def page(self) -> str:
        asked = to_html(f"**Predict.** {self.prediction.question}")
        options = "".join(f"<li>{_inline(text)}</li>" for text in self.prediction.options.values())
        named = self.prediction.options or {"low": "Less", "close": "Close to it", "high": "More"}
        replies = [f"*{text}*. {self.prediction.explain[key]}" for key, text in named.items()]
        answer = "".join(map(to_html, [*self._truth(), *replies]))
        return asked + (f"<ul>{options}</ul>" if options else "") + _details("What happens", answer)

    def line(self) -> str:
        return f"Predict: {self.prediction.question}"

    def _clicked(self) -> None:
        """Record the input. The button is never disabled: that would throw a keyboard user off the page."""
        if self.guessed is not None:
            return
        if self._understood(self.input.value) is None:
            asked = "Choose one first." if self.prediction.options else "Type a number first, such as 0.5 or 1e-3."
            self.status.html = _verdict(_OPEN, asked)
            return
        self.guess(self.input.value)

    def _understood(self, guess: Any) -> str | float | None:
        """Return the guess as an option's key or a finite number, or None."""
        if self.prediction.options:
            return guess if isinstance(guess, str) and guess in self.prediction.options else None
        try:
            number = float(_number_text(guess, self.prediction.unit) if isinstance(guess, str) else guess)
        except (TypeError, ValueError):
            return None
        return number if abs(number) < 1e300 else None

    def _show(self, guess: str | float, note: str = "") -> None:
        self.guessed = guess
        self.input.value = guess if self.prediction.options else f"{guess:g}"
        self.input.disabled = True
        self.button.description = "Recorded"
        right = self.prediction.outcome(guess) == "right"
        said = f"You predicted: **{_answer_text(self.prediction, guess)}**."
        body = [said, self.prediction.why(guess), *self._truth(), note]
        headline = "It came out as you predicted." if right else "It came out differently."
        self.status.html = _verdict(_RIGHT if right else _WRONG, headline, *map(to_html, body))

    def _truth(self) -> list[str]:
        evidence = self.prediction.evidence
        came_out = f"It comes out: **{_answer_text(self.prediction, self.prediction.truth())}**."
        return [came_out, *([evidence()] if evidence else [])]


def predict(prediction: Prediction) -> Predict:
    """Ask for a prediction, keep it, and only then show what happens."""
    return Predict(prediction)


class QuizPanel(Panel):
    """Questions whose every answer says at once why it is right or wrong; another try is always open.

    A choice is no answer yet, the button is: by keyboard, every arrow key moves the choice.
    """

    def __init__(self, quiz: Quiz) -> None:
        self.quiz = quiz
        self.inputs: list[widgets.RadioButtons] = []
        self.buttons: list[widgets.Button] = []
        self.answers: list[str | None] = [None] * len(quiz.questions)
        self.statuses: list[Status] = []
        self.score_line = Status()
        rows: list[widgets.Widget] = []
        for number, question in enumerate(quiz.questions, start=1):
            radios = _radios((f"{key}) {option.text}", key) for key, option in _lettered(question).items())
            button = _button("Answer")
            button.on_click(lambda _, number=number: self._clicked(number))
            self.inputs.append(radios)
            self.buttons.append(button)
            self.statuses.append(Status(group=_plain(question.text)))
            asked = widgets.HTML(to_html(f"**{number}.** {question.text}"))
            rows.append(widgets.VBox([asked, radios, button, self.statuses[-1]]))
        super().__init__([*rows, self.score_line])
        best = progress.load().quizzes.get(quiz.key)
        if best:
            self.score_line.html = _verdict(_OPEN, f"Your best so far: {best['score']} of {best['of']}.")

    @property
    def score(self) -> int:
        """How many questions have the right answer now."""
        return sum(
            letter is not None and _lettered(question)[letter].right
            for letter, question in zip(self.answers, self.quiz.questions, strict=True)
        )

    def answer(self, number: int, option: str) -> str:
        """Answer question `number` (from 1, as on the screen) with "a", "b", ... and return the reply."""
        if number not in range(1, len(self.inputs) + 1):
            raise ValueError(f"number must be 1 to {len(self.inputs)}; got {number!r}")
        letters = _lettered(self.quiz.questions[number - 1])
        if option not in letters:
            raise ValueError(f"option must be one of {', '.join(letters)}; got {option!r}")
        self.inputs[number - 1].value = option
        self._answered(number, option)
        return self.statuses[number - 1].html

    def page(self) -> str:
        shown = []
        for number, question in enumerate(self.quiz.questions, start=1):
            options = _lettered(question).items()
            shown.append(to_html(f"**{number}.** {question.text}"))
            shown += [to_html(f"{key}) {option.text}") for key, option in options]
            replies = (f"{key}) {'✓ Right.' if o.right else '✗ No.'} {o.why}" for key, o in options)
            shown.append(_details("Answers", "".join(map(to_html, replies))))
        return "".join(shown)

    def line(self) -> str:
        return f"Quiz {self.quiz.key}: {len(self.quiz.questions)} questions."

    def _clicked(self, number: int) -> None:
        letter = self.inputs[number - 1].value
        if letter is None:
            self.statuses[number - 1].html = _verdict(_OPEN, "Choose one first.")
        else:
            self._answered(number, letter)

    def _answered(self, number: int, letter: str) -> None:
        self.answers[number - 1] = letter
        option = _lettered(self.quiz.questions[number - 1])[letter]
        mark, word = (_RIGHT, "Right.") if option.right else (_WRONG, "No.")
        self.statuses[number - 1].html = _verdict(mark, f"{letter}) {word}", to_html(option.why))
        open_ones = self.answers.count(None)
        of, note = len(self.answers), ""
        if not open_ones:
            note = progress.record_quiz(self.quiz.key, self.score, of)
        mark = _RIGHT if self.score == of else _OPEN
        ending = f", {open_ones} to go" if open_ones else ""
        self.score_line.html = _verdict(mark, f"{self.score} of {of} right{ending}.", to_html(note))


def _lettered(question: Question) -> dict[str, Any]:
    return dict(zip("abcdefgh", question.options, strict=False))


def quiz(lesson_quiz: Quiz) -> QuizPanel:
    """Show a lesson's quiz."""
    return QuizPanel(lesson_quiz)


class Recorded(Panel):
    """What a cell computed here, or where the library that it `needs` is missing what was recorded when it was written.

    Stored is the record alone, so that a page is the same with the library and without it.
    """

    def __init__(self, record: str, live: str | None, needs: str) -> None:
        self.record = record
        said = to_html(f"**Computed here just now, with {needs}:**" if live else f"**{needs} is not installed here.**")
        super().__init__([widgets.HTML(said + _pre(live or record))])

    def page(self) -> str:
        return _pre(self.record)

    def line(self) -> str:
        return self.record


def recorded(record: str, live: str | None, needs: str) -> Recorded:
    """Show what a cell computed with an optional library, and where that is missing the record."""
    return Recorded(record, live, needs)


class ProgressPanel(Panel):
    """All lessons, with what there is to do and what is done."""

    def __init__(self) -> None:
        self.table = widgets.HTML()
        self.button = _button("Look again")
        self.button.on_click(lambda _: self.refresh())
        super().__init__([self.table, self.button, Status()])
        self.refresh()

    def refresh(self) -> None:
        """Read the progress file anew."""
        self.table.value = _table(progress.summary())

    def page(self) -> str:
        return to_html(self.line())

    def line(self) -> str:
        return "Run this cell to see what you have done in each lesson."


def _table(done: dict[str, dict[str, int]]) -> str:
    rows = []
    for number, lesson in all_lessons().items():
        totals = {
            "predictions": len(lesson.predictions),
            "exercises": len(lesson.exercises),
            "quiz": len(lesson.quiz.questions),
        }
        cells = [f"{number} {_inline(lesson.title)}"]
        for name, of in totals.items():
            n = min(done.get(number, {}).get(name, 0), of)
            cells.append(f"{n} of {of}" + (f" {_RIGHT[0]}" if of and n == of else ""))
        rows.append("".join(f"<td>{cell}</td>" for cell in cells))
    head = "".join(f'<th scope="col">{t}</th>' for t in ("Lesson", "Predictions", "Exercises", "Quiz"))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def progress_panel() -> ProgressPanel:
    """Show what is done over all lessons."""
    return ProgressPanel()
