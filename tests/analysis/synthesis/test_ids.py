"""Ids spread over their tables, whatever arithmetic stands between."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from analysis.convert import convert
from analysis.model.checked import ValueSpec
from analysis.synthesis.draw import Feed
from analysis.synthesis.ids import spread
from analysis.synthesis.kinds import Kind
from analysis.synthesis.synthesize import synthesize_batch, synthesize_inputs
from analysis.synthesis.tables import Table, indexed_by
from analysis.synthesis.trial import Outcome, Trials
from tests.analysis.graph.graphs import floats, model

CONSTANTS = {"five": np.array(5), "two": np.array(2), "zero": np.array(0), "last": np.array(39)}


def index(nodes: str, inputs: str = "int64[N,T] i") -> np.ndarray:
    """What the table of 40 rows is asked for, by the ids that are made up."""
    used = {name: value for name, value in CONSTANTS.items() if name in nodes}
    checked = model(f"{nodes} y = Gather(E, j)", inputs, "float[] y", E=floats(40, 3), **used)
    converted, seen = convert(checked), []
    batch = synthesize_batch(checked, converted, 64, 0)
    tensors = [torch.from_numpy(array) for array in batch.inputs.values()]
    converted.observe(tensors, {"j": [lambda value: seen.append(value.numpy().copy())]})
    return seen[0]


@pytest.mark.parametrize(
    ("nodes", "least"),
    [
        ("j = Identity(i)", 0),
        ("j = Add(i, five)", 5),
        ("j = Div(i, two)", 0),
        ("j = Mul(i, two)", 0),
        ("j = Clip(i, zero, last)", 0),
        ("j = Sub(last, i)", 0),
    ],
)
def test_the_whole_table_is_asked_for(nodes: str, least: int) -> None:
    asked = index(nodes)
    assert asked.min() == least
    assert asked.max() >= 38
    assert len(np.unique(asked)) >= (18 if "Mul" in nodes else 34)


def test_a_mask_that_multiplies_ids_leaves_them_as_they_are() -> None:
    asked = index("j = Mul(i, mask)", "int64[N,T] i, int64[N,T] mask")
    assert (asked.min(), asked.max()) == (0, 39)
    assert len(np.unique(asked)) == 40


def test_one_input_that_chooses_from_two_tables_fits_the_smaller() -> None:
    checked = model("a = Gather(E, i) b = Gather(F, i) y = Add(a, b)", "int64[N,T] i", E=floats(40, 3), F=floats(7, 3))
    batch = synthesize_batch(checked, convert(checked), 64, 0)
    assert set(np.unique(batch.inputs["i"])) == set(range(7))


def test_where_zero_is_refused_ids_begin_at_one() -> None:
    far = "g = Greater(one, i) c = Cast<to: int = 7>(g) b = Mul(c, far)"
    nodes = f"s = Sub(i, one) {far} j = Add(s, b) y = Gather(E, j)"
    checked = model(nodes, "int64[N,T] i", one=np.array(1), far=np.array(1000), E=floats(9, 2))
    ids = synthesize_batch(checked, convert(checked), 64, 0).inputs["i"]
    assert (ids.min(), ids.max()) == (1, 9)


@pytest.mark.parametrize(("empty", "largest"), [([39], 38), ([37, 38, 39], 36)])
def test_ids_end_in_front_of_padding_rows(empty: list[int], largest: int) -> None:
    """A padding id behind the vocabulary, and a table filled up to a round number."""
    table = floats(40, 3)
    table[empty] = 0
    checked = model("y = Gather(E, i)", "int64[N,T] i", "float[] y", E=table)
    ids = synthesize_batch(checked, convert(checked), 64, 0).inputs["i"]
    assert (ids.min(), ids.max()) == (0, largest)


@pytest.mark.parametrize(("padding", "least"), [((), 0), ((0,), 1), ((1,), 2), ((7,), 0), ((0, 1, 2, 3), 0)])
def test_ids_begin_behind_the_row_of_the_padding(padding: tuple[int, ...], least: int) -> None:
    """`torch.nn.Embedding(40, 3, padding_idx=1)` keeps row 1 at zero; four zero rows are no padding."""
    table = floats(40, 3)
    table[list(padding)] = 0
    checked = model("y = Gather(E, i)", "int64[N,T] i", "float[] y", E=table)
    ids = synthesize_batch(checked, convert(checked), 64, 0).inputs["i"]
    assert (ids.min(), ids.max()) == (least, 39)


def test_zeros_that_the_graph_has_taken_are_not_tried_again() -> None:
    tried = []

    def attempt(feed: Feed, watched: Sequence[str]) -> Outcome:
        tried.append(feed.high)
        return Outcome((1,), None, dict.fromkeys(watched, feed.high))

    feed = Feed(ValueSpec("i", "int64", (8, 4)), Kind.IDS, low=0, high=0)
    found = spread(feed, [Table("i", 40)], attempt)
    assert (found.low, found.high) == (0, 39)
    assert tried == [39]


def test_ids_that_are_nothing_but_an_index_need_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trials, "run", None)
    nodes = "s = Shape(i) a = Gather(E, i) b = Gather(F, i) y = Add(a, b)"
    checked = model(nodes, "int64[5,4] i", E=floats(40, 3), F=floats(7, 3))
    ids = synthesize_inputs(checked, convert(checked), checked.inputs, 0)["i"]
    assert set(np.unique(ids)) <= set(range(7))
    assert ids.max() > 3


@pytest.mark.parametrize(
    ("nodes", "known"),
    [
        ("y = Gather(E, i)", True),
        ("a = Gather(E, i) c = Cast<to: int = 1>(i) y = Mul(a, c)", False),
        ("j = Add(i, i) y = Gather(E, j)", False),
        ("y = Cast<to: int = 1>(i)", False),
    ],
)
def test_what_is_read_in_any_other_way_is_tried(nodes: str, known: bool) -> None:
    checked = model(nodes, "int64[5,4] i", E=floats(40, 3))
    assert bool(indexed_by(checked, checked.inputs[0])) is known
