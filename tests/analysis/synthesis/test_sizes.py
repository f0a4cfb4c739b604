"""Sizes of open axes, for graphs that run with one of them only."""

import numpy as np
import pytest

from analysis.convert import convert
from analysis.model import CheckedModel
from analysis.model.checked import ValueSpec
from analysis.synthesis.draw import Feed
from analysis.synthesis.kinds import Kind
from analysis.synthesis.sizes import HEARD, LONG, SAMPLES, _moves, names_of, open_axes, shape_of
from analysis.synthesis.synthesize import feed_of, synthesize_batch
from tests.analysis.graph.graphs import floats, model


def shapes(checked: CheckedModel, size: int = 4) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in synthesize_batch(checked, convert(checked), size, 0).inputs.items()}


def spec(*shape: int | str | None) -> ValueSpec:
    return ValueSpec("x", "float32", shape)


@pytest.mark.parametrize(
    ("declared", "names"),
    [
        ((None, 3), (SAMPLES, 3)),
        (("n", "t"), (SAMPLES, "t")),
        (("t", "batch", 3), ("t", SAMPLES, 3)),
        ((2, None), (2, "x[1]")),
        (("batch_size", "samples"), (SAMPLES, "samples")),
        (("t", "batch", "samples"), ("t", SAMPLES, "samples")),
    ],
)
def test_axes_are_named(declared: tuple[int | str | None, ...], names: tuple[int | str, ...]) -> None:
    assert names_of(spec(*declared), declared) == names


def test_a_sum_is_as_long_as_its_parts_together() -> None:
    assert shape_of((SAMPLES, "past + now", "now + 1", 3), {SAMPLES: 2, "past": 5, "now": 7}) == (2, 12, 8, 3)
    feeds = [feed_of(model("y = Neg(x)", "float[N,a] x"), spec("batch", "past + now", "now + 1"))]
    assert open_axes(feeds) == ("past", "now")


@pytest.mark.parametrize("features", [5, 24, 300])
def test_the_features_of_a_matrix_are_found(features: int) -> None:
    checked = model("y = MatMul(x, W)", "float[N,K] x", W=floats(features, 3))
    assert shapes(checked) == {"x": (4, features)}


@pytest.mark.parametrize("side", [8, 20, 36, 100])
def test_height_and_width_in_front_of_a_flatten_are_found(side: int) -> None:
    pool = "AveragePool<kernel_shape: ints = [2,2], strides: ints = [2,2]>"
    nodes = f"c = Conv(x, K) p = {pool}(c) f = Flatten(p) y = MatMul(f, W)"
    pooled = (side - 2) // 2
    checked = model(nodes, "float[N,3,H,W] x", K=floats(2, 3, 3, 3), W=floats(2 * pooled**2, 5))
    (_, channels, height, width) = shapes(checked)["x"]
    assert channels == 3
    assert ((height - 2) // 2) * ((width - 2) // 2) == pooled**2


def test_a_picture_that_is_not_square_is_found() -> None:
    nodes = "c = Conv(x, K) f = Flatten(c) y = MatMul(f, W)"
    checked = model(nodes, "float[N,1,H,W] x", K=floats(2, 1, 3, 3), W=floats(2 * 30 * 94, 5))
    assert sorted(shapes(checked)["x"][2:]) == [32, 96]


def test_the_other_axis_of_channels_is_what_the_convolution_reads() -> None:
    checked = model("y = Conv<group: int = 2>(x, K)", "float[N,C,H,W] x", K=floats(4, 2, 3, 3))
    assert shapes(checked)["x"][1] == 4


def test_a_count_of_samples_that_is_baked_in_is_found() -> None:
    checked = model("r = Reshape(x, to) y = MatMul(r, W)", "float[N,4] x", to=np.array([6, 4]), W=floats(4, 2))
    assert shapes(checked, size=32) == {"x": (6, 4)}


def test_axes_of_one_that_count_samples_grow_with_them() -> None:
    checked = model(
        "s = Squeeze(h, zero) c = Concat<axis: int = 1>(x, s) y = MatMul(c, W)",
        "float[N,3] x, float[1,?,2] h",
        zero=np.array([0]),
        W=floats(5, 2),
    )
    assert shapes(checked, size=7) == {"x": (7, 3), "h": (1, 7, 2)}


@pytest.mark.parametrize("axis", ["T", "samples"])
def test_a_signal_of_many_windows_is_long_enough_whatever_its_axis_is_called(axis: str) -> None:
    """No weight has its size: six windows of 256 are read, and then put together."""
    nodes = "u = Unsqueeze(x, one) h = Conv<strides: ints = [256]>(u, K) y = Conv(h, L)"
    weights = {"K": floats(8, 1, 256), "L": floats(4, 8, 6), "one": np.array([1])}
    checked = model(nodes, f"float[batch_size,{axis}] x", "float[] y", **weights)
    assert shapes(checked) == {"x": (4, 2048)}


def test_sound_is_some_windows_long_even_where_one_that_is_all_padding_would_run() -> None:
    pad = 'p = Pad<mode: string = "reflect">(waveform, pads)'
    nodes = f"{pad} u = Unsqueeze(p, one) y = Conv<strides: ints = [160]>(u, K)"
    weights = {"K": floats(8, 1, 400), "one": np.array([1]), "pads": np.array([0, 200, 0, 200])}
    checked = model(nodes, "float[batch_size,T] waveform", "float[] y", **weights)
    assert shapes(checked) == {"waveform": (4, HEARD)}
    fixed = model(nodes, "float[batch_size,800] waveform", "float[] y", **weights)
    assert shapes(fixed) == {"waveform": (4, 800)}


def test_a_chunk_of_sound_is_found_beside_states_of_another_size() -> None:
    """Of 512 samples a window is left, which the cell reads; states are as many as the sounds."""
    nodes = """u = Unsqueeze(waveform, one) h = Conv<strides: ints = [256], kernel_shape: ints = [256]>(u, K)
               s = Reshape(h, flat) m = MatMul(s, L) z = Transpose(state) y = Concat<axis: int = 1>(m, z)"""
    weights = {"K": floats(8, 1, 256), "L": floats(16, 5), "flat": np.array([-1, 16]), "one": np.array([1])}
    checked = model(nodes, "float[N,T] waveform, float[3,B] state", "float[] y", **weights)
    found = shapes(checked)
    assert found["waveform"][1] % 512 == 0
    assert found["state"] == (3, found["waveform"][0] * found["waveform"][1] // 512)


@pytest.mark.parametrize(
    ("declared", "element", "is_long"),
    [
        (("batch", "T"), "float32", True),
        (("batch", 1, "T"), "float32", True),
        (("batch", "T", 8), "float32", False),
        (("batch", 8, "T"), "float32", False),
        (("batch", "T"), "int64", False),
    ],
)
def test_only_signals_are_tried_with_thousands_of_steps(
    declared: tuple[int | str, ...], element: str, is_long: bool
) -> None:
    """Attention between 16,000 vectors would take gigabytes."""
    checked = model("y = Gather(E, i)", "int64[N] i", "float[] y", E=floats(9, 2))
    feed = Feed(ValueSpec("x", element, declared), Kind.IDS if element == "int64" else Kind.NUMBERS)
    tried = {size for move in _moves(checked, [feed]) for size in move.values()}
    assert (max(LONG) in tried) is is_long
