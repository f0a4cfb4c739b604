"""Graph edits: order, names, bodies, and a cost that follows from the edit and not from the graph."""

import numpy as np
import onnx.parser
import onnxruntime
import pytest

from analysis.interventions.kit.surgery import Editor
from analysis.model import CheckedModel, check_model
from analysis.model.onnx_tools import assemble_proto


def parsed(body: str) -> CheckedModel:
    header = '<ir_version: 8, opset_import: ["" : 17]>'
    model = onnx.parser.parse_model(f"{header} test (float[N,2] x) => (float[N,2] y) {{ {body} }}")
    return check_model(model.SerializeToString())


def run(model: CheckedModel, x: np.ndarray) -> np.ndarray:
    content = assemble_proto(model.proto, dict(model.weights)).SerializeToString()
    onnx.checker.check_model(content, full_check=True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


X = np.array([[1.0, -2.0], [3.0, 4.0]], np.float32)


def test_an_inserted_node_is_read_by_everyone_who_read_the_value() -> None:
    editor = Editor(parsed("h = Abs(x) a = Neg(h) y = Add(h, a)"))
    editor.insert_after("h", "Sqrt")
    model = editor.finish()
    assert [node.op_type for node in model.nodes] == ["Abs", "Sqrt", "Neg", "Add"]
    assert {name for node in model.nodes[2:] for name in node.input if name.startswith("h")} == {"h_Sqrt"}
    np.testing.assert_allclose(run(model, X), 0)


def test_a_graph_output_keeps_the_value_it_had() -> None:
    editor = Editor(parsed("y = Abs(x)"))
    editor.insert_after("y", "Neg")
    np.testing.assert_allclose(run(editor.finish(), X), np.abs(X))


def test_nodes_behind_an_input_come_first() -> None:
    editor = Editor(parsed("h = Abs(x) y = Neg(h)"))
    editor.insert_after("x", "Neg")
    editor.insert_after("x", "Relu")
    model = editor.finish()
    assert [node.op_type for node in model.nodes] == ["Relu", "Neg", "Abs", "Neg"]
    np.testing.assert_allclose(run(model, X), -np.maximum(X, 0))


def test_a_bypassed_node_and_a_replaced_path_go_with_what_nobody_reads_any_more() -> None:
    model = parsed("s = Sigmoid(x) h = Mul(x, s) g = Exp(h) y = Neg(g)")
    editor = Editor(model)
    editor.replace_between("h", [editor.node("Relu", ["x"], "h", "h")])
    editor.bypass(model.producers["g"])
    edited = editor.finish()
    assert [node.op_type for node in edited.nodes] == ["Relu", "Neg"]
    assert edited.nodes[0].name == "h"
    np.testing.assert_allclose(run(edited, X), -np.maximum(X, 0))


def test_a_bypassed_node_whose_value_is_a_result_hands_its_name_on() -> None:
    model = parsed("h = Abs(x) y = Exp(h)")
    editor = Editor(model)
    editor.bypass(model.producers["y"])
    editor.insert_after("h", "Sqrt")
    np.testing.assert_allclose(run(editor.finish(), X), np.sqrt(np.abs(X)))


def test_a_node_hands_over_the_name_of_its_value_and_readers_keep_it() -> None:
    editor = Editor(parsed("h = Abs(x) y = Exp(h)"))
    before = editor.hand_over("y")
    editor.place(before, [editor.node("Neg", [before], "y", "y")])
    edited = editor.finish()
    assert [spec.name for spec in edited.outputs] == ["y"]
    np.testing.assert_allclose(run(edited, X), -np.exp(np.abs(X)), rtol=1e-6)


def test_bodies_that_read_the_value_read_the_new_one() -> None:
    model = parsed("""
        h = Abs(x) c = Constant<value = bool {1}>()
        y = If (c) <then_branch = yes () => (float[N,2] t) { t = Neg(h) },
                    else_branch = no () => (float[N,2] e) { e = Exp(x) }>""")
    editor = Editor(model)
    editor.insert_after("h", "Sqrt")
    edited = editor.finish()
    branches = {attribute.name: attribute.g for attribute in edited.nodes[-1].attribute}
    assert branches["then_branch"].node[0].input[0] == "h_Sqrt"
    assert branches["else_branch"].node[0].input[0] == "x"
    np.testing.assert_allclose(run(edited, X), -np.sqrt(np.abs(X)))


def test_new_names_are_fresh_and_the_original_is_untouched() -> None:
    model = parsed("h = Abs(x) h_Sqrt = Neg(h) y = Add(h, h_Sqrt)")
    before = model.proto.SerializeToString(deterministic=True)
    editor = Editor(model)
    assert editor.insert_after("h", "Sqrt") == "h_Sqrt_2"
    tensors = [editor.add_tensor("bias", np.ones(2, np.float32)) for _ in range(2)]
    assert tensors == ["bias", "bias_2"]
    editor.finish()
    assert model.proto.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("name", ["direction", "fresh"])
def test_an_attribute_is_replaced_or_added(name: str) -> None:
    model = parsed("h = Abs(x) y = Neg(h)")
    editor = Editor(model)
    target = model.nodes[0]
    editor.set_attribute(target, name, "value")
    (found,) = (a for a in editor.finish().nodes[0].attribute if a.name == name)
    assert found.s == b"value"
