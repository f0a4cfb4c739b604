import pytest

from analysis.facts import MATRIX_ROLES, is_matrix


@pytest.mark.parametrize(
    ("role", "matrix"),
    [
        ("weight", True),
        ("weight.2", True),
        ("recurrent_weight", True),
        ("embedding", True),
        ("bias", False),
        ("bias.2", False),
        ("scale", False),
        ("slope", False),
        ("initial_state", False),
        ("offset", False),
        ("weight_scale", False),
    ],
)
def test_weights_and_kernels_are_matrices_however_they_are_numbered(role: str, matrix: bool) -> None:
    assert is_matrix(role) is matrix


def test_three_roles_multiply() -> None:
    assert sorted(MATRIX_ROLES) == ["embedding", "recurrent_weight", "weight"]
