import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.measure.statistics import (
    CHUNK,
    FLAT_BELOW,
    FLAT_BEYOND,
    attention_statistics,
    between_tokens_log10,
    collapse_log10,
    combine,
    dead_fraction,
    dot,
    effective_rank,
    moments,
    near_dead_fraction,
    saturated_fraction,
    sum_of_squares,
    summarize,
    underflow_fraction,
)

FINITE = hnp.arrays(np.float32, hnp.array_shapes(max_dims=3), elements=st.floats(-1e4, 1e4, width=32))
SLOPES = {
    "Relu": torch.relu,
    "Gelu": torch.nn.functional.gelu,
    "Swish": torch.nn.functional.silu,
    "HardSwish": torch.nn.functional.hardswish,
    "Elu": torch.nn.functional.elu,
    "Selu": torch.nn.functional.selu,
    "Celu": torch.nn.functional.celu,
    "Softplus": torch.nn.functional.softplus,
    "Mish": torch.nn.functional.mish,
    "Relu6": torch.nn.functional.relu6,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
    "Softsign": torch.nn.functional.softsign,
    "HardSigmoid": lambda x: (0.2 * x + 0.5).clamp(0, 1),
}


def slope(activation: str, at: float) -> float:
    x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    SLOPES[activation](x).backward()
    assert x.grad is not None
    return abs(float(x.grad))


@given(FINITE)
def test_a_summary_equals_numpy_in_float64(array: np.ndarray) -> None:
    wide, summary = array.astype(np.float64), summarize(torch.from_numpy(array))
    assert summary.count == array.size
    assert summary.total == pytest.approx(wide.sum(), rel=1e-4, abs=1e-2)
    assert summary.norm == pytest.approx(np.linalg.norm(wide), rel=1e-5, abs=1e-30)
    assert summary.max_abs == np.abs(array).max()
    assert summary.zeros == (array == 0).sum()
    assert summary.non_finite == 0


def test_tensors_longer_than_a_chunk_are_summed_whole() -> None:
    values = torch.randn(3 * CHUNK + 17, generator=torch.Generator().manual_seed(0))
    summary = summarize(values)
    assert summary.norm == pytest.approx(float(values.double().norm()), rel=1e-6)
    assert summary.std == pytest.approx(float(values.double().std(correction=0)), rel=1e-6)


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e20, 1e37])
def test_squares_neither_underflow_nor_overflow_in_float32(scale: float) -> None:
    values = np.full(1000, scale, np.float32)
    assert summarize(torch.from_numpy(values)).norm == pytest.approx(math.sqrt(1000) * float(values[0]), rel=1e-6)


def test_non_finite_values_are_counted_and_keep_the_norm_non_finite() -> None:
    summary = summarize(torch.tensor([1.0, math.nan, math.inf, -math.inf, 0.0]))
    assert summary.non_finite == 3
    assert not math.isfinite(summary.norm)
    assert summary.zeros == 1


def test_an_empty_tensor_has_no_norm() -> None:
    assert summarize(torch.zeros(0)).norm == 0.0
    assert summarize(torch.zeros(0)).rms == 0.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_are_summed_too(dtype: torch.dtype) -> None:
    values = torch.linspace(-1, 1, 101).to(dtype)
    assert summarize(values).norm == pytest.approx(float(values.double().norm()), rel=1e-6)


def test_several_tensors_count_as_one() -> None:
    a, b = torch.arange(5.0), -torch.arange(7.0)
    both = combine([summarize(a), summarize(b)])
    whole = summarize(torch.cat([a, b]))
    assert both.norm == pytest.approx(whole.norm)
    assert (both.count, both.zeros, both.max_abs) == (whole.count, whole.zeros, whole.max_abs)


def test_a_product_is_summed_in_float64() -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2 * CHUNK + 5, generator=generator), torch.randn(2 * CHUNK + 5, generator=generator)
    assert dot(a, b) == pytest.approx(float(a.double() @ b.double()), rel=1e-4)


def test_collapse_is_the_share_of_variance_between_samples() -> None:
    # z = centre + noise: between-sample variance 1e-6, mean square 1.
    random = np.random.default_rng(0)
    z = torch.from_numpy((1.0 + 1e-3 * random.standard_normal((4096, 8))).astype(np.float32))
    assert collapse_log10(z, 0) == pytest.approx(-6.0, abs=0.05)
    assert collapse_log10(z.t().contiguous(), 1) == pytest.approx(-6.0, abs=0.05)


def test_collapse_of_equal_samples_is_minus_infinity_and_of_one_sample_unknown() -> None:
    assert collapse_log10(torch.ones(4, 3), 0) == -math.inf
    assert collapse_log10(torch.ones(1, 3), 0) is None


def test_a_unit_is_dead_when_no_observation_has_a_slope() -> None:
    z = torch.tensor([[-1.0, 2.0, -3.0, -0.1], [-2.0, -1.0, 0.0, 0.1]])
    assert dead_fraction(z, "Relu", 1) == 0.5
    images = torch.stack([-torch.ones(2, 5, 5), torch.ones(2, 5, 5)], 1)
    assert dead_fraction(images, "Relu", 1) == 0.5
    assert dead_fraction(z, "LeakyRelu", 1) is None
    assert dead_fraction(z, "Tanh", 1) is None


def test_saturation_is_a_share_of_elements_of_two_sided_activations() -> None:
    z = torch.tensor([0.0, 2.1, -2.3, 5.0])
    assert saturated_fraction(z, "Tanh") == 0.5
    assert saturated_fraction(z, "Sigmoid") == 0.25
    assert saturated_fraction(z, "Relu") is None


@pytest.mark.parametrize("activation", sorted(FLAT_BELOW.keys() & SLOPES.keys()))
def test_below_the_flat_limit_a_one_sided_activation_has_under_five_percent_of_its_slope(activation: str) -> None:
    steepest = max(slope(activation, at) for at in np.linspace(-6, 5.9, 400))
    assert all(slope(activation, FLAT_BELOW[activation] - step) <= 0.05 * steepest for step in (0.01, 1.0, 5.0))


@pytest.mark.parametrize("activation", FLAT_BEYOND)
def test_beyond_the_flat_limit_a_two_sided_activation_has_under_five_percent_of_its_slope(activation: str) -> None:
    limit, steepest = FLAT_BEYOND[activation], slope(activation, 0.01)
    for sign in (-1, 1):
        assert slope(activation, sign * (limit + 0.05)) <= 0.052 * steepest
        assert slope(activation, sign * 0.9 * limit) > 0.05 * steepest


def test_a_unit_is_nearly_dead_when_it_seldom_has_a_slope() -> None:
    values = torch.full((200, 3), -1.0)
    values[0, 0], values[:100, 1] = 1.0, 1.0
    assert near_dead_fraction(values, "Relu", 1) == pytest.approx(2 / 3)
    assert dead_fraction(values, "Relu", 1) == pytest.approx(1 / 3)


def test_half_precision_flushes_what_is_under_its_smallest_number() -> None:
    gradient = torch.tensor([0.0, 1e-8, -5e-8, 1e-7, 1.0])
    assert underflow_fraction(gradient, summarize(gradient)) == pytest.approx(2 / 4)
    assert float(torch.tensor(2.9e-8).half()) == 0
    assert underflow_fraction(torch.zeros(3), summarize(torch.zeros(3))) == 0
    many = gradient.repeat(CHUNK)
    assert underflow_fraction(many, summarize(many)) == pytest.approx(2 / 4)


def test_uniform_attention_has_full_entropy_and_attention_to_one_key_none() -> None:
    uniform, single = torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 4, 5)
    single[..., 2] = 100.0
    assert attention_statistics(uniform, -1) == (pytest.approx(1.0), pytest.approx(0.0))
    share, deviation = attention_statistics(single, -1) or (1.0, 0.0)
    assert share == pytest.approx(0.0, abs=1e-6)
    assert deviation == pytest.approx(40.0)  # 100 on one of five keys


def test_masked_keys_do_not_count() -> None:
    scores = torch.zeros(1, 4, 4).masked_fill(torch.ones(4, 4).triu(1).bool(), -1e9)
    assert attention_statistics(scores, -1) == (pytest.approx(1.0), pytest.approx(0.0))
    assert attention_statistics(scores[:, :1], -1) is None  # one key leaves no choice


def test_effective_rank_is_the_number_of_equal_directions() -> None:
    basis = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(0)))[0]
    rows = basis[:4].repeat(10, 1)
    assert effective_rank(rows, 1) == (pytest.approx(4.0, rel=1e-5), 16)
    assert effective_rank(torch.ones(40, 16), 1) == (pytest.approx(1.0, rel=1e-6), 16)
    assert effective_rank(torch.zeros(40, 16), 1) is None


def test_tokens_collapse_when_they_are_equal_within_each_sample() -> None:
    values = torch.randn(4, 1, 8, generator=torch.Generator().manual_seed(0)).expand(4, 6, 8)
    assert between_tokens_log10(values) == -math.inf
    assert (between_tokens_log10(torch.randn(4, 600, 8, generator=torch.Generator().manual_seed(0))) or 1) > -0.1
    assert between_tokens_log10(torch.zeros(4, 8)) is None


# ------------------------------------------------------------------ at the limits


def test_moments_of_a_summary_are_those_of_numpy() -> None:
    array = np.random.default_rng(0).standard_normal((40, 30)) - 3.0
    array[0] = 0.0
    summary = summarize(torch.from_numpy(array))
    assert summary.mean == pytest.approx(array.mean())
    assert summary.std == pytest.approx(array.std())
    assert summary.rms == pytest.approx(np.sqrt(np.square(array).mean()))
    assert summary.max_abs == -array.min()
    assert summary.zeros == 30
    nothing = summarize(torch.zeros(0))
    assert (nothing.mean, nothing.std, nothing.max_abs, nothing.count) == (0.0, 0.0, 0.0, 0)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 3e37, math.inf])
def test_size_total_and_squares_alone_are_those_of_the_summary(scale: float) -> None:
    values = scale * torch.rand(40, 30, generator=torch.Generator().manual_seed(0)) + scale
    whole, found = summarize(values), moments(values)
    assert (found.mean, found.std, found.norm) == pytest.approx(
        (whole.mean, whole.std, whole.norm), rel=1e-5, nan_ok=True
    )
    assert moments(torch.zeros(0)) == summarize(torch.zeros(0))


def test_rounding_makes_no_negative_variance() -> None:
    assert summarize(torch.full((1000,), 1.1)).std == pytest.approx(0.0, abs=1e-3)


def test_what_is_not_finite_in_one_chunk_is_counted_beside_the_others() -> None:
    values = torch.ones(2 * CHUNK + 5)
    values[3], values[CHUNK + 1], values[CHUNK + 2] = math.inf, math.nan, 0.0
    summary = summarize(values)
    assert (summary.non_finite, summary.zeros, summary.count) == (2, 1, 2 * CHUNK + 5)
    assert summary.max_abs == math.inf
    assert combine([summary, summarize(torch.zeros(3))]).non_finite == 2


def test_nothing_combined_is_nothing() -> None:
    assert combine([]) == summarize(torch.zeros(0))


def test_several_tensors_have_the_mean_of_all() -> None:
    parts = [torch.arange(5.0), 10 + torch.arange(3.0)]
    both, whole = combine(map(summarize, parts)), torch.cat(parts).double()
    assert both.mean == pytest.approx(float(whole.mean()))
    assert both.std == pytest.approx(float(whole.std(correction=0)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_products_of_any_precision_are_summed(dtype: torch.dtype) -> None:
    a, b = (torch.tensor(values).to(dtype) for values in ([1.0, -2.0, 3.0], [0.5, 0.25, -4.0]))
    assert dot(a, b) == 0.5 - 0.5 - 12.0


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_collapse_needs_two_samples(samples: int) -> None:
    values = torch.randn(samples, 40, generator=torch.Generator().manual_seed(0))
    expected = None if samples == 1 else float(torch.log10(values.var(0, correction=0).mean() / values.square().mean()))
    assert collapse_log10(values, 0) == (None if expected is None else pytest.approx(expected, rel=1e-5))


@pytest.mark.parametrize("values", [torch.zeros(4, 3), torch.full((4, 3), math.inf), torch.full((4, 3), math.nan)])
def test_values_without_a_size_have_no_collapse(values: torch.Tensor) -> None:
    assert collapse_log10(values, 0) is None


def test_a_collapse_of_seven_decades_is_seen_in_tensors_of_any_size() -> None:
    for rows in (64, 2 * CHUNK // 8):
        noise = torch.randn(rows, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        values = (1.0 + 3e-4 * noise).float()
        assert collapse_log10(values, 0) == pytest.approx(2 * math.log10(3e-4), abs=0.1)


@pytest.mark.parametrize(("activation", "limit"), sorted(FLAT_BELOW.items()))
def test_a_unit_at_its_limit_is_dead_and_one_over_it_lives(activation: str, limit: float) -> None:
    over = float(np.nextafter(np.float32(limit), np.float32(math.inf)))
    z = torch.tensor([[limit, over, limit - 1], [limit - 1, limit - 1, limit - 1]])
    assert dead_fraction(z, activation, 1) == pytest.approx(2 / 3)
    assert near_dead_fraction(z, activation, 1) == pytest.approx(2 / 3)
    assert dead_fraction(z.T, activation, 0) == pytest.approx(2 / 3)
    assert dead_fraction(z, activation, -1) == pytest.approx(2 / 3)
    assert near_dead_fraction(z.T, activation, -2) == pytest.approx(2 / 3)
    assert dead_fraction(z[0], activation, 0) == pytest.approx(2 / 3)  # one observation
    assert near_dead_fraction(z[0], activation, 0) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("active", "near"), [(0, 1.0), (9, 1.0), (10, 0.0), (11, 0.0)])
def test_a_unit_is_nearly_dead_under_one_observation_in_a_hundred(active: int, near: float) -> None:
    values = torch.full((1000, 1), -1.0)
    values[:active] = 1.0
    assert near_dead_fraction(values, "Relu", 1) == near
    assert near_dead_fraction(values, "Tanh", 1) is None


@pytest.mark.parametrize(("activation", "limit"), sorted(FLAT_BEYOND.items()))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saturation_begins_beyond_the_limit_on_both_sides(activation: str, limit: float, dtype: torch.dtype) -> None:
    z = torch.tensor([limit + 0.1, -limit - 0.1, limit - 0.1, 0.1 - limit]).to(dtype)
    assert saturated_fraction(z, activation) == 0.5
    assert saturated_fraction(torch.zeros(0), activation) == 0.0


def test_saturation_is_counted_over_all_chunks() -> None:
    z = torch.zeros(2 * CHUNK + 10)
    z[: CHUNK + 5] = 9.0
    assert saturated_fraction(z, "Tanh") == pytest.approx((CHUNK + 5) / (2 * CHUNK + 10))
    assert saturated_fraction(torch.tensor([2.2], dtype=torch.float64), "Tanh") == 0.0


def test_the_smallest_half_is_not_flushed() -> None:
    floor = 2.0**-24
    gradient = torch.tensor([floor, -floor, 0.99 * floor, 0.0])
    assert underflow_fraction(gradient, summarize(gradient)) == pytest.approx(1 / 3)


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-15, 1e-5, 1.0, 1e15, 1e30, math.inf, math.nan])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_sum_of_squares_alone_is_that_of_the_summary_at_any_scale(scale: float, dtype: torch.dtype) -> None:
    values = torch.randn(2 * CHUNK + 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    values[: CHUNK // 2] = 0
    values[CHUNK + 3] = scale
    exact = math.fsum(float(value) ** 2 for value in values)
    found = sum_of_squares(values)
    assert found == pytest.approx(exact, rel=1e-5, nan_ok=True)
    assert repr(found) == repr(summarize(values).sum_squares)
    scaled = values * scale
    assert repr(sum_of_squares(scaled)) == repr(summarize(scaled).sum_squares)


def test_the_squares_of_what_float32_cannot_square_are_summed_in_float64() -> None:
    small = torch.full((CHUNK + 1,), 1e-30)
    assert sum_of_squares(small) == pytest.approx((CHUNK + 1) * 1e-60, rel=1e-6)
    assert sum_of_squares(torch.zeros(5)) == 0
    assert sum_of_squares(torch.zeros(0)) == 0


@pytest.mark.parametrize("features", [3, CHUNK])
def test_a_collapse_is_the_same_whether_the_summary_is_known(features: int) -> None:
    values = 1 + 1e-3 * torch.randn(4, features, generator=torch.Generator().manual_seed(0))
    wide = values.double()
    exact = math.log10(float((wide - wide.mean(0)).square().sum() / wide.square().sum()))
    assert collapse_log10(values, 0, summarize(values)) == pytest.approx(exact, abs=1e-3)
    assert collapse_log10(values, 0, summarize(values)) == collapse_log10(values, 0)


@pytest.mark.parametrize("share", [1e-8, 1e-4, 0.04, 0.06, 0.5, 0.97])
@pytest.mark.parametrize("features", [12, 1024])
def test_a_share_between_samples_is_known_to_four_digits_centred_or_not(share: float, features: int) -> None:
    generator = torch.Generator().manual_seed(0)
    own, common = torch.randn(64, features, generator=generator), torch.randn(1, features, generator=generator)
    values = math.sqrt(share) * own + math.sqrt(1 - share) * common
    exact = values.double()
    expected = math.log10(float((exact - exact.mean(0)).square().sum() / exact.square().sum()))
    assert collapse_log10(values, 0, summarize(values)) == pytest.approx(expected, abs=1e-4 if share > 1e-7 else 1e-3)


def test_effective_rank_is_the_exponential_of_the_entropy_of_the_spectrum() -> None:
    basis = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    rows = torch.sqrt(torch.tensor([4.0, 2.0, 1.0, 1.0], dtype=torch.float64))[:, None] * basis[:4]
    entropy = -sum(share * math.log(share) for share in (0.5, 0.25, 0.125, 0.125))
    for values, axis in ((rows, 1), (rows, -1), (rows.T, 0), (rows.repeat(5, 1), 1)):
        rank = effective_rank(values, axis)
        assert rank == (pytest.approx(math.exp(entropy)), min(len(values.movedim(axis, -1)), 8))
    assert effective_rank(rows[:1], 1) is None
    assert effective_rank(rows[:, :1], 1) is None
    assert effective_rank(torch.full((4, 4), math.nan), 1) is None


def test_of_many_observations_512_are_looked_at_all_over() -> None:
    """The first half says nothing, the second has two directions."""
    values = torch.zeros(4 * 512, 3)
    values[2 * 512 :, 0], values[3 * 512 :, 1] = 1.0, 1.0
    rank = effective_rank(values, 1)
    second = torch.tensor([[1.0, 0.5], [0.5, 0.5]], dtype=torch.float64)
    shares = torch.linalg.eigvalsh(second) / second.trace()
    assert rank == (pytest.approx(math.exp(float(torch.special.entr(shares).sum())), rel=1e-2), 3)
    assert effective_rank(torch.eye(600), 1) == (pytest.approx(512.0), 512)


def test_attention_of_two_keys_has_the_entropy_of_its_odds() -> None:
    scores = torch.tensor([[0.0, math.log(3.0)]])
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    share, deviation = attention_statistics(scores, 1) or (0.0, 0.0)
    assert share == pytest.approx(entropy / math.log(2))
    assert deviation == pytest.approx(math.log(3.0) / 2)
    assert attention_statistics(scores.T, 0) == (pytest.approx(share), pytest.approx(deviation))


def test_masked_keys_change_neither_entropy_nor_deviation_of_the_others() -> None:
    scores = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    masked = torch.cat([scores, torch.full((3, 5), -1e9)], 1)
    assert attention_statistics(masked, 1) == pytest.approx(attention_statistics(scores, 1))
    low = torch.cat([scores, torch.full((3, 5), -50.0)], 1)
    assert attention_statistics(low, 1, masked_below=-40.0) == pytest.approx(attention_statistics(scores, 1))
    assert attention_statistics(low, 1, masked_below=-50.0) == pytest.approx(attention_statistics(scores, 1))


def test_deviations_of_queries_are_averaged_by_their_squares() -> None:
    scores = torch.tensor([[-1.0, 1.0], [-3.0, 3.0]])
    _, deviation = attention_statistics(scores, 1) or (0.0, 0.0)
    assert deviation == pytest.approx(math.sqrt((1 + 9) / 2))
