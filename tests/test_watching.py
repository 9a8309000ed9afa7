"""Long training: step by step the same as `train`, stopped at any moment and taken up again, with a bar to watch."""

import threading
import time

import numpy as np
import pytest
from jupyter_client.manager import start_new_kernel

from gclip_lessons import watching
from gclip_lessons.clipping import ClipByGlobalNorm
from gclip_lessons.models import Cosh, Quadratic
from gclip_lessons.optimizers import SGD, Adam, Momentum
from gclip_lessons.training import LongRun, train
from gclip_lessons.watching import Watch, watch

MODEL = Quadratic.valley(30.0, angle=0.4)
START = np.array([[2.0, -3.0]])
CLIPPER = ClipByGlobalNorm(np.array([np.inf, 1.0, 0.1]))


def fresh(model=MODEL, n_steps=20, **options) -> LongRun:
    return LongRun(model, START, Adam(0.05), CLIPPER, n_steps=n_steps, **options)


class Stopping:
    """A model during whose k-th gradient somebody presses stop, once."""

    n_params = 2

    def __init__(self, when: int) -> None:
        self.when, self.calls = when, 0

    def loss_and_grad(self, params, step):
        self.calls += 1
        if self.calls == self.when:
            raise KeyboardInterrupt
        return MODEL.loss_and_grad(params, step)


@pytest.mark.parametrize("optimizer", [SGD(0.05), Momentum(0.02), Adam(0.1)])
def test_step_by_step_it_is_what_train_gives_at_once(optimizer):
    whole = train(MODEL, START, optimizer, CLIPPER, n_steps=30)
    run = LongRun(MODEL, START, optimizer, CLIPPER, n_steps=30, keep=range(0, 31, 10)).finish()
    np.testing.assert_array_equal(run.loss, whole.loss[:-1])
    np.testing.assert_allclose(run.grad_norm, whole.grad_norm, rtol=1e-14)
    assert list(run.kept) == [0, 10, 20, 30]
    for step, params in run.kept.items():
        np.testing.assert_array_equal(params, whole.params[step])
    np.testing.assert_array_equal(run.params, whole.params[-1])


def test_what_has_not_been_done_yet_is_nan():
    run = fresh(keep=[5, 15])
    assert (run.step, run.n_steps, run.runs) == (0, 20, (3,))
    for _ in range(7):
        run.advance()
    assert run.step == 7
    assert np.isfinite(run.loss[:7]).all()
    assert np.isnan(run.loss[7:]).all()
    assert np.isnan(run.grad_norm[7:]).all()
    assert list(run.kept) == [5]
    assert repr(run) == "LongRun(7 of 20 steps, runs (3,))"


def test_at_the_end_there_is_no_further_step():
    run = fresh().finish()
    before = run.params.copy()
    run.advance()
    assert run.finish() is run
    assert run.step == 20
    np.testing.assert_array_equal(run.params, before)


def test_the_start_is_copied():
    start = START.copy()
    run = LongRun(MODEL, start, SGD(0.1), n_steps=3, keep=[0])
    start[:] = 9.0
    np.testing.assert_array_equal(run.kept[0], START)
    assert run.finish().params.shape == (1, 2)


@pytest.mark.parametrize("when", [1, 2, 8, 20])
def test_an_interrupt_costs_the_step_that_was_under_way_and_no_more(when):
    model = Stopping(when)
    run, whole = fresh(model, keep=range(21)), fresh(keep=range(21)).finish()
    with pytest.raises(KeyboardInterrupt):
        run.finish()
    assert run.step == when - 1
    np.testing.assert_array_equal(run.loss[: when - 1], whole.loss[: when - 1])
    run.finish()
    assert model.calls == 21
    np.testing.assert_array_equal(run.loss, whole.loss)
    np.testing.assert_array_equal(run.params, whole.params)
    assert list(run.kept) == list(range(21))


def test_an_interrupt_between_the_records_of_a_step_does_no_harm(monkeypatch):
    run, whole = fresh(), fresh().finish()
    for _ in range(5):
        run.advance()
    norms = run.grad_norm
    run.grad_norm = None  # writing the norm fails, after the loss has been written
    with pytest.raises(TypeError):
        run.advance()
    run.grad_norm = norms
    assert run.step == 5
    np.testing.assert_array_equal(run.finish().params, whole.params)
    np.testing.assert_array_equal(run.loss, whole.loss)


def test_threads_share_a_run_without_doing_a_step_twice():
    run, whole = fresh(n_steps=300), fresh(n_steps=300).finish()
    threads = [threading.Thread(target=run.finish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    np.testing.assert_array_equal(run.params, whole.params)
    np.testing.assert_array_equal(run.loss, whole.loss)


def test_divergence_is_recorded_and_neither_raises_nor_warns():
    run = LongRun(Cosh(2), np.array([10.0, 1.0]), SGD(1.0), n_steps=5).finish()
    assert not np.isfinite(run.params).all()
    assert run.step == 5


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"n_steps": 0}, ValueError),
        ({"n_steps": 2.5}, TypeError),
        ({"params": np.zeros((2, 3))}, ValueError),
        ({"params": [1.0, 2.0]}, TypeError),
        ({"optimizer": SGD}, TypeError),
        ({"clipper": ClipByGlobalNorm(np.ones(4)), "params": np.zeros((3, 2))}, ValueError),
    ],
)
def test_it_refuses_what_train_refuses(changes, error):
    given = {"model": MODEL, "params": START, "optimizer": SGD(0.1), "n_steps": 3} | changes
    for call in (LongRun, train):
        with pytest.raises(error, match=r"must|agree"):
            call(**given)


# --- with a bar ---


@pytest.fixture
def panels(monkeypatch):
    """Every panel that is displayed, with all that its bar and its text said."""
    shown = []
    monkeypatch.setattr(watching, "_PAUSE", 0.0)
    monkeypatch.setattr(watching, "display", shown.append)
    return shown


def test_watching_shows_every_step_and_gives_the_run_back(panels, monkeypatch):
    said = []
    monkeypatch.setattr(Watch, "show", lambda panel, show=Watch.show: (show(panel), said.append(panel.text.value)))
    run = fresh()
    assert watch(run) is run
    [panel] = panels
    assert run.step == 20 == panel.bar.value == panel.bar.max
    assert said[0] == "step 0 of 20"
    assert [line.partition(",")[0] for line in said[1:-1]] == [f"step {k} of 20" for k in range(1, 21)]
    assert all(line.endswith("s to go") for line in said[1:-1])
    assert "Done: 20 steps." in panel.status.html
    np.testing.assert_array_equal(run.params, fresh().finish().params)


def test_the_stop_button_ends_the_training_and_nothing_else(panels):
    run = fresh(Stopping(8))
    assert watch(run) is run
    assert run.step == 7
    assert "Stopped after 7 of 20 steps" in panels[0].status.html
    assert panels[0].bar.value == 7
    watch(run)
    assert run.step == 20
    assert panels[1].bar.value == 20
    assert "Done" in panels[1].status.html
    np.testing.assert_array_equal(run.params, fresh().finish().params)


def test_another_error_is_not_swallowed(panels):
    class Broken(Stopping):
        def loss_and_grad(self, params, step):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        watch(fresh(Broken(1)))


def test_watching_what_is_done_does_nothing(panels):
    run = fresh().finish()
    watch(run)
    assert "Done: 20 steps." in panels[0].status.html


def test_what_is_stored_knows_nothing_of_the_clock(panels):
    pages = []
    for run in (fresh(), fresh(Stopping(8))):
        watch(run)
        pages.append(panels[-1]._repr_mimebundle_())
    for kind in ("text/html", "text/plain"):
        assert pages[0][kind] == pages[1][kind]
        assert "20 steps" in pages[0][kind]


LONG = """
import numpy as np
from gclip_lessons.models import Quadratic
from gclip_lessons.optimizers import SGD
from gclip_lessons.training import LongRun
from gclip_lessons.watching import watch
run = watch(LongRun(Quadratic.valley(30.0), np.array([1.0, 1.0]), SGD(0.01), n_steps=10_000_000))
"""


def test_the_stop_button_of_a_real_kernel_ends_the_cell_and_keeps_the_run():
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        sent = client.execute(LONG)
        while client.get_iopub_msg(timeout=60)["msg_type"] != "display_data":
            pass
        time.sleep(0.5)
        manager.interrupt_kernel()
        reply = client.get_shell_msg(timeout=60)
        assert reply["parent_header"]["msg_id"] == sent
        assert reply["content"]["status"] == "ok"
        done = client.execute_interactive("assert 0 < run.step < run.n_steps; run.advance()", timeout=60)
        assert done["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
