"""Reports made of plain numbers: what `assemble` makes of measurements that nobody had to run."""

from collections.abc import Sequence
from dataclasses import replace

from analysis.clock import Clock
from analysis.diagnosis.assemble import assemble
from analysis.diagnosis.diagnosis import Diagnosis
from analysis.diagnosis.policy import EVERY_RULE
from analysis.diagnosis.rank import Trial, rank
from analysis.diagnosis.rows import Row
from analysis.facts import (
    Effect,
    EngineFacts,
    GradientStep,
    Measurement,
    ModelFacts,
    ParameterCount,
    Status,
    VariantInfo,
)
from analysis.options import AnalysisOptions, parse_options
from analysis.report import Report
from tests.analysis.diagnosis.builders import FAILS, measurement

BASELINE = VariantInfo(
    id="baseline", plain="baseline", choices={}, gradient_step=GradientStep(),
    status=Status.MEASURED, effect=Effect.PRESERVES_OUTPUT,
)  # fmt: skip
ENGINE = EngineFacts(
    version="0", torch="2", onnx="1", onnxruntime="1", device="cpu", threads=1, seed=0, effort="standard",
    precision="float32", sandbox={},
)  # fmt: skip
MODEL = ModelFacts(
    name="model.onnx", sha256="0" * 64, size_bytes=1, producer="x", opset={"ai.onnx": 20}, nodes=3,
    parameters=ParameterCount(trainable=192, frozen=0), inputs=(), outputs=(), frozen={}, notes=(),
)  # fmt: skip


def report_of(
    baseline: Measurement | None = None,
    trials: Sequence[Trial] = (),
    *,
    name: str = "model.onnx",
    sha256: str = MODEL.sha256,
    refused: Sequence[tuple[str, str]] = (),
    left_out: Sequence[tuple[str, str]] = (),
    options: AnalysisOptions | None = None,
) -> Report:
    """Of the unchanged model, treatments that were trained after one that fails, and (id, reason) of what did not."""
    baseline = baseline or measurement()
    options = options or parse_options({})
    known, clock = Diagnosis.of(baseline, None, EVERY_RULE, options), Clock(1.0, None)
    for what, why in left_out:
        clock.leave_out(what, why)
    not_applicable = [
        replace(BASELINE, id=each, status=Status.NOT_APPLICABLE, reason=reason) for each, reason in refused
    ]
    rows = [
        Row(BASELINE, baseline),
        *(Row(trial.info, trial.measurement) for trial in trials),
        *(Row(info, None) for info in not_applicable),
    ]
    remedies = rank(baseline, FAILS, trials, known.findings) if trials else ()
    return assemble((ENGINE, replace(MODEL, name=name, sha256=sha256)), known, rows, remedies, clock, options)
