"""Batches in every format, and the models they are sent to."""

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from onnx import helper, parser

from analysis.batch import load_batch
from analysis.batch.open_inference import TYPES
from analysis.errors import BadBatch
from analysis.model import CheckedModel, check_model
from analysis.options import Limits

RANDOM = np.random.default_rng(20261123)
X = RANDOM.standard_normal((6, 4)).astype(np.float32)
LABELS = np.arange(6) % 3
HEAD = '<ir_version: 10, opset_import: ["": 20]>'


def model(inputs: str, outputs: str = "float[N,4] y", nodes: str = "") -> CheckedModel:
    """A model with this interface."""
    text = f"{HEAD} net ({inputs}) => ({outputs}) {{ {nodes} }}"
    proto = parser.parse_model(text)
    written = {name for node in proto.graph.node for name in node.output}
    for output in proto.graph.output:
        if output.name not in written:
            proto.graph.node.append(helper.make_node("Identity", [proto.graph.input[0].name], [output.name]))
    return check_model(proto.SerializeToString())


ONE = model("float[N,4] x")


def npz(compressed: bool = False, **arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(content, **arrays)
    return content.getvalue()


def npy(array: np.ndarray, **how) -> bytes:
    content = io.BytesIO()
    np.save(content, array, **how)
    return content.getvalue()


def safetensors_with_header(header: str, payload: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header.encode() + payload


def one_tensor(dtype: str, shape: list[int], payload: bytes, header_length: int = 0) -> bytes:
    """A safetensors file."""
    header = json.dumps({"x": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(payload)]}})
    return safetensors_with_header(header.ljust(header_length), payload)


def inference_request(**arrays: np.ndarray) -> bytes:
    names = {np.dtype(dtype).name: name for name, dtype in TYPES.items()}
    tensors = [
        {
            "name": name,
            "shape": list(array.shape),
            "datatype": names[array.dtype.name],
            "data": array.reshape(-1).tolist(),
        }
        for name, array in arrays.items()
    ]
    return json.dumps({"id": "1", "inputs": tensors}).encode()


FORMATS = {
    "npz": npz,
    "compressed npz": lambda **arrays: npz(True, **arrays),
    "safetensors": lambda **arrays: safetensors.numpy.save(arrays),
    "open inference": inference_request,
}


def identical(got: np.ndarray, want: np.ndarray) -> bool:
    return got.dtype == want.dtype and got.shape == want.shape and got.tobytes() == want.tobytes()


def refusal(content: bytes | Path, against: CheckedModel = ONE, limits: Limits | None = None) -> BadBatch:
    with pytest.raises(BadBatch) as caught:
        load_batch(content, against, limits or Limits())
    assert "\n" not in str(caught.value)
    return caught.value
