"""SGD with momentum and Adam, written out.

torch.optim pulls in a compiler that costs a second and 70 MB per process; a test holds these to torch's. Adam is one
kernel a weight, once through memory: in single operations it took four to six times as long. SGD would gain little so,
and on networks at the edge of chaos its last bit decides what they come to.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Final

import torch

from analysis.options import OptimizerName
from analysis.training.grid import Training

MOMENTUM: Final = 0.9
Update = Callable[[Sequence[torch.Tensor], Sequence[torch.Tensor]], None]
"""(weights, gradients): change the weights in place."""


# ------------------------------------------------------------------ updates


def update_of(entry: Training) -> Update:
    """The update of a run of the grid."""
    return _momentum_update(entry.rate_at) if entry.optimizer is OptimizerName.SGD else _adam_update(entry.rate_at)


def _momentum_update(rate_at: Callable[[int], float]) -> Update:
    """V <- 0.9 v + g; w <- w - rate v (torch.optim.SGD)."""
    velocity: list[torch.Tensor] = []
    steps = itertools.count(1)

    def update(weights: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> None:
        if not velocity:
            velocity.extend(gradient.clone() for gradient in gradients)
        else:
            torch._foreach_mul_(velocity, MOMENTUM)
            torch._foreach_add_(velocity, list(gradients))
        torch._foreach_add_(list(weights), velocity, alpha=-rate_at(next(steps)))

    return update


def _adam_update(
    rate_at: Callable[[int], float], beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> Update:
    """Moments with bias correction (Kingma and Ba 2015, algorithm 1; torch.optim.Adam)."""
    first: list[torch.Tensor] = []
    second: list[torch.Tensor] = []
    counts: list[torch.Tensor] = []
    steps = itertools.count(1)

    def update(weights: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> None:
        if not first:
            first.extend(torch.zeros_like(weight) for weight in weights)
            second.extend(torch.zeros_like(weight) for weight in weights)
            counts.extend(torch.zeros((), device=weight.device) for weight in weights)
        step = next(steps)
        for count in counts:
            count.fill_(step)
        torch._fused_adam_(
            list(weights), _laid_out(gradients, weights), first, second, [], counts,
            lr=rate_at(step), beta1=beta1, beta2=beta2, weight_decay=0.0, eps=epsilon, amsgrad=False, maximize=False,
        )  # fmt: skip

    return update


def _laid_out(gradients: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Gradients in memory as their weights are, which the kernels take for granted."""
    return [
        gradient if gradient.stride() == weight.stride() else torch.empty_like(weight).copy_(gradient)
        for gradient, weight in zip(gradients, weights, strict=True)
    ]
