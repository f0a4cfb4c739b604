"""What the networks are trained on: endless synthetic samples that a healthy network of the family learns in 200 steps.

Vectors: noisy class prototypes, a random smooth teacher's classes, its numbers. Images: gratings told apart by their
direction (phase and noise are random), noisy smooth templates. Sequences: recall the class shown at one step among
noise, name the class shown at a place or most often; as float features or as token ids. Classes are equally
frequent, so chance is the logarithm of their number; numbers have variance 1, so chance is 1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from tests.benchmarks.trainability.configurations import Configuration

Samples = tuple[torch.Tensor, torch.Tensor]
Sampler = Callable[[int, torch.Generator], Samples]
"""(count, generator) -> inputs and targets."""

CLUSTER_NOISE: Final = 0.7
IMAGE_NOISE: Final = 0.5
CHANNELS: Final = 3
WORD_NOISE: Final = 0.3
MAJORITY_SHARE: Final = 0.6
"""Steps that show the class; the others show any."""
TEACHER_UNITS: Final = 8
CALIBRATION: Final = 4096
"""Samples that a teacher's outputs are standardised on."""


@dataclass(frozen=True, eq=False)
class Task:
    """A distribution of samples."""

    sampler: Sampler
    chance: float
    """Loss of the best constant prediction."""
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

    def sample(self, count: int, generator: torch.Generator) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Inputs and targets of so many fresh samples."""
        inputs, targets = self.sampler(count, generator)
        return (inputs,), targets


def make_task(configuration: Configuration) -> Task:
    """The task of a configuration, its prototypes drawn with the configuration's seed."""
    sampler = SAMPLERS[configuration.task](configuration, generator_for(configuration.seed, "task"))
    scaled = _scaled(sampler, configuration.input_scale)
    if configuration.task == "regression":
        return Task(scaled, 1.0, F.mse_loss)
    return Task(scaled, math.log(configuration.classes), F.cross_entropy)


def generator_for(seed: int, purpose: str) -> torch.Generator:
    """An independent stream of random numbers for each purpose."""
    return torch.Generator().manual_seed(seed * 1_009 + sum(purpose.encode()))


def _scaled(sampler: Sampler, scale: float) -> Sampler:
    def sample(count: int, generator: torch.Generator) -> Samples:
        inputs, targets = sampler(count, generator)
        return (inputs * scale if inputs.is_floating_point() and scale != 1.0 else inputs), targets

    return sample


# ------------------------------------------------------------------ vectors


def _clusters(configuration: Configuration, generator: torch.Generator) -> Sampler:
    prototypes = torch.randn(configuration.classes, configuration.size, generator=generator)

    def sample(count: int, generator: torch.Generator) -> Samples:
        targets = _labels(configuration, count, generator)
        noise = torch.randn(count, configuration.size, generator=generator)
        return (prototypes[targets] + CLUSTER_NOISE * noise) / math.sqrt(1 + CLUSTER_NOISE**2), targets

    return sample


def _regression(configuration: Configuration, generator: torch.Generator) -> Sampler:
    teach = _teacher(configuration, generator)

    def sample(count: int, generator: torch.Generator) -> Samples:
        inputs = torch.randn(count, configuration.size, generator=generator)
        return inputs, teach(inputs)

    return sample


def _teacher_classes(configuration: Configuration, generator: torch.Generator) -> Sampler:
    """The largest of the teacher's outputs, the same number of samples for each class."""
    teach = _teacher(configuration, generator)

    def sample(count: int, generator: torch.Generator) -> Samples:
        inputs = torch.randn(8 * count, configuration.size, generator=generator)
        classes = teach(inputs).argmax(1)
        wanted = _labels(configuration, count, generator)
        rows = [_take(classes == each, int((wanted == each).sum())) for each in range(configuration.classes)]
        order = torch.randperm(sum(len(each) for each in rows), generator=generator)
        chosen = torch.cat(rows)[order]
        return inputs[chosen], classes[chosen]

    return sample


def _take(wanted: torch.Tensor, count: int) -> torch.Tensor:
    """Rows that fit, again from the first where there are too few."""
    rows = wanted.nonzero()[:, 0]
    return rows[torch.arange(count) % len(rows)] if len(rows) else rows


def _teacher(configuration: Configuration, generator: torch.Generator) -> Callable[[torch.Tensor], torch.Tensor]:
    """A random smooth function with outputs of mean 0 and variance 1."""
    inner = torch.randn(configuration.size, TEACHER_UNITS, generator=generator) / math.sqrt(configuration.size)
    outer = torch.randn(TEACHER_UNITS, configuration.classes, generator=generator)
    outputs = torch.tanh(torch.randn(CALIBRATION, configuration.size, generator=generator) @ inner) @ outer
    mean, std = outputs.mean(0), outputs.std(0)
    return lambda inputs: (torch.tanh(inputs @ inner) @ outer - mean) / std


# ------------------------------------------------------------------ images


def _textures(configuration: Configuration, _: torch.Generator) -> Sampler:
    """Gratings: the class is the direction; phase and colour are random."""
    rows, columns = torch.meshgrid(torch.arange(configuration.size), torch.arange(configuration.size), indexing="ij")
    angles = torch.arange(configuration.classes) * math.pi / configuration.classes
    waves = 2 * math.pi / 4 * (angles.cos()[:, None, None] * rows + angles.sin()[:, None, None] * columns)

    def sample(count: int, generator: torch.Generator) -> Samples:
        targets = _labels(configuration, count, generator)
        phase = 2 * math.pi * torch.rand(count, 1, 1, generator=generator)
        gratings = math.sqrt(2) * torch.sin(waves[targets] + phase)
        colours = 0.5 + torch.rand(count, CHANNELS, 1, 1, generator=generator)
        return _noisy(colours * gratings[:, None], generator), targets

    return sample


def _templates(configuration: Configuration, generator: torch.Generator) -> Sampler:
    coarse = torch.randn(configuration.classes, CHANNELS, 4, 4, generator=generator)
    templates = F.interpolate(coarse, size=configuration.size, mode="bilinear", align_corners=True)
    templates = templates / templates.std()

    def sample(count: int, generator: torch.Generator) -> Samples:
        targets = _labels(configuration, count, generator)
        return _noisy(templates[targets], generator), targets

    return sample


def _noisy(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return images + IMAGE_NOISE * torch.randn(images.shape, generator=generator)


# ------------------------------------------------------------------ sequences

Words = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
"""Classes [N, T], -1 where a step shows none, to token ids [N, T] or features [N, T, F]."""


def _recall(configuration: Configuration, generator: torch.Generator) -> Sampler:
    """One step shows the class, the others show noise of another kind."""
    show = _words(configuration, generator)

    def sample(count: int, generator: torch.Generator) -> Samples:
        targets = _labels(configuration, count, generator)
        shown = torch.full((count, configuration.steps), -1)
        shown[:, configuration.cue] = targets
        return show(shown, generator), targets

    return sample


def _locate(configuration: Configuration, generator: torch.Generator) -> Sampler:
    """Every step shows some class, only one counts: where it is has to be learnt."""
    show = _words(configuration, generator)

    def sample(count: int, generator: torch.Generator) -> Samples:
        shown = torch.randint(0, configuration.classes, (count, configuration.steps), generator=generator)
        return show(shown, generator), shown[:, configuration.cue].clone()

    return sample


def _majority(configuration: Configuration, generator: torch.Generator) -> Sampler:
    show = _words(configuration, generator)

    def sample(count: int, generator: torch.Generator) -> Samples:
        targets = _labels(configuration, count, generator)
        noise = torch.randint(0, configuration.classes, (count, configuration.steps), generator=generator)
        loyal = torch.rand(count, configuration.steps, generator=generator) < MAJORITY_SHARE
        return show(torch.where(loyal, targets[:, None], noise), generator), targets

    return sample


def _words(configuration: Configuration, generator: torch.Generator) -> Words:
    return (_token_words if configuration.tokens else _feature_words)(configuration, generator)


def _token_words(configuration: Configuration, _: torch.Generator) -> Words:
    """The lower half of the vocabulary has synonyms of the classes, the upper half means nothing."""
    classes, half = configuration.classes, configuration.size // 2

    def show(shown: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        synonym = classes * torch.randint(0, half // classes, shown.shape, generator=generator)
        noise = torch.randint(half, configuration.size, shown.shape, generator=generator)
        return torch.where(shown < 0, noise, shown + synonym)

    return show


def _feature_words(configuration: Configuration, generator: torch.Generator) -> Words:
    """A prototype and a little noise, or noise alone; the same variance."""
    prototypes = torch.randn(configuration.classes, configuration.size, generator=generator)
    prototypes = prototypes / prototypes.std()

    def show(shown: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        noise = torch.randn(*shown.shape, configuration.size, generator=generator)
        word = math.sqrt(1 - WORD_NOISE**2) * prototypes[shown] + WORD_NOISE * noise
        return torch.where(shown[..., None] < 0, noise, word)

    return show


def _labels(configuration: Configuration, count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(0, configuration.classes, (count,), generator=generator)


SAMPLERS: Final[dict[str, Callable[[Configuration, torch.Generator], Sampler]]] = {
    "clusters": _clusters, "teacher": _teacher_classes, "regression": _regression, "textures": _textures,
    "templates": _templates, "recall": _recall, "locate": _locate, "majority": _majority,
}  # fmt: skip
