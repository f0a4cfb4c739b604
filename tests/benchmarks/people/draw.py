"""What a case is: a network in the state its owner starts from, data, loss, and what is known of it beforehand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Metric = Callable[[torch.Tensor, torch.Tensor], float]
"""(outputs, targets): 0 perfect, 1 as good as the best constant answer."""


@dataclass(frozen=True)
class Patient:
    module: nn.Module
    inputs: Mapping[str, np.ndarray]
    targets: np.ndarray | None
    """None where the graph's only output is the loss."""
    loss: Loss | None


@dataclass(frozen=True)
class Case:
    name: str
    what: str
    build: Callable[[], Patient]
    optimizer: tuple[str, float]
    steps: int
    metric: Metric
    rules: frozenset[str]
    """Causes that count as right; `refused` is one. Of a sound network: none has to be named."""
    elsewhere: bool
    """The network is sound; what stops its owner, if anything, is the optimiser, the data or impatience."""
    options: Mapping[str, Any]
    send: int
    """Samples that the product gets."""

    def patient(self) -> Patient:
        torch.manual_seed(0)
        return self.build()


@dataclass
class Draw:
    """Cases by name, in the order they were written."""

    cases: dict[str, Case] = field(default_factory=dict)

    def case(
        self, what: str, optimizer: tuple[str, float], steps: int, metric: Metric, /, *rules: str,
        elsewhere: bool = False, send: int = 64, **options: Any,
    ) -> Callable[[Callable[[], Patient]], Callable[[], Patient]]:  # fmt: skip
        def add(build: Callable[[], Patient]) -> Callable[[], Patient]:
            name = build.__name__
            assert name not in self.cases
            self.cases[name] = Case(
                name, what, build, optimizer, steps, metric, frozenset(rules), elsewhere, options, send
            )
            return build

        return add


# ------------------------------------------------------------------ how bad an output is


def error_rate(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    """Wrong answers over those of whoever always says the commonest class; classes on the second axis or the last."""
    if outputs.ndim > 2 and outputs.shape[:2] == targets.shape[:2]:
        outputs, targets = outputs.flatten(0, 1), targets.flatten()
    wrong = (outputs.argmax(1) != targets).float().mean().item()
    return wrong / max(1 - torch.bincount(targets.flatten()).max().item() / targets.numel(), 1e-9)


def binary_error(threshold: float) -> Metric:
    def metric(outputs: torch.Tensor, targets: torch.Tensor) -> float:
        positive = targets.flatten() > 0.5
        wrong = ((outputs.flatten() > threshold) != positive).float().mean().item()
        share = positive.float().mean().item()
        return wrong / max(min(share, 1 - share), 1e-9)

    return metric


def unexplained(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    """1 - R²."""
    spread = targets.var(0, unbiased=False).mean().clamp_min(1e-20)
    return float(functional.mse_loss(outputs.reshape(targets.shape), targets) / spread)


def cross_entropy_over_chance(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    return float(functional.cross_entropy(outputs, targets)) / float(np.log(outputs.shape[1]))


def excess_over_floor(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    """Cross-entropy with probabilities, less their own entropy, over that of the best constant answer."""
    floor = -(targets * targets.clamp_min(1e-9).log()).sum(1).mean()
    mean = targets.mean(0)
    chance = -(mean * mean.log()).sum()
    return float((functional.cross_entropy(outputs, targets) - floor) / (chance - floor))


def own_loss(outputs: torch.Tensor, _: torch.Tensor) -> float:
    """Where only the graph's own loss is known, nobody can say; the case is labelled by its author."""
    return float(outputs)
