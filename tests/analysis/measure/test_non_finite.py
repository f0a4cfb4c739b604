"""Where NaN or infinity comes first, in graphs in which that is known."""

import numpy as np
import onnx.parser
import pytest
import torch
from onnx import numpy_helper

from analysis.facts import NonFinite
from analysis.measure.non_finite import locate_non_finite
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from tests.analysis.measure.builders import measured
from tests.gallery import npz

SAMPLES, WIDTH = 8, 4


def subject_of(nodes: str, *, x: float = 1.0, target: np.ndarray | None = None, **weights: float) -> Subject:
    """Matrices of one number, and a batch of ones (or another number)."""
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> net (float[N,{WIDTH}] x) => (float[N,{WIDTH}] y) {{ {nodes} }}'
    )
    model.graph.initializer.extend(
        numpy_helper.from_array(np.full((WIDTH, WIDTH), value, np.float32), name) for name, value in weights.items()
    )
    target = np.arange(SAMPLES) % WIDTH if target is None else target
    batch = npz(x=np.full((SAMPLES, WIDTH), x, np.float32), target=target)
    return prepare(check_model(model.SerializeToString()), batch, AnalysisOptions())


@pytest.mark.parametrize(
    ("nodes", "x", "node", "value", "operator"),
    [
        ("[a] h = MatMul(x, A) [log] l = Log(h) [b] y = MatMul(l, A)", -1.0, "log", "l", "Log"),
        ("[a] h = MatMul(x, A) [exp] e = Exp(h) [b] y = MatMul(e, A)", 100.0, "exp", "e", "Exp"),
        (
            "[a] h = MatMul(x, A) [root] r = Sqrt(h) n = Log(h) s = Add(r, n) y = MatMul(s, A)",
            -1.0,
            "root",
            "r",
            "Sqrt",
        ),
        (
            "h = MatMul(x, A) n = Sub(h, h) q = Div(h, n) y = MatMul(q, A)",
            1.0,
            "q",
            "q",
            "Div",
        ),  # a node without a name
    ],
)
def test_the_first_value_that_is_not_finite_is_named_with_its_node(
    nodes: str, x: float, node: str, value: str, operator: str
) -> None:
    first = NonFinite(stage="forward", node=node, value=value, operator=operator)
    assert locate_non_finite(subject_of(nodes, x=x, A=1.0)) == first


def test_the_first_gradient_on_the_way_back_is_named_where_all_values_are_finite() -> None:
    """d sqrt(h) / dh is infinite at 0: the gradient of h is the first that breaks."""
    subject = subject_of("[zero] h = MatMul(x, Z) [root] r = Sqrt(h) [last] y = MatMul(r, A)", Z=0.0, A=1.0)
    assert locate_non_finite(subject) == NonFinite(stage="backward", node="zero", value="h", operator="Sqrt")


def test_a_loss_that_breaks_on_finite_outputs_is_named_at_the_head() -> None:
    """1e30 squared is no float32."""
    target = np.random.default_rng(0).standard_normal((SAMPLES, WIDTH)).astype(np.float32)
    subject = subject_of("[a] h = MatMul(x, A) [b] y = Tanh(h) ", A=1.0, target=target)
    assert torch.isfinite(subject.loss(*subject.tensors()))
    large = subject_of("[a] y = MatMul(x, A)", x=1e30, A=1.0, target=target)
    assert not torch.isfinite(large.loss(*large.tensors()))
    assert locate_non_finite(large).stage in {"loss", "backward"}


def test_it_is_looked_for_in_the_mode_in_which_it_was_met() -> None:
    """Running statistics that float32 cannot divide by break where they are used, and only there."""
    nodes = """
        h = MatMul(x, A)
        o = Constant<value: tensor = float[4] {1, 1, 1, 1}>() b = Constant<value: tensor = float[4] {0, 0, 0, 0}>()
        m = Constant<value: tensor = float[4] {3e38, 3e38, 3e38, 3e38}>()
        [norm] n = BatchNormalization(h, o, b, m, b) y = MatMul(n, A)
    """
    subject = subject_of(nodes, A=1.0)
    assert locate_non_finite(subject, training=False).node == "norm"
    assert locate_non_finite(subject, training=True).node != "norm"
    assert not subject.converted.training


def test_weights_hold_no_gradient_afterwards() -> None:
    subject = subject_of("h = MatMul(x, A) r = Tanh(h) y = MatMul(r, B)", A=0.5, B=0.5)
    found = locate_non_finite(subject)
    assert (found.stage, found.value) == ("loss", "y")
    assert all(weight.grad is None for weight in subject.converted.parameters())


def test_the_first_non_finite_value_is_located() -> None:
    broken = """<ir_version: 8, opset_import: ["" : 17]>
    broken (float[N,3] x) => (float[N,2] y) <float[3,2] W = {1,1,1,1,1,1}> {
        [first] h = MatMul(x, W)
        [logarithm] l = Log(h)
        y = Add(l, l)
    }"""
    model = onnx.parser.parse_model(broken).SerializeToString()
    x = -np.ones((4, 3), np.float32)
    found = measured(model, npz(x=x, target=np.array([0, 1, 0, 1]))).non_finite
    assert found is not None
    assert (found.stage, found.node, found.value) == ("forward", "logarithm", "l")


def test_a_gradient_that_is_not_finite_is_located_though_the_forward_is() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    broken (float[N,3] x) => (float[N,2] y) <float[3,2] W = {0,0,0,0,0,0}> {
        [first] h = MatMul(x, W)
        [root] y = Sqrt(h)
    }"""
    model = onnx.parser.parse_model(text).SerializeToString()
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    found = measured(model, npz(x=x, target=np.array([0, 1, 0, 1]))).non_finite
    assert found is not None
    assert (found.stage, found.node) == ("backward", "first")


@pytest.mark.parametrize(("row", "first"), [(-np.inf, None), (np.nan, "masks")])
def test_a_table_of_masks_may_hold_minus_infinity(row: float, first: str | None) -> None:
    """Look-up 0 hides a key; what is no number spreads from wherever it is looked up."""
    table = np.zeros((3, 1), np.float32)
    table[0] = row
    random = np.random.default_rng(0)
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
    masked (float[N,3] x, int64[N,4] i) => (float[N,2] y) {
        s = MatMul(x, W)
        [masks] t = Gather(T, i)
        m = Flatten(t)
        a = Add(s, m)
        p = Softmax(a)
        y = MatMul(p, V)
    }""")
    weights = {"W": random.standard_normal((3, 4)), "T": table, "V": random.standard_normal((4, 2))}
    model.graph.initializer.extend(numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items())
    ids = random.integers(0, 3, (8, 4))
    ids[:, 0] = 1
    x = random.standard_normal((8, 3)).astype(np.float32)
    found = measured(model.SerializeToString(), npz(x=x, i=ids, target=np.arange(8) % 2)).non_finite
    assert (None if found is None else found.node) == first


@pytest.mark.parametrize("kept", [True, False])
def test_the_minus_infinity_of_a_mask_is_named_only_where_it_hides_all(*, kept: bool) -> None:
    """A row in which a key is left is no fault; a later one is found all the same."""
    nodes = """
        h = MatMul(x, A)
        [mask] m = Where(seen, h, hidden)
        p = Softmax(m)
        [later] l = Log(p)
        y = MatMul(l, A)
    """
    seen = np.array([kept, False, True, True] if kept else [False] * WIDTH)
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> net (float[N,{WIDTH}] x) => (float[N,{WIDTH}] y) {{ {nodes} }}'
    )
    weights = {"A": np.eye(WIDTH, dtype=np.float32), "seen": seen, "hidden": np.array(-np.inf, np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    batch = npz(x=np.ones((SAMPLES, WIDTH), np.float32), target=np.arange(SAMPLES) % WIDTH)
    subject = prepare(check_model(model.SerializeToString()), batch, AnalysisOptions())
    assert locate_non_finite(subject).node == ("later" if kept else "mask")


def test_numbers_whose_sum_is_too_large_are_numbers_all_the_same() -> None:
    """Two of 3e38 in float32; the square of one is none."""
    nodes = "[a] h = MatMul(x, A) [square] s = Mul(h, h) [b] y = MatMul(s, B)"
    found = locate_non_finite(subject_of(nodes, A=7e37, B=1.0))
    assert (found.stage, found.node, found.value) == ("forward", "square", "s")
