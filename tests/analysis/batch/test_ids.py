"""Ids that a table does not have, told before anything runs; onnxruntime refuses the same ones."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from analysis.batch import load_batch
from analysis.errors import BadBatch
from analysis.model import check_model
from tests.gallery import npz

ROWS = 10
GOOD = np.arange(-ROWS, ROWS, dtype=np.int64).reshape(5, 4)


def network(way: str, ids: str = "int64[n, 4]", value: str = "ids") -> bytes:
    """A lookup behind some way from the input to it."""
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        g ({ids} ids) => (float[n, 4, 3] y)
        <float[{ROWS}, 3] table = {{{", ".join(["0.5"] * (3 * ROWS))}}}, int64[3] shape = {{-1, 2, 2}},
         int64[2] back = {{-1, 4}}, int64 zero = {{0}}, int64 last = {{{ROWS - 1}}}>
        {{ {way} [lookup] y = Gather <axis = 0> (table, {value}) }}"""
    )
    return model.SerializeToString()


DIRECT = network("")
RESHAPED = network("r = Reshape(ids, shape) b = Reshape(r, back) c = Cast <to = 7> (b)", value="c")


def refused(model: bytes, ids: np.ndarray[Any, Any]) -> BadBatch:
    with pytest.raises(BadBatch) as caught:
        load_batch(npz(ids=ids), check_model(model))
    with pytest.raises(Exception, match=r"(?i)out of (data )?bounds|idx="):
        ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"ids": ids})
    return caught.value


@pytest.mark.parametrize("model", [DIRECT, RESHAPED], ids=["direct", "reshaped"])
@pytest.mark.parametrize("wrong", [ROWS, -ROWS - 1, 1 << 40])
def test_the_id_its_place_the_table_and_the_node_are_named(model: bytes, wrong: int) -> None:
    ids = GOOD.copy()
    ids[3, 2] = ids[4, 0] = wrong
    error = refused(model, ids)
    assert error.where == "ids"
    assert f"id {wrong} at [3, 2] is not in table 'table', which has rows 0 to 9 (2 of 20 ids" in error.detail
    assert "node lookup" in error.hint


@pytest.mark.parametrize("model", [DIRECT, RESHAPED], ids=["direct", "reshaped"])
def test_every_row_may_be_asked_for_from_both_ends(model: bytes) -> None:
    assert load_batch(npz(ids=GOOD), check_model(model)).size == 5
    ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"ids": GOOD})


@pytest.mark.parametrize(
    "way",
    ["v = Clip(ids, zero, last)", "v = Mod(ids, last)", "c = Cast <to = 3> (ids) v = Cast <to = 7> (c)"],
    ids=["clip", "mod", "narrow"],
)
def test_what_the_graph_may_bring_into_range_is_left_to_it(way: str) -> None:
    ids = np.full((5, 4), 256, np.int64)
    model = network(way, value="v")
    assert load_batch(npz(ids=ids), check_model(model)).size == 5
    ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"ids": ids})


def test_narrow_ids_are_compared_as_they_are() -> None:
    model = network("c = Cast <to = 7> (ids)", "uint8[n, 4]", "c")
    with pytest.raises(BadBatch, match="id 255 at"):
        load_batch(npz(ids=np.full((5, 4), 255, np.uint8)), check_model(model))
