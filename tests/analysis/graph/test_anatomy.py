"""What is read off graph and weights, against torch's gradients, closed forms and the modules the graphs come from."""

import io
from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from analysis.facts import Anatomy
from analysis.graph.anatomy import find_anatomy
from analysis.graph.closed import ClosedHead, closed_head
from analysis.graph.units import duplicate_fraction, units_of
from analysis.measure.passes import measure
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.pipeline import analyze
from analysis.report import Report, Severity, Verdict
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from tests.gallery import CLASSES, INPUTS, Transformer, export, he, mlp, normal, npz, seeded, tokens, vectors

OPTIONS = AnalysisOptions()
QUICK = AnalysisOptions(effort="quick")
IDS = torch.zeros(2, 12, dtype=torch.int64)
IMAGE = torch.zeros(2, 3, 8, 8)
VECTOR = torch.zeros(2, INPUTS)


def subject_of(model: bytes, batch: bytes | None = None) -> Subject:
    return prepare(check_model(model), batch, OPTIONS)


def anatomy_of(model: bytes, batch: bytes | None = None) -> Anatomy:
    subject = subject_of(model, batch)
    return find_anatomy(
        subject.weights(), subject.model, subject.sources, subject.layers, subject.objective.head, subject.attention
    )


def closed(model: bytes) -> ClosedHead | None:
    subject = subject_of(model)
    return closed_head(subject.weights(), subject.model, subject.sources, subject.layers, subject.objective.head)


def written(signature: str, nodes: str, **weights: np.ndarray) -> bytes:
    """A model in ONNX's text form."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> net {signature} {{ {nodes} }}')
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return model.SerializeToString()


def drawn(*shape: int, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def owners(model: bytes, ids: tuple[str, ...]) -> set[str]:
    """Initialisers of these layers."""
    layers = {layer.id: layer for layer in subject_of(model).layers}
    return {info.initializer for each in ids for info in layers[each].parameters.values()}


def errors(report: Report) -> set[str]:
    return {finding.rule for finding in report.findings if finding.severity is Severity.ERROR}


# ------------------------------------------------------------------ branches that start closed


class Residual(nn.Module):
    """Three blocks that end in a normalisation, a plain layer or a layer-scale."""

    def __init__(self, end: Callable[[], nn.Module], width: int = 16) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(INPUTS, width), nn.Linear(width, CLASSES)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.ends = nn.ModuleList(end() for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        for inner, end in zip(self.inner, self.ends, strict=True):
            x = x + end(torch.relu(inner(x)))
        return self.head(x)


class LayerScale(nn.Module):
    def __init__(self, size: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((16,), size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gamma * x


def with_weight(build: Callable[[], nn.Module], value: float) -> Callable[[], nn.Module]:
    """Its weight filled with one value."""

    def filled() -> nn.Module:
        module = build()
        nn.init.constant_(module.weight, value)
        return module

    return filled


NORM = lambda: nn.LayerNorm(16)  # noqa: E731
LINEAR = lambda: nn.Linear(16, 16, bias=False)  # noqa: E731


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


@pytest.mark.parametrize(("size", "seen"), [(1e-6, True), (0.1, True), (0.5, False), (1.0, False)])
def test_a_small_learnt_factor_that_ends_a_branch_is_a_layer_scale(size: float, seen: bool) -> None:
    sizes = iter([size, 0.8 * size, 0.9 * size])  # the exporter would share equal ones
    anatomy = anatomy_of(export(seeded(lambda: Residual(lambda: LayerScale(next(sizes)))), VECTOR))
    names = [f"ends.{block}.gamma" for block in range(3)]
    expected = dict(zip(names, [size, 0.8 * size, 0.9 * size], strict=True)) if seen else {}
    assert anatomy.layer_scales == pytest.approx(expected)


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


# ------------------------------------------------------------------ biases that come to nothing


class Normed(nn.Module):
    """A biased layer, what stands behind it, and a head."""

    def __init__(self, layer: nn.Module, *behind: nn.Module) -> None:
        super().__init__()
        self.layer, self.behind, self.head = layer, nn.Sequential(*behind), nn.LazyLinear(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.behind(self.layer(x)).flatten(1))


@pytest.mark.parametrize(
    ("build", "example"),
    [
        (lambda: Normed(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Tanh()), IMAGE),
        (lambda: Normed(nn.ConvTranspose2d(3, 6, 3), nn.BatchNorm2d(6), nn.Tanh()), IMAGE),
        (lambda: Normed(nn.Conv2d(3, 6, 3), nn.InstanceNorm2d(6, affine=True), nn.Tanh()), IMAGE),
        (lambda: Normed(nn.Linear(INPUTS, 16), nn.BatchNorm1d(16), nn.Tanh()), VECTOR),
        (lambda: Normed(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.BatchNorm2d(6)), IMAGE),
        (lambda: Normed(nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6), nn.Tanh()), IMAGE),
        (lambda: Normed(nn.Linear(INPUTS, 16), nn.LayerNorm(16), nn.Tanh()), VECTOR),
        (lambda: Normed(nn.Linear(INPUTS, 16), nn.Tanh()), VECTOR),
    ],
    ids=["conv bn", "deconv bn", "conv in", "linear bn", "activation first", "group norm", "layer norm", "none"],
)  # fmt: skip
def test_a_bias_is_cancelled_where_torch_gives_it_no_gradient(
    build: Callable[[], nn.Module], example: torch.Tensor
) -> None:
    module = seeded(build).train()
    x = torch.randn(64, *example.shape[1:], generator=torch.Generator().manual_seed(0))
    module(x).square().mean().backward()
    nothing = float(module.layer.bias.grad.norm()) < 1e-5 * float(module.layer.weight.grad.norm())
    cancelled = anatomy_of(export(module, example, keep_batch_norm=True)).cancelled
    assert ("layer.bias" in cancelled) == nothing
    assert set(cancelled) <= {"layer.bias"}


def test_a_bias_that_is_read_beside_the_normalisation_counts() -> None:
    nodes = "c = Conv(x, K, b) n = BatchNormalization(c, g, s, m, v) y = Add(n, c)"
    ones = np.ones(4, np.float32)
    model = written(
        "(float[N,2,5] x) => (float[N,4,3] y)", nodes, K=drawn(4, 2, 3), b=ones, g=ones, s=ones, m=ones, v=ones
    )
    assert anatomy_of(model).cancelled == {}


class Projected(nn.Module):
    """Attention with projections of its own, written out."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.head = nn.Linear(width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.query(x) @ self.key(x).transpose(1, 2) / 2.0
        return self.head((scores.softmax(-1) @ self.value(x)).mean(1))


def test_the_bias_of_keys_is_cancelled_by_the_softmax_as_torch_confirms() -> None:
    module = seeded(Projected)
    module(torch.randn(16, 6, 8, generator=torch.Generator().manual_seed(0))).square().mean().backward()
    gradients = {name: float(each.grad.norm()) for name, each in module.named_parameters()}
    cancelled = anatomy_of(export(module, torch.zeros(2, 6, 8))).cancelled
    assert cancelled == {"key.bias": "Softmax"}
    assert gradients["key.bias"] < 1e-6 < min(gradients["query.bias"], gradients["value.bias"], gradients["key.weight"])


# ------------------------------------------------------------------ quantisers, and the end of the graph


def test_quantising_nodes_are_those_that_pass_gradients_straight_through() -> None:
    nodes = (
        "a = MatMul(x, A) [first] i = QuantizeLinear(a, step, zero) b = DequantizeLinear(i, step, zero) "
        "r = Relu(b) j = QuantizeLinear(r, step, zero) c = DequantizeLinear(j, step, zero) y = MatMul(c, B)"
    )
    weights = {"A": drawn(4, 8), "B": drawn(8, 3), "step": np.float32(0.1), "zero": np.int8(0)}
    model = written(
        "(float[N,4] x) => (float[N,3] y)", nodes, **{name: np.asarray(each) for name, each in weights.items()}
    )
    assert anatomy_of(model).straight_through == ("first", "j")
    assert anatomy_of(mlp(3, "Relu", he())).straight_through == ()


def ended(*operators: str) -> bytes:
    """A perceptron with these operators behind its last layer."""
    model = onnx.load_from_string(mlp(3, "Relu", he()))
    value = model.graph.output[0].name
    for place, operator in enumerate(operators):
        attributes = {"axis": 1} if operator in {"Softmax", "LogSoftmax", "ArgMax", "Flatten"} else {}
        node = helper.make_node(operator, [value], [f"end{place}"], name=f"{operator}-{place}", **attributes)
        model.graph.node.append(node)
        value = f"end{place}"
    kind = onnx.TensorProto.INT64 if operators[-1:] == ("ArgMax",) else onnx.TensorProto.FLOAT
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(value, kind, None))
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("operators", "read", "links", "activation"),
    [
        ((), (), (), None),
        (("Softmax",), ("Softmax",), (), None),
        (("Softmax", "ArgMax"), ("Softmax", "ArgMax"), (), None),
        (("Softmax", "Softmax"), ("Softmax",), ("Softmax-0",), None),
        (("Sigmoid", "Softmax"), ("Softmax",), ("Sigmoid-0",), None),
        (("Softmax", "Softmax", "LogSoftmax"), ("LogSoftmax",), ("Softmax-1", "Softmax-0"), None),
        (("Softmax", "Flatten", "Softmax"), ("Softmax",), ("Softmax-0",), None),
        (("Relu",), (), (), "Relu"),
        (("Relu", "Softmax"), ("Softmax",), (), "Relu"),
        (("Tanh",), (), (), None),
    ],
)
def test_the_end_of_the_graph_is_read_in_the_order_of_the_data(
    operators: tuple[str, ...], read: tuple[str, ...], links: tuple[str, ...], activation: str | None
) -> None:
    anatomy = anatomy_of(ended(*operators))
    assert (anatomy.head_operators, anatomy.stacked_links) == (read, links)
    assert anatomy.head_activation == activation


# ------------------------------------------------------------------ folded normalisation


def convolutions(*norms: np.ndarray, bias: float | None = 0.0) -> bytes:
    """Convolutions in a row whose channels have these norms."""
    nodes, weights, value, channels = [], {}, "x", 2
    for place, wanted in enumerate(norms):
        kernel = drawn(len(wanted), channels, 3, seed=place)
        kernel *= (wanted / np.linalg.norm(kernel.reshape(len(wanted), -1), axis=1)).reshape(-1, 1, 1)
        weights[f"k{place}"] = kernel.astype(np.float32)
        if bias is not None:
            weights[f"b{place}"] = np.full(len(wanted), bias, np.float32)
        nodes.append(f"c{place} = Conv<pads = [1, 1]>({value}, k{place}{f', b{place}' if bias is not None else ''})")
        value, channels = f"c{place}", len(wanted)
    return written("(float[N,2,5] x) => (float[N,C,L] y)", f"{' '.join(nodes)} y = Identity({value})", **weights)


def test_the_spread_of_channel_norms_is_the_median_over_convolutions_in_decades() -> None:
    norms = [np.array([1.0, 10.0, 3.0]), np.array([0.1, 100.0, 1.0, 1.0]), np.array([2.0, 2.0])]
    assert anatomy_of(convolutions(*norms)).channel_norm_spread == pytest.approx(1.0, abs=1e-5)
    assert anatomy_of(convolutions(*norms, bias=None)).channel_norm_spread is None
    assert anatomy_of(mlp(3, "Relu", he())).channel_norm_spread is None


def test_a_channel_of_zeros_gives_no_spread() -> None:
    anatomy = anatomy_of(convolutions(np.array([1.0, 0.0]), np.array([1.0, 100.0])))
    assert anatomy.channel_norm_spread == pytest.approx(2.0, abs=1e-5)


@pytest.mark.parametrize(("bias", "fresh"), [(0.0, True), (0.3, False)])
def test_biases_of_convolutions_are_fresh_where_all_are_zero(bias: float, fresh: bool) -> None:
    assert anatomy_of(convolutions(np.ones(3), np.ones(2), bias=bias)).fresh_biases is fresh


def test_what_folding_leaves_behind_shows_in_the_convolutions() -> None:
    """No biases, or weights that the exporter named itself."""
    three = [np.ones(3), np.ones(2), np.ones(4)]
    assert anatomy_of(convolutions(*three, bias=None)).folded_share == 1.0
    assert anatomy_of(convolutions(*three)).folded_share == 0.0
    assert anatomy_of(convolutions(*three[:2], bias=None)).folded_share is None
    plain = seeded(lambda: nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(4)), nn.Flatten()))
    normalized = seeded(
        lambda: nn.Sequential(*(m for _ in range(4) for m in (nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))))
    )
    assert anatomy_of(export(plain, IMAGE)).folded_share == 0.0
    assert anatomy_of(export(normalized, IMAGE)).folded_share == 1.0
    assert anatomy_of(export(normalized, IMAGE, keep_batch_norm=True)).folded_share == 0.0


def test_folding_shows_as_a_spread_that_follows_from_the_running_variance() -> None:
    """Folding divides each channel by its deviation; the exporter does it here."""

    def build() -> nn.Module:
        module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
        module[1].running_var.copy_(10.0 ** torch.linspace(-2, 2, 8))
        return module

    module = seeded(build)
    norms = (
        (module[0].weight / torch.sqrt(module[1].running_var + module[1].eps).view(-1, 1, 1, 1)).flatten(1).norm(dim=1)
    )
    expected = float(torch.log10(norms.max() / norms.min()).detach())
    assert anatomy_of(export(module, IMAGE)).channel_norm_spread == pytest.approx(expected, abs=1e-4)


# ------------------------------------------------------------------ units that equal each other


@pytest.mark.parametrize(
    ("rows", "share"),
    [
        (np.ones((8, 4)), 1.0),
        (np.repeat(drawn(4, 6), 2, axis=0), 1.0),
        (np.concatenate([drawn(6, 5), drawn(2, 5)[[0, 0, 1, 1]]])[[9, 0, 5, 7, 3, 8, 1, 2, 6, 4]], 1.0 - 4 / 10),
        (np.concatenate([drawn(6, 5, seed=1), drawn(1, 5)[[0, 0]]]), 2 / 8),
        (drawn(32, 700), 0.0),
        (drawn(1, 5), 0.0),
        (np.zeros((0, 5)), 0.0),
        (np.array([[0.0, 1.0], [-0.0, 1.0]]), 1.0),
    ],
)
def test_duplicates_are_the_rows_that_equal_another(rows: np.ndarray, share: float) -> None:
    assert duplicate_fraction(rows.astype(np.float32)) == pytest.approx(share)


@pytest.mark.parametrize("width", [64, 1024])
def test_the_units_of_an_identity_all_differ(width: int) -> None:
    assert duplicate_fraction(np.eye(width, dtype=np.float32)) == 0.0


def test_wide_units_that_differ_in_one_input_differ() -> None:
    rows = np.ones((4, 2000), np.float32)
    rows[0, 1001] = 2
    assert duplicate_fraction(rows) == pytest.approx(3 / 4)


def test_units_are_the_rows_of_the_module_with_their_biases() -> None:
    module = seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.ConvTranspose2d(6, 4, 2, groups=2), nn.Flatten(),
                              nn.Linear(4 * 49, 5, bias=False))
    )  # fmt: skip
    subject = subject_of(export(module, IMAGE))
    found = [units_of(subject.weights(), subject.sources, layer) for layer in subject.layers]
    convolution, transposed, linear = module[0], module[2], module[4]
    by_hand = torch.cat([transposed.weight[:3].transpose(0, 1), transposed.weight[3:].transpose(0, 1)]).flatten(1)
    truth = [
        torch.cat([convolution.weight.flatten(1), convolution.bias[:, None]], 1),
        torch.cat([by_hand, transposed.bias[:, None]], 1),
        linear.weight,
    ]
    for rows, expected in zip(found, truth, strict=True):
        np.testing.assert_array_equal(rows, expected.detach().numpy())


def test_the_units_of_a_shared_weight_are_those_of_each_layer() -> None:
    """h = x W and y = h W': the same matrix has units along its columns, then along its rows."""
    weight = np.repeat(drawn(2, 4), 2, axis=0)  # [4, 4], rows equal in pairs, columns not
    model = written(
        "(float[N,4] x) => (float[N,4] y)", "h = MatMul(x, W) t = Tanh(h) y = Gemm<transB = 1>(t, W)", W=weight
    )
    x = drawn(16, 4, seed=2)
    shares = [
        stats.weight.duplicate_fraction
        for stats in measure(subject_of(model, npz(x=x, target=x)), cotangents=(0,)).stats
    ]
    assert shares == [0.0, 1.0]


def test_a_constant_initialisation_makes_all_units_duplicates_unless_biases_part_them() -> None:
    def build(bias: bool) -> nn.Module:
        module = nn.Sequential(nn.Linear(INPUTS, 16), nn.ReLU(), nn.Linear(16, CLASSES))
        nn.init.constant_(module[0].weight, 0.1)
        nn.init.zeros_(module[0].bias) if not bias else None
        return module

    for bias, share in ((False, 1.0), (True, 0.0)):
        measured = measure(
            subject_of(export(seeded(lambda bias=bias: build(bias)), VECTOR), vectors()), cotangents=(0,)
        )
        assert measured.stats[0].weight.duplicate_fraction == share
