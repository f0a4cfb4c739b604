"""Networks as torch's exporter writes them by default: with the number of samples fixed."""

import io
import warnings
from collections.abc import Mapping

import numpy as np
import onnxruntime
import torch
from torch import nn

STEPS, FEATURES, WIDTH, CLASSES = 5, 6, 8, 4


def fixed(
    module: nn.Module, *example: torch.Tensor, dynamo: bool = False, axes: Mapping[str, Mapping[int, str]] | None = None
) -> bytes:
    """`axes`: what is left open all the same."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            torch.onnx.export(module.eval(), example, dynamo=True, verbose=False).save(file)
        else:
            names = [f"x{place}" if place else "x" for place in range(len(example))]
            torch.onnx.export(
                module.eval(), example, file, dynamo=False, opset_version=17, input_names=names, dynamic_axes=axes
            )
    return file.getvalue()


def run(model: bytes, *inputs: np.ndarray) -> np.ndarray:
    """The first output, by onnxruntime."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    output: np.ndarray = session.run(None, dict(zip(names, inputs, strict=True)))[0]
    return output


class Reader(nn.Module):
    """A recurrent layer over [N, T, F]; the last step, or every step, is named."""

    def __init__(
        self, kind: str, *, batch_first: bool = True, every_step: bool = False, layers: int = 1, both: bool = False
    ) -> None:
        super().__init__()
        self.every_step = every_step
        self.recurrent = getattr(nn, kind)(
            FEATURES, WIDTH, num_layers=layers, batch_first=batch_first, bidirectional=both
        )
        self.head = nn.Linear(WIDTH * (2 if both else 1), CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.recurrent(x)
        named: torch.Tensor = self.head(states if self.every_step else states[:, -1])
        return named


class Flattened(nn.Module):
    """A convolution, and a view that is traced as sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.body(x)
        named: torch.Tensor = self.head(seen.view(seen.size(0), -1))
        return named


class Patches(nn.Module):
    """A vision transformer with a class token that is expanded, and torch's own attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, WIDTH, 2, 2)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.place = nn.Parameter(torch.randn(1, 5, WIDTH))
        self.block = nn.TransformerEncoderLayer(WIDTH, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(x.size(0), -1, -1), patches], 1) + self.place
        named: torch.Tensor = self.head(self.block(tokens)[:, 0])
        return named


class LastToken(nn.Module):
    """Embeddings and positions, and an index that counts samples."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(9, WIDTH)
        self.places = nn.Embedding(STEPS, WIDTH)
        self.recurrent = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = torch.arange(x.size(1)).unsqueeze(0).expand(x.size(0), -1)
        states, _ = self.recurrent(self.words(x) + self.places(places))
        named: torch.Tensor = self.head(states[torch.arange(x.size(0)), -1])
        return named


class OwnFactor(nn.Module):
    """Multiplies each of so many samples by a number of its own: no other number of them makes sense."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.register_buffer("factor", torch.linspace(0.5, 1.5, samples)[:, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        named: torch.Tensor = self.head(torch.tanh(self.first(x) * self.factor))
        return named
