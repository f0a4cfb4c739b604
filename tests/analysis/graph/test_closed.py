"""Layers of zeros or nearly, against torch's gradients and the modules the graphs come from."""

import io
import re
from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
import torch
from torch import nn

from analysis.graph.closed import ClosedHead, closed_head, is_closed
from analysis.graph.sources import find_sources
from analysis.measure.passes import measure
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.pipeline import analyze
from analysis.report import Verdict
from tests.analysis.graph.graphs import head_of, layers_of, model, proto
from tests.analysis.graph.subjects import (
    LINEAR,
    NORM,
    QUICK,
    VECTOR,
    LayerScale,
    Residual,
    anatomy_of,
    drawn,
    errors,
    subject_of,
    with_weight,
    written,
)
from tests.gallery import CLASSES, INPUTS, Transformer, export, mlp, normal, npz, seeded, tokens, vectors

IDS = torch.zeros(2, 12, dtype=torch.int64)


def closed(model: bytes) -> ClosedHead | None:
    subject = subject_of(model)
    return closed_head(subject.weights(), subject.model, subject.sources, subject.layers, subject.objective.head)


def owners(model: bytes, ids: tuple[str, ...]) -> set[str]:
    """Initialisers of these layers."""
    layers = {layer.id: layer for layer in subject_of(model).layers}
    return {info.initializer for each in ids for info in layers[each].parameters.values()}


# ------------------------------------------------------------------ branches that start closed


@pytest.mark.parametrize(
    ("end", "parameter"),
    [(with_weight(NORM, 0.0), "weight"), (with_weight(LINEAR, 0.0), "weight"), (lambda: LayerScale(0.0), "gamma")],
    ids=["scale of a normalisation", "weights", "layer-scale"],
)
def test_a_branch_whose_last_weight_is_zero_starts_closed(end: Callable[[], nn.Module], parameter: str) -> None:
    model = export(seeded(lambda: Residual(end)), VECTOR)
    anatomy = anatomy_of(model)
    assert len(anatomy.zero_branches) == 3
    zeros = {name for name, array in check_model(model).weights.items() if not np.any(array)}
    assert all(owners(model, (branch,)) & zeros for branch in anatomy.zero_branches)
    assert anatomy.layer_scales == {}
    assert anatomy.zero_head is None


class Gained(nn.Module):
    """A linear layer whose weights are a direction times a gain, as NF-ResNets have them, or a number, as ReZero."""

    def __init__(self, kind: str, gain: float) -> None:
        super().__init__()
        self.kind, self.linear = kind, nn.Linear(16, 16)
        self.gain = nn.Parameter(torch.full((16, 1) if kind == "rows" else (), gain))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == "number":
            return self.gain * self.linear(x)
        weight = self.linear.weight
        if self.kind == "sum":
            return nn.functional.linear(x, weight + self.gain * weight, self.linear.bias)
        centred = weight - weight.mean(1, keepdim=True)
        return nn.functional.linear(x, centred / centred.norm(dim=1, keepdim=True) * self.gain, self.linear.bias)


@pytest.mark.parametrize(
    ("kind", "gain", "closed_at_first"),
    [("rows", 0.0, 3), ("rows", 1.0, 0), ("number", 0.0, 3), ("number", 0.5, 0), ("sum", 0.0, 0)],
)
def test_a_gain_of_zero_closes_a_branch_whatever_it_scales(kind: str, gain: float, closed_at_first: int) -> None:
    model = export(seeded(lambda: Residual(lambda: Gained(kind, gain))), VECTOR)
    assert len(anatomy_of(model).zero_branches) == closed_at_first
    report = analyze(model, vectors(), AnalysisOptions(effort="quick"))
    assert {finding.rule for finding in report.findings} & {"GH203", "GH601"} == set()


@pytest.mark.parametrize("end", [NORM, LINEAR, with_weight(NORM, 1e-3), lambda: LayerScale(1e-6)])
def test_a_branch_that_is_only_small_is_open(end: Callable[[], nn.Module]) -> None:
    assert anatomy_of(export(seeded(lambda: Residual(end)), VECTOR)).zero_branches == ()


def test_layers_of_zeros_in_a_row_are_no_branches() -> None:
    anatomy = anatomy_of(mlp(4, "Relu", normal(0.0)))
    assert anatomy.zero_branches == ()
    assert anatomy.zero_head == "layer-04"


def test_branches_that_start_closed_get_their_gradient_after_one_step() -> None:
    """What the rule relies on: torch agrees that nothing but the closed layers moves at first."""
    module = seeded(lambda: Residual(with_weight(LINEAR, 0.0)))
    module(torch.randn(8, INPUTS)).sum().backward()
    assert all(float(inner.weight.grad.norm()) == 0 for inner in module.inner)
    assert all(float(end.weight.grad.norm()) > 0 for end in module.ends)
    report = analyze(export(module, VECTOR), vectors(), QUICK)
    assert len(report.anatomy.zero_branches) == 3
    assert not errors(report)


# ------------------------------------------------------------------ a head that starts closed


class Headed(nn.Module):
    """A perceptron whose last layer is made to measure."""

    def __init__(self, prepare_head: Callable[[nn.Linear], object]) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(INPUTS, 64), nn.ReLU(), nn.Linear(64, 64)), nn.Linear(64, 10)
        with torch.no_grad():
            prepare_head(self.head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.body(x)))


def orthogonal_policy(head: nn.Linear) -> None:
    nn.init.orthogonal_(head.weight, 0.01)
    nn.init.zeros_(head.bias)


def beit(head: nn.Linear) -> None:
    head.weight.mul_(0.001)
    head.bias.mul_(0.001)


def faint_with_priors(head: nn.Linear) -> None:
    head.weight.mul_(0.001)
    nn.init.constant_(head.bias, -4.6)


@pytest.mark.parametrize(
    ("prepare_head", "shut"),
    [
        (lambda head: nn.init.zeros_(head.weight), True),
        (beit, True),
        (orthogonal_policy, True),
        (faint_with_priors, True),
        (nn.Linear.reset_parameters, False),
        (lambda head: nn.init.normal_(head.weight, 0, 0.01), False),  # RetinaNet
        (lambda head: nn.init.normal_(head.weight, 0, 0.02), False),  # GPT-2
    ],
    ids=["zero", "beit", "policy", "faint with priors", "default", "retinanet", "gpt-2"],
)
def test_a_last_layer_of_next_to_nothing_is_closed(prepare_head: Callable[[nn.Linear], object], shut: bool) -> None:
    model = export(seeded(lambda: Headed(prepare_head)), VECTOR)
    found, anatomy = closed(model), anatomy_of(model)
    assert (found is not None) == shut == (anatomy.zero_head is not None)
    if found is not None:
        assert found.layer.parameters["weight"].initializer == "head.weight"
        assert found.layer.id == anatomy.zero_head
        (activation,) = [node for node in onnx.load_from_string(model).graph.node if node.op_type == "Relu"][1:]
        assert found.entering == activation.output[0]


@pytest.mark.parametrize("ending", ["", " Softmax(l)", " Identity(l)", " Reshape(l, shape)", " Squeeze(l)"])
def test_a_closed_head_is_found_through_what_only_lays_it_out(ending: str) -> None:
    nodes = f"h = MatMul(x, A) r = Relu(h) {'l' if ending else 'y'} = MatMul(r, B){' y =' + ending if ending else ''}"
    constants = {"shape": np.array([-1, 3])} if "shape" in ending else {}
    found = closed(
        written("(float[N,4] x) => (float[N,3] y)", nodes, A=drawn(4, 8), B=np.zeros((8, 3), np.float32), **constants)
    )
    assert found is not None
    assert found.entering == "r"


def test_an_activation_behind_zeros_makes_them_no_head() -> None:
    nodes = "h = MatMul(x, A) r = Relu(h) l = MatMul(r, B) y = Tanh(l)"
    assert (
        closed(written("(float[N,4] x) => (float[N,3] y)", nodes, A=drawn(4, 8), B=np.zeros((8, 3), np.float32)))
        is None
    )


@pytest.mark.parametrize("read", ["l = Gemm<transB = 1>(r, E)", "t = Transpose(E) l = MatMul(r, t)"])
def test_a_tied_head_is_entered_by_what_it_reads_and_not_by_the_tokens(read: str) -> None:
    model = written(
        "(int64[N] i) => (float[N,9] y)", f"e = Gather(E, i) h = MatMul(e, A) r = Relu(h) {read} y = Identity(l)",
        E=np.zeros((9, 4), np.float32), A=drawn(4, 4),
    )  # fmt: skip
    found = closed(model)
    assert found is not None
    assert found.entering == "r"


@pytest.mark.parametrize(("factor", "unit", "shut"), [(1.0, 1.0, False), (1e-3, 1.0, True), (1e-3, 1e-3, False)])
def test_what_is_small_only_in_the_unit_of_its_targets_is_no_closed_head(
    factor: float, unit: float, shut: bool
) -> None:
    """A regression in metres or in millimetres."""
    random = np.random.default_rng(0)
    x, y = random.standard_normal((64, INPUTS)), unit * random.standard_normal((64, CLASSES))
    model = export(seeded(lambda: Headed(lambda head: head.weight.mul_(factor))), VECTOR)
    found = measure(subject_of(model, npz(x=x.astype(np.float32), target=y.astype(np.float32))), cotangents=(0,))
    assert (found.anatomy.zero_head is not None) == shut


def test_flow_is_measured_in_front_of_a_closed_head() -> None:
    module = seeded(lambda: Headed(beit))
    found = measure(subject_of(export(module, VECTOR), vectors()), cotangents=(0, 1))
    batch = np.load(io.BytesIO(vectors()))
    first = module.body[0](torch.from_numpy(batch["x"]))
    entering = torch.relu(module.body[1:](first))
    loss = nn.functional.cross_entropy(module.head(entering), torch.from_numpy(batch["target"]))
    far, near = (float(each.square().mean().sqrt()) for each in torch.autograd.grad(loss, (first, entering)))
    assert found.anatomy.zero_head not in found.flow.trunk
    assert found.flow.decades_rms == pytest.approx(np.log10(far / near), abs=1e-4)


def test_a_closed_head_is_called_by_one_name() -> None:
    """It lies behind the end of the trunk, and is no branch for that."""
    model = export(seeded(lambda: Headed(lambda head: nn.init.zeros_(head.weight))), VECTOR)
    (remark,) = [finding for finding in analyze(model, vectors(), QUICK).findings if finding.rule == "GH902"]
    assert remark.layers == (anatomy_of(model).zero_head,)


class Beit(Transformer):
    """Its head is scaled by 0.001 at the start."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            beit(self.head)


def test_a_transformer_with_the_head_of_beit_has_no_error() -> None:
    report = analyze(export(seeded(Beit), IDS), tokens(), QUICK)
    assert report.anatomy.zero_head is not None
    assert not errors(report)


@pytest.mark.parametrize("std", [0.01, 0.001])
def test_a_network_whose_every_layer_is_tiny_stays_sick(std: float) -> None:
    report = analyze(mlp(8, "Relu", normal(std)), vectors(), QUICK)
    assert report.verdict is Verdict.UNHEALTHY
    assert "GH101" in errors(report)


# ------------------------------------------------------------------ which expressions are zero


CONSTANTS = {
    "z": np.zeros((4, 4), np.float32), "o": np.zeros((4, 4), np.float32), "a": drawn(4, 4), "b": drawn(4, 4, seed=1),
    "wide": np.zeros((8, 4), np.float32), "half": np.eye(8, 4, -4, np.float32), "row": np.zeros((1, 4), np.float32),
    "none": np.zeros(4, np.float32), "one": np.ones(4, np.float32), "square": np.array([4, 4]),
    "nil": np.array([0]), "four": np.array([4]), "eight": np.array([8]),
}  # fmt: skip


@pytest.mark.parametrize(
    "expression",
    [
        "e = Identity(z)", "e = Identity(a)", "e = Mul(a, z)", "e = Mul(z, a)", "e = Mul(a, b)", "e = MatMul(a, z)",
        "e = MatMul(z, a)", "e = MatMul(a, b)", "e = Div(z, a)", "e = Div(a, b)", "e = Add(z, o)", "e = Add(a, z)",
        "e = Add(z, a)", "e = Sub(z, o)", "e = Sub(a, z)", "e = Sub(z, a)", "e = Transpose(z)", "e = Transpose(a)",
        "e = Reshape(z, square)", "e = Expand(row, square)", "e = Slice(wide, nil, four)",
        "e = Slice(half, four, eight)", "u = Unsqueeze(z, nil) e = Squeeze(u, nil)",
        "u = Unsqueeze(a, nil) e = Squeeze(u, nil)",
        "c = Cast<to = 11>(z) e = Cast<to = 1>(c)", "m = Mul(a, z) t = Transpose(m) e = Add(t, o)", "e = Exp(z)",
        "e = BatchNormalization(a, none, none, none, one)", "e = BatchNormalization(a, one, none, none, one)",
        "e = BatchNormalization(a, none, one, none, one)", "e = BatchNormalization(z, one, one, none, one)",
        "e = Concat<axis = 0>(z)", "s = Add(a, z) e = Mul(s, o)", "s = Mul(a, b) e = Mul(s, a)",
    ],
)  # fmt: skip
def test_a_matrix_is_closed_where_onnxruntime_computes_zeros_whatever_they_are_made_of(expression: str) -> None:
    nodes = f"{expression} y = MatMul(x, e)"
    used = {name: array for name, array in CONSTANTS.items() if name in re.findall(r"\w+", nodes)}
    made = proto(nodes, "float[4,4] x", "float[4,4] y", **used)
    (y,) = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": np.eye(4, dtype=np.float32)})
    checked = check_model(made.SerializeToString())
    (layer,) = [each for each in layers_of(checked) if each.op == "MatMul"]
    understood = "Concat" not in expression  # what is not known to keep zeros counts as open
    assert is_closed(checked.weights, checked, find_sources(checked), layer) is bool(understood and not y.any())


@pytest.mark.parametrize(
    ("nodes", "shut"),
    [
        ("y = RNN<hidden_size = 4>(x, zw, zr, a)", True),
        ("y = RNN<hidden_size = 4>(x, zw, r, a)", False),
        ("y = RNN<hidden_size = 4>(x, w, zr, a)", False),
        ("y = LayerNormalization(x, zs, s)", True),
        ("y = LayerNormalization(x, s, zs)", False),
        ("y = Mul(x, zs)", True),
        ("y = Mul(x, s)", False),
        ("y = Add(x, zs)", False),
    ],
)
def test_all_matrices_decide_and_a_scale_where_there_is_none(nodes: str, shut: bool) -> None:
    zeros = {"zw": np.zeros((1, 4, 4)), "zr": np.zeros((1, 4, 4)), "zs": np.zeros(4)}
    weights = {"w": drawn(1, 4, 4), "r": drawn(1, 4, 4), "s": drawn(4), "a": drawn(1, 8), **zeros}
    used = {name: array.astype(np.float32) for name, array in weights.items() if name in re.findall(r"\w+", nodes)}
    checked = model(nodes, "float[5,N,4] x", **used)
    (layer,) = layers_of(checked)
    assert is_closed(checked.weights, checked, find_sources(checked), layer) is shut


# ------------------------------------------------------------------ how faint is closed


def end_of(nodes: str, unit: float = 1.0, **weights: np.ndarray) -> tuple[str, str] | None:
    """Name and input of the closed layer that ends a graph."""
    checked = model(nodes, "float[N,4] x", **weights)
    found = closed_head(checked.weights, checked, find_sources(checked), layers_of(checked), head_of(checked), unit)
    return None if found is None else (found.layer.name, found.entering)


@pytest.mark.parametrize(
    ("norms", "unit", "shut"),
    [
        ([0.019, 0.019], 1.0, True), ([0.021, 0.021], 1.0, False), ([0.001, 0.027], 1.0, True),
        ([0.001, 0.03], 1.0, False), ([0.019, 0.019], 0.5, False), ([0.009, 0.009], 0.5, True),
        ([0.021, 0.021], 1000.0, False), ([1.0, 1.0], 1000.0, False),
    ],
)  # fmt: skip
def test_the_mean_square_of_the_units_norms_decides_and_no_unit_makes_a_usual_layer_faint(
    norms: list[float], unit: float, shut: bool
) -> None:
    weight = np.zeros((4, 2))
    weight[[0, 3], [0, 1]] = norms
    weight = (weight[[2, 3, 0, 1]] / np.sqrt(2) + weight / np.sqrt(2)).astype(np.float32)
    assert (end_of("y = MatMul(x, w)", unit, w=weight) is not None) is shut


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        ("h = MatMul(x, a) y = MatMul(h, z)", ("y", "h")),
        ("h = MatMul(x, a) y = MatMul(z, h)", ("y", "h")),
        ("h = MatMul(x, a) y = Gemm(h, z, one)", ("y", "h")),
        ("h = MatMul(x, a) m = MatMul(h, z) y = Add(m, one)", ("m", "h")),
        ("h = MatMul(x, a) l = MatMul(h, z) c = Cast<to = 1>(l) d = Dropout(c) y = Flatten(d)", ("l", "h")),
        ("h = MatMul(x, a) l = MatMul(h, z) c = Unsqueeze(l, nil) d = Relu(c) y = Squeeze(d, nil)", None),
        ("h = MatMul(x, z) y = MatMul(h, a)", None),
        ("h = MatMul(x, a) y = Mul(h, none)", None),
        ("h = MatMul(x, a) y = LayerNormalization(h, none)", None),
        ("h = MatMul(x, a) y = Relu(h)", None),
    ],
)
def test_the_closed_head_is_the_linear_layer_in_front_of_the_logits_and_is_entered_by_data(
    nodes: str, found: tuple[str, str] | None
) -> None:
    used = {name: array for name, array in CONSTANTS.items() if name in re.findall(r"\w+", nodes)}
    assert end_of(nodes, **used) == found
