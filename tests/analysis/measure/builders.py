"""Models prepared and measured, two cotangents unless told otherwise."""

import numpy as np

from analysis.facts import Measurement
from analysis.measure.passes import measure
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from tests.gallery import mlp


def subject_of(model: bytes, batch: bytes | None, **options: object) -> Subject:
    return prepare(check_model(model), batch, AnalysisOptions(**options))  # type: ignore[arg-type]


def measured(model: bytes, batch: bytes | None, cotangents: tuple[int, ...] = (0, 1), **options: object) -> Measurement:
    return measure(subject_of(model, batch, **options), cotangents=cotangents)


def chain(*weights: float) -> bytes:
    """A linear network of width one: everything about it is a product."""
    draws = iter(weights)
    return mlp(0, "Identity", lambda _, o, i: np.full((o, i), next(draws)), sizes=[1] * (len(weights) + 1))
