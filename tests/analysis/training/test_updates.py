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


@pytest.mark.parametrize("optimizer", list(OptimizerName))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gradient_may_lie_in_memory_as_it_likes(optimizer: OptimizerName, dtype: torch.dtype) -> None:
    """As the way back leaves it: transposed, or one number that stands for all."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(3, 4, dtype=dtype, generator=generator), torch.randn(5, dtype=dtype, generator=generator)]
    weights += [torch.randn((), dtype=dtype, generator=generator), torch.randn(4, 2, dtype=dtype, generator=generator)]
    weights[3] = weights[3].t()
    other = [weight.clone(memory_format=torch.contiguous_format) for weight in weights]
    one, two = update_of(Training(optimizer, 0.1)), update_of(Training(optimizer, 0.1))
    for step in range(3):
        whole = torch.randn(4, 3, dtype=dtype, generator=generator)
        single = torch.tensor(0.5 + step, dtype=dtype)
        gradients = [whole.t(), single.expand(5), single, torch.randn(2, 4, dtype=dtype, generator=generator)]
        one(weights, gradients)
        two(other, [gradient.clone(memory_format=torch.contiguous_format) for gradient in gradients])
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(weights, other, strict=True))


@pytest.mark.parametrize("optimizer", list(OptimizerName))
def test_a_warm_up_is_that_of_a_linear_schedule_of_torch(optimizer: OptimizerName) -> None:
    ours, theirs = [torch.ones(3)], [torch.nn.Parameter(torch.ones(3))]
    truth: torch.optim.Optimizer = torch.optim.Adam(theirs, 0.2)
    if optimizer is OptimizerName.SGD:
        truth = torch.optim.SGD(theirs, 0.2, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LambdaLR(truth, lambda step: min(1.0, (step + 1) / 3))
    update = update_of(Training(optimizer, 0.2, warm_up=3))
    for step in range(6):
        gradient = torch.arange(3.0) - step
        theirs[0].grad = gradient.clone()
        truth.step()
        schedule.step()
        update(ours, [gradient])
    torch.testing.assert_close(ours[0], theirs[0].detach())
