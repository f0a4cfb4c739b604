"""What the product says of a case, and what its first remedies are worth in a real training."""

import contextlib
import io
import math
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from analysis.convert import convert
from analysis.errors import AnalysisError
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.pipeline import analyze
from analysis.report import Remedy, Report
from tests.benchmarks.people.draw import Case, own_loss
from tests.benchmarks.people.truth import train, trains

OTHERS = (("sgd", 0.01), ("adam", 0.001))
ONLY = ("only",)
STEPS = frozenset({"clip", "decay", "clip_value", "clip_adaptive"})


def exported(case: Case) -> bytes:
    """As training needs it: nothing folded, Dropout kept, any number of samples."""
    patient, buffer = case.patient(), io.BytesIO()
    inputs = tuple(torch.from_numpy(each[: case.send]) for each in patient.inputs.values())
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            patient.module.train(), inputs, buffer, dynamo=False, training=torch.onnx.TrainingMode.TRAINING,
            do_constant_folding=False, input_names=list(patient.inputs), output_names=["out"],
            dynamic_axes={name: {0: "N"} for name in patient.inputs},
        )  # fmt: skip
    return buffer.getvalue()


def batch_of(case: Case) -> bytes:
    patient, buffer = case.patient(), io.BytesIO()
    arrays = {name: each[: case.send] for name, each in patient.inputs.items()}
    if patient.targets is not None:
        arrays["target"] = patient.targets[: case.send]
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def asked(case: Case, effort: str) -> dict[str, Any]:
    """Verdict, headline and findings, which no treatment changes: none is measured."""
    began = time.process_time()
    try:
        report = analyze(exported(case), batch_of(case), AnalysisOptions(effort=effort, variants=ONLY, **case.options))
    except AnalysisError as error:
        return {"verdict": "refused", "cause": "refused", "findings": [], "words": f"{error} {error.hint or ''}"}
    return told(report) | {"seconds": round(time.process_time() - began, 1)}


def remedied(case: Case) -> dict[str, Any]:
    """The remedies, the first of which is trained for real."""
    if "refused" in case.rules or case.metric is own_loss:
        return {"remedies": [], "ends": {}}
    with TemporaryDirectory() as folder:
        report = analyze(exported(case), batch_of(case), AnalysisOptions(**case.options), models_dir=Path(folder))
        remedies = [each.variant for each in report.remedies[:3]]
        return {"remedies": remedies, "ends": worth(case, report.remedies[0], Path(folder)) if remedies else {}}


def told(report: Report) -> dict[str, Any]:
    return {
        "verdict": report.verdict.value,
        "cause": None if report.cause is None else report.cause.rule,
        "findings": [[each.severity.value, each.rule, list(each.caused_by)] for each in report.findings],
        "advice": [each.words for each in report.advice],
        "words": report.summary,
    }


def worth(case: Case, remedy: Remedy, folder: Path) -> dict[str, float]:
    """Badness after training the saved model: by its owner's optimiser, then two others, until one trains it."""
    plain = "+".join(token for token in remedy.variant.split("+") if token not in STEPS) or "baseline"
    names = (f"{each}.onnx" for each in (remedy.variant, plain))
    path = next((folder / name for name in names if (folder / name).exists()), None)
    ends: dict[str, float] = {}
    clip = 1.0 if "clip" in remedy.variant.split("+") else None
    for name, rate in (case.optimizer, *OTHERS) if path else ():
        label = f"{name} {rate:g}"
        try:
            ends[label] = train(case, convert(check_model(path)), (name, rate), clip, statistics=True)
        except RuntimeError:  # an output of another shape than its owner's loss takes
            ends[label] = math.inf
        if trains(ends[label]):
            break
    return ends
