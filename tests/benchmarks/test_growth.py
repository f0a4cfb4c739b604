"""Nothing grows faster than the network, the batch, the plan or the queue: exponents fitted over sizes."""

import itertools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from analysis.convert import convert
from analysis.model import check_model
from analysis.options import parse_options
from analysis.pipeline import analyze
from service.jobs.job import Job, Question, new_id
from service.jobs.store import Store
from service.jobs.tables import JOBS, row_of
from tests.benchmarks.conftest import Record
from tests.benchmarks.networks import chain
from tests.benchmarks.timing import best
from tests.gallery import he, mlp, vectors

pytestmark = pytest.mark.benchmark
STEEPEST = 1.2
UNCUT = {"effort": "quick", "budget_seconds": 86_400}
FACTORS = (
    ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh"),
    ("batch_norm", "layer_norm"),
    ("he", "xavier", "xavier_gain", "he_uniform", "he_fan_out", "xavier_uniform", "orthogonal", "lsuv"),
    ("clip_value", "clip_adaptive"),
)


def exponent(seconds: Mapping[int, float]) -> float:
    """The slope of a line through log(seconds) over log(size), least squares."""
    slope, _ = np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)
    return float(slope)


def grown(sizes: list[int], prepared: Callable[[int], Callable[[], object]], rounds: int = 1) -> dict[int, float]:
    """CPU seconds by size; what `prepared` does before it returns the call is not counted."""
    prepared(sizes[0])()
    return {size: best(prepared(size), rounds) for size in sizes}


def test_layers(record: Record) -> None:
    def prepared(depth: int) -> Callable[[], object]:
        model, batch = mlp(depth, "Relu", he(), width=16), vectors(32)
        return lambda: analyze(model, batch, parse_options(UNCUT))

    seconds = grown([300, 1000, 3000], prepared)
    record("analysis at quick of 1000 layers", seconds[1000], unit="s", target=6)
    record(
        "analysis at quick, exponent over 300 to 3000 layers", exponent(seconds), unit="", target=STEEPEST, known=1.2
    )


def test_nodes(record: Record) -> None:
    def prepared(nodes: int) -> Callable[[], object]:
        model = chain(nodes)
        return lambda: convert(check_model(model))

    seconds = grown([1000, 10_000, 100_000], prepared)
    record("conversion, exponent over 1000 to 100,000 nodes", exponent(seconds), unit="", target=STEEPEST, known=1.2)


def test_samples(record: Record) -> None:
    model = mlp(4, "Relu", he())

    def prepared(samples: int) -> Callable[[], object]:
        batch = vectors(samples)
        return lambda: analyze(model, batch, parse_options(UNCUT))

    seconds = grown([10_000, 100_000, 1_000_000], prepared)
    what = "analysis at quick, exponent over 10,000 to 1,000,000 samples"
    record(what, exponent(seconds), unit="", target=STEEPEST, known=1.2)


def test_variants(record: Record) -> None:
    model, batch = mlp(12, "Sigmoid", he()), vectors(32)
    names = ["+".join(tokens) for tokens in itertools.product(*FACTORS)]

    def prepared(variants: int) -> Callable[[], object]:
        asked = {**UNCUT, "variants": ["only", *names[:: len(names) // variants][:variants]]}
        return lambda: analyze(model, batch, parse_options(asked))

    seconds = grown([25, 50, 100, 200], prepared)
    record(
        "analysis at quick, exponent over 25 to 200 variants", exponent(seconds), unit="", target=STEEPEST, known=1.2
    )


def test_queued_jobs(tmp_path: Path, record: Record) -> None:
    """All jobs of a queue, claimed one by one; their writing to disk is no CPU time."""
    moment, question = datetime.now(UTC), Question("a" * 64, "model.onnx", None, "{}", "d" * 64)

    def prepared(jobs: int) -> Callable[[], object]:
        store = Store(f"sqlite:///{tmp_path}/{new_id()}.db")
        rows = [row_of(Job(new_id(), question, moment + timedelta(seconds=number))) for number in range(jobs)]
        with store.engine.begin() as connection:
            connection.execute(JOBS.insert(), rows)
        return lambda: [store.claim("worker", moment) for _ in range(jobs)]

    seconds = grown([100, 1000, 10_000], prepared)
    record("queue emptied, exponent over 100 to 10,000 jobs", exponent(seconds), unit="", target=STEEPEST, known=1.2)
