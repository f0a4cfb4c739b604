"""Recipes replayed on a module: weights drawn, layers scaled, running statistics taken, and everything put back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch

from analysis.convert.program import Watcher
from analysis.interventions.contract import NormalizationSite, Recipe, UnitVariance
from analysis.measure.flow import STEPWISE
from analysis.subject.subject import Subject


@contextmanager
def drawn(subject: Subject, recipe: Recipe, seed: int) -> Iterator[None]:
    """Inside: the module with the weights of a recipe; afterwards with its own again.

    Those are set aside as they are: what lies in a mapped file is neither copied nor written to.
    """
    weights = [subject.converted.initializers[name] for name in recipe.draws]
    own = [weight.data for weight in weights]
    try:
        draw(subject, recipe, seed)
        yield
    finally:
        for weight, values in zip(weights, own, strict=True):
            weight.data = values


def draw(subject: Subject, recipe: Recipe, seed: int, *, statistics: bool = False) -> None:
    """Give the module a recipe's weights, then the scales they lead to, and running statistics that are read.

    The weights lie in memory of their own. `statistics`: these in any case, as they are in the file.
    """
    for name, each in recipe.draws.items():
        parameter = subject.converted.initializers[name]
        values = each.realize(name, subject.model.weights[name], seed)
        parameter.data = torch.empty_like(parameter.data).copy_(torch.from_numpy(values).reshape(parameter.shape))
    scale_to_unit_variance(subject, recipe.unit_variance)
    if statistics or _reads_running_statistics(subject):
        for name, value in batch_statistics(subject, recipe.sites).items():
            subject.converted.set_constant(name, value)


def _reads_running_statistics(subject: Subject) -> bool:
    """Not where batches are large enough for their own; gradients through time are taken as in use, though."""
    return not subject.batch_statistics or any(node.op_type in STEPWISE for node in subject.model.nodes)


def scale_to_unit_variance(subject: Subject, wanted: Sequence[UnitVariance]) -> None:
    """Divide each weight by the deviation of what its layer writes, in one pass: later layers see the scaled values."""

    def scaling(each: UnitVariance) -> Watcher:
        weight = subject.converted.initializers[each.weight]

        def scale(value: torch.Tensor) -> torch.Tensor | None:
            deviation = float(value.std(correction=0))
            if not 0 < deviation < float("inf"):
                return None
            weight.div_(deviation)
            return value / deviation

        return scale

    _observe_in_training(subject, {each.output: [scaling(each)] for each in wanted})


def batch_statistics(subject: Subject, sites: Sequence[NormalizationSite]) -> dict[str, torch.Tensor]:
    """Mean and variance [C] of the sample batch at each site, by the initialiser that is to hold them."""
    found: dict[str, torch.Tensor] = {}

    def take(site: NormalizationSite, value: torch.Tensor) -> None:
        axes = [axis for axis in range(value.ndim) if axis != 1]
        found[site.mean] = value.mean(axes)
        found[site.variance] = value.var(axes, correction=0)

    _observe_in_training(subject, {site.value: [partial(take, site)] for site in sites})
    return found


def _observe_in_training(subject: Subject, watchers: "dict[str, list[Watcher]]") -> None:
    """One forward pass in which BatchNormalization uses the batch, without gradients."""
    if watchers:
        inputs, _ = subject.tensors()
        subject.converted.train(True)  # noqa: FBT003 - torch's signature
        try:
            with torch.no_grad():
                subject.converted.observe(inputs, watchers)
        finally:
            subject.converted.train(False)  # noqa: FBT003 - torch's signature
