"""An exhibit: a network with what it should learn, and what the rules must and must not say of it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from analysis.options import AnalysisOptions, Effort
from tests.gallery import export, export_for_training, npz
from tests.gallery.tasks import SAMPLES, Sampler, Task

LABELS = Path(__file__).parent / "labels.json"
STATIC = Effort.QUICK


@dataclass(frozen=True)
class Exhibit:
    """A network by seed, and what is expected of the diagnosis."""

    name: str
    family: str
    build: Callable[[int], nn.Module | bytes]
    """(seed) -> the network, torch's generator seeded."""
    task: Task
    expected: frozenset[str] = frozenset()
    """Rules that have to speak; none for the healthy."""
    forbidden: frozenset[str] = frozenset()
    """Rules that must not speak above a remark."""
    effort: Effort = STATIC
    """The least effort at which the expected rules are measured."""
    options: Mapping[str, Any] = field(default_factory=dict)
    edit: Callable[[onnx.ModelProto], None] | None = None
    """A change to the exported graph."""
    training: bool = False
    """Exported for training, and trained with its Dropout on."""
    own_loss: bool = False
    """The graph ends in its own loss: no target is uploaded."""
    note: str = ""

    @property
    def healthy(self) -> bool:
        """By construction."""
        return not self.expected

    def sampler(self, seed: int) -> Sampler:
        """The task of this seed."""
        return self.task(seed)

    def model(self, seed: int) -> bytes:
        """As ONNX."""
        torch.manual_seed(1000 + seed)
        built = self.build(seed)
        if not isinstance(built, bytes):
            example = torch.from_numpy(self.sampler(seed)(np.random.default_rng(0), 2)[0])
            built = (
                export_for_training(built, example) if self.training else export(built, example, keep_batch_norm=True)
            )
        if self.edit is None:
            return built
        proto = onnx.load_from_string(built)
        self.edit(proto)
        return proto.SerializeToString()

    def batch(self, seed: int) -> bytes:
        """What is uploaded with the model."""
        x, target = self.sampler(seed)(np.random.default_rng((seed, 1)), SAMPLES)
        return npz(x=x) if self.own_loss else npz(x=x, target=target)

    def request(self, seed: int, effort: Effort) -> AnalysisOptions:
        """What is asked for; a rule that is measured at effort thorough only is asked for at that."""
        wanted = Effort.THOROUGH if self.effort is Effort.THOROUGH and effort is not Effort.QUICK else effort
        return AnalysisOptions(effort=wanted, seed=seed, **self.options)


def sick(
    name: str, family: str, build: Callable[[int], nn.Module | bytes], task: Task, expected: str, forbidden: str = "",
    **more: Any,
) -> Exhibit:  # fmt: skip
    """Expected and forbidden rules as ids between spaces, without their GH."""
    return Exhibit(name, family, build, task, _rules(expected), _rules(forbidden), **more)


def healthy(
    name: str, family: str, build: Callable[[int], nn.Module | bytes], task: Task, forbidden: str = "", **more: Any
) -> Exhibit:  # fmt: skip
    """No rule is expected, and none may speak at error level."""
    return Exhibit(name, family, build, task, frozenset(), _rules(forbidden), **more)


def _rules(ids: str) -> frozenset[str]:
    return frozenset(f"GH{number}" for number in ids.split())


def labels() -> dict[str, dict[str, dict[str, Any]]]:
    """What real training said, by exhibit and seed."""
    return json.loads(LABELS.read_text())
