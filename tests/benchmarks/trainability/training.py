"""What really happens: each network trained by torch's own optimisers, from the same weights, on fresh minibatches."""

import copy
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from torch import nn

from tests.benchmarks.trainability.configurations import Configuration
from tests.benchmarks.trainability.networks import build
from tests.benchmarks.trainability.tasks import Task, generator_for, make_task

STEPS: Final = 200
CHECKPOINTS: Final = (20, 50, 100, 200)
SMOOTHED: Final = 10
"""Steps that a loss is averaged over."""
FRESH: Final = 256
"""Samples for the loss after training."""
FAILS: Final = 0.5
"""Loss over chance that a run has to end under."""
MOMENTUM: Final = 0.9
GRID: Final = (("sgd", 0.1), ("sgd", 0.01), ("sgd", 0.001), ("adam", 3e-3), ("adam", 3e-4))
Parameters = Iterable[nn.Parameter]
OPTIMIZERS: Final[dict[str, Callable[[Parameters, float], torch.optim.Optimizer]]] = {
    "sgd": lambda parameters, rate: torch.optim.SGD(parameters, rate, momentum=MOMENTUM, foreach=True),
    "adam": lambda parameters, rate: torch.optim.Adam(parameters, rate, foreach=True),
}


@dataclass(frozen=True)
class Run:
    """One training; losses are over chance, infinite where they are no numbers."""

    optimizer: str
    rate: float
    curve: Mapping[str, float]
    """Step (20, 50, 100, 200) to the mean loss of the ten steps before."""
    final: float
    """The last of them."""
    fresh: float
    """On 256 new samples, in training mode."""


@dataclass(frozen=True)
class Label:
    """What training did."""

    runs: tuple[Run, ...]
    seconds: float

    @property
    def fails_sgd(self) -> bool:
        """No rate of SGD ends under half of chance."""
        return self.best("sgd") >= FAILS

    @property
    def fails_adam(self) -> bool:
        """No rate of Adam does."""
        return self.best("adam") >= FAILS

    @property
    def fails_both(self) -> bool:
        """Nothing does."""
        return self.fails_sgd and self.fails_adam

    def best(self, optimizer: str) -> float:
        """Smallest final loss over chance."""
        return min(run.final for run in self.runs if run.optimizer == optimizer)

    def to_json(self) -> dict[str, Any]:
        """Plain values, conclusions included; `from_json` reads them."""
        return {**asdict(self), "fails_sgd": self.fails_sgd, "fails_adam": self.fails_adam}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Label":
        """What `to_json` wrote."""
        return cls(tuple(Run(**run) for run in fields["runs"]), fields["seconds"])


def label(configuration: Configuration) -> Label:
    """Train the network with every optimiser and rate of the grid."""
    started = time.process_time()
    module, task = build(configuration).train(), make_task(configuration)
    runs = tuple(_train(copy.deepcopy(module), task, configuration, optimizer, rate) for optimizer, rate in GRID)
    return Label(runs, round(time.process_time() - started, 2))


def best_losses(
    module: nn.Module, configuration: Configuration, max_norm: float | None = None, weight_decay: float = 0.0
) -> dict[str, float]:
    """The best final loss over chance of each optimiser, for a network made of this configuration."""
    task = make_task(configuration)
    best: dict[str, float] = {}
    for optimizer, rate in GRID:
        run = _train(copy.deepcopy(module), task, configuration, optimizer, rate, max_norm, weight_decay)
        best[optimizer] = min(best.get(optimizer, math.inf), run.final)
    return best


def _train(
    module: nn.Module,
    task: Task,
    configuration: Configuration,
    optimizer: str,
    rate: float,
    max_norm: float | None = None,
    weight_decay: float = 0.0,
) -> Run:
    samples = generator_for(configuration.seed, "training")
    parameters = list(module.parameters())
    step = OPTIMIZERS[optimizer](parameters, rate)
    step.param_groups[0]["weight_decay"] = weight_decay
    losses: list[float] = []
    while len(losses) < STEPS and (not losses or math.isfinite(losses[-1])):
        loss = _loss(module, task, configuration.batch_size, samples)
        losses.append(loss.item())
        step.zero_grad()
        loss.backward()
        if max_norm is not None:
            nn.utils.clip_grad_norm_(parameters, max_norm)
        step.step()
    with torch.no_grad():
        fresh = _loss(module, task, FRESH, generator_for(configuration.seed, "fresh")).item()
    return Run(
        optimizer,
        rate,
        {str(at): _over_chance(losses[:at], at, task) for at in CHECKPOINTS},
        _over_chance(losses, STEPS, task),
        _over_chance([fresh], 1, task),
    )


def _loss(module: nn.Module, task: Task, count: int, generator: torch.Generator) -> torch.Tensor:
    inputs, targets = task.sample(count, generator)
    return task.loss(module(*inputs), targets)


def _over_chance(losses: Sequence[float], steps: int, task: Task) -> float:
    """Mean of the last losses; infinite where training broke off before."""
    if len(losses) < steps:
        return math.inf
    recent = losses[-SMOOTHED:]
    mean = sum(recent) / len(recent) / task.chance
    return round(mean, 5) if math.isfinite(mean) else math.inf
