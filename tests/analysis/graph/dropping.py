"""Graphs with Dropout, in both forms of its ratio."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from analysis.model import CheckedModel, check_model


def dropping(opset: int, ratios: list[float | None], computed: bool = False) -> CheckedModel:
    """A chain of Dropout nodes behind one MatMul; ratio by input from opset 12 on, before that by attribute."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["v0"])]
    tensors = [numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")]
    if computed:
        nodes.append(helper.make_node("ReduceMean", ["x"], ["share"], keepdims=0))
    for at, ratio in enumerate(ratios):
        inputs, attributes = [f"v{at}"], {}
        if ratio is not None and opset >= 12:
            inputs.append("share" if computed else f"ratio{at}")
            tensors.append(numpy_helper.from_array(np.array(ratio, np.float32), f"ratio{at}"))
        elif ratio is not None:
            attributes["ratio"] = ratio
        nodes.append(helper.make_node("Dropout", inputs, [f"v{at + 1}"], **attributes))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in ("x", f"v{len(ratios)}"))
    graph = helper.make_graph(nodes, "dropping", [x], [y], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return check_model(model.SerializeToString())
