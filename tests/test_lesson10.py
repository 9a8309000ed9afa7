"""Lesson 10: what it trains against PyTorch and plain loops, its record against runs repeated now, and its claims."""

import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from pictures import against, counted

from gclip_lessons.data import python_english
from gclip_lessons.explorer import explore
from gclip_lessons.lessons import controls_of
from gclip_lessons.lessons import experiments10 as experiments
from gclip_lessons.lessons import lesson10 as lesson
from gclip_lessons.lessons import side_trips10 as trips
from gclip_lessons.watching import watch
from tools import record10

GUESSING = math.log(27)


def pens(steps, curves):
    """Many curves (steps, seeds) as one line that is lifted after each of them."""
    gap = np.full((1, 2), np.nan)
    return np.concatenate([part for y in np.transpose(curves) for part in (against(steps, y), gap)])


def bars(x, low, high):
    return np.concatenate([[(a, b), (a, c), (np.nan, np.nan)] for a, b, c in zip(x, low, high, strict=True)])


def of_characters(r):
    last, names = len(r.norms["raw"]) - 1, ("raw", "clipped")
    norm_at = min(r.state.step, last)
    return (
        {f"loss {name}": counted(loss) for name, loss in r.losses.items()}
        | {f"norm {name}": counted(r.norms[name]) for name in names}
        | {f"at loss {name}": against([r.state.step], [r.losses[name][r.state.step]]) for name in names}
        | {f"at norm {name}": against([norm_at], [r.norms[name][norm_at]]) for name in names}
        | {f"text {name} {line}": None for name in names for line in (0, 1)}  # words have tests of their own
        | {"heading": None, "threshold": None}
    )


def of_rates(r):
    roles = {}
    for task, found in r.reached.items():
        for name, values in found.items():
            roles[f"{task} {name}"] = against(r.rates[task], values.middle)
            if task != "order":
                x = np.array(r.rates[task]) * {"raw": 0.97, "clipped": 1.03}[name]
                roles[f"{task} {name} bars"] = bars(x, values.lowest, values.highest)
    return roles


def of_overfitting(r):
    roles = {name: against(r.steps, accuracy) for name, accuracy in r.accuracy.items()}
    for name, x in (("raw", r.levels + 0.002), ("gentle", r.levels - 0.002)):
        mean, margin = (np.array([100 * getattr(d, part) for d in r.matched[name]]) for part in ("mean", "margin"))
        roles |= {f"ahead of {name}": against(r.levels, mean), f"{name} bars": bars(x, mean - margin, mean + margin)}
    return roles | {"step": None, "level": None, "equal steps": None}  # lines across the panel, tested below


# What each picture shows of a result, by the names of what moves.
DRAWN = {
    "characters": of_characters,
    "order": lambda r: {
        "raw": pens(r.steps, r.accuracy["raw"]),
        "clipped": pens(r.steps, r.accuracy["clipped"]),
        "step": None,  # across the panel, tested below
        "raw level": against([1e-3, 1, 1e3], r.raw_solved),
        "counts": against(r.thresholds, r.solved),
        "threshold": against(r.threshold, [-1, 1, 50]),
        "here": against([r.threshold], [r.count]),
    },
    "rates": of_rates,
    "overfitting": of_overfitting,
}


# ---- characters


def test_windows_are_of_the_text_and_each_letter_is_asked_for_the_next():
    model, text = experiments.characters((4, 9), 3).model, python_english()
    for batch, seed, row in np.ndindex(3, 2, 16):
        read = experiments.spelled(model.symbols[batch, :, seed, row])
        asked = experiments.spelled(model.targets[batch, :, seed, row])
        assert len(read) == 24
        assert read + asked[-1] in text
        assert read[1:] == asked[:-1]


@pytest.mark.parametrize("make", [experiments.characters, experiments.temporal_order])
def test_a_seed_is_the_same_whoever_trains_beside_it_and_however_long(make):
    many, alone = make((0, 1, 2), 5), make((1,), 3)
    np.testing.assert_array_equal(many.start[[1]], alone.start)
    np.testing.assert_array_equal(many.model.symbols[:3, :, [1]], alone.model.symbols)
    np.testing.assert_array_equal(many.model.targets[:3, :, [1]], alone.model.targets)
    assert not (many.start[0] == many.start[1]).all()
    assert not (many.model.symbols[:, :, 0] == many.model.symbols[:, :, 1]).all()


@pytest.mark.parametrize(("rate", "c"), [(5.0, 0.1), (1.0, np.inf)])
def test_the_character_model_trains_as_in_pytorch(rate, c):
    """The same network in torch.nn with torch's own clipping, twelve steps: the losses and norms agree."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)  # so small a network is slower on several
    task = experiments.characters((1,), 12)
    run = task.train(rate, c, 12).finish()
    w, u, b, v, a = (torch.tensor(task.start[0, block]) for block in task.model.blocks)
    cell, out = torch.nn.RNN(27, 32).double(), torch.nn.Linear(32, 27).double()
    with torch.no_grad():
        cell.weight_hh_l0.copy_(w.reshape(32, 32).T)
        cell.weight_ih_l0.copy_(u.reshape(27, 32).T)
        cell.bias_hh_l0.copy_(b)
        cell.bias_ih_l0.zero_()
        out.weight.copy_(v.reshape(32, 27).T)
        out.bias.copy_(a)
    cell.bias_ih_l0.requires_grad_(False)  # torch has two biases where one will do
    parameters = [p for p in (*cell.parameters(), *out.parameters()) if p.requires_grad]
    descent = torch.optim.SGD(parameters, lr=rate)
    for step in range(12):
        read = torch.nn.functional.one_hot(torch.tensor(task.model.symbols[step, :, 0]).long(), 27).double()
        right = torch.tensor(task.model.targets[step, :, 0]).long()
        loss = torch.nn.functional.cross_entropy(out(cell(read)[0]).reshape(-1, 27), right.reshape(-1))
        descent.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, c)
        descent.step()
        assert run.loss[step, 0, 0] == pytest.approx(loss.item(), rel=1e-4)
        assert run.grad_norm[step, 0, 0] == pytest.approx(norm.item(), rel=1e-3)


def last(setting):
    """The mean loss of the last 50 steps of a setting (η, c), seed by seed."""
    at = list(zip(*lesson.SETTINGS, strict=True)).index(setting)
    return lesson.character_runs().finish().loss[-50:, at].mean(0)


def test_who_learns_and_who_is_lost():
    for setting in ((5.0, np.inf), (5.0, 10.0), (5.0, 1.0)):
        assert (last(setting) > GUESSING).all()
    assert 1.8 < last((5.0, 0.1)).min() <= last((5.0, 0.1)).max() < 2.0
    assert 2.2 < last((5.0, 0.01)).min() <= last((5.0, 0.01)).max() < 2.5
    assert 1.8 < last((1.0, np.inf)).min() <= last((1.0, np.inf)).max() < 2.0
    assert np.isfinite(lesson.character_runs().loss).all()  # lost, and finite


def test_how_many_steps_are_clipped():
    norms = lesson.character_runs().finish().grad_norm
    words = [lesson.share_of(norms[:, k] > c) for k, c in enumerate(lesson.SETTINGS[1])]
    assert words == ["none", "none", "all", "all", "most", "few"]
    shares = [np.mean(norms[:, k] > c) for k, c in enumerate(lesson.SETTINGS[1])]
    assert shares[4] > 0.8  # far from where the word would change
    assert shares[5] < 0.07


def test_within_fifty_steps_the_unclipped_model_is_above_guessing_for_good():
    loss = lesson.character_runs().finish().loss[:, 0]
    assert (loss[50:] > GUESSING).mean() > 0.99


def test_the_clipped_model_has_learned_which_letters_follow_each_other_and_the_unclipped_has_not():
    english = python_english()
    pairs = [first + second for first, second in pairwise(english)]
    common = {pair for pair in set(pairs) if pairs.count(pair) >= 20}
    for seed in lesson.SEEDS:
        texts = lesson.read_aloud(lesson.CharactersState(seed=seed)).texts
        usual = {name: np.mean([a + b in common for a, b in pairwise(text)]) for name, text in texts.items()}
        assert usual["clipped"] > 0.8 > 0.6 > usual["raw"]
        assert {"the", "in", "of", "an"} & set(texts["clipped"].split())


def test_what_the_hook_stores_does_not_hang_on_the_last_digits():
    """A start that differs in the 14th digit: the same losses, the same sentence, the same writing."""
    task = experiments.characters((0,), 400)
    nudge = 1 + 1e-14 * np.random.default_rng(3).normal(size=task.start.shape)
    run = experiments.Task(task.model, task.start * nudge).train(5.0, 0.1, 400).finish()
    there = lesson.character_runs().finish()
    assert np.abs(run.loss[:, 0, 0] - there.loss[:, 3, 0]).max() < 1e-9
    written = run.model.sample(run.params, lesson.LETTERS, np.random.default_rng(7))[:, 0, 0]
    assert experiments.spelled(written) == lesson.read_aloud(lesson.CharactersState()).texts["clipped"]
    assert "a loss of 1.84" in lesson.read_characters(lesson.read_aloud(lesson.CharactersState()))


def test_the_curve_is_the_mean_of_the_last_twenty():
    losses = np.random.default_rng(0).normal(size=57)
    calmer = lesson._calmer(losses)
    assert len(calmer) == 58
    assert calmer[0] == losses[0]
    for k in range(1, 58):
        assert calmer[k] == pytest.approx(losses[max(0, k - 20) : k].mean())


def test_each_curve_and_text_is_that_of_its_run():
    run = lesson.character_runs().finish()
    for seed, c, step in ((1, 0.01, 130), (2, 10.0, 24), (0, 1.0, 399)):
        result = lesson.read_aloud(lesson.CharactersState(max_norm=c, seed=seed, step=step))
        setting = {0.01: 2, 0.1: 3, 1.0: 4, 10.0: 5}[c]
        for name, column in (("raw", 0), ("slow", 1), ("clipped", setting)):
            np.testing.assert_array_equal(result.losses[name], lesson._calmer(run.loss[:, column, seed]))
            np.testing.assert_array_equal(result.norms[name], run.grad_norm[:, column, seed])
            params = run.kept[25 * (step // 25)][column, seed]
            alone = run.model.sample(params, lesson.LETTERS, np.random.default_rng(7))
            assert result.texts[name] == experiments.spelled(alone)
        assert result.written_after == 25 * (step // 25)
        drawing = lesson.CHARACTERS.figure(result)
        for name in ("raw", "clipped"):
            assert drawing.data(f"text {name} 0") + drawing.data(f"text {name} 1") == result.texts[name]
        assert drawing.data("heading") == f"What they write after {25 * (step // 25)} steps"


def test_a_threshold_between_the_stops_is_trained_when_it_is_asked_for():
    result = lesson.read_aloud(lesson.CharactersState(max_norm=0.2, seed=2))
    alone = experiments.characters((2,), 400).train(5.0, 0.2, 400).finish()
    np.testing.assert_allclose(result.losses["clipped"], lesson._calmer(alone.loss[:, 0, 0]), rtol=1e-6)


@pytest.mark.parametrize("c", [0.01, 0.1, 1.0, 10.0])
def test_the_sentence_of_the_characters_reads_its_step(c):
    for seed in lesson.SEEDS:
        for step in (0, 1, 10, 60, 400):
            result = lesson.read_aloud(lesson.CharactersState(max_norm=c, seed=seed, step=step))
            sentence = lesson.read_characters(result)
            raw, clipped = (result.losses[name][step] for name in ("raw", "clipped"))
            said = [
                f"a loss of {value:.2f}" if value < GUESSING else "a loss no better than guessing (3.30)"
                for value in (raw, clipped)
            ]
            whole = f"After {step} steps at η = 5: unclipped, {said[0]}; clipped at c = {c:g}, {said[1]}"
            assert sentence.startswith(whole)
            share = np.mean(result.norms["clipped"][:step] > c) if step else None
            assert ("steps were clipped" in sentence) == (step > 0)
            if share in (0.0, 1.0):
                assert sentence == f"{whole}; {'all' if share else 'none'} of its steps were clipped."


def test_a_loss_that_is_no_number_is_no_better_than_guessing():
    result = lesson.read_aloud(lesson.CharactersState())
    for value in (np.nan, np.inf):
        gone = replace(result, losses=result.losses | {"clipped": np.full(401, value)})
        assert lesson.read_characters(gone).count("no better than guessing") == 2
        assert np.isfinite(lesson.CHARACTERS.figure(gone).data("loss clipped")).all()


def test_the_mouse_moves_step_and_threshold_of_the_characters():
    state = lesson.hold_characters(lesson.CharactersState(), "loss", 123.4, 9.0)
    assert state.step == 123
    assert lesson.hold_characters(state, "norm", 5.0, 0.8).max_norm == 1.0


def test_the_dotted_line_is_the_threshold():
    drawing = lesson.CHARACTERS.figure(lesson.read_aloud(lesson.CharactersState(max_norm=10.0)))
    assert drawing.data("threshold").tolist() == [[0, 10], [400, 10]]


def test_the_explorer_finishes_what_was_stopped(monkeypatch):
    """A run that was interrupted half-way is taken up by the explorer, and comes out as if nothing had happened."""
    whole, task = lesson.character_runs().finish(), experiments.characters((0, 1, 2), 400)
    half = task.train(np.array([5.0, 1.0]), np.array([0.1, np.inf]), 400, range(0, 401, 25))
    advance = half.advance

    def stop_at_30():
        if half.step == 30:
            half.advance = advance
            raise KeyboardInterrupt
        advance()

    half.advance = stop_at_30
    monkeypatch.setattr("gclip_lessons.watching.display", lambda panel: None)
    assert watch(half).step == 30
    half.finish()
    np.testing.assert_allclose(half.loss[:, 0], whole.loss[:, 3], rtol=1e-9)
    np.testing.assert_allclose(half.loss[:, 1], whole.loss[:, 1], rtol=1e-9)


# ---- temporal order


def test_sequences_hold_two_letters_in_their_places_and_the_class_names_them():
    symbols, classes = experiments.sequences(np.random.default_rng(5), (3,), 400)
    assert symbols.shape == (3, 20, 400)
    for batch, example in np.ndindex(3, 400):
        read = symbols[batch, :, example].tolist()
        letters = [(place, symbol) for place, symbol in enumerate(read) if symbol < 2]
        [(early, first), (late, second)] = letters
        assert early in range(4)
        assert late in range(10, 14)
        assert classes[batch, example] == 2 * first + second
    assert np.bincount(classes.ravel(), minlength=4) / 1200 == pytest.approx(0.25, abs=0.05)
    assert np.mean(symbols == 2) == pytest.approx(0.45, abs=0.02)
    for places in (range(4), range(10, 14)):
        counts = [np.sum(symbols[:, place] < 2) for place in places]
        assert np.array(counts) / 1200 == pytest.approx(0.25, abs=0.05)


def test_the_start_is_that_of_the_published_setting():
    task = experiments.temporal_order(range(8), 1)
    w, u, b, v, a = (task.start[:, block] for block in task.model.blocks)
    radii = [np.abs(np.linalg.eigvals(one.reshape(20, 20))).max() for one in w]
    assert radii == pytest.approx([1.2] * 8)
    assert u.std() == pytest.approx(0.5, rel=0.1)
    assert v.std() == pytest.approx(0.3, rel=0.1)
    assert not b.any()
    assert not a.any()
    assert task.fresh[0].shape == (20, 8, 500)


def test_accuracy_is_the_share_of_right_answers():
    task = experiments.temporal_order((3, 5), 1)
    shares = experiments.order_accuracy(task, task.start[None])
    for seed in range(2):
        right = 0
        w, u, b, v, a = (task.start[seed, block] for block in task.model.blocks)
        for read, kind in zip(task.fresh[0][:, seed].T, task.fresh[1][seed], strict=True):
            h = np.zeros(20)
            for symbol in read:
                h = np.tanh(h @ w.reshape(20, 20) + u.reshape(4, 20)[symbol] + b)
            right += np.argmax(h @ v.reshape(20, 4) + a) == kind
        assert shares[0, seed] == pytest.approx(right / 500)


def solved(rate, hundreds=30):
    """Of the fifty seeds measured, by threshold and, last, unclipped."""
    at = experiments.RATES["order"].index(rate)
    return (experiments.record()["order"][at, hundreds] > 0.95).sum(-1).tolist()


def test_none_of_twenty_becomes_all_of_twenty():
    result = lesson.measured(lesson.OrderState())
    assert (result.raw_solved, result.count) == (0, 20)
    assert lesson.PREDICTIONS["twenty"].truth() == 20
    assert result.accuracy["raw"].shape == (31, 20)
    unclipped = experiments.record()["order"][3, :, -1]
    assert unclipped.max() < 0.6  # at chance throughout, not slowly rising


@pytest.mark.parametrize(("seeds", "rate"), [((7, 33), 0.3), ((12,), 1.0)])
def test_the_record_of_temporal_order_is_what_training_gives_now(seeds, rate):
    thresholds = (0.1, 1.0, 10.0, np.inf) if rate == 0.3 else (0.1, 1.0)
    now = experiments.measure_order(seeds, rate, thresholds, 1500)
    columns = [(*experiments.THRESHOLDS, np.inf).index(c) for c in thresholds]
    then = experiments.record()["order"][experiments.RATES["order"].index(rate)][:16, columns][:, :, list(seeds)]
    np.testing.assert_array_equal(now[-1] > 0.95, then[-1] > 0.95)
    np.testing.assert_allclose(now[0], then[0], atol=1e-4)  # before the first step nothing is chaotic yet
    np.testing.assert_allclose(now[-1], then[-1], atol=0.35)


def test_the_record_of_the_slow_control_is_what_training_gives_now():
    now = experiments.measure_order((0, 49), 0.01, (1.0, np.inf), 1000)
    then = experiments.record()["order"][0][:11, [4, -1]][:, :, [0, 49]]
    assert np.mean(np.abs(now - then) < 0.05) > 0.9


def test_the_map_is_alike_along_equal_products():
    """ηc is nearly the same along a diagonal of the table; the counts are those that the lesson reads."""
    found = {}
    for k, rate in enumerate(experiments.RATES["order"]):
        for j, count in enumerate(solved(rate)[:-1]):
            found.setdefault(k + j, []).append(count)
            assert math.log10(rate * experiments.THRESHOLDS[j]) == pytest.approx((k + j) / 2 - 4, abs=0.06)
    spans = {diagonal: (min(counts), max(counts)) for diagonal, counts in found.items()}
    assert spans[3] == (20, 23)
    assert spans[4] == (43, 46)
    assert spans[5] == (47, 50)
    assert spans[6] == (47, 50)
    assert spans[7] == (48, 49)
    assert max(spans[d][1] for d in (8, 9, 10)) == 4
    assert [solved(rate)[-1] for rate in experiments.RATES["order"]] == [43, 30, 2, 0, 0]


def test_the_slow_control_is_the_same_either_way():
    kept = experiments.record()["order"][0, -1][[-1, 4]] > 0.95
    assert kept.sum(-1).tolist() == [43, 43]
    assert kept[:, :10].sum(-1).tolist() == [9, 8]
    assert (kept[0] != kept[1]).sum() == 10
    assert lesson.wilson(43, 50) == pytest.approx((0.74, 0.93), abs=0.005)


def test_solved_seeds_are_counted_at_the_step_of_the_state():
    kept = experiments.record()["order"]
    for hundreds in (0, 4, 15, 30):
        for k, rate in enumerate(experiments.RATES["order"]):
            result = lesson.measured(lesson.OrderState(learning_rate=f"{rate:g}", hundreds=hundreds, max_norm=0.1))
            counts = [sum(kept[k, hundreds, c, seed] > 0.95 for seed in range(20)) for c in range(8)]
            assert result.solved.tolist() == counts[:-1]
            assert (result.raw_solved, result.count) == (counts[-1], counts[2])
            sentence = lesson.read_order(result)
            assert f"After {100 * hundreds} steps at η = {rate:g}, {counts[-1]} of 20" in sentence
            assert f"and {counts[2]} of 20 clipped at c = 0.1" in sentence
            mean = [kept[k, hundreds, c, :20].mean() for c in (-1, 2)]
            assert sentence.endswith(f"the mean accuracy is {mean[0]:.2f} and {mean[1]:.2f}.")


def test_a_threshold_between_the_measured_ones_says_which_is_shown():
    result = lesson.measured(lesson.OrderState(max_norm=0.7))
    assert result.threshold == 1.0
    assert "clipped at c = 1 (measured nearest to your 0.7)" in lesson.read_order(result)
    assert "nearest" not in lesson.read_order(lesson.measured(lesson.OrderState()))


def test_the_line_of_the_order_picture_stands_at_its_step():
    drawing = lesson.ORDER.figure(lesson.measured(lesson.OrderState(hundreds=7)))
    assert drawing.data("step")[:, 0].tolist() == [700, 700]


def test_the_mouse_moves_step_and_threshold_of_the_order():
    state = lesson.hold_order(lesson.OrderState(), "accuracy", 1234.0, 0.5)
    assert state.hundreds == 12
    assert lesson.hold_order(state, "solved", 0.12, 5.0).max_norm == 0.1


@pytest.mark.parametrize(("successes", "of"), [(0, 20), (43, 50), (20, 20), (7, 10)])
def test_wilsons_interval_is_where_the_normal_test_turns(successes, of):
    for edge in lesson.wilson(successes, of):
        assert abs(successes / of - edge) == pytest.approx(1.96 * math.sqrt(max(0, edge * (1 - edge)) / of), abs=1e-9)


# ---- two classes, and every rate


def test_quadrants_are_labelled_by_their_signs_and_flipped_as_often_as_asked():
    x, y = experiments.quadrants(np.random.default_rng(1), 5000)
    assert all(label == (1 if a * b > 0 else -1) for (a, b), label in zip(x, y, strict=True))
    x, y = experiments.quadrants(np.random.default_rng(2), 5000, 0.15)
    assert np.mean((x[:, 0] * x[:, 1] > 0) != (y > 0)) == pytest.approx(0.15, abs=0.02)


def test_a_clip_that_never_acts_changes_nothing_to_the_last_bit():
    task = experiments.two_classes(range(8), 1000, points=400, examples=20)
    run = task.train(0.3, np.array([np.inf, 10.0, 1.0, 0.1]), 1000).finish()
    norms = run.grad_norm
    assert norms[:, 0].max() == pytest.approx(1.6, abs=0.05)
    np.testing.assert_array_equal(run.params[0], run.params[1])
    assert not np.array_equal(run.params[0], run.params[2])
    assert np.mean(norms[:, 2] > 1) == pytest.approx(0.007, abs=0.0005)
    assert np.mean(norms[:, 3] > 0.1) == pytest.approx(0.992, abs=0.0005)
    accuracy = experiments.class_accuracy(task, run.params).mean(-1)
    assert accuracy == pytest.approx([0.962, 0.962, 0.962, 0.951], abs=0.0006)


@pytest.mark.parametrize(("seed", "rate"), [(4, 3.0), (9, 1.0)])
def test_the_record_of_the_characters_is_what_training_gives_now(seed, rate):
    limits = (0.01, 0.1, 0.316)
    now = experiments.measure_characters((seed,), rate, limits)[:, 0]
    columns = [experiments.THRESHOLDS.index(c) for c in limits]
    then = experiments.record()["characters"][experiments.RATES["characters"].index(rate)][columns, seed]
    np.testing.assert_allclose(now, then, atol=2e-4)


def test_the_record_of_the_classes_is_what_training_gives_now():
    now = experiments.measure_classes((5, 17), 0.3, (0.1, 1.0, np.inf))
    then = experiments.record()["classes"][2][[2, 4, 7]][:, [5, 17]]
    np.testing.assert_allclose(now, then, atol=2e-3)


def test_the_record_is_whole_and_read_only():
    shapes = {name: values.shape for name, values in experiments.record().items()}
    assert shapes == {
        "characters": (7, 8, 10),
        "order": (5, 31, 8, 50),
        "classes": (6, 8, 20),
        "overfit_loss": (81, 7, 24),
        "overfit_accuracy": (81, 7, 24),
    }
    for values in experiments.record().values():
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0


def test_the_tool_writes_what_the_lesson_reads(monkeypatch, tmp_path, capsys):
    shapes = {"characters": (8, 10), "order": (31, 8, 50), "classes": (8, 20)}
    for name, shape in shapes.items():
        monkeypatch.setattr(experiments, f"measure_{name}", lambda seeds, rate, *_, shape=shape: np.full(shape, rate))
    monkeypatch.setattr(experiments, "measure_overfitting", lambda seeds: (np.zeros((81, 7, 24)), np.ones((81, 7, 24))))
    record10.main(tmp_path / "record.npz")
    with np.load(tmp_path / "record.npz") as file:
        assert {name: file[name].shape for name in file.files} == {
            name: values.shape for name, values in experiments.record().items()
        }
        for name in shapes:
            assert file[name].reshape(file[name].shape[0], -1)[:, 0] == pytest.approx(experiments.RATES[name])
        assert (file["overfit_loss"].max(), file["overfit_accuracy"].min()) == (0, 1)
    assert "record.npz" in capsys.readouterr().out


def test_the_seeds_of_the_hook_are_in_the_record_too():
    """What the hook trains now was measured beforehand as well, as one of many settings."""
    then = experiments.record()["characters"][experiments.RATES["characters"].index(5.0)]
    for c in (0.01, 0.1):
        np.testing.assert_allclose(last((5.0, c)), then[experiments.THRESHOLDS.index(c), :3], atol=2e-4)


def test_what_is_reached_is_read_from_the_record():
    kept = experiments.record()
    result = lesson.at_every_rate(lesson.RatesState(max_norm=3.16))
    for k in range(6):
        values = sorted(kept["classes"][k, 5].tolist())
        found = result.reached["classes"]["clipped"]
        assert found.middle[k] == pytest.approx((values[9] + values[10]) / 2)
        assert (found.lowest[k], found.highest[k]) == (values[0], values[-1])
    by_rate = [solved(rate, 15) for rate in experiments.RATES["order"]]
    assert result.reached["order"]["raw"].middle.tolist() == [counts[-1] for counts in by_rate]
    assert result.reached["order"]["clipped"].middle.tolist() == [counts[5] for counts in by_rate]
    assert result.threshold == 3.16
    assert "measured nearest to 3" in lesson.read_rates(lesson.at_every_rate(lesson.RatesState(max_norm=3.0)))


@pytest.mark.parametrize("c", experiments.THRESHOLDS)
def test_the_sentence_of_the_rates_names_the_best_of_each(c):
    result = lesson.at_every_rate(lesson.RatesState(max_norm=c))
    sentence = lesson.read_rates(result)
    for task, word, best in (("characters", "loss", min), ("order", "solved", max), ("classes", "accuracy", max)):
        for name, words in (("raw", "unclipped"), ("clipped", "clipped")):
            middle = result.reached[task][name].middle.tolist()
            rate = result.rates[task][middle.index(best(middle))]
            assert f"{best(middle):.3g} {words} (η = {rate:g})" in sentence
        assert word in sentence


def test_the_best_is_chosen_by_one_half_and_judged_by_the_other():
    for task in ("characters", "order", "longer", "classes"):
        rates = experiments.RATES["order" if task == "longer" else task]
        scores = lesson.reached_by_seed()[task] * (-1 if task == "characters" else 1)
        half = scores.shape[-1] // 2
        means = {(r, c): sum(scores[r, c, :half].tolist()) / half for r in range(scores.shape[0]) for c in range(8)}
        raw = max((r for r, c in means if c == 7), key=lambda r: means[r, 7])
        rate, column = max(((r, c) for r, c in means if c < 7), key=means.get)
        best = lesson.best_of(task)
        assert means[rates.index(best.rate), 7] == pytest.approx(means[raw, 7])
        at = rates.index(best.clipped_rate), experiments.THRESHOLDS.index(best.threshold)
        assert means[at] == pytest.approx(means[rate, column])
        np.testing.assert_array_equal(best.unclipped, scores[raw, 7, half:])
        gains = (scores[at][half:] - scores[raw, 7, half:]).tolist()
        mean = sum(gains) / len(gains)
        deviation = math.sqrt(sum((g - mean) ** 2 for g in gains) / (len(gains) - 1))
        assert best.gain == pytest.approx((mean, 2 * deviation / math.sqrt(len(gains))))


def test_clipping_widens_the_range_and_gains_where_the_task_is_hard():
    gain, margin = lesson.best_of("characters").gain
    assert 0.02 < gain < 0.08
    assert gain > 2 * margin  # small, and not chance
    gain, margin = lesson.best_of("order").gain
    assert gain > 0.2
    assert gain > margin > 0
    gain, margin = lesson.best_of("longer").gain
    assert 0 < gain < margin < 0.2  # which 25 seeds cannot tell from nothing
    gain, margin = lesson.best_of("classes").gain
    assert abs(gain) < 0.002


def test_the_seeds_that_judge_take_no_part_in_the_choice(monkeypatch):
    """Scores for which the first half, the second half and all seeds would each choose another rate and threshold."""
    scores = np.zeros((6, 8, 4))
    scores[0, 7], scores[1, 7], scores[2, 7] = [0.5, 0.5, 0.1, 0.2], [0, 0, 0.9, 0.9], [0.4, 0.4, 0.8, 0.8]
    scores[3, 2], scores[4, 3], scores[5, 4] = [0.9, 0.9, 0.3, 0.1], [0, 0, 1, 1], [0.8, 0.8, 0.9, 0.9]
    monkeypatch.setattr(lesson, "reached_by_seed", lambda: {"classes": scores})
    best = lesson.best_of("classes")
    rates = experiments.RATES["classes"]
    assert (best.rate, best.clipped_rate, best.threshold) == (rates[0], rates[3], experiments.THRESHOLDS[2])
    assert best.gain[0] == pytest.approx((0.3 - 0.1 + 0.1 - 0.2) / 2)


def test_more_learning_rates_work_with_a_clip_than_without():
    counts = {task: works(lesson.reached_by_seed()[task]).sum(0).tolist() for task, (_, works) in lesson.WORKS.items()}
    kept = experiments.record()
    for rate in range(7):
        for c in range(8):
            middle = np.sort(kept["characters"][rate, c])[4:6].mean()
            assert (middle < 2) == lesson.WORKS["characters"][1](kept["characters"])[rate, c]
    assert counts["order"] == [sum(solved(rate, 15)[c] >= 45 for rate in experiments.RATES["order"]) for c in range(8)]
    assert {task: (max(row[:-1]), row[-1]) for task, row in counts.items()} == {
        "characters": (4, 2),
        "order": (3, 0),
        "classes": (4, 3),
    }


# ---- predictions


def test_the_predictions_come_out_as_the_lesson_says():
    truths = {name: prediction.truth() for name, prediction in lesson.PREDICTIONS.items()}
    assert truths == {"one": "lost", "twenty": 20, "gain": "little", "overfitting": "shrinks"}


# ---- overfitting


def test_the_accuracy_at_a_level_is_that_of_the_first_time():
    loss = np.array([[0.6, 0.5, 0.2], [0.4, 0.6, 0.4], [0.2, 0.45, 0.5], [0.5, 0.41, 0.1]])
    accuracy = np.arange(12.0).reshape(4, 3)
    values, there = trips.at_level(loss, accuracy, 0.4)
    assert there.tolist() == [True, False, True]
    assert values[there].tolist() == [3.0, 2.0]
    for seed in (0, 2):
        assert lesson.at_equal_loss(loss[:, seed], accuracy[:, seed], 0.4) == values[seed]
    assert math.isnan(lesson.at_equal_loss(loss[:, 1], accuracy[:, 1], 0.4))


@pytest.mark.parametrize(("c", "level"), [(0.1, 0.3), (0.316, 0.25), (0.0316, 0.35)])
def test_the_comparison_by_a_plain_loop_over_seeds(c, level):
    kept, column = experiments.record(), 2 + (0.01, 0.0316, 0.1, 0.316, 1.0).index(c)
    result = trips.compare(trips.OverfittingState(max_norm=c, level=level))
    for name, other in (("raw", 0), ("gentle", 1)):
        ahead = []
        for seed in range(24):
            found = []
            for setting in (other, column):
                losses = kept["overfit_loss"][:, setting, seed].tolist()
                first = next((k for k, loss in enumerate(losses) if loss <= level), None)
                found.append(None if first is None else kept["overfit_accuracy"][first, setting, seed])
            if None not in found:
                ahead.append(found[1] - found[0])
        here = result.here[name]
        assert here.seeds == len(ahead)
        assert here.mean == pytest.approx(np.mean(ahead))
        assert here.margin == pytest.approx(2 * np.std(ahead, ddof=1) / math.sqrt(len(ahead)))
        at = kept["overfit_accuracy"][result.at]
        assert result.ahead[name].mean == pytest.approx(float(np.mean(at[column] - at[other])))
    assert experiments.OVERFIT_STEPS[result.at] == pytest.approx(4000, rel=0.04)


def test_tight_clipping_is_ahead_at_equal_steps_and_hardly_at_equal_loss():
    result = trips.compare(trips.OverfittingState())
    assert result.ahead["raw"].mean > 0.02
    assert result.ahead["raw"].mean > result.ahead["raw"].margin
    assert result.here["raw"].mean < 0.4 * result.ahead["raw"].mean
    assert abs(result.here["gentle"].mean) < 0.01
    unclipped = result.accuracy["raw"]
    assert unclipped.max() > unclipped[-1] + 0.02  # it overfits
    usual = trips.compare(trips.OverfittingState(max_norm=1.0))
    assert abs(usual.ahead["raw"].mean) < 0.005


def test_the_record_of_the_side_trip_is_what_training_gives_now():
    loss, accuracy = experiments.measure_overfitting((2,))
    kept = experiments.record()
    np.testing.assert_allclose(loss[..., 0], kept["overfit_loss"][..., 2], atol=2e-3)
    np.testing.assert_allclose(accuracy[..., 0], kept["overfit_accuracy"][..., 2], atol=4e-3)


def test_where_too_few_seeds_come_so_low_nothing_is_compared():
    result = trips.compare(trips.OverfittingState(max_norm=0.01, level=0.15))
    assert "too few seeds" in trips.read_overfitting(result)
    assert trips.signed(result.here["raw"]) == "–"


def test_the_sentence_of_the_side_trip_reads_the_differences():
    result = trips.compare(trips.OverfittingState(steps=1000.0, level=0.35))
    sentence = trips.read_overfitting(result)
    number = r"[+−][\d.]+ ± [\d.]+"
    found = re.fullmatch(
        r"Clipped at c = 0.1 minus unclipped, both at η = 0.3, in points of accuracy ± two standard errors: "
        rf"({number}) after (\d+) steps, ({number}) where both have a training loss of 0.35 \((\d+) seeds\). "
        rf"Minus unclipped at η = 0.05: ({number}) there.",
        sentence,
    )
    steps, there, seeds, gentle = found.group(1), found.group(3), int(found.group(4)), found.group(5)
    for said, difference in (
        (steps, result.ahead["raw"]),
        (there, result.here["raw"]),
        (gentle, result.here["gentle"]),
    ):
        mean, margin = (float(part) for part in said.replace("−", "-").split(" ± "))
        assert mean == pytest.approx(100 * difference.mean, abs=0.051)
        assert margin == pytest.approx(100 * difference.margin, abs=0.051)
    assert seeds == result.here["raw"].seeds
    assert int(found.group(2)) in experiments.OVERFIT_STEPS


def test_the_lines_of_the_side_trip_stand_where_they_should():
    result = trips.compare(trips.OverfittingState(steps=500.0, level=0.2))
    drawing = trips.OVERFITTING.figure(result)
    assert drawing.data("step")[:, 0].tolist() == [experiments.OVERFIT_STEPS[result.at]] * 2
    assert drawing.data("level")[:, 0].tolist() == [0.2, 0.2]
    assert drawing.data("equal steps")[:, 1] == pytest.approx([100 * result.ahead["raw"].mean] * 2)


def test_the_mouse_moves_steps_and_level_of_the_side_trip():
    state = trips.hold_overfitting(trips.OverfittingState(), "steps", 333.0, 0.7)
    stops = controls_of(trips.OverfittingState)["steps"].values
    assert state.steps == min(stops, key=lambda stop: abs(math.log(stop / 333)))
    assert trips.hold_overfitting(state, "matched", 0.2, 1.0).level == 0.2


# ---- a training of one's own


def test_a_training_of_ones_own_tells_of_the_steps_that_are_done():
    run = trips.own_training(5.0, 0.1, 1, 60)
    assert trips.own_training(5.0, 0.1, 1, 60) is run  # taken up again, not begun anew
    assert trips.tell(run, 0.1) == "Not a single step is done."
    for _ in range(35):
        run.advance()
    said = trips.tell(run, 0.1, 100).split("\n")
    losses, norms = run.loss[:35, 0, 0], run.grad_norm[:35, 0, 0]
    assert said[0].startswith(f"35 of 60 steps; loss {losses.mean():.2f} at first, {losses.mean():.2f} at the end")
    assert said[1] == f"norms: median {np.median(norms):.2g}, largest {norms.max():.2g}; steps clipped: 100%"
    assert 90 < len("".join(said[2:])) <= 100
    assert all(len(line) <= 80 for line in said[2:])
    assert 0.2 < np.mean(norms > 0.55) < 0.8
    assert f"steps clipped: {100 * np.mean(norms > 0.55):.0f}%" in trips.tell(run, 0.55)
    run.finish()
    assert trips.tell(run, 0.1).startswith("60 of 60 steps")


def test_the_training_of_the_notebook_does_not_hang_on_the_last_digits():
    run = trips.own_training(10.0, 0.1)
    task = experiments.characters((0,), 1000)
    nudge = 1 + 1e-14 * np.random.default_rng(5).normal(size=task.start.shape)
    other = experiments.Task(task.model, task.start * nudge).train(10.0, 0.1, 1000)
    assert trips.tell(run.finish(), 0.1) == trips.tell(other.finish(), 0.1)
    assert f"{run.loss[-50:].mean():.2f} at the end" in trips.tell(run, 0.1)


# ---- exercises


def test_one_step_back_is_what_differences_say():
    rng = np.random.default_rng(6)
    before, weights, delta = rng.normal(size=4), rng.normal(size=(4, 3)), rng.normal(size=3)

    def pull(before):
        return np.tanh(before @ weights) @ delta

    differences = [(pull(before + h) - pull(before - h)) / 2e-6 for h in 1e-6 * np.eye(4)]
    assert lesson.one_step_back(delta, np.tanh(before @ weights), weights) == pytest.approx(differences, abs=1e-8)


def test_the_fair_comparison_is_the_one_of_the_table():
    scores = lesson.reached_by_seed()["classes"]
    best = lesson.best_of("classes")
    column = experiments.THRESHOLDS.index(best.threshold)
    assert lesson.gain(scores[:, column], scores[:, -1]) == pytest.approx(best.gain[0], abs=1e-12)


@pytest.mark.parametrize("demo", ["characters", "order", "rates", "overfitting"])
def test_sentences_at_the_ends_are_whole(demo):
    explorer = explore(lesson.LESSON.demos[demo])
    for name, setting in controls_of(explorer.demo.state).items():
        before = getattr(explorer.state, name)
        for value in (setting.low, setting.high):
            explorer.set(**{name: value})
            assert not re.search(r"nan|inf\b|\.\.|  |\de[-+]?\d", explorer.sentence), explorer.sentence
        explorer.set(**{name: before})


def test_presets_ask_what_their_pictures_can_answer():
    """The words of the lesson about its presets."""
    by_preset = {name: lesson.measured(preset.state) for name, preset in lesson.ORDER.presets.items()}
    assert by_preset["c = 10"].count == 0
    assert by_preset["c = 0.1"].count >= 17
    assert by_preset["η = 1"].count == 0
    assert by_preset["η = 1"].solved.max() == 20
    assert abs(by_preset["a small η"].count - by_preset["a small η"].raw_solved) <= 2
    assert all(a <= b for a, b in pairwise(by_preset["c = 10"].solved[:4]))
