import hashlib
import io
import json
import struct
import time
import tracemalloc
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper, parser

from analysis.batch import Batch, load_batch
from analysis.batch.formats import OIP_TYPES
from analysis.batch.samples import sample_axes, select
from analysis.batch.synthesize import synthesize_batch
from analysis.errors import AnalysisError, BadBatch, LimitExceeded
from analysis.facts import Provenance
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


def npy_with_header(header: str, payload: bytes = b"\0" * 16, version: int = 1) -> bytes:
    text = header.encode() + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + payload


def safetensors_with_header(header: str, payload: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header.encode() + payload


def one_tensor(dtype: str, shape: list[int], payload: bytes, header_length: int = 0) -> bytes:
    """A safetensors file."""
    header = json.dumps({"x": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(payload)]}})
    return safetensors_with_header(header.ljust(header_length), payload)


def inference_request(**arrays: np.ndarray) -> bytes:
    names = {np.dtype(dtype).name: name for name, dtype in OIP_TYPES.items()}
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


FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)
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


# ------------------------------------------------------------------ formats


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_of_named_arrays_gives_the_same_batch(form: str) -> None:
    content = FORMATS[form](x=X, target=LABELS)
    batch = load_batch(content, ONE)
    assert identical(batch.inputs["x"], X)
    assert identical(batch.targets[""], LABELS)
    assert (batch.size, batch.axes) == (6, {"x": 0})
    assert batch.provenance is Provenance.UPLOADED
    assert batch.sha256 == hashlib.sha256(content).hexdigest()
    assert not batch.notes


@pytest.mark.parametrize(
    "content",
    [
        npy(X),
        npz(arr_0=X),
        numpy_helper.from_array(X).SerializeToString(),
        numpy_helper.from_array(X, "x").SerializeToString(),
    ],
    ids=["npy", "npz without names", "TensorProto", "named TensorProto"],
)
def test_a_single_unnamed_array_is_the_only_input(content: bytes) -> None:
    batch = load_batch(content, ONE)
    assert identical(batch.inputs["x"], X)
    assert not batch.targets


def test_a_batch_may_lie_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "batch.anything"
    path.write_bytes(npz(x=X))
    assert identical(load_batch(path, ONE).inputs["x"], X)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "int32", "int8", "uint8", "bool"])
def test_element_types_survive_every_format(form: str, dtype: str) -> None:
    element = TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(np.dtype(dtype))).lower()
    array = RANDOM.integers(0, 2, (5, 4)).astype(dtype)
    batch = load_batch(FORMATS[form](x=array), model(f"{element}[N,4] x", f"{element}[N,4] y"))
    assert identical(batch.inputs["x"], array)


@pytest.mark.parametrize(
    "write",
    [
        lambda array: npz(x=array),
        npy,
        lambda array: numpy_helper.from_array(array, "x").SerializeToString(),
        lambda array: one_tensor("BF16", [6, 4], array.tobytes()),
    ],
    ids=["npz", "npy", "TensorProto", "safetensors"],
)
def test_bfloat16_batches_are_read(write) -> None:
    array = X.astype(ml_dtypes.bfloat16)
    against = model("bfloat16[N,4] x", "bfloat16[N,4] y")
    assert identical(load_batch(write(array), against).inputs["x"], array)
    array[2, 1] = np.nan
    assert "1 of 24 values" in refusal(write(array), against).detail


@pytest.mark.parametrize("write", [lambda array: npz(x=array), npy], ids=["npz", "npy"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_byte_order_and_layout_do_not_matter(write, order: str, layout: str) -> None:
    array = np.asarray(X.astype(f"{order}f4"), order=layout)
    found = load_batch(write(array), ONE).inputs["x"]
    np.testing.assert_array_equal(found, X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of arrays it may not write to
        assert torch.equal(torch.from_numpy(found), torch.from_numpy(X))


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
    assert error.where == "batch.inputs[1]"
    assert complaint in error.detail


def test_an_inference_tensor_may_not_come_twice() -> None:
    request = json.loads(inference_request(x=X))
    error = refusal(json.dumps({"inputs": request["inputs"] * 2}).encode())
    assert error.where == "batch.inputs[1]"


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


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.npz"):
        assert refusal(path).where == str(path)


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


# ------------------------------------------------------------------ names


@pytest.mark.parametrize("key", ["target", "labels"])
def test_targets_have_two_names(key: str) -> None:
    batch = load_batch(npz(x=X, **{key: LABELS}), ONE)
    assert identical(batch.targets[""], LABELS)


def test_a_target_may_name_its_output() -> None:
    against = model("float[N,4] x", "float[N,4] y, float[N,4] z")
    batch = load_batch(npz(x=X, **{"target.z": X, "target": LABELS}), against)
    assert set(batch.targets) == {"", "z"}
    assert identical(batch.targets["z"], X)


@pytest.mark.parametrize("name", ["target", "labels", "target.y"])
def test_an_input_of_a_targets_name_wins(name: str) -> None:
    proto = parser.parse_model(f"{HEAD} net (float[N,4] x, float[N,4] wins) => (float[N,4] y) {{ y = Add(x, wins) }}")
    proto.graph.input[1].name = proto.graph.node[0].input[1] = name
    batch = load_batch(npz(x=X, **{name: X * 2}), check_model(proto.SerializeToString()))
    assert identical(batch.inputs[name], X * 2)
    assert not batch.targets


def test_labels_are_the_target_where_an_input_is_called_target() -> None:
    against = model("float[N,4] x, float[N,4] target", nodes="y = Add(x, target)")
    batch = load_batch(npz(x=X, target=X * 2, labels=LABELS), against)
    assert identical(batch.inputs["target"], X * 2)
    assert identical(batch.targets[""], LABELS)


def test_targets_may_not_be_given_twice() -> None:
    assert "twice" in refusal(npz(x=X, target=LABELS, labels=LABELS)).detail


def test_a_target_alone_is_not_taken_for_the_input() -> None:
    error = refusal(npz(target=X))
    assert error.where == "x"


def test_wrong_names_are_listed_with_those_expected() -> None:
    against = model("float[N,4] x, float[N,4] z", nodes="y = Add(x, z)")
    error = refusal(npz(x=X, q=X), against)
    assert "expects 'x', 'z'" in error.detail
    assert "has 'x', 'q'" in error.detail
    assert error.where == "z"
    assert "target.y" in error.hint
    error = refusal(npz(x=X, z=X, q=X), against)
    assert error.where == "q"


def test_an_unnamed_array_does_not_fit_two_inputs() -> None:
    refusal(npy(X), model("float[N,4] x, float[N,4] z", nodes="y = Add(x, z)"))


def test_inputs_come_in_the_order_of_the_graph() -> None:
    against = model("float[N,4] x, float[N,4] a", nodes="y = Add(x, a)")
    assert list(load_batch(npz(a=X, x=X), against).inputs) == ["x", "a"]


def test_a_model_without_inputs_takes_targets_only() -> None:
    proto = parser.parse_model(f"{HEAD} n () => (float y) <float[2] w = {{1, 2}}> {{ y = Neg(w) }}")
    against = check_model(proto.SerializeToString())
    batch = load_batch(npz(target=LABELS), against)
    assert (batch.size, dict(batch.inputs)) == (6, {})


# ------------------------------------------------------------------ types, shapes, values


@pytest.mark.parametrize("dtype", ["float64", "int64", "float16", "bool", "complex64", "<U3"])
def test_a_wrong_type_is_refused_saying_both(dtype: str) -> None:
    error = refusal(npz(x=np.ones((6, 4)).astype(dtype)))
    assert error.where == "x"
    assert error.detail == f"expected float32, given {np.dtype(dtype).name}"
    assert ".astype('float32')" in error.hint


@pytest.mark.parametrize("shape", [(6,), (6, 4, 1), (6, 5), (4, 6), (), (0, 4)])
def test_a_wrong_rank_or_size_is_refused_saying_both(shape: tuple[int, ...]) -> None:
    error = refusal(npz(x=np.ones(shape, np.float32)))
    assert error.where == "x"
    assert error.detail == f"expected shape [N, 4], given {list(shape)}"


@pytest.mark.parametrize(("shape", "told"), [((6, 4), True), ((1, 5), False), ((6, 5), False), ((1, 4, 1), False)])
def test_an_export_that_fixes_the_number_of_samples_is_told_how_to_open_it(
    shape: tuple[int, ...], *, told: bool
) -> None:
    with pytest.raises(BadBatch) as caught:
        load_batch(npz(x=np.ones(shape, np.float32)), model("float[1,4] x", "float[1,4] y"))
    assert caught.value.detail == f"expected shape [1, 4], given {list(shape)}"
    assert ("dynamic_axes={'x': {0: 'N'}}" in caught.value.hint) is told


def test_it_is_told_where_another_axis_is_open_too() -> None:
    with pytest.raises(BadBatch, match="open batch axis") as caught:
        load_batch(npz(x=np.ones((6, 9, 4), np.float32)), model("float[1,T,4] x", "float[1,T,4] y"))
    assert caught.value.where == "x"


def test_open_dimensions_take_any_size() -> None:
    against = model("float[N,?,?,3] x", "float y")
    assert load_batch(npz(x=np.ones((2, 5, 7, 3), np.float32)), against).size == 2
    assert "[N, ?, ?, 3]" in refusal(npz(x=X), against).detail


def test_no_samples_at_all_are_refused_whatever_the_rank() -> None:
    assert "any rank" in refusal(npz(x=np.ones((0, 4), np.float32)), model("float[] x", "float[] y")).detail


def test_a_name_shared_by_two_dimensions_is_only_a_hint() -> None:
    against = model("float[N,4] x, float[N,4] z", nodes="y = Concat<axis: int = 0>(x, z)")
    batch = load_batch(npz(x=X, z=X[:2]), against)
    assert batch.inputs["z"].shape == (2, 4)


@pytest.mark.parametrize(("value", "count"), [(np.nan, 1), (np.inf, 5), (-np.inf, 24)])
@pytest.mark.parametrize("form", [npz, FORMATS["safetensors"]])
def test_values_that_are_not_finite_are_refused_and_counted(value: float, count: int, form) -> None:
    array = X.copy()
    array.reshape(-1)[:count] = value
    error = refusal(form(x=array))
    assert error.where == "x"
    assert f"{count} of 24 values" in error.detail


def test_targets_that_are_not_finite_are_refused_and_counted() -> None:
    target = np.array([0, 1, np.nan, 1, 0, np.inf])
    error = refusal(npz(x=X, target=target))
    assert (error.where, error.detail[:16]) == ("target", "2 of 6 values ar")
    assert refusal(npz(x=X, **{"target.y": target})).where == "target y"


def test_an_input_and_a_target_of_one_name_are_both_checked() -> None:
    against = model("float[N,4] x, float[N,4] target", nodes="y = Add(x, target)")
    assert refusal(npz(x=X, target=X * np.nan, labels=LABELS), against).where == "target"


@pytest.mark.parametrize(
    "target", [np.array(["a", "b"]), np.zeros(2, complex), np.zeros(2, "M8[s]"), np.zeros(2, [("a", "f4")])]
)
def test_targets_that_are_no_numbers_are_refused(target: np.ndarray) -> None:
    error = refusal(npz(x=X[:2], target=target))
    assert error.where == "target"
    assert f"given {target.dtype.name}" in error.detail


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


def test_the_batch_limit_holds_exactly(tmp_path: Path) -> None:
    content = npy(X)
    (tmp_path / "batch.npy").write_bytes(content)
    for source in (content, tmp_path / "batch.npy"):
        load_batch(source, ONE, Limits(batch_bytes=len(content)))
        with pytest.raises(LimitExceeded, match=str(len(content))):
            load_batch(source, ONE, Limits(batch_bytes=len(content) - 1))


def test_the_limit_counts_what_an_archive_inflates_to() -> None:
    content = npz(True, x=np.ones((1000, 4), np.float32))
    with pytest.raises(LimitExceeded):
        load_batch(content, ONE, Limits(batch_bytes=16_000))


def test_the_member_limit_holds_exactly() -> None:
    content = npz(x=X, target=LABELS)
    load_batch(content, ONE, Limits(batch_members=2))
    with pytest.raises(LimitExceeded, match="2 arrays"):
        load_batch(content, ONE, Limits(batch_members=1))


def test_two_members_of_one_name_are_refused() -> None:
    archived = io.BytesIO()
    with zipfile.ZipFile(archived, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("x.npy", npy(X))
        archive.writestr("x.npy", npy(X * 2))
    assert "one name" in refusal(archived.getvalue()).detail


# ------------------------------------------------------------------ samples


def axes(inputs: str, targets: Mapping[str, np.ndarray] | None = None, **arrays: np.ndarray) -> tuple[int, dict]:
    names = ", ".join(arrays)
    return sample_axes(model(inputs, "float[] y", f"y = Concat<axis: int = 0>({names})"), arrays, targets or {})


T_N_F = np.zeros((7, 5, 3), np.float32)
N_T_F = np.zeros((5, 7, 3), np.float32)


@pytest.mark.parametrize("name", ["N", "batch", "batch_size", "B", "bs", "unk__batch"])
def test_a_dimension_named_like_a_batch_counts_samples(name: str) -> None:
    assert axes(f"float[T,{name},3] x", x=T_N_F) == (5, {"x": 1})
    assert axes(f"float[{name},T,3] x", x=N_T_F) == (5, {"x": 0})


def test_targets_say_how_many_samples_a_time_major_input_has() -> None:
    assert axes("float[p,q,3] x", {"": np.arange(5)}, x=T_N_F) == (5, {"x": 1})
    assert axes("float[p,q,3] x", {"y": np.zeros((5, 2))}, x=T_N_F) == (5, {"x": 1})


def test_without_a_hint_the_first_axis_counts_samples() -> None:
    assert axes("float[p,q,3] x", x=T_N_F) == (7, {"x": 0})


def test_a_named_axis_helps_the_other_inputs() -> None:
    assert axes("float[p,q,3] s, float[N,3] x", s=T_N_F, x=np.zeros((5, 3), np.float32)) == (5, {"s": 1, "x": 0})


def test_an_input_without_samples_has_no_axis() -> None:
    scale = np.zeros((), np.float32)
    assert axes("float[N,3] x, float k", x=np.zeros((5, 3), np.float32), k=scale) == (5, {"x": 0, "k": None})
    assert axes("float[N,3] x, float[2,2] k", x=np.zeros((5, 3)), k=np.zeros((2, 2))) == (5, {"x": 0, "k": None})


def test_a_batch_of_numbers_without_axes_is_one_sample() -> None:
    assert axes("float x", x=np.zeros((), np.float32)) == (1, {"x": None})


@settings(max_examples=100, deadline=None)
@given(st.permutations([2, 3, 5, 7]), st.integers(0, 3))
def test_the_axis_as_long_as_the_targets_counts_samples(shape: list[int], axis: int) -> None:
    size, found = axes("float[p,q,r,s] x", {"": np.arange(shape[axis])}, x=np.zeros(shape, np.float32))
    assert (size, found) == (shape[axis], {"x": axis})


def batch_of(inputs: dict[str, np.ndarray], targets: dict[str, np.ndarray], size: int, axis: dict) -> Batch:
    return Batch(inputs, targets, size, axis, "", Provenance.UPLOADED)


def test_selecting_takes_samples_along_their_axis() -> None:
    inputs = {"s": RANDOM.standard_normal((7, 5, 3)), "x": RANDOM.standard_normal((5, 2)), "k": np.float32(3)}
    targets = {"": np.arange(5), "y": np.zeros((4, 2))}
    batch = batch_of(inputs, targets, 5, {"s": 1, "x": 0, "k": None})
    rows = np.array([4, 0, 0])
    chosen, wanted = select(batch, rows)
    np.testing.assert_array_equal(chosen["s"], inputs["s"][:, [4, 0, 0]])
    np.testing.assert_array_equal(chosen["x"], inputs["x"][[4, 0, 0]])
    assert chosen["k"] == 3
    assert wanted[""].tolist() == [4, 0, 0]
    assert wanted["y"] is targets["y"]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2), st.data())
def test_selecting_everything_gives_everything_and_order_is_kept(size: int, axis: int, data: st.DataObject) -> None:
    array = np.moveaxis(np.arange(size * 6.0).reshape(size, 2, 3), 0, axis)
    batch = batch_of({"x": array}, {"": np.arange(size)}, size, {"x": axis})
    rows = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=8)))
    inputs, targets = select(batch, rows)
    np.testing.assert_array_equal(np.moveaxis(inputs["x"], axis, 0)[:, 0, 0], rows * 6.0)
    np.testing.assert_array_equal(targets[""], rows)


@pytest.mark.parametrize(
    ("array", "constant"),
    [
        (np.ones((4, 3)), True),
        (np.arange(12.0).reshape(4, 3), False),
        (np.ones((1, 3)), False),
        (np.tile([1, 2, 3], (4, 1)), True),
    ],
)
def test_equal_samples_are_noticed(array: np.ndarray, constant: bool) -> None:
    assert batch_of({"x": array}, {}, len(array), {"x": 0}).constant_inputs is constant


def test_equal_samples_are_noticed_along_their_axis() -> None:
    array = np.arange(6.0).reshape(2, 3)
    varied, equal = np.moveaxis(np.stack([array, array + 1]), 0, 1), np.stack([array, array], 1)
    assert not batch_of({"x": varied}, {}, 2, {"x": 1}).constant_inputs
    assert batch_of({"x": equal, "k": np.float32(1)}, {}, 2, {"x": 1, "k": None}).constant_inputs
    assert not batch_of({"x": equal, "z": array}, {}, 2, {"x": 1, "z": 0}).constant_inputs


# ------------------------------------------------------------------ synthesis


def test_a_synthetic_batch_follows_the_input_specification() -> None:
    against = model("float[N,3,T] x, float[N,T] m, double[2] d, bool[N] b, int64[N,T] i, float k", "float[N,3,T] y")
    batch = synthesize_batch(against, 5, 0, open_size=9)
    shapes = {name: array.shape for name, array in batch.inputs.items()}
    assert shapes == {"x": (5, 3, 9), "m": (5, 9), "d": (2,), "b": (5,), "i": (5, 9), "k": ()}
    types = {name: array.dtype.name for name, array in batch.inputs.items()}
    assert types == {"x": "float32", "m": "float32", "d": "float64", "b": "bool", "i": "int64", "k": "float32"}
    assert batch.inputs["b"].all()
    assert (batch.inputs["i"] == 1).all()
    assert (batch.size, batch.provenance) == (5, Provenance.SYNTHETIC)
    assert "synthetic" in batch.notes[0]
    assert not batch.targets


def test_synthetic_numbers_have_mean_zero_and_variance_one() -> None:
    array = synthesize_batch(model("float[N,100] x", "float[N,100] y"), 200, 3).inputs["x"]
    assert abs(float(array.mean())) < 4 / np.sqrt(array.size)
    assert float(array.var()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("element", ["float16", "bfloat16", "double"])
def test_all_floating_types_are_synthesized(element: str) -> None:
    array = synthesize_batch(model(f"{element}[N,4] x", f"{element}[N,4] y"), 3, 0).inputs["x"]
    assert array.dtype.name == {"double": "float64"}.get(element, element)


def test_the_same_seed_gives_the_same_batch_and_another_one_another() -> None:
    against = model("float[N,4] x, float[N,4] z", nodes="y = Add(x, z)")
    first, again, other = (synthesize_batch(against, 6, seed) for seed in (1, 1, 2))
    assert all(identical(first.inputs[name], again.inputs[name]) for name in ("x", "z"))
    assert first.sha256 == again.sha256 != other.sha256
    assert not identical(first.inputs["x"], other.inputs["x"])
    assert not identical(first.inputs["x"], first.inputs["z"])


def test_a_fixed_batch_size_is_kept() -> None:
    assert synthesize_batch(model("float[3,4] x", "float y"), 32, 0).size == 3


def test_a_batch_axis_is_found_by_name_in_a_time_major_model() -> None:
    batch = synthesize_batch(model("float[11,N,3] x", "float y"), 6, 0)
    assert batch.inputs["x"].shape == (11, 6, 3)
    assert (batch.size, batch.axes) == (6, {"x": 1})


@pytest.mark.parametrize(
    "path",
    [
        "y = Gather(E, i)",
        "j = Cast<to: int = 6>(i) k = Identity(j) y = Gather(E, k)",
        "j = Unsqueeze(i, one) k = Squeeze(j, one) y = Gather(E, k)",
        "y = Gather(E, i) z = Gather(B, i)",
        "y = Gather<axis: int = 1>(Et, i)",
    ],
)
def test_token_ids_lie_within_the_table_they_look_up(path: str) -> None:
    tables = {"E": np.zeros((7, 3)), "B": np.zeros((1000, 3)), "Et": np.zeros((3, 7)), "one": np.array([1])}
    proto = parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 20]> net (int64[N,T] i) => (float[] y) {{ {path} }}'
    )
    for name, table in tables.items():
        dtype = table.dtype if table.dtype == np.int64 else np.float32
        proto.graph.initializer.append(numpy_helper.from_array(table.astype(dtype), name))
    ids = synthesize_batch(check_model(proto.SerializeToString()), 50, 0).inputs["i"]
    assert ids.min() == 0
    assert ids.max() == 6
    assert len(np.unique(ids)) == 7


def test_what_cannot_be_made_up_is_named() -> None:
    for inputs in ("seq(float[2]) s, float[N,4] x", "string[N] s, float[N,4] x"):
        with pytest.raises(BadBatch) as caught:
            synthesize_batch(model(inputs, nodes="y = Neg(x)"), 4, 0)
        assert caught.value.where == "s"
        assert caught.value.hint


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(0, 2**31 - 1))
def test_a_synthetic_batch_is_one_that_would_be_accepted(size: int, seed: int) -> None:
    against = model("float[N,3,T] x, int64[N,T] i, bool[N] b, float k", "float[N,3,T] y")
    made = synthesize_batch(against, size, seed)
    loaded = load_batch(npz(**made.inputs), against)
    assert all(identical(loaded.inputs[name], made.inputs[name]) for name in made.inputs)
    assert (loaded.size, loaded.axes) == (made.size, made.axes)
