"""An analysis at the start of a training, as a callback of Lightning: before the steps that cost anything.

    trainer = Trainer(callbacks=[lightning_callback(loss=nn.CrossEntropyLoss(), fail_on="error")])

What is analysed are the weights before their first step, on the first batch. Lightning is no dependency: whichever of
`lightning` and `pytorch_lightning` is there lends its Callback.
"""

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from torch import Tensor, nn

from analysis.errors import BadOptions
from analysis.report import Verdict
from analysis.report.gate import Gate
from gradient_health.answer import ModuleReport
from gradient_health.export import Inputs
from gradient_health.module import analyze_module

LIGHTNING: Final = ("lightning.pytorch", "pytorch_lightning")
PAIR: Final = 2
Split = Callable[[Any], tuple[Inputs, Tensor | None]]


class Unhealthy(RuntimeError):
    """The report fails the gate, and the training is not begun."""

    def __init__(self, found: ModuleReport) -> None:
        """With the report."""
        super().__init__(found.summary)
        self.found = found


def split_batch(batch: Any) -> tuple[Inputs, Tensor | None]:
    """Inputs and targets of a batch as most loaders give them: a tensor, (inputs, targets), or by name with labels."""
    if isinstance(batch, Mapping):
        targets = next((batch[name] for name in ("target", "targets", "labels", "label", "y") if name in batch), None)
        return {name: value for name, value in batch.items() if value is not targets}, targets
    if isinstance(batch, Tensor):
        return batch, None
    if len(batch) == PAIR:
        return batch[0], batch[1]
    return tuple(batch[:-1]), batch[-1]


class AtTheStart:
    """The hook; `found` has what was found."""

    def __init__(self, *, split: Split = split_batch, fail_on: str | None = None, **how: Any) -> None:
        """`split`: a batch as inputs and targets. `fail_on`: at which findings the training ends; without it they warn.

        Further keywords are those of `analyze_module`.

        Raises BadOptions.
        """
        super().__init__()
        self._split, self._how = split, how
        self._gate = None if fail_on is None else Gate.parse(fail_on)
        self.found: ModuleReport | None = None

    def on_train_batch_start(self, trainer: Any, pl_module: nn.Module, batch: Any, _: int) -> None:
        """Once, and in one process only. Raises Unhealthy, and what `analyze_module` raises."""
        if self.found is not None or not trainer.is_global_zero:
            return
        inputs, targets = self._split(batch)
        optimizer = next(iter(trainer.optimizers), None)
        found = analyze_module(pl_module, inputs, targets, **{"optimizer": optimizer, **self._how})
        self.found = found
        if self._gate is not None and self._gate.fails(found.report):
            raise Unhealthy(found)
        if found.verdict is not Verdict.HEALTHY:
            warnings.warn(f"{found.verdict.value}: {found.summary}", stacklevel=2)


def lightning_callback(**how: Any) -> Any:
    """A callback for a Trainer; keywords are those of AtTheStart. Raises BadOptions, also where no Lightning is."""
    name = next((each for each in LIGHTNING if find_spec(each.partition(".")[0]) is not None), None)
    if name is None:
        raise BadOptions("neither lightning nor pytorch_lightning is installed", hint="pip install lightning")
    kind = type("GradientHealth", (AtTheStart, import_module(name).Callback), {"__doc__": AtTheStart.__doc__})
    return kind(**how)
