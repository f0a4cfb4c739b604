import re

import numpy as np
import pytest
import torch
from onnx import ModelProto, helper

from analysis.convert.definitions import Scope
from analysis.convert.registry import _TABLE, Operator
from analysis.convert.unsupported import refuse_unsupported
from analysis.errors import AnalysisError, NeverSupported, UnsupportedOp
from tests.analysis.convert.conversion import Tensor, checked, converted, proto


def stretch(x: Tensor, *, factor: float) -> Tensor:
    return factor * x


@pytest.fixture
def _stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_TABLE, ("own", "Stretch"), [Operator("own", "Stretch", 1, stretch, pure=True)])


def named(made: ModelProto) -> ModelProto:
    for node in made.graph.node:
        node.name = f"node of {node.output[0]}"
    return made


@pytest.mark.usefixtures("_stretch")
def test_all_that_is_unsupported_is_listed_at_once_with_its_nodes() -> None:
    made = named(
        proto(
            """a = own.Fold(x) b = own.Fold(a) c = own.Bend(b) r = Relu(c)
            d = own.Stretch(r) e = own.Stretch<factor: float = 2.0, turn: int = 1>(d)
            f = own.Stretch<factor: float = 2.0>(e)
            y = If (on) < then_branch = t () => (float[N,4] u) { u = own.Fold(f) },
                          else_branch = o () => (float[N,4] v) { w = own.Crush(f) v = Neg(w) } >""",
            on=np.array(True),
        )
    )
    with pytest.raises(UnsupportedOp) as caught:
        converted(made)
    problems = [text.rsplit(", at ", 1) for text in caught.value.detail.split("; ")]
    found = {name: places for reason, places in problems for name in re.findall(r"own::\w+|turn|factor", reason)}
    assert caught.value.where == "graph"
    assert caught.value.hint
    assert len(problems) == 5
    assert found["own::Fold"] == "node of a, node of b, u"
    assert found["own::Bend"] == "node of c"
    assert found["own::Crush"] == "w"
    assert found["factor"] == "node of d"
    assert found["turn"] == "node of e"


def test_what_is_supported_elsewhere_is_not_supported_in_another_domain() -> None:
    with pytest.raises(UnsupportedOp, match="own::Relu"):
        converted(proto("y = own.Relu(x)"))


def test_strings_are_never_supported_and_that_is_said_first() -> None:
    made = named(proto(
        "s = StringConcat(t, t) h = own.Fold(x, s) y = Neg(h)", "float[N,4] x, string[N] t", "float[] y"
    ))  # fmt: skip
    with pytest.raises(NeverSupported) as caught:
        converted(made)
    assert "node of s" in caught.value.detail
    assert "node of h" in caught.value.detail
    assert caught.value.hint


def complaint(made: ModelProto, kind: type[AnalysisError] = UnsupportedOp) -> str:
    with pytest.raises(kind) as caught:
        converted(made)
    return caught.value.detail


@pytest.mark.usefixtures("_stretch")
def test_a_missing_attribute_is_named_and_one_that_only_told_an_allocator_something_is_passed_over() -> None:
    assert "own::Stretch (opset 1) lacks its attribute factor" in complaint(proto("y = own.Stretch(x)"))
    unknown = complaint(proto("y = own.Stretch<factor: float = 2.0, by: int = 1, at: int = 1>(x)"))
    assert "attribute at, by of own::Stretch" in unknown
    (y,) = converted(proto("y = own.Stretch<factor: float = 2.0, consumed_inputs: ints = [0]>(x)"))(torch.ones(1, 4))
    assert y.tolist() == [[2.0] * 4]


@pytest.mark.parametrize("domain", ["com.microsoft.nchwc", "com.ms.internal.nhwc"])
def test_what_is_laid_out_for_one_processor_tells_how_to_get_something_else(domain: str) -> None:
    made = proto("y = Relu(x)")
    made.graph.node[0].domain = domain
    made.opset_import.add(domain=domain, version=1)
    assert "ORT_ENABLE_EXTENDED" in complaint(made)


@pytest.mark.parametrize("value", ['value_string: string = "a"', 'value_strings: strings = ["a", "b"]'])
def test_constants_of_strings_are_never_supported(value: str) -> None:
    made = proto(f"s = Constant<{value}>() y = Relu(x)")
    assert "Constant works on strings" in complaint(made, NeverSupported)


def test_an_operator_that_its_opset_does_not_have_is_told_with_the_opset() -> None:
    made = proto("h = Relu(x) y = If (on) < then_branch = t () => (float[N,4] u) { u = Neg(h) },"
                 " else_branch = e () => (float[N,4] v) { v = Neg(h) } >", on=np.array(True))  # fmt: skip
    model = checked(made)
    for graph in (model.proto.graph.node[1].attribute[0].g, model.proto.graph.node[1].attribute[1].g):
        graph.node[0].op_type = "Swish"  # of opset 24
    with pytest.raises(UnsupportedOp, match="Swish is not in opset 20, at u, v"):
        refuse_unsupported(model, Scope({"": 20}, lambda _: None))


@pytest.mark.usefixtures("_stretch")
def test_a_definition_stands_in_where_the_types_it_depends_on_and_its_own_operators_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(_TABLE, ("", "Softmax"), [])
    (y,) = converted(proto("y = Softmax(x)"))(torch.zeros(1, 4))
    assert y.tolist() == [[0.25] * 4]
    unknown = complaint(proto("h = own.Stretch<factor: float = 2.0>(x) y = Softmax(h)"))
    assert "depends on the types of h, which are unknown" in unknown
    monkeypatch.setitem(_TABLE, ("", "Exp"), [])
    assert "inside, operator Exp (opset" in complaint(proto("y = Softmax(x)"))


def imported(nodes: str, domain: str) -> ModelProto:
    made = proto(nodes)
    made.opset_import.append(helper.make_opsetid(domain, 1))
    return made


@pytest.mark.parametrize(
    ("node", "domain", "said"),
    [
        ("BertTokenizer", "ai.onnx.contrib", "works on text"),
        ("BeamSearch", "com.microsoft", "searches for words"),
        ("EPContext", "com.microsoft", "compiled for one device"),
    ],
)
def test_what_never_carries_a_gradient_says_so_and_asks_for_what_it_would_write(
    node: str, domain: str, said: str
) -> None:
    with pytest.raises(NeverSupported, match=said) as caught:
        converted(imported(f"y = {domain}.{node}(x)", domain))
    assert "send what they would write" in caught.value.hint


@pytest.mark.parametrize(
    ("node", "hint"),
    [("org.pytorch.aten.ATen", "without the fallback to ATen"), ("mmdeploy.NMSRotated", "post-processing"),
     ("own.Fold", "as a function of the model")],
)  # fmt: skip
def test_the_way_out_is_that_of_the_operators_domain(node: str, hint: str) -> None:
    with pytest.raises(UnsupportedOp) as caught:
        converted(imported(f"y = {node}(x)", node.rpartition(".")[0]))
    assert hint in caught.value.hint
