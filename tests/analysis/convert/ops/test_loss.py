"""Cases of the loss family."""

import numpy as np
import pytest
import torch

from analysis.convert.ops.loss import negative_log_likelihood_loss, softmax_cross_entropy_loss
from tests.analysis.convert.ops.cases import RANDOM, Case, floats

CLASSES = 5
FLAT, FLAT_LABELS = floats(4, CLASSES), np.array([1, 4, 0, 4])
DEEP, DEEP_LABELS = floats(2, CLASSES, 3, 2), RANDOM.integers(0, CLASSES, (2, 3, 2))
WEIGHTS = floats(CLASSES, low=0.2)


def losses(op: str, outputs: int) -> list[Case]:
    """What both operators share."""

    def case(name: str, inputs: list, **attributes: object) -> Case:
        return Case(op, inputs, attributes, outputs=outputs, name=f"{name} to {outputs}")

    return [
        case("default", [FLAT, FLAT_LABELS]),
        case("int32 labels", [FLAT, FLAT_LABELS.astype(np.int32)], reduction="sum"),
        *[
            case(f"{shape} {reduction} {weighted} {ignored}", [x, labels, *weights], reduction=reduction, **ignore)
            for shape, x, labels in (("flat", FLAT, FLAT_LABELS), ("deep", DEEP, DEEP_LABELS))
            for reduction in ("none", "sum", "mean")
            for weighted, weights in (("alike", []), ("weighted", [WEIGHTS]))
            for ignored, ignore in (("all", {}), ("but one", {"ignore_index": 4}))
        ],
        case("label below", [FLAT, np.array([1, -100, 0, -100]), WEIGHTS], ignore_index=-100),
        case("label above", [FLAT, np.array([1, 7, 0, 2])], ignore_index=7),
        Case(
            op, [floats(3, CLASSES, 0), np.zeros((3, 0), np.int64)], {"reduction": "sum"}, outputs=outputs,
            differentiable=False, name=f"no label to {outputs}",
        ),
    ]  # fmt: skip


CASES = [
    *losses("NegativeLogLikelihoodLoss", 1),
    *losses("SoftmaxCrossEntropyLoss", 1),
    *losses("SoftmaxCrossEntropyLoss", 2),
    Case("SoftmaxCrossEntropyLoss", [1000 * FLAT, FLAT_LABELS], name="far apart", tolerance=1e-3),
]


def test_an_ignored_label_leaves_no_gradient_not_even_that_of_minus_infinity() -> None:
    certain = torch.tensor([[0.0, -torch.inf], [-0.5, -1.0]], requires_grad=True)
    weight = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = negative_log_likelihood_loss(certain, torch.tensor([1, 0]), weight, ignore_index=1)
    loss.backward()
    assert certain.grad is not None
    assert weight.grad is not None
    assert certain.grad.tolist() == [[0.0, 0.0], [-1.0, 0.0]]
    assert weight.grad.tolist() == [0.0, 0.0]  # the mean over one sample does not depend on its weight


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_the_mean_of_many_losses_fits_into_16_bits(kind: torch.dtype) -> None:
    scores = torch.zeros(100_000, 2, dtype=kind)
    loss, _ = softmax_cross_entropy_loss(scores, torch.zeros(100_000, dtype=torch.int64))
    assert loss.item() == pytest.approx(np.log(2), rel=1e-2)
