import io
import json
import struct
import time
import tracemalloc
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper

from analysis.batch import load_batch
from analysis.errors import AnalysisError, BadBatch, LimitExceeded
from analysis.options import Limits
from tests.analysis.batch.batches import (
    FORMATS,
    LABELS,
    ONE,
    RANDOM,
    X,
    identical,
    inference_request,
    model,
    npy,
    npz,
    one_tensor,
    refusal,
)


def npy_with_header(header: str, payload: bytes = b"\0" * 16, version: int = 1) -> bytes:
    text = header.encode() + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + payload


FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)


# ------------------------------------------------------------------ formats


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "int32", "int8", "uint8", "bool"])
def test_element_types_survive_every_format(form: str, dtype: str) -> None:
    element = TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(np.dtype(dtype))).lower()
    array = RANDOM.integers(0, 2, (5, 4)).astype(dtype)
    batch = load_batch(FORMATS[form](x=array), model(f"{element}[N,4] x", f"{element}[N,4] y"))
    assert identical(batch.inputs["x"], array)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=4, min_side=1), elements=FLOATS))
@pytest.mark.parametrize("form", FORMATS)
def test_whatever_array_is_written_is_read_back(form: str, array: np.ndarray) -> None:
    batch = load_batch(FORMATS[form](x=array), model("float[] x", "float[] y"))
    assert identical(batch.inputs["x"], array)


@pytest.mark.parametrize("length", [123, 31_520, 8192 + 123])
def test_safetensors_whose_length_looks_like_json_are_safetensors(length: int) -> None:
    assert identical(load_batch(one_tensor("F32", [6, 4], X.tobytes(), length), ONE).inputs["x"], X)


def test_json_that_looks_like_safetensors_is_json() -> None:
    content = b'{"xyz":[{"a":1}],' + inference_request(x=X)[1:]
    assert content[8:9] == b"{"
    assert identical(load_batch(content, ONE).inputs["x"], X)


def test_nested_json_data_are_read_by_shape() -> None:
    tensor = {"name": "x", "shape": [6, 4], "datatype": "FP32", "data": X.astype(float).tolist()}
    content = f"\n  {json.dumps({'inputs': [tensor]})}".encode()
    np.testing.assert_array_equal(load_batch(content, ONE).inputs["x"], X)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"datatype": "FP8"}, "FP64"),
        ({"datatype": None}, "FP64"),
        ({"datatype": ["FP32"]}, "FP64"),
        ({"datatype": "INT64"}, "whole numbers"),
        ({"datatype": "UINT8", "data": [300] * 24}, "do not fit"),
        ({"data": [1.0] * 23}, "do not fit"),
        ({"data": {"a": 1}}, "do not fit"),
        ({"data": ["a"] * 24}, "do not fit"),
        ({"data": None}, "do not fit"),
        ({"data": [[1.0], [1.0, 2.0]]}, "do not fit"),
        ({"shape": [-1, 4]}, "negative"),
        ({"shape": None}, "do not fit"),
        ({"shape": [10**30, 4]}, "do not fit"),
        ({"shape": ["a"]}, "do not fit"),
        ({"name": 3}, "needs name"),
    ],
    ids=str,
)
def test_a_wrong_inference_tensor_is_named_by_its_place(change: dict, complaint: str) -> None:
    good = {"name": "target", "shape": [6], "datatype": "INT64", "data": LABELS.tolist()}
    wrong = {"name": "x", "shape": [6, 4], "datatype": "FP32", "data": X.reshape(-1).tolist(), **change}
    error = refusal(json.dumps({"inputs": [good, wrong]}).encode())
    assert error.where == ("batch.inputs[1] 'x'" if "name" not in change else "batch.inputs[1]")
    assert complaint in error.detail


def test_an_inference_tensor_may_not_come_twice() -> None:
    request = json.loads(inference_request(x=X))
    error = refusal(json.dumps({"inputs": request["inputs"] * 2}).encode())
    assert error.where == "batch.inputs[1] 'x'"


@pytest.mark.parametrize(
    "content", [b"{}", b'{"inputs": 3}', b'{"inputs": [3]}', b'{"in', b'{"inputs":' + b"[" * 100_000]
)
def test_a_request_without_tensors_is_refused(content: bytes) -> None:
    refusal(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\0" * 100,
        b"PK\x03\x04" + b"\0" * 50,
        b"\x93NUMPY",
        b"\x93NUMPY\x01\0\xff\xff{}",
        struct.pack("<Q", 10) + b"{" * 10,
        one_tensor("F32", [6, 400], b"\0" * 96),
        one_tensor("F8_E5M2", [6, 4], b"\0" * 24),
        TensorProto(data_type=1, dims=[2**40], raw_data=b"\0" * 16).SerializeToString(),
        TensorProto(data_type=1, dims=[-4], raw_data=b"\0" * 16).SerializeToString(),
        TensorProto(data_type=99, dims=[4], raw_data=b"\0" * 16).SerializeToString(),
        TensorProto(data_type=1, dims=[1], data_location=TensorProto.EXTERNAL).SerializeToString(),
    ],
    ids=range(13),
)
def test_what_is_no_batch_is_refused(content: bytes) -> None:
    refusal(content)


def test_a_tensor_proto_never_reads_a_file(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "secret").write_bytes(X.tobytes())
    monkeypatch.chdir(tmp_path)
    tensor = TensorProto(name="x", data_type=1, dims=X.shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret")
    refusal(tensor.SerializeToString())


WRITTEN = [write(x=X) for write in FORMATS.values()] + [npy(X), numpy_helper.from_array(X, "x").SerializeToString()]


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(WRITTEN), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3), st.data())
def test_a_damaged_batch_is_read_or_refused_and_nothing_else(content: bytes, damage: list, data: st.DataObject) -> None:
    damaged = bytearray(content[: data.draw(st.sampled_from([len(content), len(content) // 2, len(content) - 1]))])
    for place, byte in damage:
        damaged[place % len(damaged)] = byte
    with suppress(AnalysisError):
        assert load_batch(bytes(damaged), ONE).inputs["x"].shape == (6, 4)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([b"", b"PK\x03\x04", b"\x93NUMPY\x01\0", b"{", struct.pack("<Q", 5) + b"{"]),
    st.binary(max_size=300),
)
def test_random_bytes_are_refused(start: bytes, content: bytes) -> None:
    with pytest.raises(AnalysisError):
        load_batch(start + content, ONE)


# ------------------------------------------------------------------ hostile files


class Bomb:
    """What a pickle would run."""

    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize("write", [lambda array: npy(array, allow_pickle=True), lambda array: npz(x=array)])
def test_python_objects_are_refused_and_never_unpickled(write) -> None:
    assert "objects" in refusal(write(np.array([Bomb()], dtype=object))).detail
    assert "objects" in refusal(write(np.array([(1.0, Bomb())], dtype=[("a", "f4"), ("b", object)]))).detail


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    "header",
    [
        "{'descr':'<f4','fortran_order':False,'shape':(1000000000000,4)}",
        "{'descr':'<f4','fortran_order':False,'shape':(5,)}",
        "{'descr':'<f4','fortran_order':False,'shape':(-1,4)}",
        "{'descr':'<f4','fortran_order':False,'shape':(-1,-4)}",
        "{'descr':'<f4','fortran_order':False,'shape':(0,4611686018427387904,4611686018427387904)}",
        "{'descr':'<f4','fortran_order':False,'shape':(" + "1," * 70 + ")}",
        "{'descr':'<f4','fortran_order':False,'shape':(True,4)}",
        "{'descr':'<f4','fortran_order':False,'shape':'ab'}",
        "{'descr':'<f4','fortran_order':False}",
        "{'descr':'|S0','fortran_order':False,'shape':(1000000000000,)}",
        "{'descr':'|V0','fortran_order':False,'shape':(1000000000000,)}",
        "{'descr':('<f4',(1000000000,)),'fortran_order':False,'shape':(0,)}",
        "{'descr':'nonsense','fortran_order':False,'shape':(1,)}",
        "{'descr':[[[[",
        "\t\t{ ''' ",
        "(" * 3000,
        "__import__('os').abort()",
        "x" * 20_000,
    ],
)
def test_a_lying_npy_header_is_refused_without_allocating(header: str, version: int) -> None:
    content = npy_with_header(header, version=version)
    for wrapped in (content, npz_member("x.npy", content)):
        tracemalloc.start()
        refusal(wrapped)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10 << 20


def npz_member(name: str, content: bytes, **how) -> bytes:
    archived = io.BytesIO()
    with zipfile.ZipFile(archived, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return archived.getvalue()


def test_a_bomb_of_zeros_is_refused_without_inflating() -> None:
    content = npz(True, x=np.zeros((4 << 20, 4), np.float32))
    assert len(content) < 200_000
    started = time.perf_counter()
    tracemalloc.start()
    with pytest.raises(LimitExceeded) as caught:
        load_batch(content, ONE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.where == "x.npy"
    assert peak < 10 << 20
    assert time.perf_counter() - started < 1


def test_a_member_that_holds_more_than_it_declares_is_refused() -> None:
    content = bytearray(npz_member("x.npy", npy(X)))
    declared, actual = struct.pack("<I", 100), struct.pack("<I", len(npy(X)))
    assert content.count(actual) == 2
    refusal(bytes(content).replace(actual, declared))


def test_small_arrays_of_zeros_are_no_bomb() -> None:
    zeros = np.zeros((1000, 4), np.float32)
    assert load_batch(npz(True, x=zeros), ONE).size == 1000


def test_the_limit_counts_what_an_archive_inflates_to() -> None:
    content = npz(True, x=np.ones((1000, 4), np.float32))
    with pytest.raises(LimitExceeded):
        load_batch(content, ONE, Limits(batch_bytes=16_000))


def test_the_member_limit_holds_exactly() -> None:
    content = npz(x=X, target=LABELS)
    load_batch(content, ONE, Limits(batch_members=2))
    with pytest.raises(LimitExceeded, match="2 arrays"):
        load_batch(content, ONE, Limits(batch_members=1))


@pytest.mark.parametrize("form", ["safetensors", "open inference"])
def test_other_formats_have_the_member_limit_too(form: str) -> None:
    content = FORMATS[form](x=X, target=LABELS)
    load_batch(content, ONE, Limits(batch_members=2))
    with pytest.raises(LimitExceeded, match="2 arrays"):
        load_batch(content, ONE, Limits(batch_members=1))


@pytest.mark.parametrize(
    "header", [b"__import__('os').getpid()", b"{'descr': '<f4', 'shape': (" + b"1," * 9000 + b")}"]
)
def test_a_header_that_is_none_is_told_in_plain_words(header: bytes) -> None:
    content = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header
    with pytest.raises(BadBatch, match="not a numpy array") as refused:
        load_batch(content, ONE)
    assert " at 0x" not in refused.value.detail
    assert "max_header_size" not in refused.value.detail


def test_two_members_of_one_name_are_refused() -> None:
    archived = io.BytesIO()
    with zipfile.ZipFile(archived, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("x.npy", npy(X))
        archive.writestr("x.npy", npy(X * 2))
    assert "one name" in refusal(archived.getvalue()).detail
