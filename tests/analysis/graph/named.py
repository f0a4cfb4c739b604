"""Graphs of ONNX text whose initialisers have any names, as exporters give them."""

import numpy as np
from onnx import numpy_helper, parser

from analysis.convert.translate import read_graph
from analysis.graph.roles import Roles
from analysis.model import CheckedModel, check_model

RANDOM = np.random.default_rng(20261125)
HEAD = '<ir_version: 10, opset_import: ["": 20], producer_name: "{}">'


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def model(
    nodes: str,
    weights: dict[str, np.ndarray],
    inputs: str = "float[N,4] x",
    outputs: str = "float[] y",
    producer: str = "",
) -> CheckedModel:
    """ONNX text with these initialisers, whose names may be any."""
    plain = {f"w_{number}": name for number, name in enumerate(weights)}
    for short, name in plain.items():
        nodes = nodes.replace(f"<{name}>", short)
    proto = parser.parse_model(f"{HEAD.format(producer)} net ({inputs}) => ({outputs}) {{ {nodes} }}")
    for node in proto.graph.node:
        node.input[:] = [plain.get(name, name) for name in node.input]
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    return check_model(proto.SerializeToString())


def divided(checked: CheckedModel) -> Roles:
    return read_graph(checked).roles
