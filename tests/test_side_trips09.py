"""Side trips of lesson 09: their claims against closed forms, other libraries and plain loops, and their pictures."""

import itertools
import math
import re

import numpy as np
import pytest
from pictures import against

from gclip_lessons.lessons import controls_of
from gclip_lessons.lessons import side_trips09 as trips
from gclip_lessons.models import DeepNet, check_gradient


def drawn_relatives(r):
    n = r.state.norm
    return {
        "rule": against(r.norms, r.lengths),
        "clip": against(r.norms, r.clip_lengths),
        "raw here": against([n], [n]),
        "here": against([n], [r.length]),
        "update way": against(*np.reshape(r.update / np.hypot(*r.update), (2, 1))),
        "gradient way": against(*np.reshape(r.grad / np.hypot(*r.grad), (2, 1))),
    }


def drawn_sizes(r):
    widths = np.array([8, 16, 32, 64, 128, 256, 512])
    here = [str(w) for w in widths].index(r.state.width)
    return {
        "level": against([100, 1e4, 7e6], r.state.max_norm),
        "each": against(np.repeat(r.params, 10), r.norms.ravel()),
        "medians": against(r.params, r.medians),
        "fourth root": against(r.params, r.medians[0] * (r.params / 152) ** 0.25),
        "square root": against(r.params, r.medians[0] * (r.params / 152) ** 0.5),
        "shares": against(widths, 100 * r.shares),
        "here": against([widths[here]], [100 * r.shares[here]]),
    }


DRAWN = {"relatives": drawn_relatives, "sizes": drawn_sizes}


@pytest.mark.parametrize("name", trips.DEMOS)
def test_every_sentence_is_readable_at_all_ends_together(name):
    demo = trips.DEMOS[name]
    ends = [
        setting.values if setting.kind == "choice" else (setting.low, setting.high)
        for setting in controls_of(demo.state).values()
    ]
    for values in itertools.product(*ends):
        state = demo.state(**dict(zip(controls_of(demo.state), values, strict=True)))
        sentence = demo.caption(demo.compute(state))
        assert not re.search(r"nan|inf\b|None|e[+-]\d|  |-\d|, 1 times as long|−0", sentence), sentence
        assert sentence.endswith(".")


# ---- relatives


def test_the_trust_ratio_is_that_of_optax():
    """What optax 0.2.8 gives for scale_by_trust_ratio(trust_coefficient=0.02)."""
    cases = [
        ([0.003, -0.004], [3.0, 4.0], [0.06, -0.08]),
        ([300.0, 400.0], [0.6, 0.8], [0.012, 0.016]),
        ([0.0, 0.0], [1.0, 2.0], [0.0, 0.0]),
        ([1.0, 2.0], [0.0, 0.0], [1.0, 2.0]),
    ]
    updates, params, wanted = (np.array(column) for column in zip(*cases, strict=True))
    np.testing.assert_allclose(trips.trust_ratio(updates, params, 0.02), wanted, rtol=1e-12)


def test_adafactors_clip_is_that_of_optax():
    """What optax 0.2.8 gives for clip_by_block_rms(1.0)."""
    np.testing.assert_allclose(
        trips.adafactor_clip(np.array([[3.0, -4.0, 0.0], [0.5, 0.5, -0.5]]), 1.0),
        [[1.0392304845413265, -1.3856406460551018, 0.0], [0.5, 0.5, -0.5]],
        rtol=1e-12,
    )


@pytest.mark.parametrize("past", [0.1, 1.0, 7.0])
@pytest.mark.parametrize("grad", [[0.01, 0.02], [3.0, -0.5], [50.0, 40.0]])
def test_adafactor_is_that_of_pytorch_at_step_1000(past, grad):
    torch = pytest.importorskip("torch", reason="torch is not installed: .ci/run installs it")
    param = torch.nn.Parameter(torch.tensor([1.0, 1.0], dtype=torch.float64))
    optimizer = torch.optim.Adafactor([param], lr=1e-3, d=1.5)
    param.grad = torch.zeros(2, dtype=torch.float64)
    optimizer.step()
    before = param.detach().clone()
    state = optimizer.state[param]
    state["step"] = torch.tensor(999.0)
    state["variance"] = torch.full((2,), past**2, dtype=torch.float64)
    param.grad = torch.tensor(grad, dtype=torch.float64)
    optimizer.step()
    rate = 1e-3 * before.norm() / 2**0.5  # PyTorch's step is relative to the size of the weights
    theirs = (before - param.detach()) / rate
    ours = trips.adafactor_clip(trips.precondition(np.array(grad), past), 1.5)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6)


CLOSED = {
    "clipping": lambda n, c, ref: min(n, c),
    "normalised": lambda n, c, ref: c,
    "sign": lambda n, c, ref: c * math.sqrt(2),
    "AGC": lambda n, c, ref: min(n, c * max(ref, 1e-3)),
    "LARS": lambda n, c, ref: c * ref,
}


@pytest.mark.parametrize("rule", CLOSED)
@pytest.mark.parametrize("values", list(itertools.product([0.01, 1.0, 55.0], [0.02, 1.0, 10.0], [0.01, 1.0, 100.0])))
def test_the_lengths_are_their_closed_forms(rule, values):
    n, c, ref = values
    result = trips.relate(trips.RelativesState(rule=rule, norm=n, threshold=c, reference=ref, angle=33.0))
    assert result.length == pytest.approx(CLOSED[rule](n, c, ref))
    assert result.lengths == pytest.approx([CLOSED[rule](at, c, ref) for at in result.norms])
    assert result.turn == pytest.approx(12.0 if rule == "sign" else 0.0, abs=1e-4)


def test_adafactor_looks_at_each_entry_and_at_its_past():
    for n, past, d in itertools.product([0.01, 1.0, 80.0], [0.05, 1.0, 20.0], [0.1, 1.0]):
        state = trips.RelativesState(rule="Adafactor", norm=n, threshold=d, reference=past, angle=20.0)
        g = [n * math.cos(math.radians(20)), n * math.sin(math.radians(20))]
        s = 1000**-0.8
        u = [x / math.sqrt((1 - s) * past**2 + s * x * x) for x in g]
        rms = math.sqrt((u[0] ** 2 + u[1] ** 2) / 2)
        u = [x / max(1.0, rms / d) for x in u]
        result = trips.relate(state)
        assert result.update == pytest.approx(u)
        turn = math.degrees(math.atan2(u[1], u[0])) - 20
        assert result.turn == pytest.approx(turn, abs=1e-5)


def test_only_three_of_the_relatives_enlarge_whatever_is_short():
    short = {rule: trips.relate(trips.RelativesState(rule=rule, norm=0.01)).length / 0.01 for rule in trips.RULES}
    assert {rule for rule, factor in short.items() if factor > 2} == {"normalised", "sign", "LARS"}
    assert short["LARS"] == pytest.approx(100)
    past = trips.relate(trips.RelativesState(rule="Adafactor", norm=0.01, reference=0.01)).length / 0.01
    assert past > 2  # Adafactor enlarges too, where its past was smaller still


def test_the_dotted_line_is_clipping_where_the_rule_has_its_level():
    for rule in trips.RULES:
        state = trips.RelativesState(rule=rule, threshold=0.5, reference=2.0, angle=40.0)
        result = trips.relate(state)
        assert result.lengths.max() == pytest.approx(trips.level(state), rel=1e-9)
        assert result.clip_lengths == pytest.approx(np.minimum(result.norms, trips.level(state)))
    assert trips.level(trips.RelativesState(rule="LARS", threshold=0.5, reference=2.0)) == 1.0


def test_rules_that_enlarge_never_come_to_rest_in_a_bowl():
    steps = {}
    for name, c in {"clipping": 1.0, "normalised": 1.0, "sign": 1.0, "AGC": 0.2, "LARS": 0.2}.items():
        x, m = np.array([[-2.0, 1.5]]), np.array([3.0, 4.0])
        for _ in range(600):
            update = trips.RULES[name](x - m, c, float(np.hypot(*x[0])))
            x = x - 0.1 * update
        steps[name] = 0.1 * float(np.hypot(*update[0]))
    assert steps["clipping"] < 1e-6 > steps["AGC"]
    assert [steps[name] for name in ("normalised", "sign", "LARS")] == pytest.approx([0.1, 0.1414, 0.1], abs=0.004)


def test_ppos_clip_switches_a_gradient_off_and_shortens_none():
    torch = pytest.importorskip("torch", reason="torch is not installed: .ci/run installs it")
    for r, advantage, slope in (
        (0.5, 1000.0, 1000.0),
        (1.1, 1000.0, 1000.0),
        (1.5, 1000.0, 0.0),
        (0.5, -1000.0, 0.0),
        (0.9, -1000.0, -1000.0),
        (1.5, -1000.0, -1000.0),
    ):
        ratio = torch.tensor(r, requires_grad=True)
        torch.minimum(ratio * advantage, torch.clamp(ratio, 0.8, 1.2) * advantage).backward()
        assert ratio.grad.item() == slope


# ---- size


def bare_norm(width, start, rng):
    """Norm and its parts, with nothing of the package: other draws, einsum for every product."""
    x = rng.normal(size=(16, 10))
    y = np.where(x[:, 0] * x[:, 1] > 0, 1.0, -1.0)
    shapes = [(10, width), (width, width), (width, 1)]
    inner = {"1/√fan-in": [s[0] ** -0.5 for s in shapes], "0.3 for all": [0.3] * 3}.get(start, [1.0] * 3)
    outer = [s[0] ** -0.5 for s in shapes] if "outside" in start else [1.0] * 3
    w = [k * rng.normal(size=s) for k, s in zip(inner, shapes, strict=True)]
    h1 = np.tanh(outer[0] * np.einsum("bi,ij->bj", x, w[0]))
    h2 = np.tanh(outer[1] * np.einsum("bi,ij->bj", h1, w[1]))
    d3 = (outer[2] * np.einsum("bi,ij->b", h2, w[2]) - y) / 16
    d2 = outer[2] * d3[:, None] * w[2][:, 0] * (1 - h2**2)
    d1 = outer[1] * np.einsum("bj,ij->bi", d2, w[1]) * (1 - h1**2)
    parts = (
        outer[0] * np.einsum("bi,bj->ij", x, d1),
        outer[1] * np.einsum("bi,bj->ij", h1, d2),
        outer[2] * h2.T @ d3,
    )
    return math.sqrt(sum(float((part**2).sum()) for part in parts))


@pytest.mark.parametrize(
    ("start", "power", "factor"),
    [("1/√fan-in", 0.25, (4, 9)), ("0.3 for all", 0.68, (90, 300)), ("1, and 1/√fan-in outside", 0.0, (0.6, 1.6))],
)
def test_the_power_depends_on_how_weights_are_drawn_and_not_on_their_number(start, power, factor):
    result = trips.grow(trips.SizesState(start=start))
    assert result.power == pytest.approx(power, abs=0.03)
    assert factor[0] < result.medians[-1] / result.medians[0] < factor[1]
    rng = np.random.default_rng(77)
    widths = (8, 16, 32, 64, 128)
    medians = [np.median([bare_norm(width, start, rng) for _ in range(60)]) for width in widths]
    slope = np.polyfit(np.log([11 * w + w * w for w in widths]), np.log(medians), 1)[0]
    # In theory norm ~ √width, and d ~ width² only in the limit: a little more at small widths.
    assert slope == pytest.approx(power, abs=0.07)


def test_the_norm_goes_like_the_root_of_the_width_since_values_do_and_errors_do_not():
    """The argument of the lesson, with the parts of the middle matrix: ‖h‖ ~ √width and ‖δ‖ ~ 1."""
    lengths = {}
    for width in (32, 512):
        rng = np.random.default_rng(width)
        x = rng.normal(size=(200, 10))
        w1, w2, w3 = (rng.normal(size=s) * s[0] ** -0.5 for s in ((10, width), (width, width), (width, 1)))
        h1 = np.tanh(x @ w1)
        h2 = np.tanh(h1 @ w2)
        delta = w3[:, 0] * (1 - h2**2)
        lengths[width] = np.linalg.norm(h1, axis=1).mean(), np.linalg.norm(delta, axis=1).mean()
    assert lengths[512][0] / lengths[32][0] == pytest.approx(4, rel=0.05)
    assert lengths[512][1] / lengths[32][1] == pytest.approx(1, rel=0.25)


def test_the_networks_have_the_gradient_of_their_loss_and_share_their_draws():
    drawn = trips.networks(16, np.random.default_rng(1))
    losses = {}
    for start, (net, weights) in drawn.items():
        assert check_gradient(net, weights, np.random.default_rng(2)) < 1e-6
        losses[start] = float(net.loss_and_grad(weights)[0])
        assert isinstance(net, DeepNet)
    assert losses[trips.NTK] == pytest.approx(losses[trips.FAN_IN])
    assert losses[trips.EQUAL] != pytest.approx(losses[trips.FAN_IN])
    weights = drawn[trips.EQUAL][1]
    assert weights.std() == pytest.approx(0.3, abs=0.03)
    middle = drawn[trips.FAN_IN][1][drawn[trips.FAN_IN][0].blocks[1]]
    assert middle.std() == pytest.approx(0.25, abs=0.03)


def test_shares_and_medians_are_counted():
    for start, c in itertools.product(trips.STARTS, (0.25, 1.0, 5.0)):
        result = trips.grow(trips.SizesState(start=start, max_norm=c))
        assert result.norms.shape == (7, 10)
        for k in range(7):
            assert result.shares[k] == sum(n > c for n in result.norms[k]) / 10
            low, high = sorted(result.norms[k])[4:6]
            assert result.medians[k] == pytest.approx((low + high) / 2)
    usual = trips.grow(trips.SizesState())
    assert (usual.shares[0], usual.shares[-1]) == (0.1, 1.0)
    assert result.params.tolist() == [10 * w + w * w + w for w in trips.WIDTHS]
    assert (result.params[0], result.params[-1], result.params[-1] // result.params[0]) == (152, 267776, 1761)
    assert trips.growth() == pytest.approx(usual.medians[-1] / usual.medians[0])


def test_the_mouse_finds_the_nearest_width():
    state = trips.SizesState()
    for x, width in ((9.0, "8"), (12.0, "16"), (600.0, "512"), (-1.0, "8"), (90.0, "64"), (91.0, "128")):
        assert trips.hold_sizes(state, "shares", x, 0).width == width
    assert trips.hold_sizes(state, "norms", 5.0, 7.0).max_norm == 7.0


def test_the_sentence_says_what_was_enlarged():
    def said(**values):
        return trips.read_relatives(trips.relate(trips.RelativesState(**values)))

    assert "length 1, 100 times as long (enlarged), and turned by 0°" in said(rule="LARS", norm=0.01)
    assert "Clipping, c = 1: a gradient of norm 10 becomes an update of length 1, 0.1 times as long" in said()
    assert "as long as it was" in said(norm=0.5)
    assert "AGC, λ = 0.01, ‖w‖ 100" in said(rule="AGC", threshold=0.01, reference=100.0)
