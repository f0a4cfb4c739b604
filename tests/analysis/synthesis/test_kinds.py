"""What an input is for, by what small graphs do with it."""

import numpy as np
import pytest

from analysis.model import CheckedModel
from analysis.synthesis.kinds import Kind, kind_of, known_channels, rank_of
from tests.analysis.graph.graphs import floats, model

TABLES = {"E": floats(40, 8), "Et": floats(8, 40), "W": floats(8, 3), "K": floats(5, 3, 3, 3), "five": np.array(5)}


def of(checked: CheckedModel, name: str) -> Kind:
    return kind_of(checked, next(spec for spec in checked.inputs if spec.name == name))


def graph(nodes: str, inputs: str, **more: np.ndarray) -> CheckedModel:
    """With those of the tables that the nodes name."""
    used = {name: table for name, table in {**TABLES, **more}.items() if name in nodes}
    return model(nodes, inputs, "float[] y", **used)


@pytest.mark.parametrize(
    ("nodes", "inputs", "expected"),
    [
        ("y = Gather(E, i)", "int64[N,T] i", Kind.IDS),
        ("j = Add(i, five) y = Gather(E, j)", "int64[N,T] i", Kind.IDS),
        ("j = Cast<to: int = 7>(i) y = Gather(E, j)", "float[N,T] i", Kind.IDS),
        ("f = MatMul(x, W) y = Neg(f)", "float[N,8] x", Kind.NUMBERS),
        ("y = Conv(x, K)", "float[N,3,H,W] x", Kind.PICTURE),
        ("y = Conv(x, K)", "float[N,C,32,32] x", Kind.PICTURE),
        ("y = Conv(x, K)", "float[N,3,4,4] x", Kind.NUMBERS),
        ("t = Transpose<perm: ints = [0,3,1,2]>(x) y = Conv(t, K)", "float[N,32,32,3] x", Kind.PICTURE),
        ("y = Cast<to: int = 1>(x)", "uint8[N,64] x", Kind.NUMBERS),
        ("f = Cast<to: int = 1>(i) y = MatMul(f, W)", "int64[N,8] i", Kind.NUMBERS),
        ("y = Cast<to: int = 1>(b)", "bool[N,8] b", Kind.MASK),
        ("m = MatMul(x, W) y = Gather(m, i)", "int64[E] i, float[N,8] x", Kind.POSITIONS),
        ("m = MatMul(x, W) y = Gather(m, i)", "int32[E] i, float[N,8] x", Kind.POSITIONS),
        ("j = Gather<axis: int = 1>(i, five) y = Gather(E, j)", "int64[N,8] i, float[N,8] x", Kind.IDS),
        ("f = Cast<to: int = 1>(t) a = Mul(f, W) s = Sin(a) y = Add(s, x)", "int64[N,1] t, float[N,8] x", Kind.NUMBERS),
        ("f = Cast<to: int = 1>(t) a = MatMul(f, W) y = Add(a, x)", "int64[N,8] t, float[N,3] x", Kind.NUMBERS),
        ("f = Cast<to: int = 1>(t) a = MatMul(f, x) y = Neg(a)", "int64[N,8] t, float[8,3] x", Kind.MASK),
        ("f = Cast<to: int = 1>(t) a = Add(f, x) y = Sin(a)", "int64[N,8] t, float[N,8] x", Kind.MASK),
    ],
)
def test_an_input_is_what_the_graph_does_with_it(nodes: str, inputs: str, expected: Kind) -> None:
    checked = graph(nodes, inputs)
    assert of(checked, checked.inputs[0].name) is expected


def test_states_and_lengths_of_recurrent_operators_are_told_from_their_data() -> None:
    checked = model(
        "y, h, c = LSTM<hidden_size: int = 2>(x, W, R, , n, a, b)",
        "float[T,N,3] x, int32[N] n, float[1,N,2] a, float[1,N,2] b",
        "float[] y",
        W=floats(1, 8, 3),
        R=floats(1, 8, 2),
    )
    kinds = {spec.name: of(checked, spec.name) for spec in checked.inputs}
    assert kinds == {"x": Kind.NUMBERS, "n": Kind.LENGTHS, "a": Kind.STATE, "b": Kind.STATE}


def test_names_decide_what_the_graph_leaves_open() -> None:
    checked = graph(
        "g = Gather(E, ids) f = Cast<to: int = 1>(mask) s = Cast<to: int = 1>(segments) l = Cast<to: int = 1>(x_len)"
        " r = Cast<to: int = 1>(sr) a = Mul(f, s) b = Mul(a, l) c = Mul(b, r) d = Add(c, past) y = Mul(g, d)",
        "int64[N,T] ids, int64[N,T] mask, int64[N,T] segments, int64[N] x_len, int64 sr, float[N,4] past",
    )
    kinds = [of(checked, spec.name) for spec in checked.inputs]
    assert kinds == [Kind.IDS, Kind.MASK, Kind.MASK, Kind.LENGTHS, Kind.RATE, Kind.STATE]


@pytest.mark.parametrize("name", ["h", "c0", "h_0", "past_key_values", "cache_1"])
def test_what_is_always_called_a_state_is_one_though_it_has_the_axes_of_a_picture(name: str) -> None:
    checked = model(f"y = Add(x, {name})", f"float[N,4,T,8] x, float[N,4,T,8] {name}", "float[] y")
    assert of(checked, name) is Kind.STATE


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ("h = MatMul(x, W) y = GatherElements(h, masked_positions)", Kind.POSITIONS),
        ("y = Gather(E, masked_positions)", Kind.IDS),
        ("i = Mul(j, masked_positions) y = Gather(E, i)", Kind.MASK),  # it multiplies the ids that choose
    ],
)
def test_what_chooses_by_itself_is_no_mask_whatever_it_is_called(nodes: str, expected: Kind) -> None:
    checked = graph(nodes, "int64[N,8] masked_positions, int64[N,8] j, float[N,8] x")
    assert of(checked, "masked_positions") is expected


@pytest.mark.parametrize("name", ["context", "charges", "hist", "cond", "coordinates", "height"])
def test_a_name_that_only_begins_like_a_state_is_none(name: str) -> None:
    checked = model(f"y = Add(x, {name})", f"float[N,8] x, float[N,8] {name}", "float[] y")
    assert of(checked, name) is Kind.NUMBERS


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("float[B,8] z", Kind.STATE),
        ("float[N,9] z", Kind.NUMBERS),
        ("float[N,8,1] z", Kind.NUMBERS),
        ("double[N,8] z", Kind.NUMBERS),
    ],
)
def test_data_that_is_called_a_state_is_one_where_the_next_one_comes_out(output: str, expected: Kind) -> None:
    nodes = f"y = Add(x, hidden_state) z = Cast<to: int = {11 if 'double' in output else 1}>(hidden_state)"
    checked = model(nodes, "float[N,8] x, float[N,8] hidden_state", f"float[N,8,8] y, {output}")
    assert of(checked, "hidden_state") is expected


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ("float[N,T,8] memory", Kind.NUMBERS),
        ("float[N,2,8] memory", Kind.STATE),
        ("double[N,T,8] memory", Kind.NUMBERS),
    ],
)
def test_an_output_is_the_next_state_of_the_input_that_has_its_axes(memory: str, expected: Kind) -> None:
    """What a decoder attends to is called memory: zeros of it would be no data."""
    nodes = "m = Cast<to: int = 1>(memory) s = ReduceSum(m) h = Add(hidden, s)"
    checked = model(nodes, f"{memory}, float[N,2,8] hidden", "float[N,2,8] h")
    assert of(checked, "memory") is expected
    assert of(checked, "hidden") is Kind.STATE


def test_a_state_whose_next_one_has_other_axes_is_one_though_an_input_has_those() -> None:
    nodes = "s = ReduceSum(x) a = Concat<axis: int = 1>(state, x) h = Add(a, s)"
    assert of(model(nodes, "float[N,P,8] state, float[N,1,8] x", "float[N,Q,8] h"), "state") is Kind.STATE


def test_the_only_input_is_data_whatever_it_is_called() -> None:
    assert of(graph("y = MatMul(hidden_state, W)", "float[N,8] hidden_state"), "hidden_state") is Kind.NUMBERS


def test_channels_count_all_groups() -> None:
    checked = model("y = Conv<group: int = 3>(x, K)", "float[N,C,H,W] x", "float[] y", K=floats(6, 1, 3, 3))
    assert known_channels(checked, checked.inputs[0]) == 3


@pytest.mark.parametrize(
    ("nodes", "rank"),
    [("y = Conv(x, K)", 4), ("y = MatMul(x, W)", 2), ("y = Gather(E, x)", 2), ("y = Neg(x)", 1)],
)
def test_an_input_of_unknown_rank_gets_the_one_its_reader_needs(nodes: str, rank: int) -> None:
    checked = graph(nodes, "int64[] x" if "Gather" in nodes else "float[] x")
    assert rank_of(checked, checked.inputs[0]) == rank


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("float[N,T] x, int64 sr", Kind.SOUND),
        ("float[N,1,T] x, int64 sr", Kind.SOUND),
        ("float[N,576] x, int64[1] sample_rate", Kind.SOUND),
        ("float[N,16000,1] wav_in", Kind.SOUND),
        ("float[N,T] audio", Kind.SOUND),
        ("float[N,40] x, int64 sr", Kind.NUMBERS),
        ("float[N,80,T] audio_features", Kind.NUMBERS),
        ("float[N,T] wavelets", Kind.NUMBERS),
        ("float[N,T] x", Kind.NUMBERS),
        ("float[N,T] x, int64 size", Kind.NUMBERS),
    ],
)
def test_samples_that_are_called_sound_or_have_a_rate_are_sound(inputs: str, expected: Kind) -> None:
    name = inputs.split(", int64", maxsplit=1)[0].rsplit(maxsplit=1)[-1]
    assert of(model(f"y = Neg({name})", inputs), name) is expected


def test_what_an_encoder_found_is_data_although_it_is_called_states() -> None:
    checked = graph("y = MatMul(encoder_hidden_states, W)", "float[N,8] encoder_hidden_states, float[N,8] z")
    assert of(checked, "encoder_hidden_states") is Kind.NUMBERS
