"""Layers of zeros or nearly, against torch's gradients and the modules the graphs come from."""

import io
from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from torch import nn

from analysis.graph.closed import ClosedHead, closed_head
from analysis.measure.passes import measure
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.pipeline import analyze
from analysis.report import Verdict
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
