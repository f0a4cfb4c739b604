"""Small graphs of ONNX text, and what is read off them."""

import io
import warnings

import numpy as np
import torch
from onnx import ModelProto, numpy_helper, parser
from torch import nn

from analysis.convert.translate import read_graph
from analysis.facts import Layer
from analysis.graph.heads import Head, find_heads
from analysis.graph.sources import find_sources
from analysis.model import CheckedModel, check_model

RANDOM = np.random.default_rng(20261123)
HEAD = '<ir_version: 10, opset_import: ["": 20, "com.microsoft": 1]>'


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def proto(nodes: str, inputs: str = "float[N,4] x", outputs: str = "float[] y", **weights) -> ModelProto:
    made = parser.parse_model(f"{HEAD} net ({inputs}) => ({outputs}) {{ {nodes} }}")
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items())
    return made


def model(nodes: str, *interface: str, **weights) -> CheckedModel:
    """ONNX text with these initialisers."""
    return check_model(proto(nodes, *interface, **weights).SerializeToString())


def layers_of(checked: CheckedModel) -> tuple[Layer, ...]:
    return read_graph(checked).layers


def owned(layer: Layer) -> dict[str, str]:
    return {role: info.initializer for role, info in layer.parameters.items()}


def exported(module: nn.Module, *inputs: torch.Tensor, **how) -> CheckedModel:
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own: this exporter is on its way out
        torch.onnx.export(module.eval(), inputs, content, dynamo=False, opset_version=17, **how)
    return check_model(content.getvalue())


def head_of(checked: CheckedModel) -> Head:
    """Where the gradient of the first output starts."""
    sources = find_sources(checked)
    return find_heads(checked, sources, frozenset(read_graph(checked).roles.trainable))[0]
