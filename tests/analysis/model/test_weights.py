import gc
import os
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import GraphProto, ModelProto, SparseTensorProto, TensorProto, helper, numpy_helper

from analysis.errors import AnalysisError, InvalidModel, LimitExceeded, MissingExternalData
from analysis.model import CheckedModel, check_model
from analysis.model.weights import MappedFile, Stored, Weights
from analysis.options import Limits

RANDOM = np.random.default_rng(20261123)
ROW = np.arange(4, dtype=np.float32)
LARGE = RANDOM.standard_normal((40, 50)).astype(np.float32)
HUGE = RANDOM.standard_normal((200, 300)).astype(np.float32)  # large enough to be mapped, not copied


def model(*initializers: TensorProto, nodes=(), sparse: SparseTensorProto | None = None) -> ModelProto:
    """A model that holds these tensors and does nothing with them."""
    value = helper.make_tensor_value_info
    nodes = [*nodes, helper.make_node("Relu", ["x"], ["y"])]
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, ["N"])], [value("y", TensorProto.FLOAT, None)], list(initializers)
    )
    if sparse is not None:
        graph.sparse_initializer.append(sparse)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def checked(*initializers: TensorProto, **parts) -> CheckedModel:
    return check_model(model(*initializers, **parts).SerializeToString())


def constant(array: np.ndarray, name: str = "c"):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))


def sparse_tensor(shape: list[int], indices: np.ndarray, values: np.ndarray, name: str = "s") -> SparseTensorProto:
    return helper.make_sparse_tensor(
        numpy_helper.from_array(values, name), numpy_helper.from_array(indices), list(shape)
    )


def identical(got: np.ndarray, want: np.ndarray) -> bool:
    return got.dtype == want.dtype and got.shape == want.shape and got.tobytes() == want.tobytes()


def shifted(content: bytes, by: int) -> bytes:
    """The same model with all that follows moved by some bytes: an unknown field in front."""
    return bytes([0xFA, 0x3F, by - 3]) + b"z" * (by - 3) + content  # field 1023, length-delimited


# ------------------------------------------------------------------ tensors inside the model

NUMPY_TYPES = [
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]
SMALL_TYPES = ["int4", "uint4", "float8_e4m3fn", "float8_e5m2", "bfloat16"]


@pytest.mark.parametrize("dtype", [*NUMPY_TYPES, *SMALL_TYPES, "bool", "complex64", "complex128"])
@pytest.mark.parametrize("shape", [(3, 5), (70, 90), (7, 3, 5, 31), (), (0, 4)])
def test_raw_data_of_every_type_is_what_onnx_reads(dtype: str, shape: tuple[int, ...]) -> None:
    array = RANDOM.integers(0, 3, shape).astype(getattr(ml_dtypes, dtype, dtype))
    tensor = numpy_helper.from_array(array, "w")
    assert identical(checked(tensor).weights["w"], numpy_helper.to_array(tensor))


@pytest.mark.parametrize(
    ("element", "values"),
    [
        (TensorProto.FLOAT, [1.5, -2.0, 3.25] * 500),
        (TensorProto.DOUBLE, [1.5, -2.0, 3.25]),
        (TensorProto.INT64, [1, -2, 2**60]),
        (TensorProto.INT32, [1, -2, 3]),
        (TensorProto.INT8, [1, -2, 127]),
        (TensorProto.UINT64, [1, 2, 2**63]),
        (TensorProto.BOOL, [True, False, True]),
        (TensorProto.FLOAT16, [1.5, -2.0, 0.25]),
        (TensorProto.BFLOAT16, [1.5, -2.0, 0.25] * 500),
        (TensorProto.INT4, [1, -2, 7]),
        (TensorProto.UINT4, [1, 2, 15]),
        (TensorProto.STRING, ["a", "b\u00e4", ""]),
    ],
)
def test_typed_data_is_what_onnx_reads(element: int, values: list) -> None:
    tensor = helper.make_tensor("w", element, [len(values)], values)
    assert not tensor.raw_data
    got = checked(tensor).weights["w"]
    want = numpy_helper.to_array(tensor)
    assert got.tolist() == want.tolist()
    assert got.dtype == want.dtype


@pytest.mark.parametrize("array", [LARGE, HUGE, ROW], ids=["large", "huge", "small"])
@pytest.mark.parametrize("by", range(3, 12))
def test_unaligned_data_reads_the_same(array: np.ndarray, by: int) -> None:
    content = shifted(model(numpy_helper.from_array(array, "w")).SerializeToString(), by)
    weights = check_model(content).weights
    assert identical(weights["w"], array)
    assert identical(weights.private(["w"])["w"], array)
    assert float(weights["w"].astype(np.float64).sum()) == pytest.approx(float(array.astype(np.float64).sum()))


@pytest.mark.parametrize(
    ("attribute", "want"),
    [
        ({"value": numpy_helper.from_array(LARGE)}, LARGE),
        ({"value": numpy_helper.from_array(ROW)}, ROW),
        ({"value_float": 2.5}, np.float32(2.5)),
        ({"value_floats": [1.0, 2.5]}, np.array([1.0, 2.5], np.float32)),
        ({"value_int": 7}, np.int64(7)),
        ({"value_ints": [7, 8]}, np.array([7, 8])),
        ({"value": helper.make_tensor("", TensorProto.FLOAT, [2], [1.0, 2.0])}, np.array([1, 2], np.float32)),
    ],
)
def test_constants_are_weights(attribute: dict, want: np.ndarray) -> None:
    weights = checked(nodes=[helper.make_node("Constant", [], ["c"], **attribute)]).weights
    assert identical(weights["c"], np.asarray(want))


def test_tensors_of_bodies_are_weights() -> None:
    value = helper.make_tensor_value_info

    def branch(name: str, array: np.ndarray) -> GraphProto:
        node = helper.make_node("Add", [f"{name}.w", f"{name}.c"], [f"{name}.y"])
        outputs = [value(f"{name}.y", TensorProto.FLOAT, None)]
        initializers = [numpy_helper.from_array(array, f"{name}.w")]
        return helper.make_graph([constant(array * 2, f"{name}.c"), node], name, [], outputs, initializers)

    step = helper.make_graph(
        [
            constant(LARGE * 5, "step"),
            helper.make_node("Identity", ["go"], ["go.on"]),
            helper.make_node("Add", ["sum", "step"], ["sum.on"]),
        ],
        "loop",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("sum", TensorProto.FLOAT, None)],
        [value("go.on", TensorProto.BOOL, []), value("sum.on", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("If", ["b"], ["i"], then_branch=branch("then", LARGE), else_branch=branch("else", LARGE + 1)),
        helper.make_node("Loop", ["n", "", "i"], ["l"], body=step),
    ]
    initializers = [numpy_helper.from_array(np.array(True), "b"), numpy_helper.from_array(np.array(3), "n")]
    weights = checked(*initializers, nodes=nodes).weights
    wanted = {"then.w": 1, "then.c": 2, "step": 5}
    assert all(identical(weights[name], LARGE * np.float32(factor)) for name, factor in wanted.items())
    assert identical(weights["else.c"], (LARGE + 1) * 2)


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("count", [3, 600])
def test_sparse_tensors_become_dense(linear: bool, count: int) -> None:
    shape = (50, 40)
    places = np.sort(RANDOM.choice(2000, count, replace=False))
    values = RANDOM.standard_normal(count).astype(np.float32)
    want = np.zeros(shape, np.float32)
    want.reshape(-1)[places] = values
    indices = places if linear else np.stack(np.unravel_index(places, shape), 1)
    tensor = sparse_tensor(list(shape), indices, values)
    assert identical(checked(sparse=tensor).weights["s"], want)
    node = helper.make_node("Constant", [], ["c"], sparse_value=tensor)
    assert identical(checked(nodes=[node]).weights["c"], want)


@pytest.mark.parametrize(
    ("shape", "indices", "values"),
    [
        ([2, 4], np.array([8]), ROW[:1]),
        ([2, 4], np.array([-1]), ROW[:1]),
        ([2, 4], np.array([[2, 0]]), ROW[:1]),
        ([2, 4], np.array([[0, -1]]), ROW[:1]),
        ([2, 4], np.array([[0, 1, 1]]), ROW[:1]),
        ([2, 4], np.array([[[0, 1]]]), ROW[:1]),
        ([2, 4], np.array(3), ROW[:1]),
        ([2, 4], np.array([1, 2]), ROW[:1]),
        ([2, 4], np.array([1, 2]), ROW[:3]),
        ([2, 4], np.array([1.0]), ROW[:1]),
        ([2, 4], np.array([[1.0, 1.0]]), ROW[:1]),
        ([-1, 4], np.array([[0, 0]]), ROW[:1]),
        ([-2, -4], np.array([[0, 0]]), ROW[:1]),
        ([0, 2**62, 2**62], np.zeros((0, 3), np.int64), ROW[:0]),
    ],
)
def test_impossible_sparse_tensors_are_refused_by_name(shape, indices, values) -> None:
    with pytest.raises(InvalidModel) as caught:
        checked(sparse=sparse_tensor(shape, indices, values, "s.weight"))
    assert caught.value.where == "s.weight"


def test_a_sparse_tensor_may_not_grow_past_the_limit() -> None:
    tensor = sparse_tensor([1000, 1000], np.array([3]), ROW[:1])
    content = model(sparse=tensor).SerializeToString()
    assert check_model(content, Limits(sparse_bytes=4_000_000)).weights["s"].shape == (1000, 1000)
    with pytest.raises(LimitExceeded) as caught:
        check_model(content, Limits(sparse_bytes=3_999_999))
    assert caught.value.where == "s"
    with pytest.raises(LimitExceeded):
        checked(sparse=sparse_tensor([2**28, 2**28], np.array([3]), ROW[:1]))


# ------------------------------------------------------------------ lying shapes


@pytest.mark.parametrize("large", [False, True], ids=["inline", "cut out"])
@pytest.mark.parametrize(
    "dims", [[5], [3, 4], [2**40], [2**62, 2**62], [2**63 - 1], [], [0], [0, 2**62, 2**62], [1] * 70]
)
@pytest.mark.parametrize("element", [TensorProto.FLOAT, TensorProto.BFLOAT16, TensorProto.INT64])
def test_raw_data_that_does_not_fill_its_shape_is_refused_by_name(large: bool, dims: list[int], element: int) -> None:
    tensor = TensorProto(name="w.1", data_type=element, dims=dims, raw_data=b"\0" * (4096 if large else 16))
    with pytest.raises(InvalidModel) as caught:
        checked(tensor)
    assert caught.value.where == "w.1"


@pytest.mark.parametrize("dims", [[4], [2**40], [2**62, 2**62], [], [0, 2**62, 2**62]])
def test_typed_data_that_does_not_fill_its_shape_is_refused_by_name(dims: list[int]) -> None:
    with pytest.raises(InvalidModel) as caught:
        checked(TensorProto(name="w.1", data_type=TensorProto.FLOAT, dims=dims, float_data=[1, 2, 3]))
    assert caught.value.where == "w.1"


@pytest.mark.parametrize("dims", [[2**40], [2**62, 2**62]])
@pytest.mark.parametrize("size", [16, 4096])
def test_packed_data_that_does_not_fill_its_shape_is_refused_by_name(dims: list[int], size: int) -> None:
    with pytest.raises(InvalidModel) as caught:
        checked(TensorProto(name="w.1", data_type=TensorProto.INT4, dims=dims, raw_data=b"\0" * size))
    assert caught.value.where == "w.1"


@pytest.mark.parametrize("dims", [[-1], [-3, -1], [2, -1]])
@pytest.mark.parametrize("size", [12, 4096])
def test_negative_dimensions_are_refused_by_name(dims: list[int], size: int) -> None:
    with pytest.raises(InvalidModel, match="negative") as caught:
        checked(TensorProto(name="w.1", data_type=TensorProto.FLOAT, dims=dims, raw_data=b"\0" * size))
    assert caught.value.where == "w.1"


@pytest.mark.parametrize("element", [0, 99, -1])
@pytest.mark.parametrize("size", [12, 4096])
def test_unknown_element_types_are_refused_by_name(element: int, size: int) -> None:
    with pytest.raises(InvalidModel) as caught:
        checked(TensorProto(name="w.1", data_type=element, dims=[size // 4], raw_data=b"\0" * size))
    assert caught.value.where == "w.1"


def test_strings_that_are_not_utf8_are_refused_by_name() -> None:
    with pytest.raises(InvalidModel) as caught:
        checked(TensorProto(name="w.1", data_type=TensorProto.STRING, dims=[1], string_data=[b"\xff"]))
    assert caught.value.where == "w.1"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(-2, 2**63 - 1) | st.integers(0, 4), max_size=4),
    st.sampled_from(sorted({0, 99, *TensorProto.DataType.values()})),
    st.integers(0, 2000),
    st.booleans(),
)
def test_whatever_a_tensor_claims_it_fits_or_is_refused(dims: list[int], element: int, size: int, raw: bool) -> None:
    tensor = TensorProto(name="w", data_type=element, dims=dims)
    if raw:
        tensor.raw_data = b"\1" * size
    else:
        tensor.int32_data.extend([1] * (size % 5))
    try:
        weights = checked(tensor).weights
    except AnalysisError:
        return
    assert weights["w"].shape == tuple(dims)


# ------------------------------------------------------------------ reading and writing


@pytest.mark.parametrize("array", [ROW, LARGE, HUGE], ids=["inline", "copied", "mapped"])
def test_views_are_read_only(array: np.ndarray) -> None:
    weights = checked(numpy_helper.from_array(array, "w")).weights
    with pytest.raises(ValueError, match="read-only"):
        weights["w"][0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        weights["w"].flags.writeable = True


@pytest.mark.parametrize("array", [ROW, LARGE, HUGE], ids=["inline", "copied", "mapped"])
def test_private_arrays_are_writable_and_nobody_else_sees_it(array: np.ndarray) -> None:
    weights = checked(numpy_helper.from_array(array, "w")).weights
    first, second = weights.private(["w"])["w"], weights.private(["w"])["w"]
    first[:] = 7
    assert identical(weights["w"], array)
    assert identical(second, array)
    second[:] = 8
    assert (first == 7).all()
    assert identical(weights.private(["w"])["w"], array)


def test_private_arrays_of_one_call_do_not_overlap() -> None:
    arrays = {f"w{n}": HUGE + n for n in range(4)}
    weights = checked(*[numpy_helper.from_array(array, name) for name, array in arrays.items()]).weights
    private = weights.private(weights)
    private["w1"][:] = 0
    assert all(identical(private[name], arrays[name]) for name in ("w0", "w2", "w3"))


def test_writing_to_private_arrays_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    content = model(numpy_helper.from_array(HUGE, "w")).SerializeToString()
    path.write_bytes(content)
    weights = check_model(path).weights
    weights.private(["w"])["w"][:] = 7
    gc.collect()
    assert path.read_bytes() == content


def test_weights_outlive_the_file_and_the_model(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model(numpy_helper.from_array(HUGE, "w")).SerializeToString())
    loaded = check_model(path)
    view, private = loaded.weights["w"], loaded.weights.private(["w"])["w"]
    path.unlink()
    del loaded
    gc.collect()
    assert identical(view, HUGE)
    assert identical(private, HUGE)


def test_no_file_stays_open_behind_a_forgotten_model() -> None:
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        checked(numpy_helper.from_array(HUGE, "w")).weights.private(["w"])
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_names_come_in_the_order_of_the_file() -> None:
    names = ["z", "a", "m"]
    weights = checked(*[numpy_helper.from_array(ROW, name) for name in names]).weights
    assert list(weights) == names
    assert len(weights) == 3
    assert "a" in weights
    with pytest.raises(KeyError):
        weights["b"]


def test_an_update_gives_new_weights_and_leaves_the_old_ones() -> None:
    old = checked(numpy_helper.from_array(ROW, "a"), numpy_helper.from_array(HUGE, "b")).weights
    new = old.updated({"a": ROW * 2, "c": LARGE})
    assert list(new) == ["a", "b", "c"]
    assert identical(new["a"], ROW * 2)
    assert identical(new["b"], HUGE)
    assert identical(old["a"], ROW)
    assert "c" not in old
    with pytest.raises(ValueError, match="read-only"):
        new["a"][0] = 1


def test_an_array_given_to_an_update_stays_writable_where_it_came_from() -> None:
    array = ROW.copy()
    weights = Weights({"a": array})
    with pytest.raises(ValueError, match="read-only"):
        weights["a"][0] = 1
    array[0] = 5


# ------------------------------------------------------------------ external data


def external(tensor: TensorProto, **entries: str) -> TensorProto:
    """The tensor, its data said to lie in a file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.extend(onnx.StringStringEntryProto(key=key, value=value) for key, value in entries.items())
    return tensor


def beside(folder: Path, tensor: TensorProto, **entries: str) -> CheckedModel:
    """A model file in this folder, with its data in `data.bin`."""
    (folder / "data.bin").write_bytes(b"\xff" * 8 + HUGE.tobytes())
    path = folder / "m.onnx"
    path.write_bytes(model(external(tensor, **entries)).SerializeToString())
    return check_model(path)


def huge() -> TensorProto:
    return numpy_helper.from_array(HUGE, "w.1")


def test_external_data_beside_the_model_are_read(tmp_path: Path) -> None:
    weights = beside(tmp_path, huge(), location="data.bin", offset="8", length=str(HUGE.nbytes)).weights
    assert identical(weights["w.1"], HUGE)
    weights.private(["w.1"])["w.1"][:] = 0
    assert identical(weights["w.1"], HUGE)


def test_external_data_without_a_length_reach_to_the_end(tmp_path: Path) -> None:
    assert identical(beside(tmp_path, huge(), location="data.bin", offset="8").weights["w.1"], HUGE)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool", *SMALL_TYPES])
@pytest.mark.parametrize("shape", [(5, 7), (80, 90), (0, 4)])
def test_what_onnx_itself_saves_outside_is_read_back(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = RANDOM.integers(0, 2, shape).astype(getattr(ml_dtypes, dtype, dtype))
    saved = model(numpy_helper.from_array(array, "w"), numpy_helper.from_array(HUGE, "v"))
    onnx.save(saved, tmp_path / "m.onnx", save_as_external_data=True, location="all.data", size_threshold=0)
    weights = check_model(tmp_path / "m.onnx").weights
    assert identical(weights["w"], array)
    assert identical(weights["v"], HUGE)


def test_the_value_of_a_constant_may_lie_outside(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(HUGE.tobytes())
    node = helper.make_node("Constant", [], ["c"], value=external(huge(), location="data.bin"))
    (tmp_path / "m.onnx").write_bytes(model(nodes=[node]).SerializeToString())
    assert identical(check_model(tmp_path / "m.onnx").weights["c"], HUGE)


def refusal(load: Callable[[], CheckedModel], kind: type[AnalysisError]) -> AnalysisError:
    with pytest.raises(kind) as caught:
        load()
    assert type(caught.value) is kind
    assert caught.value.where == "w.1"
    return caught.value


@pytest.mark.parametrize(
    "location", ["/etc/hostname", "../data.bin", "a/data.bin", "./data.bin", "data.bin/", "..", ".", ""]
)
def test_a_location_that_is_no_plain_file_name_is_refused(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    (folder / "a").mkdir(parents=True)
    for place in (tmp_path, folder / "a"):
        (place / "data.bin").write_bytes(HUGE.tobytes())
    error = refusal(lambda: beside(folder, huge(), location=location), InvalidModel)
    assert "plain file name" in error.detail
    assert error.hint


@pytest.mark.parametrize("target", ["secret.bin", "{folder}/secret.bin", "../{name}/secret.bin"])
def test_a_symbolic_link_is_refused(target: str, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(HUGE.tobytes())
    (tmp_path / "link.bin").symlink_to(target.format(folder=tmp_path, name=tmp_path.name))
    refusal(lambda: beside(tmp_path, huge(), location="link.bin"), InvalidModel)


@pytest.mark.parametrize("location", ["missing.bin", "a\0b", "folder", "fifo"])
def test_a_file_that_is_not_there_is_named(location: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    error = refusal(lambda: beside(tmp_path, huge(), location=location), MissingExternalData)
    assert repr(location) in error.detail
    assert error.hint


def test_a_name_too_long_for_a_file_is_refused(tmp_path: Path) -> None:
    refusal(lambda: beside(tmp_path, huge(), location="x" * 300), InvalidModel)


def test_external_data_of_a_model_sent_as_bytes_are_missing() -> None:
    error = refusal(lambda: checked(external(huge(), location="data.bin")), MissingExternalData)
    assert "'data.bin'" in error.detail
    assert error.hint


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "16"},
        {"offset": "4", "length": str(HUGE.nbytes + 8)},
        {"offset": "8", "length": str(HUGE.nbytes + 1)},
        {"offset": str(10**12)},
        {"offset": str(10**30), "length": "4"},
        {"offset": "-8"},
        {"length": "-1"},
        {"offset": "-8", "length": str(HUGE.nbytes)},
        {"length": "0"},
        {"offset": "eight"},
        {"length": "9" * 5000},
        {"offset": "8", "length": str(HUGE.nbytes - 4)},
        {},
    ],
    ids=str,
)
def test_an_offset_or_length_that_does_not_fit_is_refused(entries: dict[str, str], tmp_path: Path) -> None:
    refusal(lambda: beside(tmp_path, huge(), location="data.bin", **entries), InvalidModel)


@pytest.mark.parametrize("dims", [[-1], [2**40], [2**62, 2**62], [0, 2**62, 2**62], [3]])
def test_external_data_that_do_not_fill_their_shape_are_refused(dims: list[int], tmp_path: Path) -> None:
    tensor = TensorProto(name="w.1", data_type=TensorProto.FLOAT, dims=dims)
    refusal(lambda: beside(tmp_path, tensor, location="data.bin"), InvalidModel)


def test_external_strings_are_refused(tmp_path: Path) -> None:
    tensor = TensorProto(name="w.1", data_type=TensorProto.STRING, dims=[2])
    refusal(lambda: beside(tmp_path, tensor, location="data.bin", length="16"), InvalidModel)


def test_a_tensor_that_stays_in_the_graph_never_reads_a_file(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "data.bin").write_bytes(np.float32(42).tobytes())
    monkeypatch.chdir(tmp_path)
    value = TensorProto(name="w.1", data_type=TensorProto.FLOAT, dims=[1])
    node = helper.make_node("ConstantOfShape", ["s"], ["c"], value=external(value, location="data.bin"))
    shape = numpy_helper.from_array(np.array([2]), "s")
    refusal(lambda: checked(shape, nodes=[node]), MissingExternalData)


def test_a_tensor_that_stays_in_the_graph_keeps_its_data(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(np.float32(42).tobytes())
    value = TensorProto(name="v", data_type=TensorProto.FLOAT, dims=[1])
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"], value=external(value, location="data.bin")),
        helper.make_node("Other", ["x"], ["z"], domain="some", table=numpy_helper.from_array(LARGE, "t")),
    ]
    content = model(numpy_helper.from_array(np.array([2]), "s"), nodes=nodes)
    content.opset_import.append(helper.make_opsetid("some", 1))
    (tmp_path / "m.onnx").write_bytes(content.SerializeToString())
    first, second, _ = check_model(tmp_path / "m.onnx").nodes
    assert numpy_helper.to_array(first.attribute[0].t).tolist() == [42.0]
    assert identical(numpy_helper.to_array(second.attribute[0].t), LARGE)


# ------------------------------------------------------------------ the mapping itself


@pytest.mark.parametrize("content", [b"", b"x", b"abc" * 5000])
def test_a_mapping_of_bytes_holds_these_bytes(content: bytes) -> None:
    file = MappedFile.of_bytes(content)
    assert file.size == len(content)
    assert bytes(file.view) == content


def test_a_model_may_be_a_symbolic_link_but_its_mapping_never_follows_one(tmp_path: Path) -> None:
    path, link = tmp_path / "m.onnx", tmp_path / "link.onnx"
    path.write_bytes(model().SerializeToString())
    link.symlink_to(path)
    assert check_model(link).inputs
    with pytest.raises(OSError, match="symbolic link"):
        MappedFile.open(link, follow=False)


def test_large_tensors_are_stored_and_not_copied() -> None:
    checked_model = checked(numpy_helper.from_array(HUGE, "w"))
    entry = checked_model.weights._entries["w"]
    assert isinstance(entry, Stored)
    assert np.shares_memory(checked_model.weights["w"], checked_model.weights["w"])
