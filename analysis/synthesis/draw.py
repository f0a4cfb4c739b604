"""The numbers of one made-up input."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.batch.samples import refuse_without_numbers
from analysis.errors import LimitExceeded
from analysis.model.checked import ValueSpec
from analysis.model.weights import Array
from analysis.synthesis.kinds import Kind
from analysis.synthesis.scales import PIXELS, UNIT, Scale

SAMPLE_RATE: Final = 16_000
SMALL_INTEGERS: Final = 10
HARMONICS: Final = 16
LOUDNESS: Final = 0.1
"""Of speech, over full scale; recordings are kept that far from clipping."""
NOISE: Final = 0.003
SHARED_LIGHT: Final = 0.8
"""How much of a picture is common to its channels."""
MOST_NUMBERS: Final = 1 << 29
"""Of one input, 4 GiB as they are drawn."""
COUNTING: Final = frozenset({Kind.LENGTHS, Kind.KEYS, Kind.LAST_KEY})
EVERYWHERE: Final = {Kind.MASK: 1, Kind.NO_MASK: 0, Kind.STATE: 0, Kind.RATE: SAMPLE_RATE}
"""What holds the same number everywhere."""


@dataclass(frozen=True, slots=True)
class Feed:
    """An input and what it is filled with."""

    spec: ValueSpec
    kind: Kind
    scale: Scale = UNIT
    low: int = 0
    high: int = 1
    """Ids and positions lie from `low` to `high`; a length is `high`."""

    @property
    def channels_first(self) -> bool:
        """Whether the channels of a picture lie before height and width."""
        shape = self.spec.shape or ()
        return not (isinstance(shape[-1], int) and shape[-1] <= 4 and not (isinstance(shape[1], int) and shape[1] <= 4))


def draw(feed: Feed, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """An array of a shape. Raises BadBatch for a type that holds no numbers, LimitExceeded for too many."""
    spec = feed.spec
    refuse_without_numbers(spec)
    if math.prod(shape) > MOST_NUMBERS:
        told = f"made up as {' x '.join(map(str, shape))} it has {math.prod(shape)} numbers, {MOST_NUMBERS} are allowed"
        raise LimitExceeded(told, where=spec.name, hint="send a batch")
    dtype = np.dtype(spec.dtype)
    if feed.kind in EVERYWHERE or feed.kind in COUNTING:
        return np.full(shape, EVERYWHERE.get(feed.kind, feed.high - (feed.kind is Kind.LAST_KEY))).astype(dtype)
    if feed.kind is Kind.FRACTION:
        return random.random(shape).astype(dtype)
    if feed.kind in {Kind.IDS, Kind.POSITIONS}:
        return random.integers(feed.low, feed.high, shape, endpoint=True).astype(dtype)
    return _numbers(feed, dtype, shape, random)


def _numbers(feed: Feed, dtype: np.dtype[np.generic], shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Of mean 0 and deviation 1, then at the scale of the input; integers are rounded into their range."""
    whole, scale = dtype.kind in "iu", feed.scale if _spreads(feed.scale, shape) else UNIT
    if whole and scale is UNIT and not (feed.kind is Kind.PICTURE or dtype == np.uint8):
        return random.integers(0, SMALL_INTEGERS, shape).astype(dtype)
    if whole and scale is UNIT:
        scale = PIXELS
    standard = _standard(feed, shape, random)
    values = standard if scale is UNIT else scale.mean + scale.deviation * standard
    if feed.kind is Kind.POSITIVE:
        values = np.abs(values)
    if scale.pixels or dtype == np.uint8:
        values = np.clip(values, 0, 255)
    if whole:
        limits = np.iinfo(dtype.name)
        values = np.rint(np.clip(values, limits.min, limits.max))
    return values.astype(dtype)


def _standard(feed: Feed, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """At the scale of what nothing is known of: sound of -1 to 1, all else of mean 0 and deviation 1."""
    if feed.kind is Kind.PICTURE:
        return _pictures(feed, shape, random)
    return _sound(shape, random) if feed.kind is Kind.SOUND else random.standard_normal(shape)


def _spreads(scale: Scale, shape: tuple[int, ...]) -> bool:
    """Whether a scale spreads over a shape: one for each element does not fit another number of them."""
    try:
        return np.broadcast_shapes(scale.mean.shape, scale.deviation.shape, shape) == shape
    except ValueError:
        return False


def _pictures(feed: Feed, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Light and shade at every scale, the amplitude falling as one over the frequency as in photographs.

    Each picture has mean 0 and variance 1 but for a shift of its own. Field 1987 (statistics of natural images).
    """
    count, *rest = shape
    channels, height, width = rest if feed.channels_first else (rest[2], rest[0], rest[1])
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    frequency = np.sqrt(rows**2 + columns**2)
    frequency[0, 0] = np.inf
    pictures = np.empty((count, channels, height, width))
    for picture in pictures:
        noise = random.standard_normal((channels + 1, height, width))
        layers = np.fft.irfft2(np.fft.rfft2(noise) / frequency, s=(height, width))
        mixed = SHARED_LIGHT * layers[:1] + (1 - SHARED_LIGHT) * layers[1:]
        mixed = mixed / max(float(mixed.std()), 1e-12)
        picture[...] = (mixed + 0.5 * random.standard_normal()) / np.sqrt(1.25)
    return pictures if feed.channels_first else np.moveaxis(pictures, 1, -1)


def _sound(shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Voices that hum syllables over a little noise: harmonics of a pitch, stronger near a formant, within -1 to 1."""
    count, length = shape[0], max(shape[1:])
    time, number = np.arange(length) / SAMPLE_RATE, np.arange(1, HARMONICS + 1)
    sound = np.empty((count, length))
    for voice in sound:
        pitch, formant, syllables = random.uniform(90, 240), random.uniform(400, 900), random.uniform(3, 6)
        strength = np.exp(-(((number * pitch - formant) / 500) ** 2))
        phases = 2 * np.pi * (np.outer(number * pitch, time) + random.random((HARMONICS, 1)))
        hum = strength @ np.sin(phases) / np.linalg.norm(strength)
        loud = np.clip(np.sin(2 * np.pi * (syllables * time + random.random())) + 0.5, 0, 1)
        voice[...] = LOUDNESS * random.uniform(0.2, 2) * hum * loud + NOISE * random.standard_normal(length)
    return np.clip(sound, -1, 1).reshape(shape)
