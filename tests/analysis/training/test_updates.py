import pytest
import torch

from analysis.options import OptimizerName
from analysis.training.grid import Training
from analysis.training.updates import update_of


@pytest.mark.parametrize(
    ("training", "truth"),
    [
        (Training(OptimizerName.SGD, 0.1), lambda weights: torch.optim.SGD(weights, 0.1, momentum=0.9)),
        (Training(OptimizerName.ADAM, 3e-3), lambda weights: torch.optim.Adam(weights, 3e-3)),
    ],
)
def test_updates_are_those_of_torch(training: Training, truth: object) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (5,), (2, 2, 2)]
    ours = [torch.randn(shape, generator=generator) for shape in shapes]
    theirs = [torch.nn.Parameter(weight.clone()) for weight in ours]
    optimizer, update = truth(theirs), update_of(training)  # type: ignore[operator]
    for _ in range(7):
        gradients = [torch.randn(shape, generator=generator) for shape in shapes]
        for weight, gradient in zip(theirs, gradients, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()
        update(ours, gradients)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other.detach())
