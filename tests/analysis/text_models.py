"""Models written as ONNX text, and the numbers they hold."""

import numpy as np
import onnx.parser
from onnx import numpy_helper


def text_model(text: str) -> bytes:
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17, "house" : 1]> test {text}'
    ).SerializeToString()


def written(signature: str, nodes: str, **weights: np.ndarray) -> bytes:
    """`signature`: (inputs) => (outputs); each weight is an initialiser of that name."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> net {signature} {{ {nodes} }}')
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return model.SerializeToString()


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    """N(0, 1)."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
