import numpy as np
import pytest

from analysis.interventions.draws import (
    Constant,
    Draw,
    GateBias,
    Identity,
    Layout,
    Normal,
    Orthogonal,
    Scaled,
    Uniform,
    _Kept,
    in_turn,
    noise,
)

SHAPE = (200, 300)
PRESENT = np.full(SHAPE, 2.0, np.float32)


def test_normal_and_uniform_have_the_moments_they_are_asked_for() -> None:
    for values, deviation in (
        (Normal(0.5).realize("w", PRESENT, 3), 0.5),
        (Uniform(0.9).realize("w", PRESENT, 3), 0.9 / np.sqrt(3)),
    ):
        assert values.dtype == np.float32
        assert values.mean() == pytest.approx(0.0, abs=0.01)
        assert values.std() == pytest.approx(deviation, rel=0.01)
    spread = Uniform(0.9).realize("w", PRESENT, 3)
    assert np.abs(spread).max() <= 0.9
    assert np.histogram(spread, 10)[0].std() < 0.02 * spread.size / 10


def test_noise_follows_name_and_seed_and_is_shared_by_all_draws() -> None:
    assert np.array_equal(noise("w", (3,), 1), noise("w", (3,), 1))
    assert not np.array_equal(noise("w", (3,), 1), noise("v", (3,), 1))
    assert not np.array_equal(noise("w", (3,), 1), noise("w", (3,), 2))
    normal, uniform = (draw.realize("w", PRESENT, 1) for draw in (Normal(1.0), Uniform(1.0)))
    order = np.argsort(normal.ravel())
    assert np.all(np.diff(uniform.ravel()[order]) >= 0)


@pytest.mark.parametrize("shape", [(8, 4), (300, 300)])
def test_noise_is_asked_for_again_and_nobody_can_spoil_it(shape: tuple[int, ...]) -> None:
    first = noise("w", shape, 1)
    before = first.copy()
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 5.0
    Normal(2.0).realize("w", np.zeros(shape, np.float32), 1)[:] = 7.0
    Normal(1.0).realize("w", np.zeros(shape, np.float32), 1)[:] = 7.0
    assert np.array_equal(noise("w", shape, 1), before)
    assert abs(before.mean()) < 4 / np.sqrt(before.size)


def test_the_noise_that_was_asked_for_last_is_kept_while_there_is_room() -> None:
    kept = _Kept(most=1000)
    first, second = kept.noise("a", (100,), 0), kept.noise("b", (100,), 0)
    assert kept.noise("a", (100,), 0) is first
    kept.noise("c", (100,), 0)
    assert kept.noise("a", (100,), 0) is first
    again = kept.noise("b", (100,), 0)
    assert again is not second
    assert np.array_equal(again, second)
    large = kept.noise("d", (300,), 0)
    assert kept.noise("d", (300,), 0) is not large


@pytest.mark.parametrize("layout", list(Layout)[:2])
@pytest.mark.parametrize("shape", [(64, 32), (32, 64), (32, 32)])
def test_orthogonal_has_orthonormal_rows_or_columns_times_its_gain(shape: tuple[int, ...], layout: Layout) -> None:
    matrix = Orthogonal(2.0, layout).realize("w", np.zeros(shape, np.float32), 0)
    smaller = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(smaller, 4.0 * np.eye(len(smaller)), atol=1e-5)


def test_an_orthogonal_kernel_is_a_matrix_of_filters() -> None:
    matrix = Orthogonal().realize("w", np.zeros((16, 8, 3, 3), np.float32), 0).reshape(16, -1)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(16), atol=1e-5)


def test_every_gate_and_direction_of_recurrent_weights_is_orthogonal_by_itself() -> None:
    values = Orthogonal(layout=Layout.GATES, gates=4).realize("r", np.zeros((2, 4 * 16, 16), np.float32), 0)
    for direction in values:
        for gate in np.split(direction, 4):
            np.testing.assert_allclose(gate @ gate.T, np.eye(16), atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 4 * 16, 8), (2, 4 * 8, 16)], ids=["tall", "wide"])
def test_a_gate_that_is_no_square_has_orthonormal_rows_or_columns(shape: tuple[int, ...]) -> None:
    values = Orthogonal(layout=Layout.GATES, gates=4).realize("w", np.zeros(shape, np.float32), 0)
    assert values.shape == shape
    for direction in values:
        for gate in np.split(direction, 4):
            smaller = gate @ gate.T if len(gate) <= len(gate.T) else gate.T @ gate
            np.testing.assert_allclose(smaller, np.eye(8), atol=1e-5)


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (7, 7)])
def test_orthogonal_is_the_one_factor_of_the_noise_whose_other_is_triangular_with_a_positive_diagonal(
    shape: tuple[int, ...],
) -> None:
    drawn, orthogonal = noise("w", shape, 3), Orthogonal().realize("w", np.zeros(shape, np.float32), 3)
    other = orthogonal.T @ drawn if shape[0] >= shape[1] else (drawn @ orthogonal.T).T
    np.testing.assert_allclose(np.tril(other, -1), 0.0, atol=1e-5)
    assert np.all(np.diagonal(other) > 0)


@pytest.mark.parametrize("present", [np.float16, np.float64])
@pytest.mark.parametrize(
    ("draw", "shape"),
    [
        (Normal(0.5), (6, 4)),
        (Uniform(0.5), (6, 4)),
        (Constant(0.5), (6, 4)),
        (Scaled(0.5), (6, 4)),
        (Scaled(0.5, Constant(1.0)), (6, 4)),
        (Orthogonal(), (6, 2, 3, 3)),
        (Orthogonal(layout=Layout.COLUMNS), (6, 4)),
        (Orthogonal(layout=Layout.GATES, gates=3), (2, 12, 4)),
        (Identity(), (2, 4, 4)),
        (GateBias(gates=4, gate=2, value=1.0), (1, 40)),
    ],
    ids=str,
)
def test_every_draw_is_single_precision_in_the_shape_that_was_there(
    draw: Draw, shape: tuple[int, ...], present: type[np.floating]
) -> None:
    values = draw.realize("w", np.ones(shape, present), 0)
    assert (values.dtype, values.shape) == (np.float32, shape)


@pytest.mark.parametrize("draw", [Normal(0.5), Uniform(0.5), Constant(0.5), Scaled(0.5)], ids=str)
def test_a_tensor_without_elements_stays_without(draw: Draw) -> None:
    assert draw.realize("w", np.zeros((0, 3), np.float32), 0).shape == (0, 3)


def test_the_numbers_of_a_name_and_a_seed_are_the_same_in_every_version() -> None:
    """Reports of older versions name initialisations by seed."""
    np.testing.assert_array_equal(noise("w", (3,), 1), np.array([-1.6056365, -0.664088, -0.1713088], np.float32))


def test_an_identity_of_a_rectangle_has_its_ones_on_the_diagonal() -> None:
    wide = Identity().realize("r", np.zeros((3, 2, 4), np.float32), 0)
    assert wide.tolist() == [[[1, 0, 0, 0], [0, 1, 0, 0]]] * 3


def test_a_gate_bias_is_its_value_at_one_gate_of_every_direction_and_zero_elsewhere() -> None:
    bias = GateBias(gates=3, gate=0, value=0.5).realize("b", np.ones((2, 6 * 2), np.float32), 0)
    assert bias.tolist() == [[0.5, 0.5, *[0.0] * 10]] * 2


def test_identities_constants_and_gate_biases_are_what_they_say() -> None:
    identity = Identity(0.5).realize("r", np.zeros((2, 8, 8), np.float32), 0)
    assert np.array_equal(identity, np.stack([0.5 * np.eye(8)] * 2).astype(np.float32))
    assert np.all(Constant(0.25).realize("s", PRESENT, 0) == 0.25)
    bias = GateBias(gates=4, gate=2, value=1.0).realize("b", np.ones((1, 8 * 5), np.float32), 0)
    assert np.flatnonzero(bias[0]).tolist() == list(range(10, 15))  # the forget gate's part of the input biases, once


def test_a_factor_applies_to_what_is_there_or_to_what_was_drawn_before_it() -> None:
    assert np.all(Scaled(0.5).realize("w", PRESENT, 0) == 1.0)
    first: Draw = Normal(1.0)
    both = in_turn(first, Scaled(0.5))
    assert both.random
    assert not Scaled(0.5).random
    assert not Scaled(0.5, Constant(1.0)).random
    np.testing.assert_array_equal(both.realize("w", PRESENT, 3), 0.5 * first.realize("w", PRESENT, 3))
    assert in_turn(first, Constant(0.0)) == Constant(0.0)
    assert in_turn(None, Scaled(0.5)) == Scaled(0.5)


@pytest.mark.parametrize(
    "draw",
    [
        Normal(1.0),
        Uniform(1.0),
        Constant(1.0),
        Scaled(2.0),
        Scaled(2.0, Constant(1.0)),
        Scaled(2.0, Normal(1.0)),
        Orthogonal(),
        Identity(),
        GateBias(gates=1, gate=0, value=1.0),
    ],
)
def test_a_draw_is_random_where_another_seed_gives_other_values(draw: Draw) -> None:
    present = np.ones((4, 4), np.float32)
    first, second = (draw.realize("w", present, seed) for seed in (0, 1))
    assert draw.random is not np.array_equal(first, second)


def test_an_identity_is_one_unless_told_otherwise_and_so_is_an_orthogonal_gain() -> None:
    assert np.array_equal(Identity().realize("r", np.zeros((1, 3, 3), np.float32), 0), np.eye(3)[None])
    assert np.linalg.norm(Orthogonal().realize("w", np.zeros((3, 5), np.float32), 0), 2) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(6, 4), (4, 4), (4, 6)])
def test_an_orthogonal_draw_is_the_noise_after_gram_and_schmidt(shape: tuple[int, int]) -> None:
    """The sign of each direction is that of the noise, or the law would not be uniform (Mezzadri 2007)."""
    matrix = Orthogonal().realize("w", np.zeros(shape, np.float32), 3).astype(np.float64)
    random = noise("w", shape, 3).astype(np.float64)
    given, made = (random, matrix) if shape[0] >= shape[1] else (random.T, matrix.T)
    for place in range(given.shape[1]):
        before = made[:, :place]
        rest = given[:, place] - before @ (before.T @ given[:, place])
        np.testing.assert_allclose(made[:, place], rest / np.linalg.norm(rest), atol=1e-5)


def test_what_replaces_a_draw_forgets_it() -> None:
    assert in_turn(Normal(1.0), Normal(2.0)) == Normal(2.0)
    assert in_turn(None, Normal(2.0)) == Normal(2.0)
    assert in_turn(Normal(1.0), Scaled(0.5)) == Scaled(0.5, Normal(1.0))
