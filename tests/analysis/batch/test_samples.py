from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.batch import Batch
from analysis.batch.samples import sample_axes, select
from analysis.facts import Provenance
from tests.analysis.batch.batches import RANDOM, model


def axes(inputs: str, targets: Mapping[str, np.ndarray] | None = None, **arrays: np.ndarray) -> tuple[int, dict]:
    names = ", ".join(arrays)
    return sample_axes(model(inputs, "float[] y", f"y = Concat<axis: int = 0>({names})"), arrays, targets or {})


T_N_F = np.zeros((7, 5, 3), np.float32)
N_T_F = np.zeros((5, 7, 3), np.float32)


@pytest.mark.parametrize("name", ["N", "batch", "batch_size", "B", "bs", "unk__batch"])
def test_a_dimension_named_like_a_batch_counts_samples(name: str) -> None:
    assert axes(f"float[T,{name},3] x", x=T_N_F) == (5, {"x": 1})
    assert axes(f"float[{name},T,3] x", x=N_T_F) == (5, {"x": 0})


def test_samples_behind_another_axis_are_those_of_a_signal() -> None:
    assert axes("float[samples,5,3] x", x=T_N_F) == (7, {"x": 0})
    assert axes("float[1,samples] x", x=np.zeros((1, 400), np.float32)) == (1, {"x": 0})


def test_targets_say_how_many_samples_a_time_major_input_has() -> None:
    assert axes("float[p,q,3] x", {"": np.arange(5)}, x=T_N_F) == (5, {"x": 1})
    assert axes("float[p,q,3] x", {"y": np.zeros((5, 2))}, x=T_N_F) == (5, {"x": 1})


def test_targets_of_every_step_leave_it_to_the_named_dimension() -> None:
    assert axes("float[T,N,3] x", {"": np.zeros((7, 5))}, x=T_N_F) == (5, {"x": 1})
    assert axes("float[N,T,3] x", {"": np.zeros((5, 7))}, x=N_T_F) == (5, {"x": 0})
    assert axes("float[N,T,3] x", {"": np.zeros(35)}, x=N_T_F) == (5, {"x": 0})  # steps and samples merged
    assert axes("float[p,q,3] x", {"": np.zeros(35)}, x=T_N_F) == (7, {"x": 0})


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
