"""Numbers of each kind, by their range and their statistics."""

import numpy as np
import pytest

from analysis.errors import LimitExceeded
from analysis.model.checked import ValueSpec
from analysis.synthesis.draw import SAMPLE_RATE, Feed, draw
from analysis.synthesis.kinds import Kind
from analysis.synthesis.scales import PIXELS, Scale


def drawn(kind: Kind, dtype: str, *shape: int, seed: int = 0, **changes) -> np.ndarray:
    feed = Feed(ValueSpec("x", dtype, (None, *shape[1:])), kind, **changes)
    array = draw(feed, shape, np.random.default_rng(seed))
    assert array.shape == shape
    assert array.dtype.name == dtype
    return array


def test_more_numbers_than_fit_into_memory_are_refused_with_their_number() -> None:
    feed = Feed(ValueSpec("x", "float32", (1 << 40, 8)), Kind.NUMBERS)
    with pytest.raises(LimitExceeded, match=r"made up as 1099511627776 x 8 it has 8796093022208 numbers") as refused:
        draw(feed, (1 << 40, 8), np.random.default_rng(0))
    assert refused.value.where == "x"


def test_masks_states_rates_and_lengths_are_what_they_say() -> None:
    assert (drawn(Kind.MASK, "int64", 3, 4) == 1).all()
    assert (drawn(Kind.STATE, "float32", 3, 4) == 0).all()
    assert (drawn(Kind.RATE, "int64", 1) == SAMPLE_RATE).all()
    assert (drawn(Kind.LENGTHS, "int32", 5, high=17) == 17).all()


def test_ids_take_both_ends_of_their_range() -> None:
    assert set(np.unique(drawn(Kind.IDS, "int64", 50, 9, low=2, high=5))) == {2, 3, 4, 5}


def test_pictures_have_mean_zero_variance_one_and_neighbours_that_agree() -> None:
    pictures = drawn(Kind.PICTURE, "float32", 200, 3, 16, 16)
    assert float(pictures.mean()) == pytest.approx(0, abs=0.1)
    assert float(pictures.var()) == pytest.approx(1, abs=0.1)
    beside = np.corrcoef(pictures[..., 1:].ravel(), pictures[..., :-1].ravel())[0, 1]
    assert beside > 0.6  # of white noise: 0
    assert np.corrcoef(pictures[:, 0].ravel(), pictures[:, 1].ravel())[0, 1] > 0.7
    assert np.abs(pictures[0] - pictures[1]).max() > 0.5


def test_the_amplitude_of_pictures_falls_as_one_over_the_frequency() -> None:
    pictures = drawn(Kind.PICTURE, "float64", 100, 1, 64, 64)[:, 0]
    power = (np.abs(np.fft.fft2(pictures)) ** 2).mean(0)[0]
    assert power[2] / power[16] == pytest.approx(64, rel=0.4)  # (16 / 2) squared


def test_channels_may_lie_last() -> None:
    pictures = drawn(Kind.PICTURE, "float32", 50, 12, 20, 3)
    assert np.corrcoef(pictures[..., 0].ravel(), pictures[..., 1].ravel())[0, 1] > 0.7


def test_bytes_are_pixels_over_most_of_their_range() -> None:
    pictures = drawn(Kind.PICTURE, "uint8", 20, 3, 32, 32)
    assert pictures.min() < 20
    assert pictures.max() > 235
    assert 40 < pictures.std() < 80
    assert float(drawn(Kind.NUMBERS, "uint8", 2000).mean()) == pytest.approx(127.5, abs=5)


def test_a_scale_moves_numbers_and_pixels_are_cut_at_their_ends() -> None:
    scaled = drawn(Kind.NUMBERS, "float64", 4000, 2, scale=Scale(np.array([[5.0, -1.0]]), np.array([[2.0, 0.1]])))
    np.testing.assert_allclose(scaled.mean(0), [5, -1], atol=0.15)
    np.testing.assert_allclose(scaled.std(0), [2, 0.1], rtol=0.1)
    pixels = drawn(Kind.NUMBERS, "float32", 5000, scale=PIXELS)
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_integers_that_are_numbers_differ_and_are_rounded_at_a_scale() -> None:
    assert set(np.unique(drawn(Kind.NUMBERS, "int64", 500))) == set(range(10))
    rounded = drawn(Kind.NUMBERS, "int32", 500, scale=Scale(np.array(40.0), np.array(3.0)))
    assert float(rounded.mean()) == pytest.approx(40, abs=0.5)


def test_a_scale_for_each_element_is_none_for_another_number_of_samples() -> None:
    scale = Scale(np.full((3, 2), 100.0), np.full((3, 2), 0.1))
    assert drawn(Kind.NUMBERS, "float32", 3, 2, scale=scale).min() > 99
    assert np.abs(drawn(Kind.NUMBERS, "float32", 5, 2, scale=scale)).max() < 9
    each_column = Scale(np.full(2, 100.0), np.full(2, 0.1))
    assert drawn(Kind.NUMBERS, "float32", 5, 2, scale=each_column).min() > 99


@pytest.mark.parametrize("shape", [(20, 16_000), (20, 1, 16_000), (20, 16_000, 1)])
def test_sound_is_as_loud_as_speech_and_lies_where_voices_do(shape: tuple[int, ...]) -> None:
    sound = drawn(Kind.SOUND, "float32", *shape).reshape(20, -1)
    assert np.abs(sound).max() <= 1
    assert 0.03 < float(sound.std()) < 0.2
    power = np.abs(np.fft.rfft(sound)) ** 2  # a second: one bin is one hertz
    assert power[:, 80:2000].sum() > 0.9 * power.sum()
    loudness = sound.reshape(20, 160, 100).std(-1)
    assert (loudness.min(1) < 0.2 * loudness.max(1)).all()  # pauses between syllables
    assert np.unique(power[:, 80:400].argmax(1)).size > 10  # everybody has a pitch


def test_sound_in_integers_of_a_recording_has_their_scale() -> None:
    scale = Scale(np.zeros(()), np.full((), 32_768.0))
    assert 1000 < float(drawn(Kind.SOUND, "float32", 20, 4000, scale=scale).std()) < 7000
