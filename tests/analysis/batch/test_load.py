import hashlib
import warnings
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from onnx import numpy_helper, parser

from analysis.batch import load_batch
from analysis.errors import BadBatch, LimitExceeded
from analysis.facts import Provenance
from analysis.model import check_model
from analysis.options import Limits
from tests.analysis.batch.batches import FORMATS, HEAD, LABELS, ONE, X, identical, model, npy, npz, one_tensor, refusal

# ------------------------------------------------------------------ from bytes or a file


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


def test_a_cache_of_keys_may_be_empty_but_not_the_samples() -> None:
    """As in the first step of a decoder."""
    against = check_model(
        parser.parse_model(
            """<ir_version: 8, opset_import: ["": 17]> net (float[N,1,4] x, float[N,past,4] seen) => (float[N,all,4] y)
            { y = Concat <axis = 1> (seen, x) }"""
        ).SerializeToString()
    )
    x, seen = np.ones((6, 1, 4), np.float32), np.ones((6, 0, 4), np.float32)
    batch = load_batch(npz(x=x, seen=seen), against)
    assert batch.size == 6
    assert batch.inputs["seen"].shape == (6, 0, 4)
    found = refusal(npz(x=x, seen=np.ones((0, 2, 4), np.float32)), against)
    assert "given [0, 2, 4]" in found.detail
    assert "at least one sample" in found.hint


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


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.npz"):
        assert refusal(path).where == str(path)


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


@pytest.mark.parametrize("dtype", ["float64", "int64", "float16", "bool", "complex64"])
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


@pytest.mark.parametrize("target", [np.zeros(2, complex), np.zeros(2, "M8[s]"), np.zeros(2, [("a", "f4")])])
def test_targets_that_are_no_numbers_are_refused(target: np.ndarray) -> None:
    error = refusal(npz(x=X[:2], target=target))
    assert error.where == "target"
    assert f"given {target.dtype.name}" in error.detail


def test_the_batch_limit_holds_exactly(tmp_path: Path) -> None:
    content = npy(X)
    (tmp_path / "batch.npy").write_bytes(content)
    for source in (content, tmp_path / "batch.npy"):
        load_batch(source, ONE, Limits(batch_bytes=len(content)))
        with pytest.raises(LimitExceeded, match=str(len(content))):
            load_batch(source, ONE, Limits(batch_bytes=len(content) - 1))


@pytest.mark.parametrize("key", ["y", "label", "targets", "Y_true", "something"])
def test_a_key_that_looks_like_the_target_is_told_its_name(key: str) -> None:
    with pytest.raises(BadBatch) as caught:
        load_batch(npz(x=X, **{key: LABELS}), ONE)
    assert f"if {key!r} is what the network should give, call it target" in caught.value.hint


@pytest.mark.parametrize("given", [("z", "q"), ("z", "target")])
def test_of_other_keys_nothing_is_supposed(given: tuple[str, ...]) -> None:
    with pytest.raises(BadBatch) as caught:
        load_batch(npz(x=X, **dict.fromkeys(given, LABELS)), ONE)
    assert caught.value.hint.startswith("optional besides: target")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (("features", "target"), "call 'features' x; optional keys"),
        (("X", "y"), "call 'X' x, and if 'y' is what the network should give, call it target; optional keys"),
        (("a", "b"), "optional besides"),
    ],
)
def test_the_one_key_that_is_left_over_is_told_the_name_of_the_one_input_that_is_missing(
    keys: tuple[str, str], told: str
) -> None:
    with pytest.raises(BadBatch) as caught:
        load_batch(npz(**dict(zip(keys, (X, LABELS), strict=True))), ONE)
    assert caught.value.hint.startswith(told)


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((5, 8, 8, 3), "array.transpose(0, 3, 1, 2)"),
        ((3, 8, 8), "one sample without an axis of samples"),
        ((5, 3, 8, 8, 1), "array[..., 0]"),
        ((5, 3, 8, 9), "one column too many"),
        ((5, 3, 8, 7), ""),
        ((5, 4), ""),
    ],
)
def test_a_shape_that_is_one_step_away_is_told_the_step(shape: tuple[int, ...], hint: str) -> None:
    refused = refusal(npy(np.ones(shape, np.float32)), model("float[N,3,8,8] x", "float[N,3,8,8] y"))
    assert hint in refused.hint if hint else not refused.hint


def test_text_is_called_text_and_not_by_its_bits() -> None:
    refused = refusal(npz(x=np.full((4, 4), "1.5")))
    assert refused.detail == "expected float32, given text"
    assert "astype" not in refused.hint
    refused = refusal(npz(x=X, target=np.array(["cat", "dog"] * 2 + ["cat"])))
    assert refused.detail == "expected numbers, given text"
    assert "numpy.unique" in refused.hint
