"""Modules and ONNX text, prepared to be read: their anatomy, their findings."""

from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import torch
from onnx import numpy_helper
from torch import nn

from analysis.facts import Anatomy
from analysis.graph.anatomy import find_anatomy
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.report import Report, Severity
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from tests.gallery import CLASSES, INPUTS

OPTIONS = AnalysisOptions()
QUICK = AnalysisOptions(effort="quick")
IMAGE = torch.zeros(2, 3, 8, 8)
VECTOR = torch.zeros(2, INPUTS)


def subject_of(model: bytes, batch: bytes | None = None) -> Subject:
    return prepare(check_model(model), batch, OPTIONS)


def anatomy_of(model: bytes, batch: bytes | None = None) -> Anatomy:
    subject = subject_of(model, batch)
    return find_anatomy(
        subject.weights(), subject.model, subject.sources, subject.layers, subject.objective.head, subject.attention
    )


def written(signature: str, nodes: str, **weights: np.ndarray) -> bytes:
    """A model in ONNX's text form."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> net {signature} {{ {nodes} }}')
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return model.SerializeToString()


def drawn(*shape: int, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def errors(report: Report) -> set[str]:
    return {finding.rule for finding in report.findings if finding.severity is Severity.ERROR}


class Residual(nn.Module):
    """Three blocks that end in a normalisation, a plain layer or a layer-scale."""

    def __init__(self, end: Callable[[], nn.Module], width: int = 16) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(INPUTS, width), nn.Linear(width, CLASSES)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.ends = nn.ModuleList(end() for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        for inner, end in zip(self.inner, self.ends, strict=True):
            x = x + end(torch.relu(inner(x)))
        return self.head(x)


class LayerScale(nn.Module):
    def __init__(self, size: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((16,), size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gamma * x


def with_weight(build: Callable[[], nn.Module], value: float) -> Callable[[], nn.Module]:
    """Its weight filled with one value."""

    def filled() -> nn.Module:
        module = build()
        nn.init.constant_(module.weight, value)
        return module

    return filled


NORM = lambda: nn.LayerNorm(16)  # noqa: E731
LINEAR = lambda: nn.Linear(16, 16, bias=False)  # noqa: E731
