"""What is read off the trunk, against closed forms and torch on the original module."""

import io
import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from analysis.facts import Flow
from analysis.measure.cotangent import random_cotangent
from analysis.measure.flow import leverage_log10, output_unit
from analysis.measure.passes import measure
from analysis.measure.statistics import Summary, summarize
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import in_float64, prepare
from tests.analysis.measure.builders import chain, measured, subject_of
from tests.analysis.text_models import drawn, written
from tests.gallery import CLASSES, INPUTS, Transformer, export, he, mlp, normal, npz, seeded, vectors, xavier

SEEDS = (0, 1)


def flow_of(model: bytes, batch: bytes | None, **options: object) -> Flow:
    return measured(model, batch, **options).flow


def arrays(batch: bytes) -> tuple[np.ndarray, np.ndarray]:
    found = np.load(io.BytesIO(batch))
    return found["x"], found["target"]


# ------------------------------------------------------------------ decades


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(INPUTS, 24), nn.Linear(24, 12), nn.Linear(12, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.third(torch.tanh(self.second(torch.relu(self.first(x)))))


def test_decades_compare_the_gradient_behind_the_first_weight_with_that_at_the_logits() -> None:
    module = seeded(Perceptron)
    x, target = map(torch.from_numpy, arrays(vectors()))
    first = module.first(x)
    logits = module.third(torch.tanh(module.second(torch.relu(first))))
    far, near = torch.autograd.grad(nn.functional.cross_entropy(logits, target), (first, logits))
    flow = flow_of(export(module, x[:2]), vectors())
    assert flow.decades_norm == pytest.approx(float(torch.log10(far.norm() / near.norm())), abs=1e-5)
    assert flow.decades_rms == pytest.approx(flow.decades_norm - 0.5 * math.log10(24 / CLASSES), abs=1e-5)
    assert flow.decades_per_layer == pytest.approx(flow.decades_rms / 3)
    assert flow.trunk == ("layer-01", "layer-02", "layer-03")
    assert flow.absent == {}


def test_a_gradient_that_dies_on_the_way_is_infinitely_many_decades_down() -> None:
    flow = flow_of(mlp(4, "Relu", he(), bias=-1000.0), vectors())
    assert flow.decades_rms == flow.decades_norm == flow.transport_decades == -math.inf


def test_a_trunk_that_is_too_short_has_no_flow_and_says_why() -> None:
    flow = flow_of(written("(float[N,4] x) => (float[N,3] y)", "y = MatMul(x, W)", W=drawn(4, 3)), None)
    assert flow.decades_rms is None
    assert "fewer than 3 tensors" in flow.absent["decades_rms"]


def test_decades_count_the_outputs_in_what_they_were_made_for_and_not_by_what_is_asked_of_them() -> None:
    x = drawn(64, INPUTS)
    y = drawn(64, 3, seed=1)
    model = mlp(0, "Tanh", xavier(), sizes=[INPUTS, 16, 16, 3])
    one, thousand = (flow_of(model, npz(x=x, target=(unit * y).astype(np.float32))) for unit in (1.0, 1000.0))
    assert thousand.transport_decades == pytest.approx(one.transport_decades, abs=0.1)
    assert thousand.decades_rms == pytest.approx(one.decades_rms, abs=0.3)  # another residual, the same way back
    written_by = {unit: output_unit(subject_of(model, npz(x=x, target=unit * y))) for unit in (1e2, 1e3, 1e6)}
    assert written_by[1e2] == written_by[1e3] == written_by[1e6]


# ------------------------------------------------------------------ leverage


def test_leverage_of_a_linear_layer_on_orthonormal_samples_is_the_norm_of_its_weight() -> None:
    """|G|^2 = sum over samples of |v_b|^2 |x_b|^2 = N there."""
    weight = drawn(16, 5)
    model = written("(float[N,16] x) => (float[N,5] y)", "y = MatMul(x, W)", W=weight)
    x = np.linalg.qr(drawn(16, 16, seed=3))[0].astype(np.float32)
    flow = flow_of(model, npz(x=x, target=np.arange(16) % 5))
    expected = math.log10(np.linalg.norm(weight))
    assert flow.leverage_log10.least == flow.leverage_log10.largest == pytest.approx(expected, abs=1e-5)
    assert [each.least for each in flow.leverage_by_seed] == pytest.approx([expected, expected], abs=1e-5)


def test_several_cotangents_are_taken_together_by_their_mean_square() -> None:
    seen = measured(mlp(4, "Tanh", xavier()), vectors())
    first = [each.least for each in seen.flow.leverage_by_seed]
    singles = [measure(subject_of(mlp(4, "Tanh", xavier()), vectors()), cotangents=(seed,)) for seed in SEEDS]
    for place, stats in enumerate(seen.stats):
        squares = [10 ** (2 * single.stats[place].leverage_log10) for single in singles]
        assert 10 ** (2 * stats.leverage_log10) == pytest.approx(np.mean(squares), rel=1e-4)
    assert first == pytest.approx([min(each.leverage_log10 for each in single.stats) for single in singles], abs=1e-5)


@pytest.mark.parametrize(
    ("gradients", "expected"),
    [
        ([np.full(4, 3.0)], math.log10(10 * 6 / 2)),
        ([np.full(4, 3.0), None], math.log10(10 * 6 / 2)),
        ([np.full(4, 3.0), np.full(4, 0.0)], math.log10(10 * 6 / 2 / math.sqrt(2))),
        ([np.zeros(4)], -math.inf),
        ([None], None),
        ([], None),
    ],
)
def test_leverage_is_weight_times_gradient_over_the_root_of_the_samples(
    gradients: list[np.ndarray | None], expected: float | None
) -> None:
    weight = summarize(torch.full((4,), 5.0))  # norm 10
    seen = [None if each is None else summarize(torch.from_numpy(each)) for each in gradients]
    assert leverage_log10(weight, seen, samples=4) == (None if expected is None else pytest.approx(expected))


def test_a_weight_that_is_not_finite_has_no_number_for_leverage() -> None:
    weight, gradient = summarize(torch.tensor([math.nan])), summarize(torch.tensor([1.0]))
    assert not math.isfinite(leverage_log10(weight, [gradient], samples=1))
    assert leverage_log10(Summary(), [gradient], samples=1) == -math.inf


def test_the_slope_of_leverage_is_the_median_over_all_pairs_of_layers() -> None:
    seen = measured(mlp(9, "Tanh", xavier(0.7)), vectors())
    levers = [stats.leverage_log10 for stats in seen.stats]
    slopes = [(levers[j] - levers[i]) / (j - i) for j in range(9) for i in range(j)]
    assert seen.flow.leverage_decades_per_layer == pytest.approx(np.median(slopes), abs=1e-9)
    assert flow_of(mlp(2, "Tanh", xavier()), vectors()).leverage_decades_per_layer is None


# ------------------------------------------------------------------ how nonlinear


def test_a_linear_network_with_one_output_has_coefficient_one_exactly() -> None:
    model = mlp(0, "Identity", xavier(), sizes=[INPUTS, 16, 16, 1])
    flow = flow_of(model, npz(x=drawn(64, INPUTS), target=drawn(64, 1, seed=1)))
    assert flow.nonlinearity_by_seed == pytest.approx([1.0, 1.0], abs=1e-4)
    assert flow.nonlinearity_coefficient == pytest.approx(1.0, abs=1e-4)


def test_the_coefficient_of_a_square_follows_from_the_moments_of_its_input() -> None:
    """f = (w x)^2 in one dimension: mean(f'^2) var(x) / var(f)."""
    x = drawn(128, 1)
    model = written(
        "(float[N,1] x) => (float[N,1] y)", "h = MatMul(x, W) y = Mul(h, h)", W=np.full((1, 1), 0.5, np.float32)
    )
    slope = 2 * 0.5 * 0.5 * x
    expected = math.sqrt(np.square(slope).mean() * x.var() / np.square(0.5 * x).var())
    flow = flow_of(model, npz(x=x, target=drawn(128, 1, seed=1)))
    assert flow.nonlinearity_coefficient == pytest.approx(expected, rel=1e-4)


def square_of(features: int, samples: int) -> tuple[bytes, bytes, float]:
    """f = (w x)^2 on its batch, and its coefficient: the slope is 2 w x times w, along which x differs as w x does."""
    w, x = drawn(features, 1, seed=2), drawn(samples, features)
    model = written(f"(float[N,{features}] x) => (float[N,1] y)", "h = MatMul(x, W) y = Mul(h, h)", W=w)
    h = x.astype(np.float64) @ w.astype(np.float64)
    expected = math.sqrt(np.square(2 * h).mean() * h.var() / np.square(h).var())
    return model, npz(x=x, target=drawn(samples, 1, seed=1)), expected


def test_the_coefficient_of_many_samples_is_exact_where_features_are_few() -> None:
    model, batch, expected = square_of(features=5, samples=3000)
    assert flow_of(model, batch).nonlinearity_coefficient == pytest.approx(expected, rel=1e-4)


def test_the_coefficient_of_many_samples_with_many_features_is_near() -> None:
    model, batch, expected = square_of(features=1100, samples=2500)
    assert flow_of(model, batch).nonlinearity_coefficient == pytest.approx(expected, rel=0.05)


class LargestTensor(TorchDispatchMode):
    """Notes the most elements that any operator returns."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else (result,):
            if isinstance(each, torch.Tensor):
                self.elements = max(self.elements, each.numel())
        return result


def test_no_tensor_of_a_measurement_is_larger_than_the_samples_times_the_widest_layer() -> None:
    samples, width = 5000, 48
    x = drawn(samples, INPUTS)
    target = np.arange(samples) % CLASSES
    subject = subject_of(mlp(3, "Tanh", xavier(), width=width), npz(x=x, target=target))
    with LargestTensor() as largest:
        measure(subject, cotangents=SEEDS, ranked=True)
    assert largest.elements == samples * width


def test_a_chaotic_network_has_a_larger_coefficient_than_an_ordered_one() -> None:
    ordered, chaotic = (flow_of(mlp(12, "Tanh", xavier(gain)), vectors()) for gain in (0.9, 3.0))
    assert chaotic.nonlinearity_coefficient > 3 * ordered.nonlinearity_coefficient
    assert ordered.nonlinearity_coefficient == pytest.approx(1.0, abs=0.5)


# ------------------------------------------------------------------ ends of the trunk


def test_both_ends_are_told_as_numpy_tells_them() -> None:
    module = seeded(Perceptron)
    x, target = arrays(vectors())
    x = x + 2
    logits = module(torch.from_numpy(x)).detach().double().numpy()
    flow = flow_of(export(module, torch.zeros(2, INPUTS)), npz(x=x, target=target))
    spread = math.sqrt(logits.var(0).mean())
    assert flow.input_rms == pytest.approx(np.sqrt(np.square(x).mean()), rel=1e-4)
    assert flow.input_mean_over_std == pytest.approx(abs(x.mean()) / x.std(), rel=1e-4)
    assert flow.logit_std_log10 == pytest.approx(math.log10(spread), abs=1e-4)
    assert flow.blindness_log10 == pytest.approx(math.log10(spread / np.sqrt(np.square(logits).mean())), abs=1e-4)
    assert flow.gain_log10 == pytest.approx(math.log10(spread / math.sqrt(x.var(0).mean())), abs=1e-4)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    rows = np.linalg.norm(shares - np.eye(CLASSES)[target], axis=1)
    assert flow.head_gradient_log10 == pytest.approx(math.log10(np.sqrt(np.square(rows).mean())), abs=1e-4)


def test_outputs_that_do_not_depend_on_the_sample_are_blind() -> None:
    flow = flow_of(mlp(3, "Relu", he(), bias=-1000.0), vectors())
    assert flow.gain_log10 == -math.inf
    assert flow.logit_std_log10 == -math.inf
    assert flow.blindness_log10 == -math.inf
    assert flow.nonlinearity_by_seed == ()


def test_one_sample_says_nothing_about_differences() -> None:
    x, target = arrays(vectors())
    flow = flow_of(mlp(3, "Relu", he()), npz(x=x[:1], target=target[:1]))
    assert flow.gain_log10 is flow.blindness_log10 is flow.logit_std_log10 is flow.nonlinearity_coefficient is None
    assert flow.decades_rms is not None


def test_a_graph_s_own_loss_has_any_scale_and_no_gradient_at_its_head_is_told() -> None:
    nodes = (
        "h = MatMul(x, A) r = Relu(h) l = MatMul(r, B) s = Mul(l, l) m = ReduceMean<keepdims = 0>(s) loss = Mul(m, c)"
    )
    weights = {"A": drawn(4, 8), "B": drawn(8, 2)}
    flows = [
        flow_of(
            written("(float[N,4] x) => (float loss)", nodes, **weights, c=np.float32(scale) * np.ones((), np.float32)),
            npz(x=drawn(16, 4, seed=2)), loss="graph",
        )
        for scale in (1.0, 1e-8)
    ]  # fmt: skip
    assert [each.head_gradient_log10 for each in flows] == [None, None]
    assert flows[1].decades_rms == pytest.approx(flows[0].decades_rms, abs=1e-4)
    assert flows[1].absent == {}


# ------------------------------------------------------------------ collapse, tokens, width


def test_collapse_is_that_of_the_worst_layer() -> None:
    """Layer two of the chain sees a constant beside the data, 1000 times larger."""
    nodes = "a = MatMul(x, A) b = MatMul(a, B) c = Add(b, k) r = Tanh(a) y = Add(c, r)"
    weights = {"A": np.eye(4, dtype=np.float32), "B": np.eye(4, dtype=np.float32), "k": np.full(4, 1000, np.float32)}
    x = drawn(64, 4)
    flow = flow_of(written("(float[N,4] x) => (float[N,4] y)", nodes, **weights), npz(x=x, target=drawn(64, 4, seed=1)))
    wide = x.astype(np.float64) + 1000
    assert flow.collapse_decades == pytest.approx(math.log10(wide.var(0).mean() / np.square(wide).mean()), abs=1e-3)


class Segmented(nn.Module):
    """Words, positions counted from the ids as RoBERTa counts them, and segments: most sentences have one alone."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.segments, self.positions = nn.Embedding(50, 16), nn.Embedding(2, 16), nn.Embedding(20, 16)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, ids: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
        places = torch.cumsum((ids != 1).int(), 1)
        read = self.words(ids) + self.segments(segments) + self.positions(places)
        return self.head(torch.tanh(self.norm(read)).mean(1))


def test_a_look_up_of_equal_ids_is_no_collapse() -> None:
    ids = np.random.default_rng(0).integers(2, 50, (16, 12))
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            seeded(Segmented), (torch.from_numpy(ids), torch.zeros(16, 12, dtype=torch.int64)), file, dynamo=False,
            input_names=["ids", "segments"],
        )  # fmt: skip
    flow = flow_of(file.getvalue(), npz(ids=ids, segments=np.zeros((16, 12), np.int64), target=np.arange(16) % 5))
    assert flow.collapse_decades > -2


def test_tokens_that_are_all_alike_are_infinitely_close() -> None:
    def build() -> nn.Module:
        module = Transformer(blocks=1)
        nn.init.zeros_(module.positions)
        return module

    model = export(seeded(build), torch.zeros(2, 12, dtype=torch.int64))
    ids = np.repeat(np.arange(16)[:, None], 12, axis=1)
    alike = flow_of(model, npz(x=ids, target=np.arange(16) % 5))
    mixed = flow_of(model, npz(x=np.random.default_rng(0).integers(0, 50, (16, 12)), target=np.arange(16) % 5))
    assert alike.tokens_decades < -10
    assert -1 < mixed.tokens_decades < 0
    assert flow_of(mlp(3, "Relu", he()), vectors()).tokens_decades is None


def test_the_sum_of_reciprocal_widths_is_over_hidden_layers() -> None:
    """beta of Hanin 2018."""
    flow = flow_of(mlp(0, "Relu", he(), sizes=[INPUTS, 8, 4, 16, CLASSES]), vectors())
    assert flow.width_sum == pytest.approx(1 / 8 + 1 / 4 + 1 / 16)


def test_where_paths_part_widths_are_not_summed_up() -> None:
    nodes = "a = MatMul(x, A) b = MatMul(a, B) r = Relu(b) s = Add(a, r) y = MatMul(s, C)"
    weights = {"A": drawn(4, 6), "B": drawn(6, 6, seed=1), "C": drawn(6, 3, seed=2)}
    assert flow_of(written("(float[N,4] x) => (float[N,3] y)", nodes, **weights), None).width_sum is None
    assert flow_of(mlp(1, "Relu", normal(0.1)), vectors()).width_sum is None


def test_flow_of_a_linear_chain_is_the_product_of_its_weights() -> None:
    weights = [3.0, 0.1, 0.5, 0.2, 0.7]
    result = measured(chain(*weights), npz(x=np.ones((4, 1), np.float32), target=np.arange(4, dtype=np.float32)))
    expected = math.log10(math.prod(weights[1:]))  # outputs that do not differ count in ones
    assert result.flow.decades_rms == pytest.approx(expected, rel=1e-5)
    assert result.flow.decades_norm == pytest.approx(expected, rel=1e-5)
    assert result.flow.transport_decades == pytest.approx(expected, rel=1e-5)
    assert result.flow.decades_per_layer == pytest.approx(expected / 5, rel=1e-5)


def test_leverage_of_a_linear_chain_is_its_output_for_every_layer() -> None:
    # Euler: the output is homogeneous of degree one in each weight, so |w df/dw| = |f|.
    result = measured(chain(3.0, 0.1, 0.5), npz(x=np.full((1, 1), 2.0, np.float32), target=np.zeros(1, np.float32)))
    for stats in result.stats:
        assert stats.leverage_log10 == pytest.approx(math.log10(2.0 * 3.0 * 0.1 * 0.5), rel=1e-5)


def test_function_preserving_rescaling_moves_flow_but_not_leverage() -> None:
    plain = check_model(mlp(6, "Relu", he()))
    arrays = {name: np.array(plain.weights[name]) for name in plain.weights}
    arrays["w0"] *= 1000.0
    arrays["b0"] *= 1000.0
    arrays["w1"] /= 1000.0
    scaled = plain.edited(plain.proto, plain.weights.updated(arrays))
    options = AnalysisOptions()
    before = measure(prepare(plain, vectors(), options), cotangents=(0, 1))
    after = measure(prepare(scaled, vectors(), options), cotangents=(0, 1))
    for first, second in zip(before.stats, after.stats, strict=True):
        assert first.leverage_log10 == pytest.approx(second.leverage_log10, abs=1e-3)
    assert before.flow.decades_rms is not None
    assert after.flow.decades_rms == pytest.approx(before.flow.decades_rms - 3.0, abs=1e-3)


def test_a_linear_network_has_nonlinearity_coefficient_one() -> None:
    isotropic = np.random.default_rng(0).standard_normal((2048, 32)).astype(np.float32)
    batch = npz(x=isotropic, target=np.arange(2048) % 10)
    linear = measured(mlp(4, "Identity", xavier(), width=32), batch)
    assert linear.flow.nonlinearity_coefficient == pytest.approx(1.0, abs=0.1)


def test_flow_of_a_converged_loss_is_that_of_a_random_cotangent() -> None:
    model = chain(2.0, 0.5)
    x = np.linspace(1, 2, 8, dtype=np.float32)[:, None]
    result = measured(model, npz(x=x, target=x))
    assert "converged" in result.flow.absent["decades_rms"]
    expected = math.log10(0.5 / x.std())
    assert result.flow.decades_rms == result.flow.transport_decades == pytest.approx(expected, rel=1e-5)


# ------------------------------------------------------------------ at the limits


def test_a_loss_is_flat_under_a_millionth_a_sample() -> None:
    """Residuals of a linear chain with one output: dL/dy = 2 r / var(target) / N, times the deviation and sqrt(N)."""
    x = np.linspace(1, 2, 16, dtype=np.float64)[:, None]
    deviation = float(x.std())
    for wanted, flat in ((0.9e-6, True), (1.1e-6, False)):
        # norm * unit * sqrt(N) = 2 rms(r) / deviation for residuals r of the same size
        residual = wanted * deviation / 2
        signs = np.where(np.arange(16) % 2 == 0, 1.0, -1.0)[:, None]
        target = x + residual * signs
        subject = in_float64(subject_of(chain(1.0, 1.0), npz(x=x.astype(np.float32), target=x.astype(np.float32))))
        exact = replace(
            subject,
            batch=replace(subject.batch, inputs={"x": x}),
            objective=replace(subject.objective, targets=target, scale=deviation**2),
        )
        found = measure(exact, cotangents=SEEDS).flow
        assert ("decades_rms" in found.absent) is flat
        assert found.head_gradient_log10 == pytest.approx(math.log10(wanted), abs=1e-3)


def test_collapse_leverage_and_cotangents_are_looked_at_where_there_are_any() -> None:
    flow = measured(mlp(3, "Tanh", xavier()), vectors(), cotangents=()).flow
    assert flow.transport_decades is flow.leverage_log10 is flow.nonlinearity_coefficient is None
    assert flow.leverage_by_seed == flow.nonlinearity_by_seed == ()
    assert flow.leverage_decades_per_layer is None
    assert flow.decades_rms is not None
    assert flow.collapse_decades is not None


def test_transport_is_the_mean_over_cotangents_of_torchs_gradients() -> None:
    module = seeded(Perceptron)
    x, _ = map(torch.from_numpy, arrays(vectors()))
    first = module.first(x)
    logits = module.third(torch.tanh(module.second(torch.relu(first))))
    decades = []
    for seed in SEEDS:
        draw = random_cotangent(logits, 256, seed)
        assert torch.linalg.vector_norm(draw, dim=1).numpy() == pytest.approx(np.ones(256), rel=1e-5)
        (far,) = torch.autograd.grad(logits, first, draw, retain_graph=True)
        decades.append(float(torch.log10(far.square().mean().sqrt() / draw.square().mean().sqrt())))
    flow = flow_of(export(module, x[:2]), vectors())
    assert flow.transport_decades == pytest.approx(np.mean(decades), abs=1e-5)
    assert decades[0] != pytest.approx(decades[1], abs=1e-5)


def test_the_range_of_leverage_is_over_layers_on_the_trunk() -> None:
    seen = measured(mlp(5, "Tanh", xavier(2.0)), vectors())
    levers = [each.leverage_log10 for each in seen.stats]
    assert (seen.flow.leverage_log10.least, seen.flow.leverage_log10.largest) == (min(levers), max(levers))
    assert min(levers) < max(levers)


def test_a_layer_off_the_trunk_is_not_in_the_range_nor_in_the_slope() -> None:
    nodes = (
        "a = MatMul(x, A) b = MatMul(a, B) r = Relu(b) t = MatMul(r, T) s = Add(a, t) c = MatMul(s, C) d = Tanh(c) "
        "y = MatMul(d, D)"
    )
    weights = {name: drawn(6, 6, seed=place) for place, name in enumerate("ABCD")}
    batch = npz(x=drawn(64, 6, seed=9), target=drawn(64, 6, seed=8))
    flows = [
        measured(written("(float[N,6] x) => (float[N,6] y)", nodes, **weights, T=factor * drawn(6, 6, seed=7)), batch)
        for factor in (1e-6, 1.0)
    ]
    for seen in flows:
        on = [each.leverage_log10 for each, layer in zip(seen.stats, seen.layers, strict=True) if layer.on_trunk]
        assert len(on) == 3
        assert (seen.flow.leverage_log10.least, seen.flow.leverage_log10.largest) == (min(on), max(on))
        depths = [layer.depth for layer in seen.layers if layer.on_trunk]
        slopes = [(on[j] - on[i]) / (depths[j] - depths[i]) for j in range(3) for i in range(j)]
        assert seen.flow.leverage_decades_per_layer == pytest.approx(np.median(slopes))


def test_a_chain_of_three_has_a_slope_and_one_of_two_has_none() -> None:
    assert flow_of(mlp(3, "Tanh", xavier()), vectors()).leverage_decades_per_layer is not None
    assert flow_of(mlp(2, "Tanh", xavier()), vectors()).leverage_decades_per_layer is None


@pytest.mark.parametrize("deviations", [1.0, 1000.0])
def test_the_loss_is_told_in_deviations_of_the_targets_and_the_outputs_in_their_own_unit(deviations: float) -> None:
    model = mlp(0, "Tanh", xavier(), sizes=[INPUTS, 16, 3])
    x, target = drawn(64, INPUTS), (deviations * drawn(64, 3, seed=1)).astype(np.float32)
    subject = subject_of(model, npz(x=x, target=target))
    inputs, _ = subject.tensors()
    with torch.no_grad():
        y = subject.converted(*inputs)[0].double().numpy()
    deviation, spread = math.sqrt(target.astype(np.float64).var(0).mean()), math.sqrt(y.var(0).mean())
    unit = deviation if deviations == 1.0 else 1.0  # thousands are no unit of what this network writes
    flow = flow_of(model, npz(x=x, target=target))
    assert flow.logit_std_log10 == pytest.approx(math.log10(spread / unit), abs=1e-4)
    slope = 2 * (y - target) / deviation**2 / y.size  # of the mean square over the variance
    assert flow.logits_gradient_rms == pytest.approx(np.sqrt(np.square(slope).mean()) * unit, rel=1e-4)
    norm = np.linalg.norm(slope) * deviation * math.sqrt(64)
    assert flow.head_gradient_log10 == pytest.approx(math.log10(norm), abs=1e-4)


def test_two_samples_differ_and_one_does_not() -> None:
    x, target = arrays(vectors())
    flow = flow_of(mlp(3, "Relu", he()), npz(x=x[:2], target=target[:2]))
    assert flow.gain_log10 is not None
    assert len(flow.nonlinearity_by_seed) == 2


def test_an_input_without_a_spread_is_not_off_centre() -> None:
    flow = flow_of(mlp(3, "Relu", he()), npz(x=np.ones((8, INPUTS), np.float32), target=np.arange(8) % 4))
    assert flow.input_mean_over_std is None
    assert flow.input_rms == 1.0
    assert flow.gain_log10 is None


def test_two_coefficients_are_taken_together_by_their_mean_square() -> None:
    flow = flow_of(mlp(6, "Tanh", xavier(2.0)), vectors())
    assert flow.nonlinearity_coefficient == pytest.approx(math.sqrt(np.square(flow.nonlinearity_by_seed).mean()))
    assert flow.nonlinearity_by_seed[0] != flow.nonlinearity_by_seed[1]
