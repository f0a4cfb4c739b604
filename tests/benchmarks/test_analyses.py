"""Whole analyses, in units of the network's own forward and backward pass on its batch."""

import statistics
import time
from pathlib import Path

import pytest
import torch

from analysis.model import check_model
from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.subject.preparation import prepare
from tests.benchmarks.conftest import Record
from tests.benchmarks.networks import OLDER, build
from tests.benchmarks.timing import best

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize(
    ("name", "effort", "target"),
    [
        ("resnet18", "quick", 6), ("bert", "quick", 12), ("lstm", "quick", 12), ("cnn", "quick", 20),
        ("resnet18", "standard", 20), ("sick resnet18", "standard", 170),
        ("resnet50", "quick", 10), ("bert base", "quick", 10),
        ("resnet50", "standard", 40), ("bert base", "standard", 40),
    ],
)  # fmt: skip
def test_an_analysis_by_bare_passes(name: str, effort: str, target: float, record: Record) -> None:
    """The passes are timed before and after, as the speed of a machine drifts."""
    network = build(name)
    model = network.export(OLDER)
    batch = network.batch("x")
    subject = prepare(check_model(model), batch, parse_options({}))
    inputs, targets = subject.tensors()
    weights = list(subject.converted.parameters())
    options = parse_options({"effort": effort, "budget_seconds": 86_400})

    def bare() -> None:
        torch.autograd.grad(subject.loss(inputs, targets), weights, allow_unused=True)

    bare()
    before = best(bare)
    analysis = best(lambda: analyze(model, batch, options), 2 if effort == "quick" else 1)
    record(f"analysis at {effort}, {name}", 2 * analysis / (before + best(bare)), target=target)


def test_two_processes_by_one_on_the_wall(record: Record) -> None:
    """Of a sick network, whose time goes into trainings; says little where something else has the other core."""
    demo = Path(__file__).parents[2] / "deploy" / "demo"
    torch.set_num_threads(1)

    def seconds(processes: int) -> float:
        started = time.perf_counter()
        analyze(demo / "deep_sigmoid.onnx", demo / "batch.npz", processes=processes)
        return time.perf_counter() - started

    seconds(1)
    alternating = [seconds(2) / seconds(1) for _ in range(5)]
    record("wall clock of two processes by one, demo at standard", statistics.median(alternating), target=0.7)
