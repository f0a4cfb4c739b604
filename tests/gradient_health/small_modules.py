"""Modules of PyTorch as people write them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Convolutions with BatchNorm in blocks, attention, Dropout."""

    def __init__(self) -> None:
        """With torch's own initialisation."""
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()) for _ in range(2)
        )
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return self.head(self.drop(tokens.mean(1)))


class Words(nn.Module):
    """Ids, an LSTM, a layer that is called twice, an argument by keyword, an optional one, outputs by name."""

    def __init__(self) -> None:
        """With torch's own initialisation."""
        super().__init__()
        self.table = nn.Embedding(50, 16)
        self.reader = nn.LSTM(16, 16, batch_first=True)
        self.twice = nn.Linear(16, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, ids: Tensor, bias: Tensor | None = None, *, scale: Tensor) -> dict[str, Any]:
        steps, _ = self.reader(self.table(ids))
        last = torch.relu(self.twice(torch.relu(self.twice(steps[:, -1]))))
        scores = self.head(last) * scale
        return {"scores": scores if bias is None else scores + bias, "loss": None}


class Memory(nn.Module):
    """Names the class that the first step of a sequence tells, at its end."""

    def __init__(self, kind: type[nn.RNNBase], **how: Any) -> None:
        """With torch's own initialisation."""
        super().__init__()
        torch.manual_seed(0)
        self.reader = kind(8, 24, **{"batch_first": True, **how})
        self.head = nn.Linear(48 if how.get("bidirectional") else 24, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.reader(x)[0][:, -1])


def first_step_tells(steps: int, seed: int, samples: int = 64) -> tuple[Tensor, Tensor]:
    """Sequences of noise whose first step has the class in it, and the classes."""
    random = torch.Generator().manual_seed(seed)
    target = torch.randint(0, 4, (samples,), generator=random)
    x = 0.3 * torch.randn(samples, steps, 8, generator=random)
    x[:, 0, :4] += 2 * nn.functional.one_hot(target, 4)
    return x, target


def chain(depth: int, activation: Callable[[], nn.Module]) -> nn.Module:
    """16 inputs, `depth` hidden layers of 16, 4 outputs; always the same weights."""
    torch.manual_seed(0)
    layers = [part for _ in range(depth) for part in (nn.Linear(16, 16), activation())]
    return nn.Sequential(*layers, nn.Linear(16, 4))
