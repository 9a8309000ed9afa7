"""watch(run): training that takes its time, with a bar that shows how far it is and a stop that loses nothing."""

import time

import ipywidgets as widgets
from IPython.display import display

from gclip_lessons.panels import Panel, Status, to_html
from gclip_lessons.training import LongRun

_PAUSE = 0.1  # seconds between two looks at the bar


class Watch(Panel):
    """A bar, how long it will still take, and at the end a sentence for the screen reader too."""

    def __init__(self, run: LongRun) -> None:
        self.run, self._first, self._began = run, run.step, time.monotonic()
        self.bar = widgets.IntProgress(run.step, 0, run.n_steps, layout={"width": "330px"})
        self.text = widgets.Label()
        self.status = Status()
        super().__init__([widgets.HBox([self.bar, self.text]), self.status])
        self.show()

    def show(self) -> None:
        """Show how far the run is."""
        done, left = self.run.step - self._first, self.run.n_steps - self.run.step
        seconds = (time.monotonic() - self._began) / done * left if done else 0
        self.bar.value = self.run.step
        self.text.value = f"step {self.run.step} of {self.run.n_steps}" + (f", {seconds:.0f} s to go" if done else "")

    def close_up(self) -> None:
        """Say how it ended."""
        done, of = self.run.step, self.run.n_steps
        self.show()
        self.text.value = ""
        self.status.html = to_html(
            f"Done: {of} steps."
            if done == of
            else f"Stopped after {done} of {of} steps. Nothing is lost: run this cell again to go on from there."
        )

    def page(self) -> str:
        return to_html(self.line())

    def line(self) -> str:
        return f"Training: {self.run.n_steps} steps. The stop button (■) ends it without losing what is done."


def watch(run: LongRun) -> LongRun:
    """Take the steps of `run` that are left, show how far it is, and return it.

    The stop button of the notebook (a KeyboardInterrupt) ends the training and nothing else: the cells that follow
    work with the steps that are done, and the same call goes on from there.
    """
    panel = Watch(run)
    display(panel)
    due = time.monotonic() + _PAUSE
    try:
        while run.step < run.n_steps:
            run.advance()
            if time.monotonic() >= due:
                panel.show()
                due = time.monotonic() + _PAUSE
    except KeyboardInterrupt:
        pass
    panel.close_up()
    return run
