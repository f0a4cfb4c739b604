"""Random cotangents, and how a backward pass starts from one."""

import torch

from analysis.measure.taps import sample_axis


def random_cotangent(logits: torch.Tensor, samples: int, seed: int) -> torch.Tensor:
    """v ~ N(0, 1) over all elements, scaled to norm 1 per sample."""
    draw = torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    axis = sample_axis(logits, samples)
    others = [place for place in range(draw.ndim) if place != axis]
    norm = torch.linalg.vector_norm(draw, dim=others, keepdim=True) if others else draw.abs()
    return (draw / norm).to(logits)


def paired(value: torch.Tensor, cotangent: torch.Tensor) -> torch.Tensor:
    """The sum of v f, whose gradient at f is exactly v: to be differentiated in place of f with v given to torch.

    A gradient that torch is given makes it load its algebra of shapes: 480 modules, .3 s in each process.
    """
    return (value * cotangent).sum()
