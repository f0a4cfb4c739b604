"""Targets that nobody sent: of the right kind, and where the outputs can get."""

import math

import numpy as np
import pytest

from analysis.batch import Batch
from analysis.errors import BadOptions
from analysis.facts import Provenance
from analysis.graph.heads import Head, Link
from analysis.graph.ranges import EVERYTHING, Limits
from analysis.options import AnalysisOptions, LossName
from analysis.pipeline import analyze
from analysis.subject.invented import Invented, invent
from tests.analysis.text_models import drawn, written


def made(
    shape: tuple[int, ...], wanted: LossName = LossName.MSE, limits: Limits = EVERYTHING, link: Link = Link.IDENTITY
) -> Invented:
    batch = Batch({"x": np.zeros((shape[0], 5), np.float32)}, {}, shape[0], {"x": 0}, "0", Provenance.SYNTHETIC)
    head = Head("y", "logits", link, None)
    return invent(head, np.zeros(shape, np.float32), wanted, batch, limits, trained=False, seed=0)


@pytest.mark.parametrize(
    ("limits", "least", "most"),
    [
        (Limits(-1.0, 1.0), -0.8, 0.8),
        (Limits(1.0, 5.0), 1.4, 4.6),
        (Limits(0.0, math.inf), 0.0, 5.0),
        (Limits(-math.inf, 2.0), -3.0, 2.0),
        (EVERYTHING, -5.0, 5.0),
    ],
)
def test_numbers_lie_where_the_outputs_can_get(limits: Limits, least: float, most: float) -> None:
    targets = made((2000, 1), limits=limits).targets
    assert least <= targets.min() < targets.max() <= most
    assert targets.std() > 0.1 * min(most - least, 2.0)


def test_numbers_that_nothing_bounds_are_standard_normal() -> None:
    targets = made((5000, 1)).targets
    assert abs(float(targets.mean())) < 4 / np.sqrt(5000)
    assert float(targets.std()) == pytest.approx(1, abs=0.05)


def test_bits_are_asked_for_behind_a_sigmoid_whatever_its_limits() -> None:
    found = made((64, 3), LossName.AUTOMATIC, Limits(0.0, 1.0), Link.SIGMOID)
    assert found.loss is LossName.BCE
    assert set(np.unique(found.targets)) == {0.0, 1.0}


def test_classes_need_an_axis() -> None:
    with pytest.raises(BadOptions, match="has no classes"):
        made((8,), LossName.CROSS_ENTROPY)
    assert sorted(np.unique(made((8, 4), LossName.AUTOMATIC).targets)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("limits", "loss"),
    [
        (Limits(-1.0, 1.0), LossName.MSE),
        (Limits(0.0, math.inf), LossName.CROSS_ENTROPY),
        (Limits(-math.inf, 0.0), LossName.CROSS_ENTROPY),
    ],
)
def test_scores_of_classes_lie_in_no_closed_range(limits: Limits, loss: LossName) -> None:
    assert made((8, 4), LossName.AUTOMATIC, limits).loss is loss
    assert made((8, 4), LossName.CROSS_ENTROPY, limits).loss is LossName.CROSS_ENTROPY


@pytest.mark.parametrize(("end", "units"), [("Tanh", 1), ("Tanh", 4), ("Relu", 1), ("Softplus", 1)])
def test_a_network_is_not_blamed_for_targets_that_the_tool_made_up(end: str, units: int) -> None:
    model = written(
        f"(float[N,16] x) => (float[N,{units}] y)",
        f"h = MatMul(x, W) a = Relu(h) z = MatMul(a, V) b = Add(z, B) y = {end}(b)",
        W=drawn(16, 32) * np.sqrt(2 / 16, dtype=np.float32), V=drawn(32, units) / np.sqrt(32, dtype=np.float32),
        B=np.full(units, 0.5, np.float32),
    )  # fmt: skip
    report = analyze(model, None, AnalysisOptions(effort="quick"))
    assert "GH503" not in {finding.rule for finding in report.findings}
