"""What the optimiser sees, by arithmetic and by measurement, against torch's own clipping and weight decay."""

import io
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from analysis.facts import Clip, ClipKind, GradientStats, GradientStep, Measurement, WeightStats
from analysis.facts.after_step import after_step, as_trained
from analysis.measure.clipping import take_step
from analysis.measure.passes import measure
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from tests.analysis.diagnosis.builders import measurement, stats
from tests.gallery import export, npz, vectors

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
    for layer, seen in zip((module.first, module.second), result.stats, strict=True):
        assert layer.weight.grad is not None
        assert seen.weight_gradient is not None
        norm = layer.weight.grad.norm().item()
        assert seen.weight_gradient.norm == pytest.approx(norm, rel=1e-4)
        assert seen.update_ratio == pytest.approx(norm / layer.weight.norm().item(), rel=1e-4)


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


# ------------------------------------------------------------------ by hand: 3-4-5


def by_hand() -> Measurement:
    """One layer whose gradient of norm 3 is orthogonal to its weights of norm 40."""
    gradient = GradientStats(norm=3.0, rms=0.3, max_abs=1.5, zero_fraction=0.25, non_finite=0)
    whole = stats(
        1, weight_gradient=gradient, vector_gradient=replace(gradient, norm=0.6),
        weight=WeightStats(norm=40.0, rms=4.0), update_ratio=0.075, gradient_dot_weight=0.0,
    )  # fmt: skip
    patient = measurement(layers=measurement().layers[:1], stats=(whole,))
    return replace(patient, total_gradient_norm=3.0, total_weight_norm=40.0, gradient_dot_weight=0.0)


def clipped(most: float, kind: ClipKind = ClipKind.GLOBAL_NORM, decay: float = 0.0) -> GradientStep:
    return GradientStep(clip=Clip(kind=kind, max_norm=most), weight_decay=decay)


def test_every_number_of_every_gradient_is_scaled_but_for_shares_and_counts() -> None:
    along = replace(by_hand().stats[0], gradient_dot_weight=6.0)
    after = after_step(replace(by_hand(), gradient_dot_weight=6.0, stats=(along,)), clipped(1.5))
    (layer,) = after.stats
    assert (after.total_gradient_norm, after.gradient_dot_weight, after.total_weight_norm) == (1.5, 3.0, 40.0)
    assert layer.weight_gradient == GradientStats(norm=1.5, rms=0.15, max_abs=0.75, zero_fraction=0.25, non_finite=0)
    assert layer.vector_gradient is not None
    assert layer.vector_gradient.norm == pytest.approx(0.3)
    assert (layer.update_ratio, layer.gradient_dot_weight) == pytest.approx((0.0375, 3.0))
    assert layer.weight == by_hand().stats[0].weight


@pytest.mark.parametrize("most", [3.0, 3.1])
def test_a_gradient_within_the_limit_is_left_as_it_is(most: float) -> None:
    assert after_step(by_hand(), clipped(most)) == by_hand()


@pytest.mark.parametrize("kind", [ClipKind.VALUE, ClipKind.ADAPTIVE])
def test_what_needs_the_elements_was_measured_and_is_not_scaled_again(kind: ClipKind) -> None:
    assert after_step(by_hand(), clipped(0.1, kind)) == by_hand()


def test_decay_adds_the_weights_to_the_gradient() -> None:
    after = after_step(by_hand(), GradientStep(weight_decay=0.1))
    (layer,) = after.stats
    assert after.total_gradient_norm == pytest.approx(5.0)
    assert after.gradient_dot_weight == pytest.approx(160.0)  # 0.1 |w|^2
    assert layer.weight_gradient is not None
    assert (layer.weight_gradient.norm, layer.weight_gradient.rms) == pytest.approx((5.0, 0.5))
    assert layer.update_ratio == pytest.approx(0.125)
    assert layer.gradient_dot_weight == pytest.approx(160.0)


def test_a_gradient_along_the_weights_grows_with_decay_and_one_against_them_shrinks() -> None:
    for product, expected in ((120.0, 7.0), (-120.0, 1.0)):  # 3 + 4 and |3 - 4|
        whole = replace(by_hand().stats[0], gradient_dot_weight=product)
        along = replace(by_hand(), gradient_dot_weight=product, stats=(whole,))
        after = after_step(along, GradientStep(weight_decay=0.1))
        assert after.total_gradient_norm == pytest.approx(expected)
        assert after.gradient_dot_weight == pytest.approx(product + 160.0)
        assert after.stats[0].gradient_dot_weight == pytest.approx(product + 160.0)
        assert after.stats[0].weight_gradient is not None
        assert after.stats[0].weight_gradient.norm == pytest.approx(expected)


def test_clipping_comes_before_decay() -> None:
    after = after_step(by_hand(), clipped(1.5, decay=0.05))
    assert after.total_gradient_norm == pytest.approx(2.5)  # 1.5 and 2


def test_weights_that_decay_would_cancel_leave_a_norm_of_zero_however_rounding_falls() -> None:
    """-0.3 w + 0.3 w, with a product that is a little too small."""
    against = replace(by_hand(), gradient_dot_weight=-120.0 * (1 + 1e-12))
    assert after_step(against, GradientStep(weight_decay=0.075)).total_gradient_norm == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize(
    "changes", [{"weight_gradient": None}, {"weight": None}, {"gradient_dot_weight": None}]
)  # fmt: skip
def test_a_layer_of_which_too_little_is_known_is_left_by_decay_as_it_was(changes: dict[str, None]) -> None:
    whole = replace(by_hand().stats[0], **changes)
    assert after_step(replace(by_hand(), stats=(whole,)), GradientStep(weight_decay=0.1)).stats == (whole,)


def test_a_layer_without_gradient_is_left_by_decay_as_it_was() -> None:
    silent = replace(by_hand().stats[0].weight_gradient, norm=0.0, rms=0.0)  # type: ignore[type-var]
    whole = replace(by_hand().stats[0], weight_gradient=silent)
    assert after_step(replace(by_hand(), stats=(whole,)), GradientStep(weight_decay=0.1)).stats == (whole,)


def test_what_was_not_measured_stays_absent_under_either_step() -> None:
    bare = replace(by_hand().stats[0], update_ratio=None, vector_gradient=None)
    for step in (clipped(1.5), GradientStep(weight_decay=0.1)):
        (layer,) = after_step(replace(by_hand(), stats=(bare,)), step).stats
        assert (layer.update_ratio, layer.vector_gradient) == (None, None)
    unknown = replace(bare, weight_gradient=None, gradient_dot_weight=None)
    assert after_step(replace(by_hand(), stats=(unknown,)), clipped(1.5)).stats == (unknown,)


def test_gradients_of_the_loss_as_it_is_trained_are_times_what_it_was_divided_by() -> None:
    """Of the mean squared error itself, by torch."""
    random = np.random.default_rng(0)
    x = random.standard_normal((64, 4)).astype(np.float32)
    y = (500 * x[:, :1]).astype(np.float32)
    module = nn.Linear(4, 1)
    nn.functional.mse_loss(module(torch.from_numpy(x)), torch.from_numpy(y)).backward()
    model = check_model(export(module, torch.zeros(2, 4)))
    subject = prepare(model, npz(x=x, target=y), AnalysisOptions())
    measured = as_trained(measure(subject, cotangents=(0,)))
    (stats,) = measured.stats
    truth = float(module.weight.grad.norm())  # type: ignore[union-attr]
    assert stats.weight_gradient is not None
    assert stats.weight_gradient.norm == pytest.approx(truth, rel=1e-4)
    assert stats.update_ratio == pytest.approx(truth / float(module.weight.detach().norm()), rel=1e-4)
    whole = math.hypot(truth, float(module.bias.grad.norm()))  # type: ignore[union-attr]
    assert measured.total_gradient_norm == pytest.approx(whole, rel=1e-4)


def test_losses_that_are_divided_by_nothing_stay_as_they_are() -> None:
    plain = measurement()
    assert as_trained(plain) is plain


def test_a_step_is_told_for_gradients_that_were_divided() -> None:
    step = GradientStep(clip=Clip(kind=ClipKind.GLOBAL_NORM, max_norm=2.0), weight_decay=0.5)
    small = step.over(4.0)
    assert small.clip is not None
    assert (small.clip.max_norm, small.weight_decay) == (0.5, 0.125)
    assert GradientStep().over(4.0) == GradientStep()
