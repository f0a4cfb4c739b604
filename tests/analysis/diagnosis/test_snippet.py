import pytest
import torch
from torch import nn

from analysis.diagnosis.snippet import training_snippet
from analysis.facts import Clip, ClipKind, GradientStep

CLIPS = {
    "none": None,
    "norm": Clip(kind=ClipKind.GLOBAL_NORM, max_norm=0.1),
    "value": Clip(kind=ClipKind.VALUE, max_norm=0.01),
    "adaptive": Clip(kind=ClipKind.ADAPTIVE, max_norm=0.02),
}


def by_hand(gradients: list[torch.Tensor], weights: list[torch.Tensor], kind: str) -> list[torch.Tensor]:
    """Clipped gradients from the papers' formulas."""
    if kind == "norm":
        norm = sum((gradient**2).sum() for gradient in gradients).sqrt()
        return [gradient * min(1.0, 0.1 / norm) for gradient in gradients]
    if kind == "value":
        return [gradient.clamp(-0.01, 0.01) for gradient in gradients]
    if kind == "adaptive":
        return [unit_wise(gradient, weight) for gradient, weight in zip(gradients, weights, strict=True)]
    return gradients


def unit_wise(gradient: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Brock et al. 2021, equation 3: rows of a matrix; a vector is one unit."""
    rows, weights = (gradient, weight) if gradient.ndim > 1 else (gradient[None], weight[None])
    clipped = [g * min(1.0, 0.02 * max(float(w.norm()), 1e-3) / float(g.norm())) for g, w in zip(rows, weights)]
    return torch.stack(clipped).reshape(gradient.shape)


@pytest.mark.parametrize("kind", CLIPS)
@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_the_lines_run_and_take_the_step_they_describe(kind: str, decay: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    before = [weight.detach().clone() for weight in model.parameters()]
    inputs, targets = torch.randn(16, 6), torch.randint(3, (16,))
    loss = nn.functional.cross_entropy(model(inputs), targets)
    gradients = list(torch.autograd.grad(loss, list(model.parameters())))
    loss = nn.functional.cross_entropy(model(inputs), targets)
    step = GradientStep(clip=CLIPS[kind], weight_decay=decay)
    code = training_snippet("sgd", 0.1, 0.9, step, "proven by nobody")
    exec(code, {"torch": torch, "model": model, "loss": loss})
    clipped = by_hand(gradients, before, kind)
    for weight, old, gradient in zip(model.parameters(), before, clipped, strict=True):
        torch.testing.assert_close(weight.detach(), old - 0.1 * (gradient + decay * old), rtol=1e-5, atol=1e-7)


def test_a_warm_up_is_a_schedule_that_runs() -> None:
    model = nn.Linear(2, 1)
    loss = model(torch.ones(1, 2)).sum()
    scope = {"torch": torch, "model": model, "loss": loss}
    exec(training_snippet("adam", 0.4, None, GradientStep(), "proven by nobody", warm_up=4), scope)
    optimizer = scope["optimizer"]
    assert isinstance(optimizer, torch.optim.Adam)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2)  # of the second step


def test_the_first_line_says_what_proved_it_and_the_second_which_optimiser() -> None:
    lines = training_snippet("adam", 3e-3, None, GradientStep(), "proven by 20 steps").splitlines()
    assert lines[0] == "# proven by 20 steps"
    assert lines[1] == "optimizer = torch.optim.Adam(model.parameters(), lr=0.003)"


def test_the_lines_are_those_that_a_reader_pastes() -> None:
    step = GradientStep(clip=CLIPS["adaptive"], weight_decay=0.05)
    assert training_snippet("sgd", 0.1, 0.9, step, "proven by nobody") == (
        "# proven by nobody\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.05)\n"
        "# in every step:\n"
        "optimizer.zero_grad()\n"
        "loss.backward()\n"
        "for weight in model.parameters():  # adaptive clipping (Brock et al. 2021)\n"
        "    if weight.grad is not None and weight.ndim:\n"
        "        axes = tuple(range(1, weight.ndim)) or (0,)\n"
        "        own = torch.linalg.vector_norm(weight.detach(), dim=axes, keepdim=True)\n"
        "        allowed = own.clamp(min=0.001) * 0.02\n"
        "        length = torch.linalg.vector_norm(weight.grad, dim=axes, keepdim=True).clamp(min=1e-06)\n"
        "        weight.grad.mul_((allowed / length).clamp(max=1.0))\n"
        "optimizer.step()\n"
    )
