"""Where treatments may act, in graphs of a few nodes."""

import numpy as np
import pytest

from analysis.experiment.structures import Structures
from analysis.interventions.contract import Context
from analysis.interventions.kit.sites import (
    branch_ends,
    counted,
    dtype_of,
    hidden_activations,
    is_normalized,
    values_before,
)
from analysis.model import CheckedModel
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.interventions.builders import parsed

OPTIONS = AnalysisOptions()
SQUARES = {"A": (8, 8), "B": (8, 8), "C": (8, 8), "H": (8, 4)}


def context_of(model: CheckedModel) -> Context:
    subject = prepare(model, None, OPTIONS)
    return Structures(subject, OPTIONS, measurement)._context(subject)


def hidden(body: str) -> dict[str, str | None]:
    model = parsed(body, {name: shape for name, shape in SQUARES.items() if name in body})
    return {value: layer.activation for value, layer in hidden_activations(model, context_of(model)).items()}


def ends(body: str) -> list[tuple[str, str]]:
    """The weight of each branch's last layer, and where it is added."""
    model = parsed(body, {name: shape for name, shape in SQUARES.items() if name in body})
    found = branch_ends(model, context_of(model))
    return [(end.layer.parameters["weight"].initializer, end.addition) for end in found]


def test_an_activation_is_hidden_where_another_layer_follows() -> None:
    assert hidden("h = MatMul(x, A) s = Relu(h) z = MatMul(s, H) y = Sigmoid(z)") == {"s": "Relu"}


@pytest.mark.parametrize("gate", ["Sigmoid", "HardSigmoid", "Tanh"])
def test_what_multiplies_another_value_is_a_gate(gate: str) -> None:
    body = "h = MatMul(x, A) g = {}(h) m = Mul({}, g) y = MatMul(m, H)"
    assert hidden(body.format(gate, "x")) == {}
    assert hidden(body.format("Relu", "x")) == {"g": "Relu"}


def test_a_factor_that_is_a_weight_makes_no_gate() -> None:
    model = parsed("h = MatMul(x, A) g = Tanh(h) m = Mul(g, s) y = MatMul(m, H)", {**SQUARES, "s": (8,)})
    assert [*hidden_activations(model, context_of(model))] == ["g"]


def test_values_before_are_all_that_a_value_depends_on() -> None:
    model = parsed("a = Abs(x) b = Neg(a) c = Exp(a) y = MatMul(c, H)", {"H": (8, 4)})
    assert values_before(model, ["c"]) == {"a", "x"}
    assert values_before(model, ["b", "y"]) == {"a", "x", "c", "H"}
    assert values_before(model, ["x"]) == set()


def test_a_body_depends_on_what_it_captures() -> None:
    model = parsed(
        """c = Constant<value = bool {1}>() a = Abs(x)
        b = If (c) <then_branch = yes () => (float[N,8] t) { t = Neg(a) },
                    else_branch = no () => (float[N,8] e) { e = Exp(x) }> y = MatMul(b, H)""",
        {"H": (8, 4)},
    )
    assert {"a", "x"} <= values_before(model, ["b"])


BLOCK = "a = MatMul(x, A) r = Relu(a) b = MatMul(r, B) {} s = Add({}) y = MatMul(s, H)"


@pytest.mark.parametrize(
    ("between", "added"),
    [
        ("", "x, b"),
        ("", "b, x"),
        ("i = Identity(b)", "x, i"),
        ("i = Identity(b) j = Identity(i) k = Identity(j) l = Identity(k) m = Identity(l)", "x, m"),
    ],
)
def test_the_end_of_a_branch_is_the_layer_whose_output_is_added_to_the_trunk(between: str, added: str) -> None:
    assert ends(BLOCK.format(between, added)) == [("B", "s")]


def test_the_end_of_a_branch_is_looked_for_six_values_back() -> None:
    chain = " ".join(f"i{n} = Identity({'b' if n == 1 else f'i{n - 1}'})" for n in range(1, 7))
    assert ends(BLOCK.format(chain, "x, i5")) == [("B", "s")]
    assert ends(BLOCK.format(chain, "x, i6")) == []


def test_an_activation_behind_the_last_layer_of_a_branch_makes_it_no_end() -> None:
    assert ends(BLOCK.format("t = Relu(b)", "x, t")) == []


def test_a_sum_of_two_branches_has_no_trunk_to_be_added_to() -> None:
    assert ends("a = MatMul(x, A) b = MatMul(x, B) s = Add(a, b) y = MatMul(s, H)") == []


def test_a_plain_chain_has_no_branches() -> None:
    assert ends("a = MatMul(x, A) b = Relu(a) y = MatMul(b, H)") == []


PASSING = frozenset({"Identity", "Relu"})


@pytest.mark.parametrize(
    ("body", "there"),
    [
        ("n = Softmax(h) y = MatMul(n, H)", False),
        ("n = LayerNormalization(h, s) y = MatMul(n, H)", True),
        ("i = Identity(h) n = LayerNormalization(i, s) y = MatMul(n, H)", True),
        ("i = Tanh(h) n = LayerNormalization(i, s) y = MatMul(n, H)", False),
        ("y = MatMul(h, H)", False),
        ("r = Relu(h) y = MatMul(r, H)", False),
    ],
)
def test_a_normalisation_follows_directly_or_behind_what_passes(body: str, there: bool) -> None:
    model = parsed(f"h = MatMul(x, A) {body}", {"A": (8, 8), "H": (8, 4), "s": (8,)})
    assert is_normalized(model, "h", PASSING) is there


def test_a_normalisation_is_looked_for_eight_values_ahead() -> None:
    for passed, there in ((7, True), (8, False)):
        chain = " ".join(f"i{n} = Identity({'h' if n == 1 else f'i{n - 1}'})" for n in range(1, passed + 1))
        body = f"h = MatMul(x, A) {chain} n = LayerNormalization(i{passed}, s) y = MatMul(n, H)"
        model = parsed(body, {"A": (8, 8), "H": (8, 4), "s": (8,)})
        assert is_normalized(model, "h", PASSING) is there


@pytest.mark.parametrize(("element", "dtype"), [("float", np.float32), ("float16", np.float16), ("double", np.float64)])
def test_a_tensor_beside_a_value_is_of_its_type(element: str, dtype: type) -> None:
    model = parsed("h = Abs(x) y = Neg(h)", {}, inputs=f"{element}[N,8] x", outputs=f"{element}[N,8] y")
    assert dtype_of(model, "h") == dtype
    assert dtype_of(model, "nobody") == np.float32


def test_names_are_counted_in_their_order() -> None:
    assert [*counted(["Tanh", "Sigmoid", None, "Tanh"])] == ["1 Sigmoid", "2 Tanh"]
    assert [*counted([None])] == []
