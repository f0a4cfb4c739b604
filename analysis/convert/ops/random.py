"""Random numbers. Each node draws the same ones in every forward pass and at every precision: reports repeat.

The `seed` attribute chooses them, else the name of the node. They are drawn on the host and in float64, so that they
depend neither on the device nor on the element type.
"""

import struct
import zlib

import torch

from analysis.convert.registry import DType, Ints, NodeName, OutputElement, Tensor, op


def _generator(seed: float | None, node: str) -> torch.Generator:
    """Torch seeds with 32 bits: those of the attribute as a float32, or a checksum of the name."""
    bits = zlib.crc32(node.encode()) if seed is None else struct.unpack("<I", struct.pack("<f", seed))[0]
    return torch.Generator().manual_seed(bits)


def _chosen(dtype: torch.dtype | None, element: OutputElement) -> torch.dtype:
    return dtype or (element.dtype if element else torch.float32)


@op("RandomNormal", pure=False)
def random_normal(
    *, shape: Ints, dtype: DType | None = None, mean: float = 0.0, scale: float = 1.0, seed: float | None = None,
    node: NodeName, element: OutputElement = None,
) -> Tensor:  # fmt: skip
    """Numbers with this mean and standard deviation."""
    drawn = torch.randn(shape, generator=_generator(seed, node), dtype=torch.float64)
    return (mean + scale * drawn).to(_chosen(dtype, element))


@op("RandomUniform", pure=False)
def random_uniform(
    *, shape: Ints, dtype: DType | None = None, low: float = 0.0, high: float = 1.0, seed: float | None = None,
    node: NodeName, element: OutputElement = None,
) -> Tensor:  # fmt: skip
    """Numbers of [low, high)."""
    drawn = torch.rand(shape, generator=_generator(seed, node), dtype=torch.float64)
    return (low + (high - low) * drawn).to(_chosen(dtype, element))


@op("RandomNormalLike", pure=False)
def random_normal_like(
    x: Tensor, *, dtype: DType | None = None, mean: float = 0.0, scale: float = 1.0, seed: float | None = None,
    node: NodeName,
) -> Tensor:  # fmt: skip
    """RandomNormal in the shape of x, and in its type by default."""
    drawn = random_normal(shape=tuple(x.shape), dtype=dtype or x.dtype, mean=mean, scale=scale, seed=seed, node=node)
    return drawn.to(x.device)


@op("RandomUniformLike", pure=False)
def random_uniform_like(
    x: Tensor, *, dtype: DType | None = None, low: float = 0.0, high: float = 1.0, seed: float | None = None,
    node: NodeName,
) -> Tensor:  # fmt: skip
    """RandomUniform in the shape of x, and in its type by default."""
    drawn = random_uniform(shape=tuple(x.shape), dtype=dtype or x.dtype, low=low, high=high, seed=seed, node=node)
    return drawn.to(x.device)


@op("Bernoulli", 15, pure=False)
def bernoulli(probability: Tensor, *, dtype: DType | None = None, seed: float | None = None, node: NodeName) -> Tensor:
    """1 with this probability, else 0; no gradient."""
    drawn = torch.rand(probability.shape, generator=_generator(seed, node), dtype=torch.float64)
    return (drawn.to(probability.device) < probability).to(dtype or probability.dtype)


@op("Multinomial", 7, pure=False)
def multinomial(
    scores: Tensor, *, dtype: DType | None = None, sample_size: int = 1, seed: float | None = None,
    node: NodeName,
) -> Tensor:  # fmt: skip
    """Classes [N, sample_size] drawn with replacement from unnormalised log-probabilities [N, C]; no gradient."""
    chances = scores.detach().cpu().double().softmax(1)
    drawn = torch.multinomial(chances, sample_size, replacement=True, generator=_generator(seed, node))
    return drawn.to(device=scores.device, dtype=dtype or torch.int32)
