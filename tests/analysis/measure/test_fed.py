"""Weights that the zeros of a batch leave without a gradient, and those that something else does."""

import numpy as np
import pytest

from analysis.diagnosis.causes import diagnose
from tests.analysis.measure.builders import measured
from tests.analysis.text_models import drawn, written
from tests.gallery import npz

SIGNATURE = "(float[N,4] x, float[N,3] state) => (float[N,2] y)"
CELL = "r = MatMul(s, W_hh) i = MatMul(x, W_ih) g = Add(r, i) h = Tanh(g) y = MatMul(h, V)"
WAYS = {
    "as it is": "s = Identity(state)",
    "laid out": "u = Unsqueeze(state, first) t = Transpose<perm = [1, 0, 2]>(u) s = Squeeze(t, second)",
    "half of it": "z = Mul(state, two) s = Sub(z, state)",
    "through a curve": "q = MatMul(state, Q) s = Tanh(q)",
}


def rules(nodes: str, state: np.ndarray, **more: np.ndarray) -> tuple[list[str], dict[str, str]]:
    weights = {"W_hh": drawn(3, 3), "W_ih": drawn(4, 3), "V": drawn(3, 2)}
    weights |= {"first": np.array([0]), "second": np.array([1]), "two": np.array(2, np.float32)}
    weights |= {"Q": drawn(3, 3), "c": np.ones(3, np.float32)}
    used = {name: array for name, array in weights.items() if name in nodes}
    batch = npz(x=drawn(8, 4), state=state, target=np.arange(8) % 2)
    found = measured(written(SIGNATURE, nodes, **used), batch)
    absent = {
        info.initializer: stats.absent.get("weight_gradient", "")
        for layer, stats in zip(found.layers, found.stats, strict=True)
        for role, info in layer.parameters.items()
        if role == "weight" and not stats.leads_to_loss
    }
    return [finding.rule for finding in diagnose(found) if finding.rule == "GH601"], absent


@pytest.mark.parametrize("way", WAYS)
def test_one_step_from_a_state_of_zeros_leaves_its_weights_without_a_gradient_and_is_no_fault(way: str) -> None:
    found, absent = rules(f"{WAYS[way]} {CELL}", np.zeros((8, 3), np.float32))
    assert found == []
    assert absent["W_hh"] == "all that it weighs is state, which is zero in this batch"
    assert "W_ih" not in absent
    assert "V" not in absent


def test_another_state_feeds_it() -> None:
    assert rules(f"{WAYS['as it is']} {CELL}", drawn(8, 3)) == ([], {})


def test_zeros_that_something_is_added_to_are_none_and_a_weight_that_nothing_reads_is_still_one() -> None:
    assert rules(f"s = Add(state, c) {CELL}", np.zeros((8, 3), np.float32)) == ([], {})
    nodes = "z = MatMul(state, Q) k = Sign(z) a = Add(k, c) r = MatMul(a, W_hh) i = MatMul(x, W_ih) g = Add(r, i)"
    found, absent = rules(f"{nodes} h = Tanh(g) y = MatMul(h, V)", drawn(8, 3))
    assert (found, absent) == (["GH601"], {})
