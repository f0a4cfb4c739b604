"""SGD with momentum and Adam, written out.

torch.optim pulls in a compiler that costs a second and 70 MB per process; a test holds these to torch's.
"""

import itertools
import math
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
    step = 0

    def update(weights: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> None:
        nonlocal step
        step += 1
        grads = list(gradients)
        if not first:
            first.extend(torch.zeros_like(gradient) for gradient in grads)
            second.extend(torch.zeros_like(gradient) for gradient in grads)
        torch._foreach_lerp_(first, grads, 1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, grads, grads, 1 - beta2)
        scale = torch._foreach_sqrt(second)  # noqa: SLF001
        torch._foreach_div_(scale, math.sqrt(1 - beta2**step))
        torch._foreach_add_(scale, epsilon)
        torch._foreach_addcdiv_(list(weights), first, scale, -rate_at(step) / (1 - beta1**step))

    return update
