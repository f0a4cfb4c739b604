"""Rows that the graph chooses by numbers it computes, and what sequences are made of."""

import numpy as np
import onnxruntime
import pytest
from onnx import ValueInfoProto

from analysis.graph.choosing import chosen_from, is_collection, tensors_of
from tests.analysis.graph.graphs import floats, model, proto

WEIGHTS = {
    "W": floats(4, 3), "zero": np.array(0, np.float32), "rows": np.array([2, 0]), "most": np.array([4]),
    "few": np.array([True, False, True, True, True]),
}  # fmt: skip
L = "l = MatMul(x, W)"
FOUND = "g = Greater(l, zero) n = NonZero(g) i = Transpose(n)"


def weights(nodes: str) -> dict[str, np.ndarray]:
    return {name: array for name, array in WEIGHTS.items() if name in nodes}


@pytest.mark.parametrize(
    ("nodes", "source"),
    [
        (f"{L} {FOUND} y = GatherND(l, i)", "l"),
        (f"{L} r = ReduceMax <keepdims = 0> (l, axis) m = Greater(r, zero) y = Compress <axis = 0> (l, m)", "l"),
        (f"{L} {FOUND} c = GatherND(l, i) u = Neg(c) y = Relu(u)", ""),
        (f"{L} {FOUND} c = GatherND(l, i) m = Mul(c, c) y = Concat <axis = 0> (m, c)", "l"),
        (f"{L} y = Compress <axis = 0> (l, few)", ""),
        (f"{L} y = Gather(l, rows)", ""),
        (f"{L} t, i = TopK <axis = 0> (l, most) y = GatherElements(l, i)", ""),
    ],
)  # fmt: skip
def test_what_rows_are_chosen_from_is_found_where_their_number_depends_on_values(nodes: str, source: str) -> None:
    more = {"axis": np.array([1])} if "axis)" in nodes else {}
    checked = model(nodes, "float[5,4] x", "float[] y", **weights(nodes), **more)
    assert chosen_from(checked, "y") == source


def test_boxes_that_overlap_no_better_one_are_chosen_from_all_of_them() -> None:
    nodes = """t = Transpose <perm = [0, 2, 1]> (s) d = Concat <axis = 2> (b, t)
        k = NonMaxSuppression(b, s, most) j = Slice(k, two, three, one) i = Squeeze(j, one)
        r = Squeeze(d, none) y = Gather(r, i)"""
    numbers = {name: np.array([value]) for name, value in (("two", 2), ("three", 3), ("one", 1), ("none", 0))}
    nodes = f"p = MatMul(x, W4) b = Abs(p) {nodes}"
    used = {"most": WEIGHTS["most"], "W4": floats(4, 4), **numbers}
    checked = model(nodes, "float[1,6,4] x, float[1,1,6] s", "float[] y", **used)
    assert chosen_from(checked, "y") == "r"


def test_the_number_of_rows_is_another_with_another_weight_and_that_of_the_source_is_not() -> None:
    nodes = f"{L} {FOUND} y = GatherND(l, i)"
    shapes: list[set[tuple[int, ...]]] = [set(), set()]
    x = floats(5, 4)
    for seed in range(4):
        drawn = np.random.default_rng(seed).standard_normal((4, 3)).astype(np.float32)
        made = proto(nodes, "float[5,4] x", "float[] y", W=drawn, zero=WEIGHTS["zero"])
        made.graph.output.append(ValueInfoProto(name="l"))
        results = onnxruntime.InferenceSession(made.SerializeToString()).run(["y", "l"], {"x": x})
        for kept, result in zip(shapes, results, strict=True):
            kept.add(result.shape)
    assert (len(shapes[0]) > 1, shapes[1]) == (True, {(5, 3)})


@pytest.mark.parametrize(
    ("nodes", "parts"),
    [
        (f"{L} m = Neg(l) y = SequenceConstruct(l, m)", ["l", "m"]),
        (f"{L} m = Neg(l) e = SequenceConstruct(l) f = SequenceInsert(e, m) y = Identity(f)", ["l", "m"]),
        (f"{L} y = SplitToSequence <axis = 0> (l)", ["l"]),
        (f"{L} m = Neg(l) e = SequenceConstruct(l, m) y = SequenceErase(e)", ["l", "m"]),
    ],
)
def test_a_sequence_is_taken_apart(nodes: str, parts: list[str]) -> None:
    checked = model(nodes, "float[5,4] x", "seq(float[M,3]) y", **weights(nodes))
    assert list(tensors_of(checked, "y")) == parts
    assert is_collection(checked, "y")


def test_a_tensor_is_itself() -> None:
    checked = model("y = MatMul(x, W)", "float[5,4] x", "float[] y", W=WEIGHTS["W"])
    assert (list(tensors_of(checked, "y")), is_collection(checked, "y")) == (["y"], False)
