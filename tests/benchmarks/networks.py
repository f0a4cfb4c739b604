"""Plain PyTorch networks of known size, and their exports."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from tests.gallery import npz

CURRENT, OLDER = "current exporter", "TorchScript, training, opset 17"


@dataclass(frozen=True)
class Network:
    module: nn.Module
    inputs: torch.Tensor
    targets: torch.Tensor

    def export(self, how: str) -> bytes:
        """With dynamo in eval mode, or with TorchScript in training mode without folding."""
        file = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if how == CURRENT:
                program = torch.onnx.export(self.module.eval(), (self.inputs,), dynamo=True, verbose=False)
                program.save(file)
            else:
                training = torch.onnx.TrainingMode.TRAINING
                torch.onnx.export(
                    self.module.train(), (self.inputs,), file, dynamo=False, opset_version=17, training=training,
                    do_constant_folding=False, input_names=["x"],
                )  # fmt: skip
        return file.getvalue()

    def batch(self, name: str) -> bytes:
        """Inputs and targets as npz."""
        return npz(**{name: self.inputs.numpy(), "target": self.targets.numpy()})


class ResidualBlock(nn.Module):
    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(2))
        narrow = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        self.shortcut = narrow if stride != 1 or before != channels else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.norms[0](self.first(x)))
        return torch.relu(self.norms[1](self.second(inner)) + self.shortcut(x))


class Bottleneck(nn.Module):
    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(before, channels, 1, bias=False)
        self.middle = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.widen = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in (channels, channels, 4 * channels))
        fitted = nn.Sequential(nn.Conv2d(before, 4 * channels, 1, stride, bias=False), nn.BatchNorm2d(4 * channels))
        self.shortcut = fitted if before != 4 * channels else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.norms[0](self.narrow(x)))
        inner = torch.relu(self.norms[1](self.middle(inner)))
        return torch.relu(self.norms[2](self.widen(inner)) + self.shortcut(x))


class BareBlock(nn.Module):
    """Sigmoids, and nothing that normalises."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, channels, 3, stride, 1)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1)
        same = stride == 1 and before == channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, channels, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.second(torch.sigmoid(self.first(x))) + self.shortcut(x))


class TransformerBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attend(self.norms[0](x))
        return x + self.narrow(nn.functional.gelu(self.widen(self.norms[1](x))))

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        split = (batch, length, self.heads, width // self.heads)
        query, key, value = (each(x).view(split).transpose(1, 2) for each in (self.query, self.key, self.value))
        attention = torch.softmax(query @ key.transpose(-1, -2) * split[-1] ** -0.5, -1)
        return self.out((attention @ value).transpose(1, 2).reshape(batch, length, width))


class Bert(nn.Module):
    def __init__(self, width: int = 128, heads: int = 2, layers: int = 4, length: int = 64) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(30522, width), nn.Parameter(0.02 * torch.randn(length, width))
        self.blocks = nn.Sequential(*[TransformerBlock(width, heads) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.blocks(self.words(x) + self.places))[:, 0])


class ViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.places = nn.Conv2d(3, 192, 16, 16), nn.Parameter(0.02 * torch.randn(196, 192))
        self.blocks = nn.Sequential(*[TransformerBlock(192, 3) for _ in range(12)])
        self.norm, self.head = nn.LayerNorm(192), nn.Linear(192, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.blocks(self.patches(x).flatten(2).transpose(1, 2) + self.places)).mean(1))


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.head = nn.LSTM(64, 256, 2), nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.recurrent(x)[0][-1])


def mlp() -> Network:
    hidden = [each for _ in range(49) for each in (nn.Linear(256, 256), nn.Tanh())]
    return Network(nn.Sequential(*hidden, nn.Linear(256, 10)), torch.randn(128, 256), classes(128))


def cnn() -> Network:
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.Sigmoid(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.Sigmoid(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(784, 64), nn.Sigmoid(), nn.Linear(64, 10),
    )  # fmt: skip
    return Network(module, torch.randn(256, 1, 28, 28), classes(256))


WIDTHS = (
    (64, 64, 1),
    (64, 64, 1),
    (64, 128, 2),
    (128, 128, 1),
    (128, 256, 2),
    (256, 256, 1),
    (256, 512, 2),
    (512, 512, 1),
)
"""Of the blocks of a ResNet-18: channels before, channels, stride."""


def resnet18() -> Network:
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]
    blocks = [ResidualBlock(*each) for each in WIDTHS]
    return Network(nn.Sequential(*stem, *blocks, *head), torch.randn(8, 3, 224, 224), classes(8))


def resnet50() -> Network:
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    blocks: list[nn.Module] = []
    before = 64
    for channels, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for place in range(count):
            blocks.append(Bottleneck(before, channels, 2 if place == 0 and channels > 64 else 1))
            before = 4 * channels
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10)]
    return Network(nn.Sequential(*stem, *blocks, *head), torch.randn(8, 3, 224, 224), classes(8))


def sick_resnet18() -> Network:
    stem = [nn.Conv2d(3, 64, 7, 2, 3), nn.Sigmoid(), nn.MaxPool2d(3, 2, 1)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]
    blocks = [BareBlock(*each) for each in WIDTHS]
    return Network(nn.Sequential(*stem, *blocks, *head), torch.randn(32, 3, 64, 64), classes(32))


def bert() -> Network:
    return Network(Bert(), torch.randint(0, 30522, (8, 64)), classes(8))


def bert_base() -> Network:
    return Network(Bert(768, 12, 12, 128), torch.randint(0, 30522, (8, 128)), classes(8))


def vit() -> Network:
    return Network(ViT(), torch.randn(8, 3, 224, 224), classes(8))


def lstm() -> Network:
    return Network(Lstm(), torch.randn(100, 32, 64), classes(32))


def classes(samples: int) -> torch.Tensor:
    return torch.randint(0, 10, (samples,))


NETWORKS: dict[str, Callable[[], Network]] = {
    "mlp": mlp, "cnn": cnn, "lstm": lstm, "bert": bert, "vit": vit, "resnet18": resnet18,
}  # fmt: skip


OTHERS: dict[str, Callable[[], Network]] = {
    "sick resnet18": sick_resnet18, "resnet50": resnet50, "bert base": bert_base,
}  # fmt: skip


def build(name: str) -> Network:
    """The same weights every time."""
    torch.manual_seed(0)
    return {**NETWORKS, **OTHERS}[name]()


def chain(nodes: int) -> bytes:
    """Gemm and Tanh in turn, 8 units wide."""
    random = np.random.default_rng(0)
    pairs = [f"w{number}" for number in range(nodes // 2)]
    weights = [numpy_helper.from_array(random.normal(size=(8, 8)).astype(np.float32), name) for name in pairs]
    written = []
    for number, name in enumerate(pairs):
        written += [
            helper.make_node("Gemm", [f"x{number}", name], [f"z{number}"], transB=1),
            helper.make_node("Tanh", [f"z{number}"], [f"x{number + 1}"]),
        ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in ("x0", f"x{len(pairs)}")]
    graph = helper.make_graph(written, "chain", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()
