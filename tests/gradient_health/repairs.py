"""Repairs as `analyze_module` makes them, of variants that are measured and not trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from analysis.model import check_model
from analysis.pipeline import analyze
from gradient_health.change import places_of
from gradient_health.export import named_inputs
from gradient_health.module import exported
from gradient_health.repair import Repair

X = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))


class Functional(nn.Module):
    """What its forward does is no part of it."""

    def __init__(self) -> None:
        """With torch's own initialisation."""
        super().__init__()
        self.first, self.second, self.last = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.sigmoid(self.second(torch.sigmoid(self.first(x)))))


@contextmanager
def repair_of(module: nn.Module, x: Tensor, variant: str, folder: Path) -> Iterator[Repair]:
    """Of a variant whose repaired model is in the folder meanwhile, and longer."""
    options: dict[str, Any] = {"effort": "quick", "variants": ["only", variant]}
    with exported(module, x, torch.arange(len(x)) % 4, options=options) as files:
        report = analyze(*files, models_dir=folder)
        (told,) = [each for each in report.variants if each.id == variant]
        assert told.model is not None, told.reason
        model = folder / f"{variant}.onnx"
        yield Repair(variant, model, places_of(check_model(files.model)), report.layers, named_inputs(module, x))


def by_onnxruntime(model: Path, x: Tensor) -> Tensor:
    """Not optimised: onnxruntime folds a BatchNormalization into a convolution even where it is told to train."""
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return torch.from_numpy(np.asarray(found))
