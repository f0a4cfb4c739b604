import re
from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, ValueInfoProto, helper, numpy_helper, parser

from analysis.convert import convert
from analysis.errors import NotDifferentiable, NothingToTrain
from analysis.graph.heads import CHOICE, Head, Link, find_heads
from analysis.graph.sources import find_sources
from analysis.model import check_model
from analysis.options import Limits

RANDOM = np.random.default_rng(20261123)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def proto(nodes: str, outputs: str = "float[] y", inputs: str = "float[N,4] x", opset: int = 20) -> ModelProto:
    """ONNX text with two matrices, a shape and a number, as far as it reads them."""
    head = f'<ir_version: 8, opset_import: ["": {opset}]>'
    made = parser.parse_model(f"{head} net ({inputs}) => ({outputs}) {{ {nodes} }}")
    weights = {"w": floats(4, 3), "v": floats(3, 4), "shape": np.array([-1, 3]), "k": np.array([2])}
    weights |= {"one": np.ones(1, np.float32), "two": np.full(1, 2, np.float32)}
    read = set(re.findall(r"\w+", nodes))
    made.graph.initializer.extend(numpy_helper.from_array(weights[name], name) for name in weights if name in read)
    return made


def heads(*model: str, trainable: str = "wv", **more) -> tuple[Head, ...]:
    checked = check_model(proto(*model, **more).SerializeToString())
    return find_heads(checked, find_sources(checked), frozenset(trainable).intersection(checked.weights))


# ------------------------------------------------------------------ back to the logits


@pytest.mark.parametrize(
    ("nodes", "head"),
    [
        ("y = MatMul(x, w)", Head("y", "y")),
        ("l = MatMul(x, w) y = Identity(l)", Head("y", "l", stripped=("Identity",))),
        ("l = MatMul(x, w) y = Dropout(l)", Head("y", "l", stripped=("Dropout",))),
        ("l = MatMul(x, w) y = Cast<to: int = 11>(l)", Head("y", "l", stripped=("Cast",))),
        ("l = MatMul(x, w) y = ArgMax(l)", Head("y", "l", stripped=("ArgMax",))),
        ("l = MatMul(x, w) y = ArgMin(l)", Head("y", "l", stripped=("ArgMin",))),
        ("l = MatMul(x, w) s = Sigmoid(l) g = Greater(s, one) y = Cast<to: int = 7>(g)",
         Head("y", "l", Link.SIGMOID, None, ("Cast", "Greater", "Sigmoid"))),
        ("l = MatMul(x, w) y = Less(two, l)", Head("y", "l", stripped=("Less",))),
        ("l = MatMul(x, w) y = Hardmax(l)", Head("y", "l", stripped=("Hardmax",))),
        ("l = MatMul(x, w) y, i = TopK(l, k)", Head("y", "l", stripped=("TopK",))),
        ("l = MatMul(x, w) i, y = TopK(l, k)", Head("y", "l", stripped=("TopK",))),
        ("l = MatMul(x, w) y = Softmax(l)", Head("y", "l", Link.SOFTMAX, -1, ("Softmax",))),
        ("l = MatMul(x, w) y = LogSoftmax<axis: int = 0>(l)", Head("y", "l", Link.LOG_SOFTMAX, 0, ("LogSoftmax",))),
        ("l = MatMul(x, w) s = Softmax<axis: int = 1>(l) y = Log(s)",
         Head("y", "l", Link.LOG_SOFTMAX, 1, ("Log", "Softmax"))),
        ("l = MatMul(x, w) y = Sigmoid(l)", Head("y", "l", Link.SIGMOID, None, ("Sigmoid",))),
        ("l = MatMul(x, w) s = Softmax(l) c = Cast<to: int = 11>(s) y = Identity(c)",
         Head("y", "l", Link.SOFTMAX, -1, ("Identity", "Cast", "Softmax"))),
        ("l = MatMul(x, w) s = Sigmoid(l) y = ArgMax(s)", Head("y", "l", Link.SIGMOID, None, ("ArgMax", "Sigmoid"))),
        ("l = MatMul(x, w) i = Identity(l) d = Dropout(i) y = Softmax(d)",
         Head("y", "l", Link.SOFTMAX, -1, ("Softmax", "Dropout", "Identity"))),
        ("l = MatMul(x, w) a = ArgMax(l) y = Cast<to: int = 1>(a)", Head("y", "l", stripped=("Cast", "ArgMax"))),
    ],
)  # fmt: skip
def test_an_output_is_followed_back_to_its_logits(nodes: str, head: Head) -> None:
    assert heads(nodes) == (head,)


@pytest.mark.parametrize(
    ("nodes", "value"),
    [
        ("l = MatMul(x, w) y = Relu(l)", "y"),
        ("l = MatMul(x, w) y = Tanh(l)", "y"),
        ("l = MatMul(x, w) y = Log(l)", "y"),
        ("l = MatMul(x, w) s = Softmax(l) y = MatMul(s, v)", "y"),
        ("l = MatMul(x, w) s = Softmax(l) y = Softmax(s)", "s"),
        ("l = MatMul(x, w) s = Softmax(l) g = Log(s) y = Softmax(g)", "g"),
        ("l = MatMul(x, w) s = Sigmoid(l) y = Softmax(s)", "s"),
        ("l = MatMul(x, w) s = Softmax(l) a = Sigmoid(s) y = Log(a)", "y"),
        ("l = MatMul(x, w) c = Cast<to: int = 11>(l) y = Softmax(c)", "c"),
        ("l = MatMul(x, w) s = Sigmoid(l) y = Mul(l, s)", "y"),
    ],
)
def test_only_a_reading_of_the_logits_is_undone_and_only_once(nodes: str, value: str) -> None:
    assert [head.value for head in heads(nodes)] == [value]


def test_rows_that_are_chosen_by_their_values_are_read_where_all_of_them_are() -> None:
    nodes = "l = MatMul(x, w) s = Sigmoid(l) g = Greater(s, one) n = NonZero(g) i = Transpose(n) y = GatherND(s, i)"
    (head,) = heads(nodes)
    assert (head.output, head.value, head.link, head.stripped) == ("y", "l", Link.SIGMOID, ("Sigmoid", CHOICE)[::-1])


def test_the_tensors_of_a_sequence_have_heads_of_its_name() -> None:
    found = heads("a = MatMul(x, w) b = Softmax(a) c = Neg(a) y = SequenceConstruct(c, b)", "seq(float[N,3]) y")
    assert [(head.output, head.value) for head in found] == [("y", "c"), ("y", "a")]


def test_a_sequence_that_nobody_can_take_apart_has_none() -> None:
    nodes = """y = Loop (k, , e) <body = b (int64 i, bool c, seq(float[N,3]) s) => (bool d, seq(float[N,3]) t) {
        d = Identity(c) m = MatMul(x, w) t = SequenceInsert(s, m) }>"""
    made = f"l = MatMul(x, w) e = SequenceConstruct(l) {nodes.replace('k, ,', 'trips, ,')}"
    with pytest.raises(NotDifferentiable, match="add l, the last tensor that has a gradient"):
        heads(made.replace("trips, ,", 'trips, "",'), "seq(float[N,3]) y", inputs="float[N,4] x, int64 trips")


def test_targets_fit_the_output_so_a_change_of_shape_is_not_undone() -> None:
    (head,) = heads("l = MatMul(x, w) s = Softmax(l) y = Reshape(s, shape)")
    assert (head.value, head.link) == ("y", Link.IDENTITY)


@pytest.mark.parametrize(
    ("opset", "op", "axis"),
    [(11, "Softmax", 1), (12, "LogSoftmax", 1), (13, "Softmax", -1), (13, "LogSoftmax", -1), (20, "Softmax", -1)],
)
def test_the_class_axis_of_a_softmax_has_the_default_of_its_opset(opset: int, op: str, axis: int) -> None:
    (head,) = heads(f"l = MatMul(x, w) y = {op}(l)", opset=opset)
    assert head.axis == axis


def softmax(logits: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


LINKS: dict[Link, Callable[[np.ndarray, int], np.ndarray]] = {
    Link.IDENTITY: lambda logits, _: logits,
    Link.SOFTMAX: softmax,
    Link.LOG_SOFTMAX: lambda logits, axis: np.log(softmax(logits, axis)),
    Link.SIGMOID: lambda logits, _: 1 / (1 + np.exp(-logits)),
}


@pytest.mark.parametrize("opset", [11, 20])
@pytest.mark.parametrize(
    "tail",
    ["y = Softmax(l)", "y = Softmax<axis: int = 1>(l)", "y = LogSoftmax<axis: int = 1>(l)", "y = Sigmoid(l)",
     "s = Softmax(l) y = Log(s)", "d = Identity(l) s = Sigmoid(d) y = Cast<to: int = 1>(s)", "y = Identity(l)"],
)  # fmt: skip
def test_the_link_leads_from_the_logits_to_the_output(tail: str, opset: int) -> None:
    text = f"l = MatMul(x, w) {tail}"
    (head,) = heads(text, opset=opset)
    shown = proto(text, opset=opset)
    shown.graph.output.append(ValueInfoProto(name=head.value))
    session = onnxruntime.InferenceSession(shown.SerializeToString())
    output, logits = session.run(["y", head.value], {"x": floats(5, 4)})
    assert head.value == "l"
    np.testing.assert_allclose(LINKS[head.link](logits, head.axis), output, atol=1e-6)


# ------------------------------------------------------------------ several outputs


def test_every_output_has_a_head_in_graph_order() -> None:
    found = heads(
        "f = MatMul(x, w) r = Relu(f) l = MatMul(r, v) p = Softmax(l)", "float[] p, float[] f, float[] r"
    )  # fmt: skip
    assert [(head.output, head.value, head.link) for head in found] == [
        ("p", "l", Link.SOFTMAX),
        ("f", "f", Link.IDENTITY),
        ("r", "r", Link.IDENTITY),
    ]


@pytest.mark.parametrize(
    ("outputs", "first"),
    [("float[] l, float[] p, int64[] c", "l"), ("float[] p, float[] l, int64[] c", "p"),
     ("int64[] c, float[] p, float[] l", "p"), ("int64[] c", "c")],
)  # fmt: skip
def test_logits_read_in_several_ways_are_one_head_the_first_of_floats_names_it(outputs: str, first: str) -> None:
    (head,) = heads("l = MatMul(x, w) p = Softmax(l) c = ArgMax(p)", outputs)
    assert (head.output, head.value) == (first, "l")
    assert {head.output, *head.read_also_by} == {each.split()[1] for each in outputs.split(", ")}


@pytest.mark.parametrize(
    ("nodes", "value", "link"),
    [
        ("z = MatMul(x, w) q = Sigmoid(z) n = Sub(one, q) y = Concat<axis = 1>(n, q)", "z", Link.SIGMOID),
        ("z = MatMul(x, w) q = Sigmoid(z) n = Sub(two, q) y = Concat<axis = 1>(n, q)", "y", Link.IDENTITY),
        ("z = MatMul(x, w) q = Sigmoid(z) n = Sub(one, q) y = Concat<axis = 1>(q, n)", "y", Link.IDENTITY),
        ("z = MatMul(x, w) q = Tanh(z) n = Sub(one, q) y = Concat<axis = 1>(n, q)", "y", Link.IDENTITY),
    ],
)
def test_two_columns_of_one_probability_are_read_at_its_logit(nodes: str, value: str, link: Link) -> None:
    (head,) = heads(nodes, "float[] y")
    assert (head.value, head.link) == (value, link)


def test_outputs_that_learn_nothing_have_no_head() -> None:
    nodes = "y = MatMul(x, w) n = Neg(x) s = Shape(x) i = Identity(x) g = Floor(y)"
    assert heads(nodes, "float[] n, int64[] s, float[] g, float[] y, float[] i") == (Head("y", "y"),)


def test_only_trainable_weights_count() -> None:
    nodes, outputs = "a = MatMul(x, w) b = MatMul(a, v)", "float[] a, float[] b"
    assert [head.output for head in heads(nodes, outputs, trainable="w")] == ["a", "b"]
    assert [head.output for head in heads(nodes, outputs, trainable="v")] == ["b"]


def test_a_weight_itself_is_a_head_where_it_trains() -> None:
    nodes, outputs = "y = MatMul(x, w) f = Transpose(v)", "float[] f, float[] y"
    assert [head.output for head in heads(nodes, outputs, trainable="w")] == ["y"]
    assert [head.output for head in heads(nodes, outputs, trainable="wv")] == ["y", "f"]


def test_weights_inside_a_body_reach_the_outputs_of_the_node_around_it() -> None:
    body = "then_branch = t () => (float[] t) { t = MatMul(x, w) }, else_branch = e () => (float[] e) { e = Neg(x) }"
    found = heads(f"i = If (on) <{body}> y = Softmax(i)", inputs="float[N,4] x, bool on")
    assert found == (Head("y", "i", Link.SOFTMAX, -1, ("Softmax",)),)


# ------------------------------------------------------------------ nothing to find


def test_without_trainable_weights_there_is_nothing_to_train() -> None:
    with pytest.raises(NothingToTrain) as caught:
        heads("y = MatMul(x, w)", trainable="")
    assert caught.value.where == "net"
    assert "options.train" in caught.value.hint


def test_weights_that_are_inputs_or_packed_are_told_apart_from_constants() -> None:
    with pytest.raises(NothingToTrain, match="export them as initialisers"):
        heads("y = MatMul(x, a)", inputs="float[N,4] x, float[4,3] a")
    made = proto("y = com.microsoft.MatMulNBits <K = 32, N = 3, bits = 4, block_size = 32> (x, b, s)", "float[N,3] y",
                 "float[N,32] x")  # fmt: skip
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    tensors = {"b": np.zeros((3, 1, 16), np.uint8), "s": np.ones(3, np.float32)}
    made.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in tensors.items())
    checked = check_model(made.SerializeToString(), Limits(unpacked_bytes=1))
    with pytest.raises(NothingToTrain, match="before quantisation"):
        find_heads(checked, find_sources(checked), frozenset())


@pytest.mark.parametrize(
    ("nodes", "blocker"),
    [
        ("l = MatMul(x, w) f = Floor(l) y = Mul(f, f)", "f"),
        ("l = MatMul(x, w) r = Relu(l) s = Sign(r) y = Mul(s, s)", "s"),
        ("l = MatMul(x, w) i = Cast<to: int = 7>(l) j = Abs(i) y = Cast<to: int = 1>(j)", "i"),
        ("l = MatMul(x, w) a = ArgMax(l) b = Neg(a) y = Cast<to: int = 1>(b)", "a"),
        ("l = MatMul(x, w) a = Greater(l, l) b = Not(a) y = Cast<to: int = 1>(b)", "a"),
        ("l = MatMul(x, w) a = Round(l) b = Ceil(l) y = Add(a, b)", "a, b"),
        ("l = MatMul(x, w) s = Shape(l) y = Cast<to: int = 1>(s)", "s"),
        ("l = Neg(x) m = MatMul(l, w) y = Neg(x)", "y"),
    ],
)
def test_a_graph_that_ends_the_gradient_says_where(nodes: str, blocker: str) -> None:
    with pytest.raises(NotDifferentiable, match="reaches y ") as caught:
        heads(nodes)
    assert caught.value.where == blocker
    assert caught.value.hint


@pytest.mark.parametrize(
    ("nodes", "outputs", "values"),
    [
        ("y = MatMul(x, w)", "float[] w, float[] y", ["y"]),
        ("a = Identity(w) y = MatMul(x, w)", "float[] a, float[] y", ["y"]),
        ("t = Transpose(w) a = MatMul(w, t) y = MatMul(x, a)", "float[] a, float[] y", ["y", "a"]),
        ("t = Transpose(w) y = MatMul(w, t)", "float[] y", ["y"]),
    ],
)
def test_what_follows_from_weights_alone_comes_behind_outputs_of_the_data(
    nodes: str, outputs: str, values: list[str]
) -> None:
    checked = check_model(proto(nodes, outputs).SerializeToString())
    found = find_heads(checked, find_sources(checked), frozenset("w"))
    assert [head.value for head in found] == values


def test_a_weight_that_is_the_only_output_is_told() -> None:
    checked = check_model(proto("y = MatMul(x, w)", "float[] w").SerializeToString())
    with pytest.raises(NotDifferentiable, match="no trainable weight reaches w") as caught:
        find_heads(checked, find_sources(checked), frozenset("w"))
    assert caught.value.hint == "add y, the last tensor that has a gradient, to the graph's outputs"


def test_an_answer_chosen_by_two_answers_is_told_the_scores_behind_which_it_can_be_analysed() -> None:
    nodes = "a = MatMul(x, w) b = ArgMax(a) c = Neg(a) d = ArgMax(c) e = Equal(b, d) y = Where(e, b, d)"
    with pytest.raises(NotDifferentiable) as caught:
        heads(nodes, "int64[] y", trainable="w")
    assert caught.value.hint.startswith("add c, ")
    assert [head.value for head in heads(nodes, "int64[] y, float[] c", trainable="w")] == ["c"]


@pytest.mark.parametrize(
    ("nodes", "kind", "value", "link", "converted"),
    [
        ("l = MatMul(x, w) y = Round(l)", "float[]", "l", Link.IDENTITY, False),
        ("l = MatMul(x, w) y = Sign(l)", "float[]", "l", Link.IDENTITY, False),
        ("l = MatMul(x, w) p = Sigmoid(l) y = Round(p)", "float[]", "l", Link.SIGMOID, False),
        ("l = MatMul(x, w) c = Clip(l, a, b) y = Cast<to: int = 2>(c)", "uint8[]", "l", Link.IDENTITY, False),
        ("l = MatMul(x, w) m = Mul(l, b) r = Round(m) y = Cast<to: int = 2>(r)", "uint8[]", "l", Link.IDENTITY, True),
        ("l = MatMul(x, w) m = Div(b, l) y = Cast<to: int = 2>(m)", "uint8[]", "m", Link.IDENTITY, False),
        ("l = MatMul(x, w) c = Cast<to: int = 2>(l) y = Transpose(c)", "uint8[]", "l", Link.IDENTITY, True),
    ],
)
def test_an_output_of_whole_numbers_is_read_in_front_of_the_rounding(
    nodes: str, kind: str, value: str, link: Link, *, converted: bool
) -> None:
    made = proto(nodes, f"{kind} y")
    limits = {"a": np.float32(0), "b": np.float32(255)}
    made.graph.initializer.extend(numpy_helper.from_array(np.array(array), name) for name, array in limits.items())
    checked = check_model(made.SerializeToString())
    (head,) = find_heads(checked, find_sources(checked), frozenset("w"))
    assert (head.output, head.value, head.link, head.converted) == ("y", value, link, converted)


def test_a_node_has_its_name_where_it_ends_the_gradient() -> None:
    made = proto("l = MatMul(x, w) f = Floor(l) y = Mul(f, f)")
    made.graph.node[1].name = "/quantize/Floor"
    checked = check_model(made.SerializeToString())
    with pytest.raises(NotDifferentiable) as caught:
        find_heads(checked, find_sources(checked), frozenset("w"))
    assert caught.value.where == "/quantize/Floor"


# ------------------------------------------------------------------ autograd agrees


@pytest.mark.parametrize(
    "nodes",
    [
        "a = MatMul(x, w) b = Floor(a) c = Add(a, b) d = Neg(x)",
        "a = MatMul(x, w) o = Greater(a, a) b = Where(o, a, a) c = Exp(b) d = Abs(x)",
        "a = Relu(x) b = MatMul(a, w) s = Shape(b) c = Expand(b, s) d = ConstantOfShape(s)",
        "a = MatMul(x, w) t = Transpose(a) p = MatMul(a, t) b = Tanh(p) c = MatMul(b, x) d = Sign(c)",
        "a = MatMul(x, w) t, i = TopK(a, k) b = ReduceMax(t) c = Gather(a, i) f = Cast<to: int = 1>(i) d = Neg(f)",
        "a = Mul(x, x) b = Sign(a) c = MatMul(b, w) i = Cast<to: int = 7>(c) f = Cast<to: int = 1>(i) d = Exp(f)",
        "m, i = MaxPool<kernel_shape: ints = [2]>(u) h = MatMul(x, w) a = Sin(h) b = Neg(m) c = Sum(a, b) d = Sum(x)",
    ],
)
def test_the_heads_are_the_outputs_that_autograd_reaches(nodes: str) -> None:
    made = proto(nodes, "float[] a, float[] b, float[] c, float[] d", "float[4,4] x, float[1,1,4] u")
    checked = check_model(made.SerializeToString())
    module = convert(checked)
    outputs = dict(zip("abcd", module(torch.from_numpy(floats(4, 4)), torch.from_numpy(floats(1, 1, 4))), strict=True))
    reached = [name for name, value in outputs.items() if gradient_is_alive(module, value)]
    found = find_heads(checked, find_sources(checked), frozenset(module.initializers))
    assert reached
    assert found == tuple(Head(name, name) for name in reached)


def gradient_is_alive(module: torch.nn.Module, value: torch.Tensor) -> bool:
    """Whether some weight gets a gradient other than zero from a random cotangent."""
    if not value.requires_grad:
        return False
    cotangent = torch.randn(value.shape, generator=torch.Generator().manual_seed(0))
    gradients = torch.autograd.grad(value, list(module.parameters()), cotangent, retain_graph=True, allow_unused=True)
    return any(gradient is not None and bool(gradient.any()) for gradient in gradients)


@pytest.mark.parametrize(
    ("layout", "stripped"),
    [
        ("y = Squeeze(s)", ("Squeeze",)),
        ("y = Unsqueeze(s, k)", ("Unsqueeze",)),
        ("y = Flatten(s)", ("Flatten",)),
        ("y = Reshape(s, shape)", ("Reshape",)),
        ("i = Identity(s) r = Squeeze(i) y = Cast<to: int = 11>(r)", ("Cast", "Squeeze")),
    ],
)
def test_a_sigmoid_that_is_given_another_shape_is_one(layout: str, stripped: tuple[str, ...]) -> None:
    """torch.sigmoid(z).squeeze(-1): the numbers and their order are those of the logits."""
    found = heads(f"z = MatMul(x, w) s = Sigmoid(z) {layout}")
    assert [head.value for head in found] == ["z"]
    assert found[0].link is Link.SIGMOID
    assert found[0].stripped == (*stripped, "Sigmoid")
    assert found[0].before_layout == "s"


@pytest.mark.parametrize(
    "nodes",
    [
        "z = MatMul(x, w) s = Sigmoid(z) y = Transpose(s)",  # another order
        "z = MatMul(x, w) s = Softmax(z) y = Squeeze(s)",  # its axis would be another
        "z = MatMul(x, w) s = Relu(z) y = Squeeze(s)",
        "z = MatMul(x, w) s = Sigmoid(z) t = Mul(s, two) y = Squeeze(t)",
    ],
)
def test_another_order_or_operator_is_read_as_it_stands(nodes: str) -> None:
    assert heads(nodes) == (Head("y", "y"),)
