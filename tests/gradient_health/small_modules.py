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


def chain(depth: int, activation: Callable[[], nn.Module]) -> nn.Module:
    """16 inputs, `depth` hidden layers of 16, 4 outputs; always the same weights."""
    torch.manual_seed(0)
    layers = [part for _ in range(depth) for part in (nn.Linear(16, 16), activation())]
    return nn.Sequential(*layers, nn.Linear(16, 4))
