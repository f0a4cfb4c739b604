"""Who reads an input, and what it chooses from."""

import numpy as np
import pytest

from analysis.model import CheckedModel
from analysis.synthesis.tables import PASSING, Table, positions_of, readers, tables_of
from tests.analysis.graph.graphs import floats, model

TABLES = {"E": floats(40, 8), "Et": floats(8, 40), "W": floats(8, 3), "five": np.array(5)}

BRANCHES = ("(float[] a) { a = Gather(E, i) }", "(float[] b) { c = Abs(i) b = Gather(E, c) }")


def graph(nodes: str, inputs: str, **more: np.ndarray) -> CheckedModel:
    """With those of the tables that the nodes name."""
    used = {name: table for name, table in {**TABLES, **more}.items() if name in nodes}
    return model(nodes, inputs, "float[] y", **used)


@pytest.mark.parametrize(
    ("nodes", "table"),
    [
        ("y = Gather(E, i)", Table("i", 40)),
        ("y = Gather<axis: int = 1>(Et, i)", Table("i", 40)),
        ("j = Sub(i, five) y = Gather(E, j)", Table("j", 40)),
        ("F = Cast<to: int = 1>(E) y = Gather(F, i)", Table("i", 40)),
        ("F = Transpose(Et) y = Gather(F, i)", Table("i", None)),
        (f"y = If(five)<then_branch = t () => {BRANCHES[0]}, else_branch = e () => {BRANCHES[1]}>", Table("i", 40)),
        ("y = OneHot(i, depth, values)", Table("i", 9)),
        ("u = Unsqueeze(i, one) e = Equal(u, count) y = Cast<to: int = 1>(e)", Table("u", 6)),
    ],
)
def test_the_table_and_its_rows_are_found_behind_arithmetic(nodes: str, table: Table) -> None:
    more = {"depth": np.array(9), "values": floats(2), "one": np.array([1]), "count": np.arange(6)}
    checked = graph(nodes, "int64[N] i", **more)
    assert tables_of(checked, checked.inputs[0]) == (table,)


def test_what_is_compared_or_counted_chooses_no_rows() -> None:
    checked = graph("e = Equal(i, five) y = Cast<to: int = 1>(e)", "int64[N] i")
    assert tables_of(checked, checked.inputs[0]) == ()
    picked = graph("m = MatMul(x, W) y = Gather(m, i)", "int64[N] i, float[N,8] x")
    assert tables_of(picked, picked.inputs[0]) == ()


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ("m = MatMul(x, W) y = Gather(m, i)", ("i",)),
        ("m = MatMul(x, W) y = GatherElements(m, i)", ("i",)),
        ("m = MatMul(x, W) y = GatherND(m, i)", ("i",)),
        ("m = MatMul(x, W) y = ScatterElements(m, i, m)", ("i",)),
        ("m = MatMul(x, W) j = Sub(i, five) y = Gather(m, j)", ("j",)),
        ("m = MatMul(x, W) j = Gather(i, five) y = Gather(m, j)", ("j",)),
        ("m = MatMul(x, W) y = Gather(i, five)", ()),
        ("m = MatMul(x, W) y = RoiAlign(m, boxes, i)", ("i",)),
        ("y = Gather(E, i)", ()),
    ],
)
def test_positions_are_what_is_looked_up_in_values_of_the_graph(nodes: str, expected: tuple[str, ...]) -> None:
    checked = graph(nodes, "int64[N] i, float[N,8] x", boxes=floats(2, 4))
    assert [table.index for table in positions_of(checked, checked.inputs[0])] == list(expected)


@pytest.mark.parametrize(
    ("unmixed", "expected"), [(False, {"Mul", "Sin", "Add", "Cos"}), (True, {"Mul", "Sin", "Add"})]
)
def test_readers_behind_another_value_are_left_out_on_demand(unmixed: bool, expected: set[str]) -> None:
    checked = graph("a = Mul(t, W) y = Sin(a) b = Add(a, x) z = Cos(b)", "float[N,1] t, float[N,3] x")
    found = readers(checked, "t", PASSING | {"Mul", "Add"}, unmixed=unmixed)
    assert {node.op_type for node, _ in found} == expected
