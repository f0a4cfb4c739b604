"""Small seeded data sets, like those of the questions and papers."""

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray]


def f32(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32)


def blobs(n: int, width: int, classes: int, seed: int, noise: float = 0.6) -> Arrays:
    """Two clusters a class."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((2 * classes, width))
    which = random.integers(0, 2 * classes, n)
    return f32(centres[which] + noise * random.standard_normal((n, width))), (which % classes).astype(np.int64)


def signs(n: int, width: int, seed: int) -> Arrays:
    """1 where the first two numbers have one sign: nothing that a line can tell."""
    x = np.random.default_rng(seed).standard_normal((n, width))
    return f32(x), (x[:, 0] * x[:, 1] > 0).astype(np.int64)


def spirals(n: int, seed: int) -> Arrays:
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, n)
    radius = random.uniform(0.2, 1, n)
    angle = 9 * radius + np.pi * y
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1) + 0.02 * random.standard_normal((n, 2))
    return f32(2 * x), y.astype(np.int64)


def images(n: int, channels: int, size: int, classes: int, seed: int, noise: float = 0.6) -> Arrays:
    """Coarse templates and noise, about unit variance."""
    random = np.random.default_rng(seed)
    coarse = random.standard_normal((classes, channels, size // 2, size // 2))
    templates = coarse.repeat(2, 2).repeat(2, 3)
    y = random.integers(0, classes, n)
    return f32(templates[y] + noise * random.standard_normal((n, channels, size, size))), y.astype(np.int64)


def pixels(n: int, channels: int, size: int, classes: int, seed: int) -> Arrays:
    """The same as bytes would be: 0 to 255."""
    x, y = images(n, channels, size, classes, seed)
    return f32(np.clip(128 + 50 * x, 0, 255)), y


def curve(n: int, width: int, seed: int, outputs: int = 1) -> Arrays:
    """Smooth numbers of mean 0 and deviation 1."""
    random = np.random.default_rng(seed)
    x = random.uniform(-1, 1, (n, width))
    y = np.sin(2 * x @ random.standard_normal((width, outputs))) + 0.7 * x[:, :1] * x[:, 1:2]
    return f32(x), f32((y - y.mean(0)) / y.std(0))


def marked(n: int, length: int, width: int, classes: int, at: slice, seed: int, noise: float = 0.3) -> Arrays:
    """Sequences that show their class for some steps."""
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, n)
    x = noise * random.standard_normal((n, length, width))
    x[:, at] += random.standard_normal((classes, width))[y][:, None]
    return f32(x), y.astype(np.int64)


def next_tokens(n: int, length: int, vocabulary: int, seed: int) -> Arrays:
    """Sequences in which a token follows from the one before, but for one in ten."""
    random = np.random.default_rng(seed)
    follows = random.permutation(vocabulary)
    tokens = random.integers(0, vocabulary, (n, length + 1))
    for place in range(length):
        kept = random.uniform(size=n) < 0.9
        tokens[kept, place + 1] = follows[tokens[kept, place]]
    return tokens[:, :-1].astype(np.int64), tokens[:, 1:].astype(np.int64)
