"""Panels without a browser: what a click does, and what stands on the page where no kernel runs."""

import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser

import numpy as np
import pytest

from gclip_lessons import panels, progress
from gclip_lessons.exercises import Exercise, Misconception, Option, Prediction, Probe, Question, Quiz

CHOICE = Prediction(
    key="99.a",
    question="What does `c` do to **η** < 1?",
    options={"a": "nothing & all", "b": "halves it"},
    truth=lambda: "b",
    explain={"a": "It does a lot.", "b": "By a half."},
    evidence=lambda: "0.5 of 1",
)
NUMBER = Prediction(
    key="99.b",
    question="How far?",
    unit="degrees",
    truth=lambda: 60.0,
    tolerance=0.1,
    explain={"low": "More than that.", "close": "Indeed.", "high": "Less than that."},
)
QUIZ = Quiz(
    "99",
    tuple(
        Question(
            f"Question {n}?", (Option("yes", "Because.", True), Option("no <b>", "It is not."), Option("?", "Hm."))
        )
        for n in range(3)
    ),
)


def double(x):
    return 2 * x


def double_stub(x): ...


def squares(x):
    return x * x


EXERCISE = Exercise(
    key="99.1",
    title="Double",
    solution=double,
    stub=double_stub,
    probes=(Probe((np.array([1.0, 3.0]),), "two"), Probe((np.array([0.5]),), "one")),
    misconceptions=(Misconception(squares, "That is `x²`."),),
    hints=("first <hint>", "second", "third"),
    explanation="Twice.",
)


@dataclass(frozen=True)
class FakeLesson:
    title: str
    predictions: dict
    exercises: dict
    quiz: Quiz


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("GCLIP_PROGRESS", str(tmp_path / "progress.json"))
    return tmp_path / "progress.json"


class Balanced(HTMLParser):
    """Reads HTML and notes a tag that is not closed where it should be."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def tags(html):
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    return parser.seen


# ---- text


def test_the_little_markdown():
    assert panels.to_html("a `b*c*` **d** *e*\n\nf < g") == (
        "<p>a <code>b*c*</code> <strong>d</strong> <em>e</em></p><p>f &lt; g</p>"
    )
    assert panels.to_html("2 * 3 * 4") == "<p>2 * 3 * 4</p>"
    assert panels.to_html("`` a`b ``") == "<p><code>a`b</code></p>"
    assert panels.to_html("") == ""


@pytest.mark.parametrize("text", ["<script>x</script>", '"><img src=x onerror=y>', "`<b>`", "**<i>**"])
def test_text_is_escaped(text):
    assert not {"script", "img", "b", "i"} & set(tags(panels.to_html(text)))


# ---- predict


def test_a_guess_shows_the_contrast_and_is_kept():
    panel = panels.predict(CHOICE)
    assert panel.status.html == ""
    shown = panel.guess("a")
    for words in ("It came out differently", "nothing &amp; all", "It does a lot.", "halves it", "0.5 of 1"):
        assert words in shown
    assert panel.input.value == "a"
    assert panel.input.disabled
    assert progress.load().predictions == {"99.a": {"guess": "a", "right": False}}


def test_a_right_guess_is_told_so():
    shown = panels.predict(CHOICE).guess("b")
    assert "as you predicted" in shown
    assert "By a half." in shown


def test_the_first_guess_stays():
    panel = panels.predict(CHOICE)
    first = panel.guess("a")
    assert panel.guess("b") == first
    panel.button.click()
    assert panel.status.html == first
    assert progress.load().predictions["99.a"]["guess"] == "a"
    again = panels.predict(CHOICE)
    assert again.status.html == first
    assert again.guessed == "a"


def test_the_button_does_what_guess_does():
    panel = panels.predict(CHOICE)
    panel.button.click()
    assert "Choose one first" in panel.status.html
    panel.input.value = "b"
    assert "as you predicted" not in panel.status.html
    panel.button.click()
    assert "as you predicted" in panel.status.html
    assert not panel.button.disabled, "a focused button that is disabled loses the focus"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("55", "as you predicted"),
        ("66,0", "as you predicted"),
        ("0,125", "More than that"),
        ("1e1", "More than that"),
        ("−60", "More than that"),
        (" 90 ", "Less than that"),
        ("60°", "as you predicted"),
        ("60 °", "as you predicted"),
        ("60 degrees", "as you predicted"),
    ],
)
def test_numbers_are_read_from_what_is_typed(typed, words):
    panel = panels.predict(NUMBER)
    panel.input.value = typed
    panel.button.click()
    assert words in panel.status.html
    assert "60 degrees" in panel.status.html


@pytest.mark.parametrize(
    ("typed", "number"), [("1,000", 1000), ("-12,345,678.5", -12345678.5), ("1,00", 1), ("0,125", 0.125)]
)
def test_a_comma_groups_thousands_or_marks_decimals(typed, number):
    panel = panels.predict(NUMBER)
    panel.guess(typed)
    assert panel.guessed == number


@pytest.mark.parametrize("typed", ["", "a lot", "nan", "inf", "1e999", "1,5,3", "°"])
def test_what_is_no_number_is_asked_again(typed):
    panel = panels.predict(NUMBER)
    panel.input.value = typed
    panel.button.click()
    assert "Type a number" in panel.status.html
    assert panel.guessed is None
    with pytest.raises(ValueError, match="guess must be a number"):
        panel.guess(typed)


def test_an_unknown_option_is_refused():
    with pytest.raises(ValueError, match="guess must be 'a' or 'b'; got 'c'"):
        panels.predict(CHOICE).guess("c")


def test_an_old_guess_that_is_no_option_any_more_is_forgotten(file):
    progress.record_prediction("99.a", "z", True)
    progress.record_prediction("99.b", "text", True)
    assert panels.predict(CHOICE).guessed is None
    assert panels.predict(NUMBER).guessed is None


def test_a_guess_is_shown_also_where_nothing_can_be_kept(monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(progress.tempfile, "mkstemp", refuse)
    shown = panels.predict(CHOICE).guess("b")
    assert "as you predicted" in shown
    assert "could not be kept" in shown


# ---- check, hint, solution


def test_check_says_what_it_found_and_keeps_success():
    wrong = panels.check(EXERCISE, squares)
    assert not wrong.passed
    assert wrong.report.misconception == "squares"
    assert "✗ Not yet" in wrong.html
    assert "<code>x²</code>" in wrong.html
    assert "double(x=[0.5]) should be [1]; yours gave [0.25]" in repr(wrong)
    assert progress.load().exercises == set()
    right = panels.check(EXERCISE, double)
    assert right.passed
    assert "✓ Right" in right.html
    assert progress.load().exercises == {"99.1"}
    assert "○ Nothing here yet" in repr(panels.check(EXERCISE, double_stub))


def test_what_learners_raise_is_escaped():
    def evil(x):
        raise ValueError("<img src=x onerror=alert(1)> `**")

    page = panels.check(EXERCISE, evil).html
    assert "img" not in tags(page)
    assert "&lt;img" in page


def test_hints_are_nested_and_closed():
    page = panels.hint(EXERCISE).html
    assert [tag for tag in tags(page) if tag in ("details", "summary")] == ["details", "summary"] * 3
    assert page.index("first") < page.index("second") < page.index("third")
    assert page.endswith("</details>" * 3)
    assert "first &lt;hint&gt;" in page
    assert " open" not in re.sub(r">[^<]*<", "><", page)


def test_the_solution_is_closed_and_whole():
    page = panels.solution(EXERCISE)
    assert tags(page.html)[:2] == ["details", "summary"]
    assert "return 2 * x" in page.html
    assert 'style="white-space:pre;word-break:normal;overflow-x:auto"' in page.html
    assert "Twice." in page.html
    assert "return" not in repr(page)


# ---- quiz


def test_every_answer_says_why_at_once():
    panel = panels.quiz(QUIZ)
    assert "It is not." in panel.answer(1, "b")
    assert "✗ b) No." in panel.statuses[0].html
    assert "0 of 3 right, 2 to go" in panel.score_line.html
    assert "Because." in panel.answer(1, "a")
    assert "✓ a) Right." in panel.statuses[0].html
    assert panel.score == 1


def test_a_choice_is_an_answer_when_the_button_is_pressed():
    panel = panels.quiz(QUIZ)
    panel.buttons[0].click()
    assert "Choose one first" in panel.statuses[0].html
    panel.statuses[0].html = ""
    for key in "cba":
        panel.inputs[0].value = key
    assert panel.statuses[0].html == panel.score_line.html == ""
    panel.buttons[0].click()
    assert "✓ a) Right." in panel.statuses[0].html
    panel.inputs[0].value = "b"
    assert "1 of 3 right, 2 to go" in panel.score_line.html
    assert panel.score == 1


def test_a_finished_quiz_is_kept_at_its_best():
    panel = panels.quiz(QUIZ)
    for number in (1, 2, 3):
        panel.answer(number, "b")
    assert progress.load().quizzes == {"99": {"score": 0, "of": 3}}
    panel.answer(3, "a")
    panel.answer(3, "c")
    assert progress.load().quizzes == {"99": {"score": 1, "of": 3}}
    assert "best so far: 1 of 3" in panels.quiz(QUIZ).score_line.html


@pytest.mark.parametrize(("number", "option"), [(0, "a"), (4, "a"), (1, "d"), (1, "yes")])
def test_answers_that_do_not_exist_are_refused(number, option):
    with pytest.raises(ValueError, match="must be"):
        panels.quiz(QUIZ).answer(number, option)


# ---- progress


def test_the_progress_panel_counts(monkeypatch):
    lessons = {"99": FakeLesson("Test <lesson>", {"a": CHOICE, "b": NUMBER}, {"double": EXERCISE}, QUIZ)}
    monkeypatch.setattr(panels, "all_lessons", lambda: lessons)
    panel = panels.progress_panel()
    assert "0 of 2" in panel.table.value
    assert "Test &lt;lesson&gt;" in panel.table.value
    panels.check(EXERCISE, double)
    assert "1 of 1" not in panel.table.value
    panel.button.click()
    assert "1 of 1 ✓" in panel.table.value


# ---- pages without a kernel


def make(name):
    return {
        "choice": lambda: panels.predict(CHOICE),
        "number": lambda: panels.predict(NUMBER),
        "quiz": lambda: panels.quiz(QUIZ),
        "progress": panels.progress_panel,
    }[name]()


def do_something(name, panel):
    {
        "choice": lambda: panel.guess("a"),
        "number": lambda: panel.guess(3),
        "quiz": lambda: [panel.answer(n, "a") for n in (1, 2, 3)],
        "progress": lambda: panels.check(EXERCISE, double),
    }[name]()


@pytest.mark.parametrize("name", ["choice", "number", "quiz", "progress"])
def test_the_static_page_knows_nothing_of_the_learner(name):
    panel = make(name)
    before = panel._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"} == set(before)
    assert "\n" not in before["text/plain"]
    tags(before["text/html"])
    do_something(name, panel)
    for bundle in (panel._repr_mimebundle_(), make(name)._repr_mimebundle_()):
        for kind in ("text/html", "text/plain"):
            assert bundle[kind] == before[kind]


def test_static_pages_hold_question_options_and_closed_answers():
    page = make("choice").page()
    for words in ("<code>c</code>", "<li>halves it</li>", "<details", "By a half.", "It does a lot.", "0.5 of 1"):
        assert words in page
    page = make("quiz").page()
    assert page.count("<details") == 3
    assert page.count("✓ Right. Because.") == 3
    assert "60 degrees" in make("number").page()


def test_live_regions_and_names_reach_the_browser():
    panel = panels.quiz(QUIZ)
    assert [status.group for status in panel.statuses] == [q.text for q in QUIZ.questions]
    assert panels.predict(CHOICE).status.group == "What does c do to η < 1?"
    assert 'setAttribute("role", "status")' in panels.Status._esm
    assert panels.predict(NUMBER).input.description == "Your guess (degrees)"


def test_panels_do_not_share_state():
    one, two = panels.quiz(QUIZ), panels.quiz(replace(QUIZ, key="98"))
    one.answer(1, "a")
    assert two.score == 0
    assert two.inputs[0].value is None


def test_what_was_recorded_is_stored_and_what_is_computed_here_is_shown():
    here, missing = (
        panels.recorded("the <record>", "a live table", "PyTorch"),
        panels.recorded("the <record>", None, "PyTorch"),
    )
    assert here.page() == missing.page()
    assert here.line() == missing.line() == "the <record>"
    assert "the &lt;record&gt;" in here.page()
    assert "a live table" in here.children[0].value
    assert "<record" not in here.children[0].value
    assert "PyTorch is not installed here" in missing.children[0].value
    assert "the &lt;record&gt;" in missing.children[0].value
