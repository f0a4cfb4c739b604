"""Gradients of single samples: their norms, how far they agree, and the batch size at which noise drowns them.

Only norms are needed: with g_b the gradient of sample b's loss and G their mean, coherence is B |G|^2 / mean |g_b|^2
(1 for orthogonal gradients, B for equal ones), and tr(Sigma) / |G|^2, both unbiased, is the noise scale (McCandlish et
al. 2018, appendix A). Two ways to the norms, the cheaper one by shape: for layers x W' on [N, I] the gradient of a
sample is an outer product, so its norm is |x_b| |delta_b| (ghost norms, Goodfellow 2015); everything else takes one
backward pass a sample. Batch statistics tie samples together: then there is no gradient of a single sample.
"""

import math
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Final

import torch

from analysis.convert.program import Watcher
from analysis.errors import NodeFailed
from analysis.facts import Layer, SampleGradients
from analysis.measure.statistics import combine, summarize
from analysis.subject.subject import Subject

MOST: Final = 32
"""Samples that a backward pass each is spent on."""
GHOST_FROM: Final = 64
"""Samples from which ghost norms are cheaper than a pass for each of MOST."""
BATCH_STATISTICS: Final = "batch statistics tie the samples together"


def measure_sample_gradients(subject: Subject, *, batch_statistics: bool) -> SampleGradients | str:
    """Norms, coherence and noise scale; the reason where there are none."""
    if batch_statistics:
        return BATCH_STATISTICS
    if subject.batch.size < 2:
        return "needs at least two samples"
    if subject.objective.targets is None:
        return "the graph's own loss is one number for the whole batch"
    products = [_outer_product(subject, layer) for layer in subject.layers]
    entering = [name for name in products if name is not None]
    if subject.batch.size >= GHOST_FROM and len(entering) == len(products):
        return _facts("ghost", *_ghost(subject, entering))
    try:
        return _facts("loop", *_loop(subject))
    except NodeFailed as error:
        return f"the graph does not run with one sample: {error}"


def _outer_product(subject: Subject, layer: Layer) -> str | None:
    """What enters a layer whose gradient for one sample is x times delta: x W' + b on [N, I], its weights used once."""
    known = subject.model.values.get(layer.output)
    vectors = known is not None and len(known.type.tensor_type.shape.dim) == 2
    if layer.op not in {"Gemm", "MatMul"} or not set(layer.parameters) <= {"weight", "bias"} or not vectors:
        return None
    names = {info.initializer for info in layer.parameters.values()}
    uses = [use for name in names for use in subject.sources.by_initializer[name]]
    node = next(use.node for use in uses if use.role == "weight")
    scaled = any(each.name in {"alpha", "beta"} and each.f != 1.0 for each in node.attribute)
    scaled |= any(each.name == "transA" and each.i for each in node.attribute)
    once = len(uses) == len(layer.parameters) and all(use.value == use.initializer for use in uses)
    return node.input[0] if once and not scaled and node.input[0] not in subject.sources.of else None


def _loop(subject: Subject) -> tuple[list[float], float]:
    """Squared norms of the gradients of the first samples, and of their mean."""
    weights = list(subject.converted.initializers.values())
    count = min(MOST, subject.batch.size)
    total: list[torch.Tensor | None] = [None] * len(weights)
    squares = []
    for row in range(count):
        loss = subject.loss(*subject.tensors([row]), [row])
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        squares.append(combine(summarize(each) for each in gradients if each is not None).sum_squares)
        for place, gradient in enumerate(gradients):
            if gradient is not None:
                before = total[place]
                total[place] = gradient if before is None else before.add_(gradient)
    mean = combine(summarize(each) for each in total if each is not None).sum_squares / count**2
    return squares, mean


def _ghost(subject: Subject, entering: Sequence[str]) -> tuple[list[float], float]:
    """The same for all samples at once, from what enters each layer and the gradient at its output."""
    seen: dict[str, torch.Tensor] = {}
    names = {*entering, *(layer.output for layer in subject.layers), subject.objective.head.value}
    watchers: dict[str, list[Watcher]] = {name: [partial(seen.__setitem__, name)] for name in names}
    inputs, targets = subject.tensors()
    subject.converted.observe(inputs, watchers)
    loss = subject.objective.loss(seen[subject.objective.head.value], targets)
    weights = list(subject.converted.initializers.values())
    outputs = [seen[layer.output] for layer in subject.layers]
    gradients = torch.autograd.grad(loss, [*weights, *outputs], allow_unused=True)
    mean = combine(summarize(each) for each in gradients[: len(weights)] if each is not None).sum_squares
    squares = torch.zeros(subject.batch.size, dtype=torch.float64)
    for layer, name, delta in zip(subject.layers, entering, gradients[len(weights) :], strict=True):
        if delta is not None:
            own = (delta.double() * subject.batch.size).square().sum(1).cpu()
            x = seen[name].detach().double().square().sum(1).cpu()
            squares += own * (x + ("bias" in layer.parameters))
    return squares.tolist(), mean


def _facts(method: str, squares: Sequence[float], mean: float) -> SampleGradients:
    """`mean`: squared norm of the mean gradient of these samples."""
    count = len(squares)
    typical = sum(squares) / count
    norms = sorted(map(math.sqrt, squares))
    signal = (count * mean - typical) / (count - 1)
    noise = (typical - mean) / (1 - 1 / count)
    return SampleGradients(
        samples=count,
        method=method,
        least_norm=norms[0],
        median_norm=median(norms),
        largest_norm=norms[-1],
        coherence=count * mean / typical if typical else 0.0,
        noise_scale=noise / signal if signal > 0 else None,
        absent={} if signal > 0 else {"noise_scale": "the mean gradient cannot be told from noise"},
    )
