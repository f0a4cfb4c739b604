"""What modules hand out."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from gradient_health.outputs import tensors_in

A, B = torch.zeros(1), torch.ones(2)


@dataclass
class Answer:
    """As HuggingFace's models answer, but for their mapping."""

    logits: Tensor
    loss: Tensor | None = None
    states: tuple[Tensor, ...] = ()


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (A, [A]),
        ((A, [B, None]), [A, B]),
        (OrderedDict(loss=None, logits=A, states=(B,)), [A, B]),
        (Answer(A, states=(B, B)), [A, B, B]),
        (Pair(B, A), [B, A]),
        (Answer, []),
        ("text", []),
    ],
)
def test_all_tensors_are_found_in_order(found: Any, expected: list[Tensor]) -> None:
    assert [id(each) for each in tensors_in(found)] == [id(each) for each in expected]
