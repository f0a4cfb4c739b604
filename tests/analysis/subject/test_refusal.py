"""Ways out that whoever gets them can follow."""

import numpy as np
import pytest

from analysis.batch import load_batch
from analysis.convert.program import CHECK_INPUTS
from analysis.errors import MEMORY_RAN_OUT, InvalidModel, LimitExceeded, NodeFailed
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from analysis.subject.refusal import telling_of_batch
from tests.analysis.text_models import drawn, written
from tests.gallery import npz

# two open sizes that have to be equal, which the graph does not say
PAIR = check_model(
    written("(float[N,T] x, float[M,K] z) => (float[N,3] y)", "h = Mul(x, s) p = MatMul(h, z) y = MatMul(p, w)",
            s=drawn(1), w=drawn(5, 3))
)  # fmt: skip


# one open size that would have to be two numbers
TORN = check_model(
    written("(float[N,T] x, float[M,K] z) => (float[N,3] y)",
            "p = MatMul(x, w) q = MatMul(x, v) s = Add(p, q) y = Add(s, z)", v=drawn(7, 3), w=drawn(5, 3))
)  # fmt: skip


def test_who_sent_no_batch_is_told_how_to_send_one_with_the_names_and_shapes_of_its_keys() -> None:
    with pytest.raises(NodeFailed) as caught:
        prepare(TORN, None, AnalysisOptions())
    hint = caught.value.hint
    assert "'x' [N, T] float32, 'z' [M, K] float32" in hint
    assert "gradient-health analyze model.onnx batch.npz" in hint
    assert "curl -F batch=@batch.npz" in hint
    assert "check the batch" not in str(caught.value)


def test_who_sent_one_is_told_what_it_holds() -> None:
    with pytest.raises(NodeFailed) as caught:
        prepare(PAIR, npz(x=drawn(8, 4), z=drawn(7, 5)), AnalysisOptions())
    assert caught.value.where.endswith("(MatMul)")
    assert "'x' [8, 4] float32, 'z' [7, 5] float32" in caught.value.hint


@pytest.mark.parametrize("batch", [None, npz(x=drawn(8, 4))])
def test_sizes_of_the_graph_that_contradict_each_other_are_a_fault_of_the_model_whatever_is_sent(
    batch: bytes | None,
) -> None:
    model = written("(float[N,4] x) => (float[N,2] y)", "h = MatMul(x, w) r = Relu(h) y = MatMul(r, v)",
                    w=drawn(4, 3), v=drawn(5, 2))  # fmt: skip
    with pytest.raises(InvalidModel, match="Incompatible dimensions") as caught:
        prepare(check_model(model), batch, AnalysisOptions())
    assert caught.value.where == "y (MatMul)"
    assert "batch" not in caught.value.hint


def test_the_batch_that_was_told_of_does_for_the_model() -> None:
    assert prepare(PAIR, npz(x=drawn(8, 4), z=drawn(4, 5)), AnalysisOptions()).batch.size == 8


def test_a_cause_that_is_known_stays() -> None:
    with pytest.raises(NodeFailed) as caught, telling_of_batch(PAIR, None):
        raise NodeFailed("no", where="node", hint="the Reshape fixes the batch size")
    assert caught.value.hint == "the Reshape fixes the batch size"


@pytest.mark.parametrize(
    ("sent", "detail", "hint"),
    [(False, MEMORY_RAN_OUT, "batch_size"), (True, MEMORY_RAN_OUT, "smaller"), (False, "trips", "smaller")],
)
def test_memory_that_a_made_up_batch_took_is_spared_by_an_option(*, sent: bool, detail: str, hint: str) -> None:
    batch = load_batch(npz(x=drawn(8, 4), z=np.ones((4, 5), np.float32)), PAIR) if sent else None
    with pytest.raises(LimitExceeded) as caught, telling_of_batch(PAIR, batch):
        raise LimitExceeded(detail, where="node", hint="send a smaller batch")
    assert hint in caught.value.hint
    assert caught.value.where == "node"


def test_what_the_program_says_by_itself_names_no_batch() -> None:
    assert "batch" not in CHECK_INPUTS
