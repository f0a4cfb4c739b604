"""What the exhibits have to learn: endless samples of easy tasks, so that training sees fresh ones.

A task is drawn from a seed and gives a sampler; a sampler gives inputs and targets, class ids or numbers. The batch
that is uploaded with a model is 256 samples of it.
"""

from collections.abc import Callable

import numpy as np

SAMPLES = 256
Sampler = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
"""(random, samples) -> inputs, targets."""
Task = Callable[[int], Sampler]


def vectors(inputs: int = 32, classes: int = 10, *, scale: float = 1.0, shift: float = 0.0) -> Task:
    """Noisy prototypes."""

    def task(seed: int) -> Sampler:
        prototypes = np.random.default_rng((seed, 11)).standard_normal((classes, inputs))

        def sample(random: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
            target = random.integers(0, classes, samples)
            x = prototypes[target] + 0.5 * random.standard_normal((samples, inputs))
            return (scale * x / np.sqrt(1.25) + shift).astype(np.float32), target

        return sample

    return task


def images(size: int = 12, classes: int = 10, *, scale: float = 1.0, shift: float = 0.0) -> Task:
    """Coarse patches of colour under noise, unit RMS: a class shows in its colours wherever a network pools."""

    def task(seed: int) -> Sampler:
        random = np.random.default_rng((seed, 12))
        colors = random.standard_normal((classes, 3, 1, 1)) + 0.5 * random.standard_normal((classes, 3, 4, 4))
        prototypes = np.kron(colors, np.ones((1, 1, size // 4, size // 4)))

        def sample(random: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
            target = random.integers(0, classes, samples)
            x = prototypes[target] + 0.5 * random.standard_normal((samples, 3, size, size))
            return (scale * x / np.sqrt(1.5) + shift).astype(np.float32), target

        return sample

    return task


def sentences(vocabulary: int = 40, steps: int = 12, classes: int = 5) -> Task:
    """Token ids; every class has words of its own, which make up half of a sentence."""

    def task(seed: int) -> Sampler:
        words = np.random.default_rng((seed, 13)).permutation(vocabulary).reshape(classes, -1)

        def sample(random: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
            target = random.integers(0, classes, samples)
            own = words[target[:, None], random.integers(0, words.shape[1], (samples, steps))]
            other = random.integers(0, vocabulary, (samples, steps))
            return np.where(random.random((samples, steps)) < 0.5, own, other), target

        return sample

    return task


def next_words(vocabulary: int = 20, steps: int = 10) -> Task:
    """Language: each word has one that nearly always follows; targets are the following words."""

    def task(seed: int) -> Sampler:
        follows = np.random.default_rng((seed, 14)).permutation(vocabulary)

        def sample(random: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
            text = random.integers(0, vocabulary, (samples, steps + 1))
            for step in range(steps):
                usual = random.random(samples) < 0.9
                text[:, step + 1] = np.where(usual, follows[text[:, step]], text[:, step + 1])
            return text[:, :-1], text[:, 1:]

        return sample

    return task


def sequences(steps: int = 30, at: int = -1, inputs: int = 8, classes: int = 4) -> Task:
    """Noise, and at one step the class."""

    def task(seed: int) -> Sampler:
        prototypes = 1.5 * np.random.default_rng((seed, 15)).standard_normal((classes, inputs))

        def sample(random: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
            target = random.integers(0, classes, samples)
            x = random.standard_normal((samples, steps, inputs))
            x[:, at] = prototypes[target] + 0.3 * random.standard_normal((samples, inputs))
            return x.astype(np.float32), target

        return sample

    return task


def averages(steps: int = 30, inputs: int = 8, classes: int = 4) -> Task:
    """A class is the mean of a noisy sequence."""

    def task(seed: int) -> Sampler:
        prototypes = np.random.default_rng((seed, 16)).standard_normal((classes, inputs))

        def sample(random: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
            target = random.integers(0, classes, samples)
            x = prototypes[target][:, None] + 0.7 * random.standard_normal((samples, steps, inputs))
            return x.astype(np.float32), target

        return sample

    return task


def numbers(inputs: int = 32, rank: int = 4) -> Task:
    """Reconstruction of inputs that lie near a plane of few dimensions."""

    def task(seed: int) -> Sampler:
        plane = np.random.default_rng((seed, 17)).standard_normal((rank, inputs)) / np.sqrt(rank)

        def sample(random: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
            x = random.standard_normal((samples, rank)) @ plane + 0.1 * random.standard_normal((samples, inputs))
            return x.astype(np.float32), x.astype(np.float32)

        return sample

    return task


def circles(inputs: int = 2, radius: float = 0.5) -> Task:
    """Inside or outside: two spheres around zero, the inner one of this radius; no line parts them."""

    def task(seed: int) -> Sampler:
        def sample(random: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
            target = random.integers(0, 2, samples)
            x = random.standard_normal((samples, inputs))
            x *= np.where(target, 1.0, radius)[:, None] / np.linalg.norm(x, axis=1, keepdims=True)
            return (x + 0.05 * random.standard_normal(x.shape)).astype(np.float32), target

        return sample

    return task


def noise(inputs: int = 64, classes: int = 10, *size: int) -> Task:
    """Inputs and labels that know nothing of each other."""

    def task(seed: int) -> Sampler:
        def sample(random: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
            x = random.standard_normal((samples, inputs, *size)).astype(np.float32)
            return x, random.integers(0, classes, samples)

        return sample

    return task


def clean_images(size: int = 12, classes: int = 10) -> Task:
    """An image to be freed of its noise."""
    pictures = images(size, classes)

    def task(seed: int) -> Sampler:
        inner = pictures(seed)

        def sample(random: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
            x, _ = inner(random, samples)
            return (x + 0.5 * random.standard_normal(x.shape)).astype(np.float32), x

        return sample

    return task


def quadrants(
    inputs: int = 32, *, scale: float = 1.0, shift: float = 0.0, outliers: float = 0.0, bits: bool = False
) -> Task:
    """Two numbers of 1, 2, 3 or 4 each, as signs of two directions say; times a scale, or bits of one sign.

    `outliers`: one in 200 is so much larger, which follows from nothing.
    """

    def task(seed: int) -> Sampler:
        directions = np.random.default_rng((seed, 21)).standard_normal((inputs, 4)) / np.sqrt(inputs)

        def sample(random: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
            x = random.standard_normal((samples, inputs)).astype(np.float32)
            signs = (x @ directions > 0).astype(np.float32)
            if bits:
                return x, signs[:, :2].astype(np.int64)
            y = scale * (1 + signs[:, :2] + 2 * signs[:, 2:]) + shift
            if outliers:
                far = random.choice(y.size, max(y.size // 200, 1), replace=False)
                y.reshape(-1)[far] *= outliers
            return x, y.astype(np.float32)

        return sample

    return task
