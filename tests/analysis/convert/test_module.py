import numpy as np
import pytest
import torch
from onnx import ModelProto, helper, numpy_helper

from analysis.clock import OutOfTime
from analysis.convert import DifferentiableModel, convert
from analysis.model import check_model
from tests.analysis.convert.conversion import (
    RANDOM,
    Tensor,
    assert_differentiable,
    assert_sound,
    converted,
    floats,
    ids,
    proto,
    reference,
)

# ------------------------------------------------------------------ names of parameters


NAMES = ["a.b", "a%2Eb", "a", "a/b::c", "ü ß", "training", "weight:a", "constant:1", "forward"]


def test_any_name_is_kept_apart() -> None:
    made = proto("y = Identity(x)")
    del made.graph.node[:]
    ends = ["x", *(f"h{n}" for n in range(len(NAMES) - 1)), "y"]
    made.graph.node.extend(helper.make_node("MatMul", [ends[n], name], [ends[n + 1]]) for n, name in enumerate(NAMES))
    made.graph.initializer.extend(numpy_helper.from_array(floats(4, 4), name) for name in NAMES)
    module = assert_sound(made, floats(2, 4))
    assert list(module.initializers) == NAMES
    assert len(set(module.state_dict())) == len(NAMES)


def test_a_state_dict_carries_all_that_trains_and_nothing_else() -> None:
    made = proto("h = MatMul(x, w) y = Div(h, d)", w=floats(4, 4), d=floats(4) + 9)
    first, second = converted(made), converted(made)
    with torch.no_grad():
        first.initializers["w"].add_(1)
    state = first.state_dict()
    assert len(state) == 1
    second.load_state_dict(state)
    x = torch.from_numpy(floats(2, 4))
    assert torch.equal(first(x)[0], second(x)[0])


def test_weights_by_name_are_those_that_torch_holds_also_after_a_cast() -> None:
    module = converted(proto("h = MatMul(x, w) y = MatMul(h, v)", w=floats(4, 4), v=floats(4, 4)))
    for moved in (module, module.double()):
        held = {id(parameter) for parameter in moved.parameters()}
        assert {id(weight) for weight in moved.initializers.values()} == held
        assert {weight.dtype for weight in moved.initializers.values()} == {next(moved.parameters()).dtype}
    assert module.initializers["w"].dtype is torch.float64


# ------------------------------------------------------------------ precision


def test_a_narrower_input_is_widened_to_what_the_graph_declares() -> None:
    made = proto("y = MatMul(x, w)", "double[N,4] x", "double[] y", w=floats(4, 3).astype(np.float64))
    x = floats(2, 4)
    (y,) = converted(made)(torch.from_numpy(x))
    assert y.dtype is torch.float64
    np.testing.assert_allclose(y.detach().numpy(), reference(made, x.astype(np.float64))[0], rtol=1e-12)


CAST = """h = MatMul(x, w) d = Div(h, r) g = Gather(d, i)
    y = Loop (three, , g) < body = b (int64 trip, bool go, float[2,4] a) => (bool again, float[2,4] n) {
        again = Identity(go) half = Constant<value = float[4] {0.5, 0.25, 0.125, 2}>() sine = Sin(half)
        m = MatMul(a, e) o = Mul(m, sine) q = Mul(o, v)
        n = If (go) < then_branch = t () => (float[2,4] u) { c = Constant<value = float {0.1}>() u = Mul(q, c) },
                      else_branch = o () => (float[2,4] f) { f = Neg(q) } > } >"""


def cast() -> DifferentiableModel:
    weights = {"w": floats(4, 4), "r": floats(4) + 9, "e": floats(4, 4), "v": floats(4), "i": ids(1, 0)}
    return converted(proto(CAST, **weights, three=np.array(2)), freeze=["e"])


def test_a_module_is_cast_as_a_whole() -> None:
    module, x = cast(), RANDOM.standard_normal((2, 4))
    (single,) = module(torch.from_numpy(x).float())
    assert module.to(torch.float64) is module
    inputs = [torch.from_numpy(x)]
    (double,) = module(*inputs)
    assert double.dtype is torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-6)
    assert_differentiable(module, inputs)


def test_a_module_is_moved_as_a_whole() -> None:
    module = cast().to("meta")
    held = [value for value in module._template if isinstance(value, Tensor)]
    assert {value.dtype for value in held} == {torch.float32, torch.int64}
    assert {value.device.type for value in held} == {"meta"}


# ------------------------------------------------------------------ training and evaluation


def normalization(**attributes: int) -> tuple[ModelProto, dict[str, np.ndarray]]:
    weights = {"s": floats(3), "b": floats(3), "m": floats(3), "v": np.abs(floats(3)) + 1}
    given = f"<{', '.join(f'{name}: int = {value}' for name, value in attributes.items())}>" if attributes else ""
    return proto(f"y = BatchNormalization{given}(x, s, b, m, v)", "float[N,3,5] x", **weights), weights


def standardized(x: np.ndarray, mean: np.ndarray, variance: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    def over(vector: np.ndarray) -> np.ndarray:
        return vector[:, None]

    return (x - over(mean)) / np.sqrt(over(variance) + 1e-5) * over(weights["s"]) + over(weights["b"])


def test_batch_normalization_uses_running_statistics_until_it_trains() -> None:
    made, weights = normalization()
    module, x = converted(made), floats(6, 3, 5)
    running = standardized(x, weights["m"], weights["v"], weights)
    batch = standardized(x, x.mean((0, 2)), x.var((0, 2)), weights)
    assert not module.training
    for switch, wanted in (("eval", running), ("train", batch), ("eval", running)):
        assert getattr(module, switch)() is module
        for _ in range(2):
            (y,) = module(torch.from_numpy(x))
            np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-4, atol=1e-5)
    statistics = sorted(tuple(buffer.tolist()) for buffer in module.buffers())
    assert statistics == sorted(tuple(weights[name].tolist()) for name in "mv")


def test_a_graph_that_asks_for_batch_statistics_gets_them_in_evaluation_too() -> None:
    made, weights = normalization(training_mode=1)
    made.graph.node[0].output.extend(["m2", "v2"])
    x = floats(6, 3, 5)
    (y,) = converted(made)(torch.from_numpy(x))
    wanted = standardized(x, x.mean((0, 2)), x.var((0, 2)), weights)
    np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_training_reaches_into_bodies() -> None:
    made = proto(
        """y = If (on) < then_branch = t () => (float[N,3,5] u) { u = BatchNormalization(x, s, b, m, v) },
                         else_branch = e () => (float[N,3,5] f) { f = Neg(x) } >""",
        "float[N,3,5] x, bool on", **normalization()[1],
    )  # fmt: skip
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    module, x = converted(made).train(), floats(6, 3, 5)
    (y,) = module(torch.from_numpy(x), torch.tensor(True))
    wanted = standardized(x, x.mean((0, 2)), x.var((0, 2)), weights)
    np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("nodes", ["y = Dropout(x)", "y = Dropout(x, half)", "y = Dropout(x, half, on)"])
@pytest.mark.parametrize("training", [False, True])
def test_dropout_is_off_while_measuring(nodes: str, training: bool) -> None:
    module = converted(proto(nodes, half=np.float32(0.5), on=np.array(True))).train(training)
    x = torch.from_numpy(floats(50, 4))
    assert torch.equal(module(x)[0], x)


def test_a_constant_is_overwritten_in_one_model_only() -> None:
    made, weights = normalization()
    first, second = converted(made), converted(made)
    x, mean = floats(6, 3, 5), floats(3)
    first.set_constant("m", torch.from_numpy(mean))
    for module, used in ((first, mean), (second, weights["m"])):
        wanted = standardized(x, used, weights["v"], weights)
        np.testing.assert_allclose(module(torch.from_numpy(x))[0].detach().numpy(), wanted, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------ calling it


def test_inputs_and_outputs_come_in_the_order_of_the_graph() -> None:
    made = proto(
        "d = Sub(b, a) p = MatMul(a, w)", "float[N,4] b, float[N,4] a",
        "float[] p, float[] d, float[N,4] a, float[4,4] w, float[] c", w=floats(4, 4), c=floats(3),
    )  # fmt: skip
    module, a, b = converted(made), floats(2, 4), floats(2, 4)
    assert (module.input_names, module.output_names) == (("b", "a"), ("p", "d", "a", "w", "c"))
    outputs = module(torch.from_numpy(b), torch.from_numpy(a))
    assert isinstance(outputs, tuple)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    for output, wanted in zip(outputs, (a @ weights["w"], b - a, a, weights["w"], weights["c"]), strict=True):
        np.testing.assert_allclose(output.detach().numpy(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_inputs_is_refused(count: int) -> None:
    module = converted(proto("y = Add(x, z)", "float[N,4] x, float[N,4] z"))
    with pytest.raises(TypeError, match=f"2 inputs, got {count}"):
        module(*[torch.zeros(1, 4)] * count)


def test_a_graph_without_inputs_runs() -> None:
    (y,) = converted(proto("y = Exp(k)", "", k=floats(3)))()
    assert y.shape == (3,)


def test_watched_values_are_shown_once_and_outputs_are_the_same() -> None:
    made = proto("h = MatMul(x, w) r = Relu(h) s = Shape(r) y = Reshape(r, s)", w=floats(4, 4))
    module, x = converted(made), torch.from_numpy(floats(2, 4))
    seen: dict[str, list[Tensor]] = {name: [] for name in ("x", "h", "r", "y", "nowhere")}
    outputs = module.observe([x], {name: [found.append] for name, found in seen.items()})
    assert {name: len(found) for name, found in seen.items()} == {"x": 1, "h": 1, "r": 1, "y": 1, "nowhere": 0}
    assert seen["x"][0] is x
    torch.testing.assert_close(seen["h"][0], x @ module.initializers["w"])
    torch.testing.assert_close(seen["r"][0], seen["h"][0].relu())
    assert torch.equal(outputs[0], module(x)[0])


def test_the_way_of_every_if_is_told_to_who_asks() -> None:
    made = proto(
        """y = If (on) < then_branch = t () => (float[3] u) { u = Neg(x) },
                         else_branch = e () => (float[3] f) { f = Abs(x) } >""",
        "float[3] x, bool on",
    )  # fmt: skip
    module, x = converted(made), torch.from_numpy(floats(3))
    seen: list[tuple[str, bool]] = []
    with module.watching_branches(lambda node, first: seen.append((node, first))):
        module(x, torch.tensor(True))
        module(x, torch.tensor(False))
    module(x, torch.tensor(True))
    assert seen == [("y", True), ("y", False)]


def test_layers_and_frozen_weights_are_told() -> None:
    made = proto("h = Gemm(x, w, b) y = Div(h, d)", w=floats(4, 4), b=floats(4), d=floats(4), n=ids(1))
    module = converted(made)
    assert [(layer.op, sorted(layer.parameters)) for layer in module.layers] == [("Gemm", ["bias", "weight"])]
    assert module.frozen == {"d": "constant operand of Div", "n": "unused"}


# ------------------------------------------------------------------ interruption


class Interruption:
    """Says that time has passed each time it is asked; raises when it was asked so many times."""

    def __init__(self, most: int = 1000) -> None:
        self.asked, self.most = 0, most

    def __call__(self) -> bool:
        self.asked += 1
        if self.asked > self.most:
            raise OutOfTime
        return True


def three_steps() -> DifferentiableModel:
    return converted(proto("h = MatMul(x, w) r = Tanh(h) y = MatMul(r, v)", w=floats(4, 4), v=floats(4, 4)))


def test_between_gradients_it_is_asked_again_where_the_way_up_took_time() -> None:
    module, interruption = three_steps(), Interruption()
    module.interrupt = interruption
    (y,) = module(torch.from_numpy(floats(2, 4)))
    assert interruption.asked == 3
    y.sum().backward()
    assert interruption.asked == 6


def test_a_backward_pass_is_ended_in_its_middle_with_what_was_raised() -> None:
    module, interruption = three_steps(), Interruption(most=4)
    module.interrupt = interruption
    (y,) = module(torch.from_numpy(floats(2, 4)))
    with pytest.raises(OutOfTime):
        y.sum().backward()
    assert module.initializers["v"].grad is not None
    assert module.initializers["w"].grad is None


def test_where_no_time_has_passed_gradients_are_left_alone() -> None:
    module, asked = three_steps(), list[int]()
    module.interrupt = lambda: bool(asked.append(1))
    module(torch.from_numpy(floats(2, 4)))[0].sum().backward()
    assert len(asked) == 3


def test_the_trips_of_a_loop_are_asked_about_one_by_one_and_the_former_way_returns() -> None:
    module, x, before_the_loop = cast(), torch.from_numpy(floats(2, 4)), 3
    whole, part = Interruption(), Interruption(most=before_the_loop + 1)
    with module.interrupted_by(whole):
        module(x)
    assert whole.asked > before_the_loop + 1 + 2 * 3
    with module.interrupted_by(part), pytest.raises(OutOfTime):
        module(x)
    assert module.interrupt is None
    module(x)
    assert part.asked == before_the_loop + 2


# ------------------------------------------------------------------ running statistics


def normalized(momentum: float = 0.9) -> tuple[ModelProto, torch.nn.BatchNorm1d]:
    """ONNX keeps the share that torch replaces."""
    truth = torch.nn.BatchNorm1d(3, momentum=1 - momentum)
    made = proto(
        f"y = BatchNormalization<momentum={momentum}>(x, s, b, m, v)",
        s=np.ones(3, np.float32), b=np.zeros(3, np.float32), m=np.zeros(3, np.float32), v=np.ones(3, np.float32),
    )  # fmt: skip
    return made, truth


@pytest.mark.parametrize("momentum", [0.9, 0.5])
def test_running_statistics_move_in_training_as_those_of_torch(momentum: float) -> None:
    """But for torch's unbiased variance: with n values a channel it is n / (n - 1) times as large."""
    made, truth = normalized(momentum)
    model = check_model(made.SerializeToString())
    module, samples = convert(model), 50
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        x = 3 * torch.randn(samples, 3, generator=generator) + 2
        torch.testing.assert_close(module.train()(x)[0], truth.train()(x))
    fresh = momentum**4
    biased = (truth.running_var - fresh) * (samples - 1) / samples + fresh
    expected = (x - truth.running_mean) / (biased + 1e-5).sqrt()
    torch.testing.assert_close(module.eval()(x)[0], expected.detach())
    assert np.array_equal(model.weights["m"], np.zeros(3))  # memory of its own


def test_a_single_value_a_channel_moves_the_mean_and_has_no_variance() -> None:
    made, _ = normalized(0.5)
    module, x = converted(made), torch.tensor([[2.0, 4.0, -8.0]])
    assert torch.equal(module.move_statistics().train()(x)[0], torch.zeros(1, 3))
    expected = (x - torch.tensor([1.0, 2.0, -4.0])) / (torch.tensor(0.5) + 1e-5).sqrt()
    torch.testing.assert_close(module.eval()(x)[0], expected)


def test_statistics_that_move_do_not_depend_on_what_was_in_their_memory() -> None:
    """torch.empty hands out what others left, infinities among it."""
    made, _ = normalized()
    x = torch.from_numpy(floats(8, 3))
    expected = converted(made).move_statistics().train()
    expected(x)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True  # with NaN
    try:
        module = converted(made).move_statistics().train()
        module(x)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(module.eval()(x)[0], expected.eval()(x)[0])
    assert module.eval()(x)[0].isfinite().all()


def test_a_gradient_passes_through_statistics_that_move_and_that_move_again_before_it_comes_back() -> None:
    made, truth = normalized()
    module, x = converted(made).move_statistics().train(), torch.from_numpy(floats(8, 3)).requires_grad_()
    up = torch.from_numpy(floats(8, 3))
    (expected,) = torch.autograd.grad((truth.train()(x) * up).sum(), x)
    twice = sum((module(x)[0] * up).sum() for _ in range(2))
    (found,) = torch.autograd.grad(twice, x)
    torch.testing.assert_close(found, 2 * expected)


def test_running_statistics_stay_in_an_analysis_and_after_a_cast_they_move_on() -> None:
    made, _ = normalized()
    x = torch.from_numpy(floats(8, 3)) + 5
    module = converted(made)
    before = module.eval()(x)[0]
    module.train()(x)
    assert torch.equal(module.eval()(x)[0], before)
    with module.moving_statistics():
        module.train()(x)
        assert not torch.equal(module.eval()(x)[0], before)
    assert torch.equal(module.eval()(x)[0], before)
    cast = module.move_statistics().double()
    cast.train()(x.double())
    assert not torch.allclose(cast.eval()(x.double())[0].float(), before)
