import pytest
import torch

from analysis.measure.cotangent import paired, random_cotangent


@pytest.mark.parametrize(("shape", "samples"), [((5, 3), 5), ((2, 5, 3), 5), ((5,), 5)])
def test_a_cotangent_has_norm_1_for_each_sample(shape: tuple[int, ...], samples: int) -> None:
    value = torch.zeros(shape)
    drawn = random_cotangent(value, samples, 3)
    rows = drawn.movedim(shape.index(samples), 0).reshape(samples, -1)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(samples))
    assert torch.equal(drawn, random_cotangent(value, samples, 3))
    assert not torch.equal(drawn, random_cotangent(value, samples, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_paired_sends_back_what_torch_would_send_if_given_the_cotangent(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, dtype=dtype, requires_grad=True)
    value = torch.tanh(x).pow(3)
    cotangent = torch.randn(4, 3, dtype=dtype) * 1e-30  # squares would be lost
    (given,) = torch.autograd.grad(value, x, cotangent, retain_graph=True)
    (found,) = torch.autograd.grad(paired(value, cotangent), x)
    assert found.dtype is dtype
    assert torch.equal(found, given)


def test_an_infinite_value_spoils_no_gradient() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    value = x * torch.tensor([3.0, float("inf")])
    (found,) = torch.autograd.grad(paired(value, torch.tensor([0.5, 0.0])), x)
    assert found[0] == 1.5
