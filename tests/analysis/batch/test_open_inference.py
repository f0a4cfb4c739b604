"""Requests as the protocol's own text has them, and bytes that are written out by hand."""

import json
import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from analysis.batch.formats import read_arrays
from analysis.batch.open_inference import TYPES, read_request
from analysis.errors import BadBatch
from analysis.options import Limits

WITH_BINARY_DATA = b"""{
  "model_name" : "mymodel",
  "inputs" : [
    {
      "name" : "input0",
      "shape" : [ 2, 2 ],
      "datatype" : "UINT32",
      "parameters" : {
        "binary_data_size" : 16
      }
    },
    {
      "name" : "input1",
      "shape" : [ 3 ],
      "datatype" : "BOOL",
      "parameters" : {
        "binary_data_size" : 3
      }
    }
  ],
  "outputs" : [
    {
      "name" : "output0",
      "parameters" : {
        "binary_data" : true
      }
    }
  ]
}"""
"""The example of the binary tensor data extension; its 16 and 3 bytes follow."""
JSON_ALONE = """{
  "id" : "42",
  "inputs" : [
    {
      "name" : "input0",
      "shape" : [ 2, 2 ],
      "datatype" : "UINT32",
      "data" : [ 1, 2, 3, 4 ]
    },
    {
      "name" : "input1",
      "shape" : [ 3 ],
      "datatype" : "BOOL",
      "data" : [ true%s ]
    }
  ],
  "outputs" : [
    {
      "name" : "output0"
    }
  ]
}"""
"""The example of the protocol, whose second tensor has one value for a shape of three."""
NUMBERS, SWITCHES = struct.pack("<4I", 1, 2, 3, 0xFFFFFFFE), b"\1\0\1"


def request(binary: bytes = b"", **tensors: dict[str, Any]) -> bytes:
    inputs = [{"name": name, **tensor} for name, tensor in tensors.items()]
    return json.dumps({"inputs": inputs}, ensure_ascii=False).encode() + binary


def in_bytes(shape: list[int], datatype: str, size: Any) -> dict[str, Any]:
    return {"shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}}


def refusal(content: bytes) -> BadBatch:
    with pytest.raises(BadBatch) as refused:
        read_request(content)
    return refused.value


@pytest.mark.parametrize("between", [b"", b"\n "])
def test_the_example_with_binary_data(between: bytes) -> None:
    """White space after the JSON would be the first bytes of the data."""
    content = between + WITH_BINARY_DATA + NUMBERS + SWITCHES
    found = read_arrays(content, Limits())
    np.testing.assert_array_equal(found["input0"], np.array([[1, 2], [3, 0xFFFFFFFE]], "uint32"))
    np.testing.assert_array_equal(found["input1"], [True, False, True])
    assert (found["input0"].dtype, found["input1"].dtype) == ("uint32", "bool")


def test_the_example_in_json_as_it_stands_and_with_the_values_that_it_lacks() -> None:
    found = read_request((JSON_ALONE % ", false, true").encode())
    np.testing.assert_array_equal(found["input0"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(found["input1"], [True, False, True])
    assert refusal((JSON_ALONE % "").encode()).where == "batch.inputs[1] 'input1'"


@pytest.mark.parametrize(
    ("datatype", "content", "value"),
    [
        ("INT8", "ff", -1), ("UINT8", "ff", 255), ("INT16", "fe ff", -2), ("UINT16", "01 02", 513),
        ("INT32", "00 00 00 80", -(2**31)), ("UINT32", "01 00 00 00", 1), ("INT64", "ff" * 8, -1),
        ("UINT64", "ff" * 8, 2**64 - 1), ("FP16", "00 3c", 1.0), ("BF16", "80 3f", 1.0), ("FP32", "00 00 80 3f", 1.0),
        ("FP64", "00 00 00 00 00 00 f0 3f", 1.0), ("BOOL", "01", True),
    ],
)  # fmt: skip
def test_every_type_is_little_endian(datatype: str, content: str, value: object) -> None:
    raw = bytes.fromhex(content)
    found = read_request(request(raw, x=in_bytes([1], datatype, len(raw))))["x"]
    assert found.dtype == np.dtype(TYPES[datatype])
    assert found[0] == value


def test_all_types_of_numbers_have_a_case() -> None:
    (marked,) = test_every_type_is_little_endian.pytestmark
    assert {case[0] for case in marked.args[1]} == set(TYPES)


def test_data_in_json_and_in_bytes_may_be_mixed_and_names_be_in_any_script() -> None:
    bfloat = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    content = request(
        bfloat.tobytes() + NUMBERS,
        größe=in_bytes([2], "BF16", 4),
        target={"shape": [2], "datatype": "INT64", "data": [0, 1]},
        last=in_bytes([4], "UINT32", 16),
    )
    found = read_request(content)
    assert found["größe"].astype(float).tolist() == [1.5, -2.0]
    assert found["target"].tolist() == [0, 1]
    assert found["last"].tolist() == [1, 2, 3, 0xFFFFFFFE]


def test_an_empty_tensor_has_no_bytes() -> None:
    assert read_request(request(x=in_bytes([0, 3], "FP32", 0)))["x"].shape == (0, 3)


@pytest.mark.parametrize(
    ("tensor", "binary", "complaint"),
    [
        (in_bytes([2, 2], "FP32", 12), b"\0" * 12, "[2, 2] of FP32 are 16 bytes, binary_data_size is 12"),
        (in_bytes([2, 2], "FP32", 16), b"\0" * 12, "12 bytes are left behind the JSON"),
        (in_bytes([2, 2], "FP32", -16), b"\0" * 16, "no number of bytes"),
        (in_bytes([2, 2], "FP32", True), b"\0" * 16, "no number of bytes"),
        (in_bytes([2, 2], "FP32", "16"), b"\0" * 16, "no number of bytes"),
        (in_bytes([-2, -2], "FP32", 16), b"\0" * 16, "negative"),
        (in_bytes([10**30], "FP32", 16), b"\0" * 16, "binary_data_size is 16"),
        (in_bytes([2], "BYTES", 16), b"\0" * 16, "'BYTES' is not one of"),
        (in_bytes([3], "BOOL", 3), b"\0\1\2", "0 or 1"),
        ({**in_bytes([1], "FP32", 4), "data": [1.0]}, b"\0" * 4, "binary_data_size as well"),
    ],
)
def test_what_is_wrong_with_a_tensor_is_told_with_its_name(tensor: dict, binary: bytes, complaint: str) -> None:
    good = in_bytes([1], "FP32", 4)
    refused = refusal(request(b"\0" * 4 + binary, good=good, bad=tensor))
    assert refused.where == "batch.inputs[1] 'bad'"
    assert complaint in refused.detail


def test_bytes_that_no_tensor_claims_are_refused() -> None:
    refused = refusal(WITH_BINARY_DATA + NUMBERS + SWITCHES + b"\0")
    assert "20 bytes follow the JSON, its tensors claim 19" in refused.detail


@pytest.mark.parametrize("content", [b"{}", b"{}\xff", b'{"inputs": [\xff', b'{"a": "\xff"}\xff', b"{" * 100_000])
def test_what_is_no_request_is_refused(content: bytes) -> None:
    assert "not an Open Inference Protocol request" in refusal(content).detail
