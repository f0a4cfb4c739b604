"""A gradient step as code: what cannot live in a graph is handed over as lines for a PyTorch training loop."""

from typing import Final

from analysis.facts import LEAST_UNIT_NORM, TINY_NORM, Clip, ClipKind, GradientStep

_OPTIMIZERS: Final = {"sgd": "SGD", "adam": "Adam"}


def training_snippet(
    optimizer: str, learning_rate: float, momentum: float | None, step: GradientStep, proof: str, warm_up: int = 0
) -> str:
    """Lines that expect `model` and a `loss` of it; the first, a comment, says which probe proved them.

    `warm_up`: steps over which the rate rises to its own.
    """
    rising = [f"torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / {warm_up}))"]
    settings = [f"lr={learning_rate:g}"]
    settings += [] if momentum is None else [f"momentum={momentum:g}"]
    settings += [f"weight_decay={step.weight_decay:g}"] if step.weight_decay else []
    lines = [
        f"# {proof}",
        f"optimizer = torch.optim.{_OPTIMIZERS[optimizer]}(model.parameters(), {', '.join(settings)})",
        *(f"warm_up = {line}" for line in rising if warm_up),
        "# in every step:",
        "optimizer.zero_grad()",
        "loss.backward()",
        *([] if step.clip is None else _clip_lines(step.clip)),
        "optimizer.step()",
        *(["warm_up.step()"] if warm_up else []),
    ]
    return "\n".join(lines) + "\n"


def _clip_lines(clip: Clip) -> list[str]:
    if clip.kind is ClipKind.GLOBAL_NORM:
        return [f"torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm={clip.max_norm:g})"]
    if clip.kind is ClipKind.VALUE:
        return [f"torch.nn.utils.clip_grad_value_(model.parameters(), clip_value={clip.max_norm:g})"]
    return [
        "for weight in model.parameters():  # adaptive clipping (Brock et al. 2021)",
        "    if weight.grad is not None and weight.ndim:",
        "        axes = tuple(range(1, weight.ndim)) or (0,)",
        "        own = torch.linalg.vector_norm(weight.detach(), dim=axes, keepdim=True)",
        f"        allowed = own.clamp(min={LEAST_UNIT_NORM:g}) * {clip.max_norm:g}",
        f"        length = torch.linalg.vector_norm(weight.grad, dim=axes, keepdim=True).clamp(min={TINY_NORM:g})",
        "        weight.grad.mul_((allowed / length).clamp(max=1.0))",
    ]
