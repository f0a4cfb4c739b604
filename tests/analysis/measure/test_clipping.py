"""Clipping and decay, against torch's own functions and the formula of Brock et al. 2021."""

import numpy as np
import pytest
import torch

from analysis.facts import Clip, ClipKind, GradientStep
from analysis.measure.clipping import clip_elements, take_step

SHAPES = [(4, 6), (8,), (3, 2, 3, 3), ()]


def tensors(seed: int, scale: float = 1.0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]


def parameters(gradients: list[torch.Tensor]) -> list[torch.nn.Parameter]:
    held = [torch.nn.Parameter(torch.zeros_like(each)) for each in gradients]
    for parameter, gradient in zip(held, gradients, strict=True):
        parameter.grad = gradient.clone()
    return held


@pytest.mark.parametrize("limit", [0.1, 1e6])
def test_the_joint_norm_is_clipped_as_torch_clips_it(limit: float) -> None:
    expected = parameters(tensors(0))
    torch.nn.utils.clip_grad_norm_(expected, limit)
    found = take_step(tensors(0), tensors(1), GradientStep(clip=Clip(kind=ClipKind.GLOBAL_NORM, max_norm=limit)))
    for each, parameter in zip(found, expected, strict=True):
        torch.testing.assert_close(each, parameter.grad, rtol=1e-4, atol=0)


@pytest.mark.parametrize("limit", [0.1, 1e6])
def test_elements_are_clipped_as_torch_clips_them(limit: float) -> None:
    expected = parameters(tensors(0))
    torch.nn.utils.clip_grad_value_(expected, limit)
    found = take_step(tensors(0), tensors(1), GradientStep(clip=Clip(kind=ClipKind.VALUE, max_norm=limit)))
    for each, parameter in zip(found, expected, strict=True):
        torch.testing.assert_close(each, parameter.grad, rtol=0, atol=0)


@pytest.mark.parametrize("share", [0.01, 100.0])
def test_units_are_clipped_in_proportion_to_their_weights(share: float) -> None:
    """G_i <- share max(|W_i|, 1e-3) / |G_i| G_i where |G_i| is larger, row by row; a vector is one unit."""
    clip = Clip(kind=ClipKind.ADAPTIVE, max_norm=share)
    for gradient, weight in zip(tensors(0)[:3], tensors(1)[:3], strict=True):
        g, w = ((each if each.ndim > 1 else each[None]).flatten(1).numpy() for each in (gradient, weight))
        limits = share * np.maximum(np.linalg.norm(w, axis=1, keepdims=True), 1e-3)
        norms = np.linalg.norm(g, axis=1, keepdims=True)
        expected = np.where(norms > limits, g * limits / norms, g).reshape(gradient.shape)
        np.testing.assert_allclose(clip_elements(gradient, weight, clip).numpy(), expected, rtol=1e-12)


def test_a_unit_of_zeros_may_leave_zero() -> None:
    clip = Clip(kind=ClipKind.ADAPTIVE, max_norm=0.1)
    kept = clip_elements(torch.ones(2, 4), torch.zeros(2, 4), clip)
    torch.testing.assert_close(kept.norm(dim=1), torch.full((2,), 1e-4))


def test_a_gradient_of_zero_stays_zero() -> None:
    clip = Clip(kind=ClipKind.ADAPTIVE, max_norm=0.1)
    assert not clip_elements(torch.zeros(2, 4), torch.ones(2, 4), clip).any()


def test_a_number_has_no_unit_to_be_in_proportion_to() -> None:
    clip = Clip(kind=ClipKind.ADAPTIVE, max_norm=0.1)
    assert clip_elements(torch.tensor(5.0), torch.tensor(1.0), clip) == 5


def test_decay_comes_behind_clipping() -> None:
    step = GradientStep(clip=Clip(kind=ClipKind.VALUE, max_norm=0.5), weight_decay=0.1)
    found = take_step(tensors(0, 10.0), tensors(1), step)
    for each, gradient, weight in zip(found, tensors(0, 10.0), tensors(1), strict=True):
        torch.testing.assert_close(each, gradient.clamp(-0.5, 0.5) + 0.1 * weight)


def test_no_clip_and_no_decay_is_the_gradient_itself() -> None:
    for each, gradient in zip(take_step(tensors(0), tensors(1), GradientStep()), tensors(0), strict=True):
        assert torch.equal(each, gradient)
