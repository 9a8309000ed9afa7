"""The claims of lesson 03, each by a second way of computing it."""

import math

import numpy as np
import pytest
from pictures import LOST, against, counted

from gclip_lessons.clipping import ClipByGlobalNorm, ClipByNorm, clip_by_global_norm, clip_by_norm, clip_by_value
from gclip_lessons.diagnosis import diagnose
from gclip_lessons.lessons import lesson03 as lesson
from gclip_lessons.models import TwoLayer
from gclip_lessons.training import angle_between

# What each picture shows of a result, by the names of what moves.
DRAWN = {
    "ball": lambda r: {
        "raw": r.grad[None],
        "clipped": r.clipped[None],
        "at": against([r.norm], [r.clipped_norm]),
    },
    "tensors": lambda r: {
        "raw": r.norms[None],
        "global": r.together[None],
        "per tensor": r.each[None],
        "turns": against(r.thresholds, r.turns),
        "at": against([r.state.max_norm], [r.turn]),
    },
    "training": lambda r: (
        {name: against(r.x, curve) for name, curve in zip(("raw", "global", "per tensor"), r.curves, strict=True)}
        | {f"loss {name}": counted(loss) for name, loss in zip(("raw", "global", "per tensor"), r.losses, strict=True)}
        | LOST
    ),
}


def degrees_between(a, b):
    """By the cosine, entry by entry: no code of the package."""
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    lengths = math.hypot(*a) * math.hypot(*b)
    return math.degrees(math.acos(max(-1.0, min(1.0, dot / lengths))))


def test_the_table_of_the_lesson():
    grad = np.array([3.0, 4.0, 12.0])
    each = clip_by_norm(grad, 1.0, blocks=(slice(0, 2), slice(2, 3)))
    np.testing.assert_allclose(each, [0.6, 0.8, 1.0])
    assert math.hypot(*each) == pytest.approx(math.sqrt(2))
    assert degrees_between(grad, each) == pytest.approx(22.4, abs=0.05)
    assert degrees_between(grad, clip_by_value(grad, 1.0)) == pytest.approx(32.5, abs=0.05)
    np.testing.assert_allclose(clip_by_global_norm(grad, 1.0), grad / 13)
    assert math.hypot(*clip_by_global_norm(grad, 1.0, ord=1)) == pytest.approx(13 / 19)
    assert math.hypot(*clip_by_global_norm(grad, 1.0, ord=np.inf)) == pytest.approx(13 / 12)


@pytest.mark.parametrize("p", ["1", "2", "4", "∞"])
@pytest.mark.parametrize("smooth", [False, True])
def test_one_norm_never_turns_the_arrow(p, smooth):
    result = lesson.clip_one(lesson.BallState(g1=-5.5, g2=0.4, max_norm=0.7, p=p, smooth=smooth))
    assert degrees_between(result.grad, result.clipped) == pytest.approx(0, abs=1e-5)
    assert result.clipped_norm <= 0.7 + 1e-12


def test_per_tensor_clipping_is_a_clamp_in_the_plane_of_norms():
    for norm1, norm2, c in [(3.0, 12.0, 2.0), (1.0, 10.0, 2.0), (8.0, 8.0, 2.0), (0.5, 0.2, 2.0)]:
        result = lesson.clip_two(lesson.TensorsState(norm1=norm1, norm2=norm2, max_norm=c))
        clamped = (min(norm1, c), min(norm2, c))
        np.testing.assert_allclose(result.each, clamped)
        assert result.turn == pytest.approx(degrees_between((norm1, norm2), clamped), abs=1e-5)
        assert degrees_between((norm1, norm2), result.together) == pytest.approx(0, abs=1e-5)


def test_the_turn_comes_close_to_its_bound_and_never_reaches_it():
    """With K tensors the whole turns by less than arccos(1/√K): one long tensor, the others just at c."""
    for k in (2, 4, 9):
        grad = np.array([1e6] + [1.0] * (k - 1))
        clipped = clip_by_norm(grad, 1.0, blocks=tuple(slice(i, i + 1) for i in range(k)))
        bound = math.degrees(math.acos(1 / math.sqrt(k)))
        assert bound - 1e-3 < degrees_between(grad, clipped) < bound


def test_smooth_clipping_is_between_half_the_hard_clip_and_the_hard_clip():
    for n in (0.01, 1.0, 2.0, 50.0):
        state = lesson.BallState(g1=min(n, 6.0), g2=0.0, max_norm=2.0, smooth=True)
        result = lesson.clip_one(state)
        hard = min(result.norm, 2.0)
        assert hard / 2 - 1e-12 <= result.clipped_norm <= hard


def test_predictions_come_out_as_the_texts_say():
    assert lesson.PREDICTIONS["turn"].truth() == "each"
    assert lesson.PREDICTIONS["shards"].truth() == pytest.approx(math.hypot(1, 1, 1))


def plain_run(model, start, rate, clip, n_steps):
    """Gradient descent in a few lines, without `train`."""
    theta = start.copy()
    for _ in range(n_steps):
        theta = theta - rate * clip(model.loss_and_grad(theta)[1])
    return float(model.loss_and_grad(theta)[0])


def test_the_network_on_prices():
    model = lesson.network()
    assert isinstance(model, TwoLayer)
    assert len(model.blocks) == 4
    start = model.init(np.random.default_rng(3))
    printed = {
        ("1", 0.01): (0.107, 0.084),
        ("1", 0.1): (0.077, 0.103),
        ("1", 0.5): (0.082, 0.079),
        ("0.3", 0.01): (0.908, 0.436),
        ("0.3", 0.02): (0.148, 0.100),
        ("0.3", 0.5): (0.085, 0.082),
    }
    for (rate, c), (whole, each) in printed.items():
        result = lesson.train_three(lesson.TrainingState(learning_rate=rate, max_norm=c))
        assert result.losses[1][-1] == pytest.approx(whole, abs=6e-4)
        assert result.losses[2][-1] == pytest.approx(each, abs=6e-4)
        by_hand = plain_run(model, start, float(rate), ClipByGlobalNorm(c), lesson.N_STEPS)
        assert by_hand == pytest.approx(result.losses[1][-1], rel=1e-6)
        assert result.turns[0] == pytest.approx(0, abs=1e-4)
        assert 10 < result.turns[1] < 60
    assert plain_run(model, start, 0.3, ClipByNorm(0.01, model.blocks), 200) == pytest.approx(0.436, abs=6e-4)


def test_without_clipping_the_network_explodes_at_1_and_learns_at_point_3():
    exploded = lesson.train_three(lesson.TrainingState(learning_rate="1")).losses[0]
    assert not exploded[-1] < 1e4
    learned = lesson.train_three(lesson.TrainingState(learning_rate="0.3")).losses[0]
    assert learned[-1] == pytest.approx(0.087, abs=1e-3)


def test_too_large_a_threshold_clips_and_does_not_help():
    run = lesson.run_of("global", lesson.TrainingState(learning_rate="1", max_norm=10.0))
    assert run.clipped.mean() > 0.5
    assert run.loss[-1] > run.loss[0]


@pytest.mark.parametrize(("rate", "c"), [("1", 10.0), ("2", 10.0), ("2", 2.0)])
def test_above_its_start_a_loss_is_not_told_in_digits(rate, c):
    result = lesson.train_three(lesson.TrainingState(learning_rate=rate, max_norm=c))
    assert all(not losses[-1] <= losses[0] for losses in result.losses)
    sentence = lesson.read_training(result)
    assert sentence.count("above its start") == 3
    at_the_start = lesson.read_training(
        lesson.train_three(lesson.TrainingState(learning_rate=rate, max_norm=c, step=0))
    )
    assert at_the_start.count("2.73") == 3


def test_a_typed_threshold_is_trained_exactly():
    typed = lesson.train_three(lesson.TrainingState(max_norm=0.123456))
    model = lesson.network()
    clipper = ClipByGlobalNorm(0.123456)
    by_hand = plain_run(model, model.init(np.random.default_rng(3)), 1.0, clipper, lesson.N_STEPS)
    assert typed.losses[1][-1] == pytest.approx(by_hand, rel=1e-6)


def turn_by_arccos(norm1, norm2, max_norm):
    before, after = np.array([norm1, norm2]), np.minimum([norm1, norm2], max_norm)
    cosine = before @ after / (np.linalg.norm(before) * np.linalg.norm(after))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


RIGHT = {
    "clip_to_norm": [
        lambda grad, max_norm: grad * max_norm / max(max_norm, np.linalg.norm(grad)),
        lambda grad, max_norm: grad / max(1.0, math.hypot(*grad) / max_norm),
        lambda grad, max_norm: grad * min(1.0, max_norm / (np.sqrt(grad @ grad) + 1e-6)),
        clip_by_global_norm,
    ],
    "total_norm": [
        lambda shard_norms: np.linalg.norm(shard_norms),
        lambda shard_norms: math.hypot(*shard_norms),
        lambda shard_norms: (shard_norms @ shard_norms) ** 0.5,
    ],
    "turn_per_tensor": [
        turn_by_arccos,
        lambda norm1, norm2, max_norm: degrees_between((norm1, norm2), (min(norm1, max_norm), min(norm2, max_norm))),
        lambda norm1, norm2, max_norm: angle_between(np.array([norm1, norm2]), np.minimum([norm1, norm2], max_norm)),
    ],
}


@pytest.mark.parametrize("name", RIGHT)
def test_other_right_answers_pass(name):
    for answer in RIGHT[name]:
        report = diagnose(lesson.EXERCISES[name], answer)
        assert report.passed, report


def test_a_fraction_of_norms_fails_where_layer_1_has_no_gradient():
    def answer(norm1, norm2, max_norm):
        return math.degrees(abs(math.atan(norm2 / norm1) - math.atan(min(norm2, max_norm) / min(norm1, max_norm))))

    report = diagnose(lesson.EXERCISES["turn_per_tensor"], answer)
    assert not report.passed
    assert "layer 1 has no gradient" in report.detail


def test_adding_for_five_is_not_adding_for_four():
    report = diagnose(lesson.EXERCISES["total_norm"], lambda shard_norms: math.hypot(*shard_norms[:4]))
    assert not report.passed
