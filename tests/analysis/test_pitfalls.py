"""The pitfalls that other tools fall into: a test each, with the behaviour that is required of us."""

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from analysis.facts import LayerStats, Provenance
from analysis.options import AnalysisOptions
from analysis.pipeline import analyze
from analysis.report import Report, Severity, Verdict
from tests.gallery import (
    CLASSES,
    INPUTS,
    ResidualNetwork,
    Transformer,
    export,
    he,
    images,
    mlp,
    npz,
    seeded,
    tokens,
    vectors,
    xavier,
)

QUICK = AnalysisOptions(effort="quick")
TRANSPORT = {"GH101", "GH102", "GH103", "GH104"}


def rules(report: Report, least: Severity = Severity.WARNING) -> set[str]:
    return {finding.rule for finding in report.findings if finding.severity.rank >= least.rank}


def errors(report: Report) -> set[str]:
    return rules(report, Severity.ERROR)


def remarks(report: Report) -> set[str]:
    return rules(report, Severity.INFO)


def stats_of(report: Report) -> tuple[LayerStats, ...]:
    layers = report.variants[0].layers
    assert layers is not None
    return layers


def edited(model: bytes, change: Callable[[dict[str, np.ndarray]], None]) -> bytes:
    """The model with other weights."""
    proto = onnx.load_from_string(model)
    weights = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in proto.graph.initializer}
    change(weights)
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return proto.SerializeToString()


def arrays(batch: bytes) -> dict[str, np.ndarray]:
    return dict(np.load(io.BytesIO(batch)))


def trained_mlp() -> bytes:
    """A small network that has learnt `vectors` until its loss is next to nothing."""
    module = seeded(
        lambda: nn.Sequential(nn.Linear(INPUTS, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES))
    )
    batch = arrays(vectors())
    x, target = torch.from_numpy(batch["x"]), torch.from_numpy(batch["target"])
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), target).backward()
        optimizer.step()
    return export(module, x[:2])


# ------------------------------------------------------------------ scale


def test_1_layers_of_very_different_size_are_not_compared_by_their_norms() -> None:
    report = analyze(mlp(0, "Relu", he(), sizes=[INPUTS, 512, 16, 512, 16, CLASSES]), vectors(), QUICK)
    assert not errors(report)
    assert all(each.weight_gradient is not None and each.weight_gradient.norm > 0 for each in stats_of(report))


def test_2_function_preserving_rescaling_is_scale_imbalance_and_no_vanishing_or_exploding_gradient() -> None:
    def rescale(weights: dict[str, np.ndarray]) -> None:
        weights["w0"] *= np.float32(1e3)
        weights["b0"] *= np.float32(1e3)
        weights["w1"] *= np.float32(1e-3)

    plain = mlp(6, "Relu", he(), bias=0.1)
    before, after = analyze(plain, vectors(), QUICK), analyze(edited(plain, rescale), vectors(), QUICK)
    for mine, its in zip(stats_of(before), stats_of(after), strict=True):
        assert its.leverage_log10 == pytest.approx(mine.leverage_log10, abs=1e-3)
    assert remarks(before) & TRANSPORT == remarks(after) & TRANSPORT
    assert "GH303" not in rules(before)
    assert "GH303" in rules(after)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_3_the_unit_of_outputs_and_loss_changes_nothing(factor: float) -> None:
    """Mean squared error: targets and the last layer in other units. (A graph's own loss: see test_pipeline.)"""
    random = np.random.default_rng(0)
    x = random.standard_normal((64, INPUTS)).astype(np.float32)
    y = (x[:, :3] + 0.1 * random.standard_normal((64, 3))).astype(np.float32)
    model = mlp(0, "Tanh", xavier(), sizes=[INPUTS, 32, 32, 3])
    plain = analyze(model, npz(x=x, target=y), QUICK)

    def scale(weights: dict[str, np.ndarray]) -> None:
        weights["w2"] *= np.float32(factor)

    scaled = analyze(edited(model, scale), npz(x=x, target=(y * np.float32(factor))), QUICK)
    assert scaled.gradient_flow.decades_rms == pytest.approx(plain.gradient_flow.decades_rms, abs=1e-3)
    assert scaled.gradient_flow.leverage_log10.least == pytest.approx(
        plain.gradient_flow.leverage_log10.least, abs=1e-3
    )
    assert remarks(scaled) & TRANSPORT == remarks(plain) & TRANSPORT == set()
    assert scaled.loss.value == pytest.approx(plain.loss.value, rel=1e-3)


def test_4_a_converged_network_is_converged_and_not_vanishing() -> None:
    report = analyze(trained_mlp(), vectors())
    assert report.verdict is Verdict.HEALTHY
    assert "GH901" in remarks(report)
    assert not remarks(report) & TRANSPORT


# ------------------------------------------------------------------ the batch


def test_5_one_sample_is_insufficient_evidence_about_units_and_batch_norm_runs_on_stored_statistics() -> None:
    one = {name: value[:1] for name, value in arrays(vectors()).items()}
    report = analyze(mlp(4, "Relu", he()), npz(**one), QUICK)
    assert not remarks(report) & {"GH201", "GH202", "GH203", "GH204"}
    assert "insufficient evidence" in stats_of(report)[0].absent["activation.dead_fraction"]
    assert stats_of(report)[0].activation.dead_fraction is None
    one = {name: value[:1] for name, value in arrays(images()).items()}
    network = export(seeded(ResidualNetwork), torch.zeros(2, 3, 16, 16), keep_batch_norm=True)
    assert not errors(analyze(network, npz(**one), QUICK))


def test_6_equal_samples_say_nothing_about_units() -> None:
    batch = npz(x=np.ones((64, INPUTS), np.float32), target=np.arange(64) % CLASSES)
    report = analyze(mlp(6, "Relu", he()), batch, QUICK)
    assert not remarks(report) & {"GH201", "GH202", "GH203", "GH204"}


def test_7_inputs_of_255_are_unscaled_inputs_and_no_explosion() -> None:
    batch = arrays(vectors())
    report = analyze(mlp(4, "Relu", he()), npz(x=batch["x"] * 255, target=batch["target"]), QUICK)
    assert "GH305" in rules(report)
    assert not rules(report) & TRANSPORT


# ------------------------------------------------------------------ normalisation


def test_8_a_bias_in_front_of_batch_norm_is_exempt_and_says_why() -> None:
    network = export(seeded(ResidualNetwork), torch.zeros(2, 3, 16, 16), keep_batch_norm=True)
    report = analyze(network, images(), QUICK)
    assert "GH904" in remarks(report)
    assert set(report.anatomy.cancelled.values()) == {"BatchNormalization"}
    convolutions = [each for each, layer in zip(stats_of(report), report.layers, strict=True) if layer.op == "Conv"]
    assert {each.cancelled_by for each in convolutions} == {"BatchNormalization"}
    assert not rules(report) & {"GH101", "GH601"}


def test_9_the_scale_of_a_weight_in_front_of_a_normalisation_does_not_matter() -> None:
    network = export(seeded(ResidualNetwork), torch.zeros(2, 3, 16, 16), keep_batch_norm=True)

    def enlarge(weights: dict[str, np.ndarray]) -> None:
        weights.update({name: 30 * weight for name, weight in weights.items() if weight.ndim == 4})

    before, after = analyze(network, images(), QUICK), analyze(edited(network, enlarge), images(), QUICK)
    assert remarks(before) & TRANSPORT == remarks(after) & TRANSPORT == set()
    assert after.gradient_flow.nonlinearity_coefficient == pytest.approx(
        before.gradient_flow.nonlinearity_coefficient, rel=0.02
    )


def test_10_folded_batch_norm_is_suspected_and_said() -> None:
    module = seeded(ResidualNetwork)
    with torch.no_grad():
        for each in module.modules():
            if isinstance(each, nn.BatchNorm2d):
                each.running_var.copy_(10 ** torch.linspace(-1, 1, len(each.running_var)))
                each.running_mean.normal_()
    folded = export(module, torch.zeros(2, 3, 16, 16))
    assert "BatchNormalization" not in {node.op_type for node in onnx.load_from_string(folded).graph.node}
    report = analyze(folded, images(), AnalysisOptions(effort="quick"))
    assert report.anatomy.channel_norm_spread > 0.3
    assert "GH301" not in rules(report)


def test_11_batch_statistics_are_used_where_there_are_enough_values_and_running_ones_stay() -> None:
    network = export(seeded(ResidualNetwork), torch.zeros(2, 3, 16, 16), keep_batch_norm=True)
    before = {t.name: t.raw_data for t in onnx.load_from_string(network).graph.initializer}
    assert not errors(analyze(network, images(), QUICK))
    assert {t.name: t.raw_data for t in onnx.load_from_string(network).graph.initializer} == before


class ZeroGamma(nn.Module):
    """Residual blocks whose last scale is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(INPUTS, 32)
        self.inner = nn.ModuleList(nn.Linear(32, 32) for _ in range(3))
        self.ends = nn.ModuleList(nn.LayerNorm(32) for _ in range(3))
        self.head = nn.Linear(32, CLASSES)
        for end in self.ends:
            nn.init.zeros_(end.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        for inner, end in zip(self.inner, self.ends, strict=True):
            x = x + end(torch.relu(inner(x)))
        return self.head(x)


def test_12_branches_that_start_at_zero_are_no_illness() -> None:
    report = analyze(export(seeded(ZeroGamma), torch.zeros(2, INPUTS)), vectors(), QUICK)
    assert "GH902" in remarks(report)
    assert not rules(report) & {"GH101", "GH601", "GH302"}


# ------------------------------------------------------------------ the graph


def test_13_depth_follows_the_longest_path_and_not_names_or_the_order_of_initialisers() -> None:
    model = onnx.load_from_string(mlp(5, "Relu", he()))
    tensors = list(model.graph.initializer)[::-1]
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensors)
    renames = {tensor.name: f"z{place}.{tensor.name}"[::-1] for place, tensor in enumerate(tensors)}
    for tensor in model.graph.initializer:
        tensor.name = renames[tensor.name]
    for node in model.graph.node:
        node.input[:] = [renames.get(name, name) for name in node.input]
    plain, shuffled = (
        analyze(mlp(5, "Relu", he()), vectors(), QUICK),
        analyze(model.SerializeToString(), vectors(), QUICK),
    )
    assert [layer.depth for layer in shuffled.layers] == [layer.depth for layer in plain.layers] == [1, 2, 3, 4, 5]
    assert shuffled.gradient_flow.decades_rms == plain.gradient_flow.decades_rms
    assert remarks(shuffled) == remarks(plain)


def test_14_global_average_pooling_is_no_vanishing_gradient() -> None:
    layers = [nn.Conv2d(3, 24, 3, padding=1), nn.ReLU()]
    for _ in range(5):
        layers += [nn.Conv2d(24, 24, 3, padding=1), nn.ReLU()]
    module = seeded(lambda: nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, CLASSES)))
    for each in module.modules():
        if isinstance(each, nn.Conv2d):
            nn.init.kaiming_normal_(each.weight)
            nn.init.zeros_(each.bias)
    report = analyze(export(module, torch.zeros(2, 3, 16, 16)), images(), QUICK)
    assert not errors(report)
    assert "GH101" not in rules(report)


def test_15_a_tied_weight_is_one_parameter() -> None:
    report = analyze(shared(), vectors(), QUICK)
    assert report.model.parameters.trainable == INPUTS * INPUTS + INPUTS * CLASSES
    assert not errors(report)


def shared() -> bytes:
    random = np.random.default_rng(0)
    text = "h = MatMul(x, W) t = Relu(h) g = MatMul(t, W) u = Relu(g) y = MatMul(u, V)"
    weights = {
        name: random.normal(0, math.sqrt(2 / shape[0]), shape).astype(np.float32)
        for name, shape in {"W": (INPUTS, INPUTS), "V": (INPUTS, CLASSES)}.items()
    }
    return written(f"(float[N,{INPUTS}] x) => (float[N,{CLASSES}] y)", text, weights)


def written(signature: str, nodes: str, weights: dict[str, np.ndarray]) -> bytes:
    """A model in ONNX's text form."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> written {signature} {{ {nodes} }}')
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return model.SerializeToString()


def test_16_masks_and_constants_do_not_train_and_say_why() -> None:
    steps, width = 6, 16
    random = np.random.default_rng(0)
    weights = {name: random.normal(0, 0.25, (width, width)).astype(np.float32) for name in ("Q", "K", "V")}
    weights["mask"] = np.triu(np.full((steps, steps), -1e9, np.float32), 1)
    weights["root"] = np.float32(width**-0.5)
    nodes = """q = MatMul(x, Q) k = MatMul(x, K) v = MatMul(x, V) kt = Transpose<perm = [0, 2, 1]>(k) s = MatMul(q, kt)
        scaled = Mul(s, root) masked = Add(scaled, mask) p = Softmax<axis = -1>(masked) y = MatMul(p, v)"""
    model = written(f"(float[N,{steps},{width}] x) => (float[N,{steps},{width}] y)", nodes, weights)
    x = random.standard_normal((32, steps, width)).astype(np.float32)
    report = analyze(model, npz(x=x, target=x), QUICK)
    assert set(report.model.frozen) == {"mask", "root"}
    assert "mask" in report.model.frozen["mask"]
    assert report.model.parameters.trainable == 3 * width * width


def test_17_rows_of_an_embedding_that_the_batch_does_not_read_do_not_count() -> None:
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(4000, 16), nn.Linear(16, 5)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.table(ids).mean(1))

    ids = np.random.default_rng(0).integers(0, 40, (64, 6))
    report = analyze(export(seeded(Bag), torch.zeros(2, 6, dtype=torch.int64)), npz(x=ids, target=ids[:, 0] % 5), QUICK)
    table = stats_of(report)[0]
    assert table.weight is not None
    assert table.weight.touched_fraction == pytest.approx(len(np.unique(ids)) / 4000)
    weight = seeded(Bag).table.weight.detach()[torch.from_numpy(np.unique(ids))]
    assert table.weight.norm == pytest.approx(float(weight.norm()), rel=1e-5)
    assert not rules(report) & {"GH101", "GH303", "GH601"}


def test_18_zeros_of_relu_are_not_dead_units() -> None:
    report = analyze(mlp(4, "Relu", he()), vectors(), QUICK)
    assert "GH201" not in remarks(report)
    assert all(each.activation.dead_fraction < 0.1 for each in stats_of(report)[:-1])


def test_19_an_arg_max_at_the_end_is_stepped_over() -> None:
    model = onnx.load_from_string(mlp(4, "Relu", he()))
    model.graph.node.append(helper.make_node("ArgMax", [model.graph.output[0].name], ["class"], axis=1, keepdims=0))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("class", onnx.TensorProto.INT64, ["N"]))
    report = analyze(model.SerializeToString(), vectors(), QUICK)
    assert report.loss.name == "cross_entropy"
    assert any("ArgMax" in note for note in report.model.notes)
    assert not errors(report)


def test_20_a_softmax_at_the_end_is_read_at_its_logits_even_where_it_is_saturated() -> None:
    model = onnx.load_from_string(mlp(4, "Relu", he()))
    logits = model.graph.output[0].name
    model.graph.node.extend([
        helper.make_node("Mul", [logits, "sixty"], ["large"]),
        helper.make_node("Softmax", ["large"], ["shares"], axis=1),
    ])  # fmt: skip
    model.graph.initializer.append(numpy_helper.from_array(np.float32(60.0), "sixty"))
    model.graph.output[0].name = "shares"
    report = analyze(model.SerializeToString(), vectors(), QUICK)
    assert report.anatomy.head_operators == ("Softmax",)
    assert not rules(report) & {"GH101", "GH601"}
    assert "GH501" in rules(report)  # it starts sixty times too sure


def test_21_an_output_without_a_target_is_not_disconnected() -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.one, self.other = nn.Linear(INPUTS, 32), nn.Linear(32, CLASSES), nn.Linear(32, 4)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            h = torch.relu(self.body(x))
            return self.one(h), self.other(h)

    report = analyze(export(seeded(TwoHeads), torch.zeros(2, INPUTS)), vectors(), QUICK)
    assert "GH601" not in remarks(report)
    assert [each.leads_to_loss for each in stats_of(report)] == [True, True, False]


def test_22_padded_steps_have_no_gradient_and_do_not_count() -> None:
    steps, samples = 10, 32
    random = np.random.default_rng(0)
    tensors = {
        name: random.normal(0, 0.3, shape) for name, shape in {"w": (1, 8, 4), "r": (1, 8, 8), "v": (8, 3)}.items()
    }
    nodes = [
        helper.make_node("RNN", ["x", "w", "r", "", "lengths"], ["", "last"], name="cells", hidden_size=8),
        helper.make_node("Squeeze", ["last", "axis"], ["h"]),
        helper.make_node("MatMul", ["h", "v"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "padded",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [steps, "N", 4]),
         helper.make_tensor_value_info("lengths", onnx.TensorProto.INT32, ["N"])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 3])],
        [*(numpy_helper.from_array(value.astype(np.float32), name) for name, value in tensors.items()),
         numpy_helper.from_array(np.array([0]), "axis")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    x = random.standard_normal((steps, samples, 4)).astype(np.float32)
    batch = npz(x=x, lengths=np.full(samples, 6, np.int32), target=random.integers(0, 3, samples))
    (profile,) = analyze(model, batch, QUICK).through_time
    assert profile.horizon_steps is not None
    assert profile.horizon_steps <= 5
    assert all(math.isfinite(each) for each in profile.gradient_log10[:6])


# ------------------------------------------------------------------ numbers


def test_23_what_half_precision_would_flush_to_zero_is_predicted_and_float32_is_not_trusted_below_its_range() -> None:
    report = analyze(mlp(30, "Sigmoid", xavier()), vectors(), QUICK)
    first = stats_of(report)[0]
    assert first.weight_gradient is not None
    assert first.weight_gradient.fp16_underflow_fraction == 1.0
    assert first.weight_gradient.norm > 0
    assert report.engine.precision == "float64" or first.weight_gradient.norm > 1e-35
    (vanishing,) = [finding for finding in report.findings if finding.rule == "GH101"]
    assert "fp16" in vanishing.affects


def test_24_a_finding_says_whom_it_affects() -> None:
    def rescale(weights: dict[str, np.ndarray]) -> None:
        weights["w0"] *= np.float32(1e4)
        weights["w1"] *= np.float32(1e-4)

    report = analyze(edited(mlp(4, "Relu", he()), rescale), vectors(), QUICK)
    (imbalance,) = [finding for finding in report.findings if finding.rule == "GH303"]
    assert imbalance.affects == ("sgd",)


def test_25_saturated_attention_is_told_by_its_entropy() -> None:
    class Sharp(Transformer):
        """Queries and keys fifteen times too long."""

        def __init__(self) -> None:
            super().__init__()
            with torch.no_grad():
                for block in self.blocks:
                    block.qkv.weight[:64] *= 15

    example = torch.zeros(2, 12, dtype=torch.int64)
    plain, sharp = (analyze(export(seeded(kind), example), tokens(), QUICK) for kind in (Transformer, Sharp))
    assert "GH207" not in remarks(plain)
    assert "GH207" in rules(sharp)
    assert min(each.entropy_share for each in plain.attention) > 0.9


def test_26_both_cotangents_are_told_and_the_same_seed_gives_the_same_report() -> None:
    def body(report: Report) -> dict[str, Any]:
        return report.model_copy(update={"timings_seconds": {}}).model_dump(mode="json")

    first, second = (
        analyze(mlp(6, "Tanh", xavier()), vectors(), AnalysisOptions(effort="quick", seed=3)) for _ in "ab"
    )
    assert body(first) == body(second)
    assert len(first.gradient_flow.leverage_by_seed) == len(first.gradient_flow.nonlinearity_by_seed) == 2
    other = analyze(mlp(6, "Tanh", xavier()), vectors(), AnalysisOptions(effort="quick", seed=4))
    assert other.gradient_flow.leverage_by_seed != first.gradient_flow.leverage_by_seed
    assert rules(other) == rules(first)


@pytest.mark.parametrize("fused", [False, True])
def test_27_quantised_graphs_pass_gradients_straight_through_and_say_so(fused: bool) -> None:
    """Two roundings behind each other where onnxruntime's optimiser put an operator between quantised numbers."""
    model = onnx.load_from_string(mlp(4, "Relu", he()))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    for tensor in (numpy_helper.from_array(np.float32(0.05), "step"), numpy_helper.from_array(np.int8(0), "zero")):
        model.graph.initializer.append(tensor)
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type == "Relu":
            value = node.output[0]
            node.output[0] = f"{value}_float"
            nodes += [
                helper.make_node(
                    "QuantizeLinear", [f"{value}_float", "step", "zero"], [f"{value}_int"], name=f"q_{value}"
                ),
                helper.make_node(
                    "QLinearLeakyRelu",
                    [f"{value}_int", "step", "zero", "step", "zero"],
                    [f"{value}_leaky"],
                    name=f"leaky_{value}",
                    domain="com.microsoft",
                ),
                helper.make_node(
                    "DequantizeLinear", [value + ("_leaky" if fused else "_int"), "step", "zero"], [value]
                ),
            ]
    del model.graph.node[:]
    model.graph.node.extend(node for node in nodes if fused or node.op_type != "QLinearLeakyRelu")
    report = analyze(model.SerializeToString(), vectors(), QUICK)
    assert "GH906" in remarks(report)
    assert len(report.anatomy.straight_through) == (6 if fused else 3)
    assert not errors(report)
    assert not rules(report) & {"GH601"}


def test_synthetic_batches_are_said_and_cap_confidence() -> None:
    report = analyze(mlp(12, "Sigmoid", xavier()), None, QUICK)
    assert report.batch.provenance == Provenance.SYNTHETIC.value
    assert "GH907" in remarks(report)
    assert all(finding.confidence.value != "high" for finding in report.findings)


def test_a_graph_that_writes_fewer_rows_with_other_weights_loses_variants_and_not_the_analysis() -> None:
    """Its loss is not defined then: targets belong to the rows that these weights write."""
    text = """<ir_version: 8, opset_import: ["": 17]> found (float[N,6] x) => (float[M] y) <float zero = {0}> {
        h = MatMul(x, W) a = Tanh(h) p = MatMul(a, V) g = Greater(p, zero) n = NonZero(g) t = Transpose(n)
        v = GatherND(p, t) y = Exp(v)
    }"""
    model = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, shape in (("W", (6, 8)), ("V", (8, 3))):
        model.graph.initializer.append(numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name))
    report = analyze(model.SerializeToString(), npz(x=random.standard_normal((16, 6)).astype(np.float32)), QUICK)
    reasons = {left.why for left in report.left_out if left.what.startswith("variant ")}
    assert any("the shape of the output depends on the weights" in reason for reason in reasons)
    assert report.variants[0].id == "baseline"
