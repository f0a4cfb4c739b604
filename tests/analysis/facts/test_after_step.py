"""What the optimiser sees, by arithmetic and by measurement, against torch's own clipping and weight decay."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from analysis.facts import Clip, ClipKind, GradientStep, Measurement
from analysis.facts.after_step import after_step
from analysis.measure.clipping import take_step
from analysis.measure.passes import measure
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from tests.gallery import export, vectors

DECAY = 0.3
LIMIT = 0.1
OPTIONS = AnalysisOptions()
Step = Callable[[list[nn.Parameter]], object]


class Original(nn.Module):
    """The module behind the graph, with its own gradients as the truth."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Linear(32, 16), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(x)))


def decay(parameters: list[nn.Parameter]) -> None:
    """As torch.optim.SGD(weight_decay=..) adds it: after clipping."""
    for parameter in parameters:
        assert parameter.grad is not None
        parameter.grad += DECAY * parameter.detach()


def clip_by_norm(parameters: list[nn.Parameter]) -> None:
    nn.utils.clip_grad_norm_(parameters, LIMIT)


def clip_by_value(parameters: list[nn.Parameter]) -> None:
    nn.utils.clip_grad_value_(parameters, LIMIT / 100)


def clip_by_share(parameters: list[nn.Parameter]) -> None:
    """Brock et al. 2021, equation 3, one row at a time."""
    for parameter in parameters:
        assert parameter.grad is not None
        rows = (torch.atleast_2d(each) for each in (parameter.detach(), parameter.grad))
        for weights, gradients in zip(*rows, strict=True):
            most = LIMIT * max(weights.norm().item(), 1e-3)
            gradients.mul_(min(1.0, most / gradients.norm().item()))


def both(parameters: list[nn.Parameter]) -> None:
    clip_by_norm(parameters)
    decay(parameters)


BY_NORM = Clip(kind=ClipKind.GLOBAL_NORM, max_norm=LIMIT)
BY_VALUE = Clip(kind=ClipKind.VALUE, max_norm=LIMIT / 100)
BY_SHARE = Clip(kind=ClipKind.ADAPTIVE, max_norm=LIMIT)
STEPS = [
    pytest.param(GradientStep(clip=BY_NORM), clip_by_norm, id="norm"),
    pytest.param(GradientStep(clip=BY_VALUE), clip_by_value, id="value"),
    pytest.param(GradientStep(clip=BY_SHARE), clip_by_share, id="adaptive"),
    pytest.param(GradientStep(weight_decay=DECAY), decay, id="decay"),
    pytest.param(GradientStep(clip=BY_NORM, weight_decay=DECAY), both, id="norm, decay"),
]


def truth(module: Original, step: Step) -> tuple[list[torch.Tensor], list[nn.Parameter]]:
    """Gradients of the module after torch's step, and its parameters."""
    arrays = np.load(io.BytesIO(vectors()))
    nn.functional.cross_entropy(module(torch.from_numpy(arrays["x"])), torch.from_numpy(arrays["target"])).backward()
    parameters = list(module.parameters())
    before = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
    step(parameters)
    return before, parameters


@pytest.mark.parametrize(("step", "original"), STEPS)
def test_a_step_on_tensors_is_torchs(step: GradientStep, original: Step) -> None:
    before, parameters = truth(Original(), original)
    after = take_step(before, [parameter.detach() for parameter in parameters], step)
    for mine, parameter in zip(after, parameters, strict=True):
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("step", "original"), STEPS)
def test_the_numbers_are_those_of_the_gradients_after_torchs_step(step: GradientStep, original: Step) -> None:
    module = Original()
    result = seen_by_the_optimiser(module, step)
    _, parameters = truth(module, original)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    assert result.total_gradient_norm == pytest.approx(torch.nn.utils.get_total_norm(gradients).item(), rel=1e-4)
    for layer, stats in zip((module.first, module.second), result.stats, strict=True):
        assert layer.weight.grad is not None
        assert stats.weight_gradient is not None
        norm = layer.weight.grad.norm().item()
        assert stats.weight_gradient.norm == pytest.approx(norm, rel=1e-4)
        assert stats.update_ratio == pytest.approx(norm / layer.weight.norm().item(), rel=1e-4)


def seen_by_the_optimiser(module: Original, step: GradientStep) -> Measurement:
    subject = prepare(check_model(export(module, torch.zeros(2, 32))), vectors(), OPTIONS)
    clip = step.clip if step.clip is not None and step.clip.kind is not ClipKind.GLOBAL_NORM else None
    return after_step(measure(subject, cotangents=(), clip=clip), step)


def test_a_loose_clip_changes_nothing_and_no_step_reaches_the_flow() -> None:
    module = Original()
    plain = seen_by_the_optimiser(module, GradientStep())
    loose = seen_by_the_optimiser(module, GradientStep(clip=Clip(kind=ClipKind.GLOBAL_NORM, max_norm=1e6)))
    assert loose == plain
    tight = seen_by_the_optimiser(module, GradientStep(clip=BY_NORM, weight_decay=DECAY))
    assert tight.flow == plain.flow


def test_a_scalar_is_clipped_by_value_only() -> None:
    gradient, weight = torch.tensor(5.0), torch.tensor(1.0)
    for clip, expected in ((BY_VALUE, LIMIT / 100), (BY_SHARE, 5.0)):
        (after,) = take_step([gradient], [weight], GradientStep(clip=clip))
        assert after.item() == pytest.approx(expected)
