"""Real reports, analysed once for all tests of a process: they are frozen."""

from functools import cache

from analysis.pipeline import analyze
from analysis.report import Report
from tests.gallery import he, mlp, vectors, xavier


@cache
def sick_report() -> Report:
    """Twelve sigmoid layers: the gradient vanishes."""
    return analyze(mlp(12, "Sigmoid", xavier()), vectors())


@cache
def healthy_report() -> Report:
    """Three ReLU layers as He initialises them."""
    return analyze(mlp(3, "Relu", he()), vectors())
