"""The gradient health of a PyTorch module, here or on a server."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.errors import BadOptions
from analysis.experiment.export import Destination
from analysis.model import check_model
from analysis.options import AnalysisOptions, LossName, OptimizerName, parse_options
from analysis.pipeline import analyze
from analysis.render.pytorch import the_change
from analysis.report import Report, Variant
from gradient_health.answer import ModuleReport
from gradient_health.change import places_of
from gradient_health.client import Client
from gradient_health.export import Inputs, export_module, named_inputs
from gradient_health.patch import diff_of
from gradient_health.repair import Repair

Loss = str | nn.Module | Callable[..., Tensor]
LOSSES: Final[Mapping[Any, LossName]] = {
    nn.CrossEntropyLoss: LossName.CROSS_ENTROPY,
    F.cross_entropy: LossName.CROSS_ENTROPY,
    nn.NLLLoss: LossName.NLL,
    F.nll_loss: LossName.NLL,
    nn.MSELoss: LossName.MSE,
    F.mse_loss: LossName.MSE,
    nn.BCEWithLogitsLoss: LossName.BCE,
    F.binary_cross_entropy_with_logits: LossName.BCE,
}
"""Losses of torch by the name that the options have for them."""
BY_THE_GRAPH: Final[tuple[Any, ...]] = (nn.BCELoss, F.binary_cross_entropy)
"""What reads what a Sigmoid of the module wrote, as the automatic loss does."""


def analyze_module(
    module: nn.Module,
    batch: Inputs,
    targets: Tensor | None = None,
    *,
    loss: Loss | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    options: AnalysisOptions | Mapping[str, Any] | None = None,
    models_dir: Path | None = None,
    server: str | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> ModuleReport:
    """Measure how gradients travel through a module on a batch, and what would help; the module is left as it was.

    `batch`: what `forward` takes, a tensor, several, or by name; samples along axis 0. `targets`: class ids or numbers,
    one per sample. `loss`: a loss of torch, or the name of one in the options. `optimizer`: your own, whose kind and
    rate are tried, too. `options`: an AnalysisOptions or its fields. `models_dir`: where repaired models go. `server`:
    the URL of a service that does the work; without one it is done here.

    Raises AnalysisError (see `analysis.errors`), and ProblemError and httpx.TransportError with a server.
    """
    if server is not None:
        with Client(server) as client:
            return client.analyze_module(
                module,
                batch,
                targets,
                loss=loss,
                optimizer=optimizer,
                options=options,
                models=models_dir,
                progress=progress,
            )
    how: dict[str, Any] = {"loss": loss, "optimizer": optimizer, "options": options}
    with exported(module, batch, targets, **how) as files, kept(models_dir) as place, on_one_thread():
        report = analyze(*files, models=place.destination, progress=progress)
        found = answer(module, batch, files, report, place)
        return replace(found, report=_without_files(report)) if place.temporary else found


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Inside: torch computes on one thread, as on the command line; more wait for each other on small networks."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Exported(NamedTuple):
    """What is analysed of a module."""

    model: Path
    batch: Path
    options: AnalysisOptions


@contextmanager
def exported(
    module: nn.Module,
    batch: Inputs,
    targets: Tensor | None = None,
    *,
    loss: Loss | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    options: AnalysisOptions | Mapping[str, Any] | None = None,
) -> Iterator[Exported]:
    """A module and a batch as files that are there meanwhile, with the options that loss and optimiser come to."""
    inputs = named_inputs(module, batch)
    chosen = _options(options, loss, optimizer)
    arrays = {name: value.detach().cpu().numpy() for name, value in inputs.items()}
    if targets is not None:
        arrays["target"] = targets.detach().cpu().numpy()
    with tempfile.TemporaryDirectory() as folder:
        model, sample = Path(folder) / f"{type(module).__name__}.onnx", Path(folder) / "batch.npz"
        export_module(module, inputs, model)
        np.savez(sample, **arrays)  # type: ignore[arg-type] # numpy's own annotation takes arrays for its switches
        yield Exported(model, sample, chosen)


def _options(
    options: AnalysisOptions | Mapping[str, Any] | None, loss: Loss | None, optimizer: torch.optim.Optimizer | None
) -> AnalysisOptions:
    """The options with loss and optimiser among them, where these were given as objects of torch."""
    fields = options.model_dump(mode="json", exclude_unset=True) if isinstance(options, AnalysisOptions) else options
    chosen = dict(fields or {})
    if loss is not None:
        chosen["loss"] = loss if isinstance(loss, str) else _loss_name(loss).value
    if optimizer is not None:
        chosen |= {"optimizer": _optimizer_name(optimizer).value, "learning_rate": optimizer.param_groups[0]["lr"]}
    return parse_options(chosen)


def _loss_name(loss: nn.Module | Callable[..., Tensor]) -> LossName:
    key = type(loss) if isinstance(loss, nn.Module) else loss
    if key in BY_THE_GRAPH:
        return LossName.AUTOMATIC
    if key not in LOSSES:
        known = ", ".join(sorted({each.__name__ for each in (*LOSSES, *BY_THE_GRAPH)}))
        raise BadOptions(
            f"{getattr(key, '__name__', key)} is no loss that is known here",
            where="loss",
            hint=f"known are {known}; a module that returns its own loss needs none",
        )
    return LOSSES[key]


def _optimizer_name(optimizer: torch.optim.Optimizer) -> OptimizerName:
    """What is nearest to it: all that divide by a running second moment count as Adam."""
    return OptimizerName.SGD if isinstance(optimizer, torch.optim.SGD) else OptimizerName.ADAM


# ------------------------------------------------------------------ the change in the module


@dataclass(frozen=True, slots=True)
class Kept:
    """Where repaired models are."""

    folder: Path
    temporary: bool
    """The folder was made for the answer, holds the one change alone, and goes with it."""

    @property
    def destination(self) -> Destination:
        """Everything that was measured, or the best alone."""
        return Destination(self.folder, proven_only=True, at_most=1) if self.temporary else Destination(self.folder)


@contextmanager
def kept(models_dir: Path | None) -> Iterator[Kept]:
    """The folder that the user named, or one that is there as long as the answer is; at once gone after an error."""
    place = Kept(models_dir or Path(tempfile.mkdtemp(prefix="gradient-health-")), models_dir is None)
    try:
        yield place
    except BaseException:
        if place.temporary:
            shutil.rmtree(place.folder, ignore_errors=True)
        raise


def answer(module: nn.Module, batch: Inputs, files: Exported, report: Report, place: Kept) -> ModuleReport:
    """The report, with the one change as a change of the module."""
    variant = the_change(report)
    repair = None if variant is None else _repair(module, batch, files, report, variant, place)
    change = None if repair is None else repair.change_of(module, check_model(repair.model))
    if repair is None and place.temporary:
        shutil.rmtree(place.folder, ignore_errors=True)
    return ModuleReport(report, "" if variant is None else diff_of(module, change, report, variant), repair)


def _repair(
    module: nn.Module, batch: Inputs, files: Exported, report: Report, variant: Variant, place: Kept
) -> Repair | None:
    """None where the variant has no graph of its own, or its file is not there."""
    if variant.model is None:
        return None
    name = variant.model.href.removeprefix("variants/").removesuffix("/model.onnx")
    model = place.folder / f"{name}.onnx"
    if not model.exists():
        return None
    return Repair(
        variant=variant.id,
        model=model,
        places=places_of(check_model(files.model)),
        layers=report.layers,
        inputs=named_inputs(module, batch),
        temporary=place.temporary,
    )


def _without_files(report: Report) -> Report:
    """No link to a file that nobody has."""
    variants = tuple(each.model_copy(update={"model": None}) for each in report.variants)
    return report.model_copy(update={"variants": variants})
