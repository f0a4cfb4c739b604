"""What the product says of a network, asked in a process of its own: it may crash, hang or run out of memory.

The verdict and the findings are settled before treatments are tried, so trying them is left out unless asked for: it
takes most of the time of an analysis and changes neither.
"""

import hashlib
import json
import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any, Final
from unittest import mock

import torch

from analysis.errors import AnalysisError
from analysis.experiment.experiment import Experiment
from analysis.options import AnalysisOptions, Effort
from analysis.pipeline import analyze
from analysis.report import Report, Severity, Verdict
from tests.benchmarks.trainability.configurations import Configuration
from tests.benchmarks.trainability.export import to_npz, to_onnx
from tests.benchmarks.trainability.networks import build
from tests.benchmarks.trainability.tasks import make_task

SAMPLES: Final = 192
"""Uploaded unless asked otherwise: enough for the probe to test learning."""
UPLOAD_SEED: Final = 1_000_000_007
BUDGET_SECONDS: Final = 600.0
PATIENCE_SECONDS: Final = 900.0
ANALYSES_PER_PROCESS: Final = 40
DOES_NOT_LEARN: Final = "GH105"
FAILED: Final = "failed"
"""Stands for a verdict where there is no report."""


@dataclass(frozen=True)
class Prediction:
    """A report in short."""

    verdict: str
    findings: Mapping[str, str] = field(default_factory=dict)
    """Rule to its worst severity."""
    evidence: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Rule to the numbers that made it fire."""
    flow: Mapping[str, float] = field(default_factory=dict)
    probe: Mapping[str, float] = field(default_factory=dict)
    """Optimiser and rate to the last loss over chance."""
    remedies: Sequence[str] = ()
    seconds: float = 0.0
    error: str = ""

    @property
    def fails_sgd(self) -> bool | None:
        """Unhealthy, or does not learn under plain gradient descent; None: no answer."""
        if self.is_silent:
            return None
        return self.verdict == Verdict.UNHEALTHY or DOES_NOT_LEARN in self.findings

    @property
    def fails_both(self) -> bool | None:
        """Unhealthy; None: no answer."""
        return None if self.is_silent else self.verdict == Verdict.UNHEALTHY

    @property
    def is_silent(self) -> bool:
        """Inconclusive, or no report at all."""
        return self.verdict in {Verdict.INCONCLUSIVE, FAILED}

    @property
    def static_errors(self) -> frozenset[str]:
        """Rules that fired at error level without a training."""
        errors = (rule for rule, severity in self.findings.items() if severity == Severity.ERROR)
        return frozenset(errors) - {DOES_NOT_LEARN}


class Isolation:
    """One child process, replaced where it does not answer."""

    def __init__(self) -> None:
        """Start it."""
        self._pool = _new_pool()

    def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """The function's value, or None where the child died or ran out of time."""
        try:
            return self._pool.apply_async(function, arguments).get(PATIENCE_SECONDS)
        except multiprocessing.TimeoutError:
            self.close()
            self._pool = _new_pool()
            return None

    def close(self) -> None:
        """End the child."""
        self._pool.terminate()
        self._pool.join()


@contextmanager
def isolation() -> Iterator[Isolation]:
    """A child for the length of a block."""
    child = Isolation()
    try:
        yield child
    finally:
        child.close()


@dataclass(frozen=True)
class Inquiry:
    """How to ask."""

    effort: Effort = Effort.STANDARD
    treatments: bool = False
    """Try treatments, too."""
    reuse: Path | None = None
    """Folder of earlier answers, by model, batch and options; None: always ask again."""
    samples: int = SAMPLES
    """Uploaded with the model."""


def predict(child: Isolation, configuration: Configuration, inquiry: Inquiry) -> Prediction:
    """What the product says of one network."""
    fields = child.call(_predict, configuration.to_json(), inquiry)
    return Prediction(FAILED, error="crashed or hung") if fields is None else Prediction(**fields)


def _new_pool() -> Pool:
    context = multiprocessing.get_context("spawn")
    return context.Pool(1, initializer=torch.set_num_threads, initargs=(1,), maxtasksperchild=ANALYSES_PER_PROCESS)


# ------------------------------------------------------------------ in the child


def _predict(fields: dict[str, Any], inquiry: Inquiry) -> dict[str, Any]:
    configuration = Configuration.from_json(fields)
    task = make_task(configuration)
    example, _ = task.sample(2, torch.Generator().manual_seed(0))
    model = to_onnx(build(configuration), example)
    batch = to_npz(task, inquiry.samples, UPLOAD_SEED + configuration.seed)
    options = AnalysisOptions(effort=inquiry.effort, budget_seconds=BUDGET_SECONDS)
    question = model + batch + options.model_dump_json().encode() + bytes([inquiry.treatments])
    if inquiry.reuse is None:
        return asdict(_ask(model, batch, options, treatments=inquiry.treatments))
    kept = inquiry.reuse / f"{hashlib.sha256(question).hexdigest()}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(asdict(_ask(model, batch, options, treatments=inquiry.treatments))))
    return json.loads(kept.read_text())


def _ask(model: bytes, batch: bytes, options: AnalysisOptions, *, treatments: bool) -> Prediction:
    started = time.process_time()
    try:
        with nullcontext() if treatments else _without_treatments():
            report = analyze(model, batch, options)
    except AnalysisError as error:
        return Prediction(FAILED, seconds=_since(started), error=f"{type(error).__name__}: {error}")
    except Exception:  # noqa: BLE001 - whatever goes wrong in the product is a result here
        return Prediction(FAILED, seconds=_since(started), error=traceback.format_exc())
    return _shorten(report, _since(started))


@contextmanager
def _without_treatments() -> Iterator[None]:
    """The plan has no cells, so nothing is shortlisted and trained."""
    with mock.patch.object(Experiment, "run_plan", return_value=[]):
        yield


def _since(started: float) -> float:
    return round(time.process_time() - started, 2)


def _shorten(report: Report, seconds: float) -> Prediction:
    findings = sorted(report.findings, key=lambda finding: finding.severity.rank)
    flow = report.gradient_flow
    numbers = {
        "rms": flow.decades_rms,
        "norm": flow.decades_norm,
        "transport": flow.transport_decades,
        "collapse": flow.collapse_decades,
        "leverage_least": flow.leverage_log10.least if flow.leverage_log10 else None,
        "leverage_largest": flow.leverage_log10.largest if flow.leverage_log10 else None,
        "nonlinearity": flow.nonlinearity_coefficient,
        "loss_over_chance": report.loss.value / report.loss.chance if report.loss.chance else None,
    }
    probe = next((each.probe for each in report.variants if each.id == "baseline"), None)
    return Prediction(
        verdict=report.verdict.value,
        findings={finding.rule: finding.severity.value for finding in findings},
        evidence={finding.rule: {name: each.value for name, each in finding.evidence.items()} for finding in findings},
        flow={name: round(value, 3) for name, value in numbers.items() if value is not None},
        probe={} if probe is None else {f"{run.optimizer} {run.learning_rate:g}": run.curve[-1] for run in probe.runs},
        remedies=[remedy.variant for remedy in report.remedies],
        seconds=seconds,
    )
