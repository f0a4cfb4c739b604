import io
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from onnx import ModelProto, numpy_helper
from torch import nn

from analysis.convert import DifferentiableModel, convert
from analysis.errors import BadOptions, UnsupportedOp
from analysis.model import check_model
from tests.analysis.convert.conversion import RANDOM, Tensor, assert_sound, converted, floats, ids, proto, reference
from tests.gallery import HEALTHY, Recurrent, ResidualNetwork, Transformer, export, seeded

# ------------------------------------------------------------------ one parameter per initialiser


def test_a_parameter_has_the_name_layout_and_values_of_its_initializer() -> None:
    weights = {"b": floats(3), "w": floats(4, 3), "v": floats(2, 3)}
    module = converted(proto("h = Gemm(x, w, b) y = Gemm<transB: int = 1>(h, v)", **weights))
    assert list(module.initializers) == ["b", "w", "v"]
    for name, parameter in module.initializers.items():
        assert isinstance(parameter, nn.Parameter)
        assert parameter.dtype is torch.float32
        np.testing.assert_array_equal(parameter.detach().numpy(), weights[name])
    assert {id(p) for p in module.parameters()} == {id(p) for p in module.initializers.values()}
    assert len(list(module.parameters())) == 3
    assert list(module.buffers()) == []


def test_an_initializer_that_is_also_declared_as_an_input_is_none() -> None:
    made = proto("y = MatMul(x, w)", "float[N,4] x, float[4,3] w", w=floats(4, 3))
    module = converted(made)
    assert module.input_names == ("x",)
    assert list(module.initializers) == ["w"]


def test_options_decide_what_trains() -> None:
    made = proto("h = MatMul(x, w) m = Mul(h, k) y = MatMul(m, v)", w=floats(4, 4), v=floats(4, 4), k=np.float32(0.5))
    module = assert_sound(made, floats(2, 4), train=["k"], freeze=["v*"])
    assert list(module.initializers) == ["w", "k"]
    assert module.frozen == {"v": "frozen by options"}
    with pytest.raises(BadOptions):
        converted(made, freeze=["missing"])


def test_running_statistics_can_be_made_to_train() -> None:
    weights = {name: np.abs(floats(3)) + 1 for name in "sbmv"}
    made = proto("y = BatchNormalization(x, s, b, m, v)", "float[N,3,5] x", **weights)
    assert list(assert_sound(made, floats(2, 3, 5), train=["m", "v"]).initializers) == list("sbmv")


# ------------------------------------------------------------------ precision


def test_double_precision_takes_the_place_of_single_throughout() -> None:
    weights = {"w": floats(4, 4), "k": np.float32(1 / 3), "shape": ids(4), "three": np.array(3)}
    made = proto(
        """f = ConstantOfShape<value = float[1] {0.1}>(shape) h = MatMul(x, w) m = Mul(h, k) a = Add(m, f)
        i = Cast<to: int = 7>(a) c = Cast<to: int = 1>(i) s = Add(a, c)
        y = Loop (three, , s) < body = b (int64 trip, bool go, float[N,4] v) => (bool again, float[N,4] n) {
            again = Identity(go) tenth = Constant<value = float {0.1}>() p = Mul(v, tenth) n = Sin(p) } >""",
        **weights,
    )
    module, x = converted(made, precision=torch.float64), RANDOM.standard_normal((2, 4))
    assert all(parameter.dtype is torch.float64 for parameter in module.parameters())
    (y,) = module(torch.from_numpy(x))
    wanted = x @ weights["w"].astype(float) * float(weights["k"]) + float(np.float32(0.1))
    wanted = wanted + np.trunc(wanted)
    for _ in range(3):
        wanted = np.sin(wanted * float(np.float32(0.1)))
    assert y.dtype is torch.float64
    np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-12)


# ------------------------------------------------------------------ nothing is shared


def state(module: DifferentiableModel, *inputs: Tensor) -> list[Tensor]:
    """Outputs and gradients, as they are now."""
    module.zero_grad()
    outputs = module(*inputs)
    sum(y.sin().sum() for y in outputs if y.is_floating_point()).backward()
    gradients = [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]
    return [*(y.detach().clone() for y in outputs), *gradients]


@pytest.mark.parametrize("size", [4, 200], ids=["small", "mapped"])
def test_two_conversions_of_one_model_share_nothing(size: int) -> None:
    made = proto(
        "h = MatMul(x, w) d = Div(h, r) a = Add(d, b) y = MatMul(a, w)", f"float[N,{size}] x",
        w=floats(size, size), r=floats(size) + 9, b=floats(size),
    )  # fmt: skip
    content = made.SerializeToString()
    model = check_model(content)
    before = {name: np.array(array) for name, array in model.weights.items()}
    first, second = convert(model), convert(model)
    x = torch.from_numpy(floats(3, size))
    untouched = state(second, x)
    optimizer = torch.optim.SGD(first.parameters(), lr=0.1)
    for _ in range(3):
        state(first, x)
        optimizer.step()
    first.set_constant("r", torch.zeros(size))
    assert not torch.equal(first.initializers["w"], second.initializers["w"])
    assert all(torch.equal(a, b) for a, b in zip(state(second, x), untouched, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(state(convert(model), x), untouched, strict=True))
    assert all(np.array_equal(model.weights[name], before[name]) for name in before)
    assert model.source == content


@pytest.mark.parametrize("name", sorted(HEALTHY))
def test_running_twice_gives_the_same(name: str) -> None:
    patient = HEALTHY[name]()
    module = convert(check_model(patient.model))
    x = torch.from_numpy(np.load(io.BytesIO(patient.batch))["x"][:8])
    for training in (False, True):
        module.train(training)
        first, second = state(module, x), state(module, x)
        assert len(first) == len(second)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", sorted(HEALTHY))
def test_no_parameter_is_detached(name: str) -> None:
    patient = HEALTHY[name]()
    module = convert(check_model(patient.model))
    x = torch.from_numpy(np.load(io.BytesIO(patient.batch))["x"][:8])
    for training in (False, True):
        module.train(training)
        module.zero_grad()
        sum(y.square().sum() for y in module(x)).backward()
        assert [key for key, parameter in module.initializers.items() if parameter.grad is None] == []


# ------------------------------------------------------------------ what cannot be converted


def test_unsupported_nodes_are_told_before_anything_runs(asked: list[int]) -> None:
    with pytest.raises(UnsupportedOp):
        converted(proto("a = own.Spread(k) b = own.Fold(a) y = Add(x, b)", k=floats(4)))
    assert asked == []


# ------------------------------------------------------------------ as torch has it


class Tied(nn.Module):
    """An embedding that is also the head."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.hidden = nn.Embedding(9, 4), nn.Linear(4, 4)

    def forward(self, ids: Tensor) -> Tensor:
        return self.hidden(self.table(ids)).tanh() @ self.table.weight.T


class Several(nn.Module):
    """Convolutions, transposed ones, group and instance norms, slopes."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.group, self.instance = nn.GroupNorm(3, 6), nn.InstanceNorm2d(4, affine=True)
        self.slope = nn.PReLU(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.instance(self.up(self.slope(self.group(self.down(x)))))


TOKENS = torch.arange(24).reshape(2, 12) % 9
MODULES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 3)), lambda: torch.randn(5, 4)),
    "mlp on sequences": (lambda: nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 3)),
                         lambda: torch.randn(2, 5, 4)),
    "tied": (Tied, lambda: TOKENS),
    "several": (Several, lambda: torch.randn(2, 3, 8, 8)),
    "residual": (ResidualNetwork, lambda: torch.randn(2, 3, 8, 8)),
    "transformer": (Transformer, lambda: TOKENS),
    "lstm": (Recurrent, lambda: torch.randn(2, 5, 8)),
    "gru": (lambda: Recurrent(nn.GRU), lambda: torch.randn(2, 5, 8)),
    "rnn": (lambda: Recurrent(nn.RNN), lambda: torch.randn(2, 5, 8)),
}  # fmt: skip
RECURRENT = {"lstm", "gru", "rnn"}


def moments(parameters: Sequence[nn.Parameter]) -> list[tuple[int, float, float, float]]:
    """Of each tensor, whatever its layout: elements, |w|, |g|, <w, g>."""
    found = [
        (p.numel(), p.data.norm().item(), p.grad.norm().item(), (p.data * p.grad).sum().item())
        for p in parameters
        if p.grad is not None
    ]
    return sorted(found)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", MODULES)
def test_an_exported_module_computes_and_learns_as_the_original(name: str, training: bool) -> None:
    build, draw = MODULES[name]
    module = seeded(build)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)  # torch's exporter ties equal tensors, such as fresh norms
    x = draw()
    translated = convert(check_model(export(module, x, keep_batch_norm=True))).train(training)
    outputs = []
    for network in (module.train(training), translated):
        y = network(x)
        y = y[0] if isinstance(y, tuple) else y
        (y.sin() * torch.arange(y.numel()).reshape(y.shape) / y.numel()).sum().backward()
        outputs.append(y.detach())
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)
    theirs, ours = moments(list(module.parameters())), moments(list(translated.parameters()))
    if name in RECURRENT:  # ONNX packs four tensors into three
        theirs, ours = [total(theirs)], [total(ours)]
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-4)


def total(parts: list[tuple[int, float, float, float]]) -> tuple[float, ...]:
    sizes, weights, gradients, products = np.array(parts, float).T
    return sizes.sum(), np.sqrt((weights**2).sum()), np.sqrt((gradients**2).sum()), products.sum()


def test_torchs_new_exporter_leads_to_the_same() -> None:
    module = seeded(lambda: nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3))).eval()
    x = torch.randn(5, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(module, (x,), dynamo=True, verbose=False)
    translated = convert(check_model(program.model_proto.SerializeToString()))
    for network in (module, translated):
        y = network(x)
        (y if isinstance(y, Tensor) else y[0]).sin().sum().backward()
    np.testing.assert_allclose(
        moments(list(translated.parameters())), moments(list(module.parameters())), rtol=1e-3, atol=1e-5
    )


# ------------------------------------------------------------------ what a node declares, whoever reads it


@pytest.mark.parametrize("opset", [2, 11, 13, 17])
@pytest.mark.parametrize("unread", [0, 1, 2])
def test_an_equal_split_has_as_many_parts_as_it_declares_whichever_are_read(opset: int, unread: int) -> None:
    parts = ["a", "b", "c"]
    summed = [part for place, part in enumerate(parts) if place != unread]
    made = proto(
        f"h = MatMul(x, w) a, b, c = Split<axis: int = 1>(h) s = Concat<axis: int = 1>({', '.join(summed)})"
        "y = MatMul(s, v)",
        opset=opset, w=floats(4, 6), v=floats(4, 2),
    )  # fmt: skip
    module = converted(made)
    x = floats(3, 4)
    (ours,) = module(torch.from_numpy(x))
    h = x @ module.initializers["w"].detach().numpy()
    kept = np.concatenate([part for place, part in enumerate(np.split(h, 3, 1)) if place != unread], 1)
    np.testing.assert_allclose(ours.detach().numpy(), kept @ module.initializers["v"].detach().numpy(), rtol=1e-5)
    if opset > 2:  # onnxruntime has no older one
        assert_sound(made, x)


@pytest.mark.parametrize("opset", [7, 9, 13])
@pytest.mark.parametrize("read", [1, 5])
def test_before_opset_14_a_normalisation_that_declares_its_statistics_normalises_by_the_batch(
    opset: int, read: int
) -> None:
    made = proto(
        "h = MatMul(x, w) n, m, v, s, t = BatchNormalization<momentum: float = 0.7>(h, g, b, mean, variance)"
        "y = MatMul(n, u)",
        outputs="float[N,2] y" + ("" if read == 1 else ", float[5] m, float[5] v"),
        opset=opset, w=floats(4, 5), u=floats(5, 2), g=floats(5), b=floats(5), mean=floats(5),
        variance=np.abs(floats(5)),
    )  # fmt: skip
    module, x = converted(made), floats(8, 4)
    weights = {name: parameter.detach().double().numpy() for name, parameter in module.initializers.items()}
    h = x.astype(np.float64) @ weights["w"]
    standardized = (h - h.mean(0)) / np.sqrt(h.var(0) + 1e-5) * weights["g"] + weights["b"]
    for mode in (False, True):
        outputs = [value.detach().numpy() for value in module.train(mode)(torch.from_numpy(x))]
        np.testing.assert_allclose(outputs[0], standardized @ weights["u"], rtol=1e-4, atol=1e-4)
        if read > 1:
            stored = {entry.name: numpy_helper.to_array(entry) for entry in made.graph.initializer}
            np.testing.assert_allclose(outputs[1], 0.7 * stored["mean"] + 0.3 * h.mean(0), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(outputs[2], 0.7 * stored["variance"] + 0.3 * h.var(0), rtol=1e-4, atol=1e-5)


def branches(then: str, otherwise: str, **weights: np.ndarray) -> ModelProto:
    """An If on the sign of the batch's sum; its value is multiplied with the batch."""
    return proto(
        f"""t = ReduceSum<keepdims: int = 0>(x) c = Greater(t, zero)
        p = If(c) <then_branch = a () => (float[] l) {{ {then} }}, else_branch = b () => (float[] r) {{ {otherwise} }}>
        y = MatMul(x, p)""",
        zero=np.float32(0), **weights,
    )  # fmt: skip


@pytest.mark.parametrize("sign", [1, -1])
def test_weights_that_leave_the_branches_of_an_if_train_where_their_branch_is_taken(sign: int) -> None:
    made = branches("l = Identity(u)", "r = Transpose(w)", u=floats(4, 3), w=floats(3, 4))
    module, x = converted(made), sign * np.abs(floats(5, 4))
    assert set(module.initializers) == {"u", "w"}
    (y,) = module(torch.from_numpy(x))
    np.testing.assert_allclose(y.detach().numpy(), reference(made, x)[0], rtol=1e-5, atol=1e-5)
    y.sum().backward()
    taken, other = ("u", "w") if sign > 0 else ("w", "u")
    expected = np.repeat(x.sum(0)[:, None], 3, 1)
    gradient = module.initializers[taken].grad
    assert gradient is not None
    np.testing.assert_allclose(gradient.numpy(), expected if taken == "u" else expected.T, rtol=1e-5, atol=1e-5)
    assert module.initializers[other].grad is None


def test_a_weight_beside_data_in_the_branches_of_an_if_trains_too() -> None:
    made = branches("l = Identity(u)", "r = Transpose(x)", u=floats(4, 3))
    assert set(converted(made).initializers) == {"u"}


def test_a_weight_that_leaves_a_loop_or_a_scan_trains() -> None:
    made = proto(
        """s = Loop(trips, , w) <body = turn (int64 i, bool c, float[4,3] a) => (bool d, float[4,3] b)
            { d = Identity(c) b = Mul(a, f) }>
        y = MatMul(x, s)""",
        trips=np.array(2), w=floats(4, 3), f=floats(4, 3),
    )  # fmt: skip
    assert_sound(made, floats(2, 4))
    made = proto(
        """e, rows = Scan <num_scan_inputs = 1, body = turn (float a, float[4] r) => (float b, float[3] o)
            { b = Identity(a) o = MatMul(r, w) }> (start, table)
        y = MatMul(x, rows)""",
        start=np.float32(0), table=floats(4, 4), w=floats(4, 3),
    )  # fmt: skip
    assert "w" in converted(made).initializers


def test_a_value_that_is_a_sequence_is_passed_over_by_those_who_watch() -> None:
    made = proto(
        "h = MatMul(x, w) s = SplitToSequence<axis: int = 1>(h) y = ConcatFromSequence<axis: int = 1>(s)",
        w=floats(4, 3),
    )  # fmt: skip
    seen: list[str] = []
    module, x = converted(made), floats(2, 4)
    module.observe([torch.from_numpy(x)], {name: [lambda _value, name=name: seen.append(name)] for name in "hsy"})
    assert seen == ["h", "y"]
