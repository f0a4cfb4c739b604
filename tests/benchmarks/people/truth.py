"""What really happens: a case trained by torch as its owner trains it, then over a small grid."""

import math
import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from tests.benchmarks.people.draw import Case, own_loss

GRID: Final = (("sgd", 0.1), ("sgd", 0.01), ("sgd", 0.001), ("adam", 0.01), ("adam", 0.001))
TRAINED: Final = 0.5
ENOUGH: Final = 0.3
MINIBATCH: Final = 64
LOOK: Final = 25
LONGEST_SECONDS: Final = 15.0
"""Of processor time."""


def trains(bad: float | None) -> bool:
    return bad is not None and math.isfinite(bad) and bad < TRAINED


def truth_of(case: Case) -> dict[str, Any]:
    """Badness at the end: as trained by the owner, and where that does not train it, over the grid."""
    if "refused" in case.rules or case.metric is own_loss:
        return {"own": None, "grid": {}}
    own = train(case, case.patient().module, case.optimizer)
    return {"own": own, "grid": {} if trains(own) else grid_of(case)}


def grid_of(case: Case) -> dict[str, float]:
    """Until one trains it."""
    ends: dict[str, float] = {}
    for name, rate in GRID:
        ends[f"{name} {rate:g}"] = train(case, case.patient().module, (name, rate))
        if trains(ends[f"{name} {rate:g}"]):
            break
    return ends


def train(
    case: Case, module: nn.Module, optimizer: tuple[str, float], clip: float | None = None, *, statistics: bool = False
) -> float:
    """Badness at the end, infinite where the loss is no number; over early where it is small.

    `statistics`: BatchNormalization is judged by those of the batch, as a converted graph never moves its own.
    """
    patient = case.patient()
    torch.manual_seed(1)
    x = [torch.from_numpy(np.ascontiguousarray(each)) for each in patient.inputs.values()]
    y = torch.from_numpy(np.ascontiguousarray(patient.targets))
    (name, rate), random = optimizer, torch.Generator().manual_seed(1)
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    step = torch.optim.Adam(weights, rate) if name == "adam" else torch.optim.SGD(weights, rate, momentum=0.9)
    assert patient.loss is not None
    began = time.process_time()
    for done in range(1, case.steps + 1):
        rows = torch.randint(len(y), (MINIBATCH,), generator=random)
        step.zero_grad()
        module.train()
        loss = patient.loss(_first(module(*(each[rows] for each in x))), y[rows])
        if not torch.isfinite(loss):
            return math.inf
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(weights, clip)
        step.step()
        late = time.process_time() - began > LONGEST_SECONDS
        if done % LOOK == 0 and (judge(case, module, x, y, statistics=statistics) < ENOUGH or late):
            break
    return judge(case, module, x, y, statistics=statistics)


def judge(case: Case, module: nn.Module, x: list[torch.Tensor], y: torch.Tensor, *, statistics: bool) -> float:
    module.train(statistics)
    with torch.no_grad():
        bad = case.metric(_first(module(*x)), y)
    return round(float(bad), 4) if math.isfinite(bad) else math.inf


def _first(outputs: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    return outputs[0] if isinstance(outputs, tuple) else outputs


def ends_by(truth: Mapping[str, Any], optimizer: str) -> bool:
    """Whether a rate of the grid trains it."""
    return any(trains(end) for known, end in truth["grid"].items() if known.startswith(optimizer))
