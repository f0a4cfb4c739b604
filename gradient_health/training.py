"""An analysis at the start of a training, as a callback of Lightning or Keras: before the steps that cost anything.

    trainer = Trainer(callbacks=[lightning_callback(loss=nn.CrossEntropyLoss(), fail_on="error")])
    model.fit(x, y, callbacks=[keras_callback(x[:256], y[:256], fail_on="error")])

What is analysed are the weights before their first step: on the first batch that Lightning hands out, and on the
samples that a callback of Keras is given, since Keras hands it none. Neither is a dependency: whichever of `lightning`,
`pytorch_lightning` and `keras` is there lends its Callback.
"""

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import torch
from torch import Tensor, nn

from analysis.errors import BadOptions
from analysis.options import AnalysisOptions, OptimizerName
from analysis.report import Verdict
from analysis.report.gate import Gate
from gradient_health.answer import ModuleReport
from gradient_health.export import Inputs
from gradient_health.keras_model import KerasModel, inputs_of
from gradient_health.module import analyze_module

LIGHTNING: Final = ("lightning.pytorch", "pytorch_lightning")
KERAS: Final = "keras"
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
    """The hook of Lightning; `found` has what was found."""

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
        self.found = analyze_module(pl_module, inputs, targets, **{"optimizer": optimizer, **self._how})
        _judge(self.found, self._gate)


class BeforeFitting:
    """The hook of Keras, on the backend of torch; `found` has what was found."""

    def __init__(self, batch: Any, targets: Any = None, *, fail_on: str | None = None, **how: Any) -> None:
        """`batch`: arrays or tensors, or these by the names of the model's inputs. `fail_on`: as of Lightning's.

        Further keywords are those of `analyze_module`; the optimiser is the one that the model was compiled with.

        Raises BadOptions.
        """
        super().__init__()
        self._batch, self._targets, self._how = batch, targets, how
        self._gate = None if fail_on is None else Gate.parse(fail_on)
        self.found: ModuleReport | None = None

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002 - Keras calls it so
        """Once. Raises Unhealthy, Unsupported on another backend, and what `analyze_module` raises."""
        if self.found is not None:
            return
        model: Any = self.model  # type: ignore[attr-defined] # Keras sets it, or the class of Keras has it
        targets = None if self._targets is None else torch.as_tensor(self._targets)
        how = {**self._how, "options": _compiled(model, self._how.get("options"))}
        found = analyze_module(KerasModel(model), inputs_of(model, self._batch), targets, **how)
        self.found = ModuleReport(found.report)  # the diff would be one of the wrapping
        _judge(self.found, self._gate)


def _compiled(model: Any, options: Any) -> dict[str, Any]:
    """The options, with optimiser and rate of a model that was compiled where they say nothing of it."""
    fields = options.model_dump(mode="json", exclude_unset=True) if isinstance(options, AnalysisOptions) else options
    optimizer, rate = getattr(model, "optimizer", None), None
    if optimizer is not None:
        rate = float(optimizer.learning_rate)
    if rate is None:
        return dict(fields or {})
    kind = OptimizerName.SGD if type(optimizer).__name__ == "SGD" else OptimizerName.ADAM
    return {"optimizer": kind.value, "learning_rate": rate, **(fields or {})}


def _judge(found: ModuleReport, gate: Gate | None) -> None:
    """Raises Unhealthy, or warns."""
    if gate is not None and gate.fails(found.report):
        raise Unhealthy(found)
    if found.verdict is not Verdict.HEALTHY:
        warnings.warn(f"{found.verdict.value}: {found.summary}", stacklevel=3)


def lightning_callback(**how: Any) -> Any:
    """A callback for a Trainer; keywords are those of AtTheStart. Raises BadOptions, also where no Lightning is."""
    name = next((each for each in LIGHTNING if find_spec(each.partition(".")[0]) is not None), None)
    if name is None:
        raise BadOptions("neither lightning nor pytorch_lightning is installed", hint="pip install lightning")
    kind = type("GradientHealth", (AtTheStart, import_module(name).Callback), {"__doc__": AtTheStart.__doc__})
    return kind(**how)


def keras_callback(batch: Any, targets: Any = None, **how: Any) -> Any:
    """A callback for `fit`; keywords are those of BeforeFitting. Raises BadOptions, also where no Keras is."""
    if find_spec(KERAS) is None:
        raise BadOptions("keras is not installed", hint="pip install keras")
    callback = import_module(f"{KERAS}.callbacks").Callback
    kind = type("GradientHealth", (BeforeFitting, callback), {"__doc__": BeforeFitting.__doc__})
    return kind(batch, targets, **how)
