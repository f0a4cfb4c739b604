"""Gradient clipping and weight decay on tensors, as torch and Brock et al. 2021 do it."""

from collections.abc import Sequence

import torch

from analysis.facts import LEAST_UNIT_NORM, TINY_NORM, Clip, ClipKind, GradientStep


def clip_elements(gradient: torch.Tensor, weight: torch.Tensor, clip: Clip) -> torch.Tensor:
    """One gradient, its elements cut at +- the limit, or each row [units, ..] scaled to a share of its weights'."""
    if clip.kind is ClipKind.VALUE:
        return gradient.clamp(-clip.max_norm, clip.max_norm)
    axes = tuple(range(1, gradient.ndim)) if gradient.ndim > 1 else (0,)
    if gradient.ndim == 0:
        return gradient
    allowed: torch.Tensor = clip.max_norm * torch.linalg.vector_norm(weight.detach(), dim=axes, keepdim=True).clamp(
        min=LEAST_UNIT_NORM
    )
    length = torch.linalg.vector_norm(gradient, dim=axes, keepdim=True).clamp(min=TINY_NORM)
    kept: torch.Tensor = gradient * (allowed / length).clamp(max=1.0)
    return kept


def take_step(
    gradients: Sequence[torch.Tensor], weights: Sequence[torch.Tensor], step: GradientStep
) -> list[torch.Tensor]:
    """What the optimiser is handed: clipped first, then decayed; in place where it can be."""
    found = list(gradients)
    if step.clip is not None and step.clip.kind is ClipKind.GLOBAL_NORM:
        norm = float(torch.nn.utils.get_total_norm(found))
        if norm > step.clip.max_norm:
            torch._foreach_mul_(found, step.clip.max_norm / norm)
    elif step.clip is not None:
        found = [clip_elements(each, weight, step.clip) for each, weight in zip(found, weights, strict=True)]
    if step.weight_decay:
        torch._foreach_add_(found, list(weights), alpha=step.weight_decay)
    return found
