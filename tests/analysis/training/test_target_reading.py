"""What readers make of targets that follow from the inputs, and of the same targets shuffled apart."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from analysis.training.target_reading import explained, read_targets, readers_of, reference_share, standardized
from tests.gallery import export, npz
from tests.gallery.networks import stack
from tests.gallery.tasks import vectors

SAMPLES, INPUTS = 256, 32


def drawn(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Standardised inputs, and a number that is a sum of two of them."""
    x = standardized(np.random.default_rng(seed).standard_normal((SAMPLES, INPUTS)))
    return x, standardized(x[:, :1] + x[:, 1:2])


def test_columns_have_mean_zero_and_variance_one_and_a_constant_is_zero() -> None:
    x = standardized(np.array([[1.0, 5.0], [3.0, 5.0]]))
    np.testing.assert_allclose(x, [[-1.0, 0.0], [1.0, 0.0]])


def test_the_line_is_ridge_regression_on_the_other_quarters_and_neighbours_are_their_mean() -> None:
    """Against the primal form: (K'K + r) w = K'y with r the mean squared norm of a sample over ten."""
    x, y = drawn()
    line, near = readers_of(x)
    held = np.arange(1, SAMPLES, 4)
    known = np.setdiff1d(np.arange(SAMPLES), held)
    ridge = 0.1 * np.square(x[known]).sum(1).mean()
    centred = x[known]
    weights = np.linalg.solve(centred.T @ centred + ridge * np.eye(INPUTS), centred.T @ (y[known] - y[known].mean(0)))
    np.testing.assert_allclose((line @ y)[held], x[held] @ weights + y[known].mean(0), atol=1e-3)
    first = known[np.argsort(np.linalg.norm(x[known] - x[1], axis=1))[:5]]
    np.testing.assert_allclose((near @ y)[1], y[first].mean(0))


def test_the_share_is_one_for_the_truth_zero_for_the_mean_and_negative_for_worse() -> None:
    y = np.array([[0.0], [2.0]])
    assert explained(y, y) == 1.0
    assert explained(np.ones((2, 1)), y) == 0.0
    assert explained(np.array([[2.0], [0.0]]), y) == -3.0
    assert explained(y, np.ones((2, 1))) == 0.0


@pytest.mark.parametrize("seed", [0, 1])
def test_the_reference_network_learns_what_follows_and_nothing_of_what_does_not(seed: int) -> None:
    x, y = drawn(seed)
    assert reference_share(x, y, seed) > 0.5
    assert reference_share(x, np.random.default_rng(seed).permutation(y), seed) < 0.05


def test_the_reference_network_is_the_one_that_torch_would_train() -> None:
    x, y = drawn()
    random = torch.Generator().manual_seed(3)
    module = torch.nn.Sequential(
        torch.nn.Linear(INPUTS, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1)
    )
    with torch.no_grad():
        for linear in (module[0], module[2], module[4]):
            fan_out, fan_in = linear.weight.shape
            linear.weight.copy_((torch.randn(fan_in, fan_out, generator=random) * (2 / fan_in) ** 0.5).T)
            linear.bias.zero_()
    inputs, wanted = torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.float32))
    optimizer, shares = torch.optim.Adam(module.parameters(), 3e-3), []
    for step in range(201):
        if step % 10 == 0:
            shares.append(explained(module(inputs[:64]).detach().double().numpy(), y[:64]))
        rows = 64 + torch.randint(SAMPLES - 64, (32,), generator=random)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(module(inputs[rows]), wanted[rows]).backward()
        optimizer.step()
    assert reference_share(x, y, 3) == pytest.approx(max(shares), abs=1e-3)


def test_reading_loads_no_compiler_which_every_job_would_pay_for() -> None:
    """The optimisers of torch load torch._dynamo, a second of processor time and 70 MB."""
    script = """
import sys
import numpy as np
from analysis.training.target_reading import reference_share
x = np.random.default_rng(0).standard_normal((64, 4))
reference_share(x, x[:, :1], 0)
assert not {"sympy", "torch._dynamo"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("follows", [True, False])
def test_labels_that_follow_are_read_and_labels_shuffled_apart_are_not(*, follows: bool) -> None:
    x, target = vectors(20, 5)(0)(np.random.default_rng(0), SAMPLES)
    target = target if follows else np.random.default_rng(1).permutation(target)
    model = export(stack(2, inputs=20, outputs=5), torch.from_numpy(x))
    reading = read_targets(prepare(check_model(model), npz(x=x, target=target), AnalysisOptions()), 0)
    assert reading is not None
    assert reading.samples == SAMPLES
    assert (max(reading.linear, reading.neighbours) > reading.permuted) is follows
    assert (reading.reference > 0.5) is follows
    assert reading.permuted < 0.1


def test_targets_that_nobody_sent_are_not_read() -> None:
    x, _ = vectors(20, 5)(0)(np.random.default_rng(0), SAMPLES)
    model = export(stack(2, inputs=20, outputs=5), torch.from_numpy(x))
    assert read_targets(prepare(check_model(model), npz(x=x), AnalysisOptions()), 0) is None
