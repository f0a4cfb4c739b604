"""Tiny networks with a known illness, and healthy ones: deterministic, written by hand or by a real exporter.

A patient is an ONNX model, a batch it can learn from (class ids follow from the inputs), and what the rules must say.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

SAMPLES, INPUTS, CLASSES = 256, 32, 10
Draw = Callable[[np.random.Generator, int, int], np.ndarray]
"""(random, fan_out, fan_in) -> weight [out, in]."""


@dataclass(frozen=True)
class Patient:
    model: bytes
    batch: bytes
    expected: frozenset[str] = frozenset()
    """Rules that must fire at error level; none for the healthy."""


# ------------------------------------------------------------------ draws


def he(gain: float = 1.0) -> Draw:
    return lambda random, fan_out, fan_in: random.normal(0, gain * np.sqrt(2 / fan_in), (fan_out, fan_in))


def xavier(gain: float = 1.0) -> Draw:
    return lambda random, fan_out, fan_in: random.normal(0, gain * np.sqrt(2 / (fan_in + fan_out)), (fan_out, fan_in))


def normal(std: float) -> Draw:
    return lambda random, fan_out, fan_in: random.normal(0, std, (fan_out, fan_in))


# ------------------------------------------------------------------ models


def mlp(
    depth: int,
    activation: str,
    draw: Draw,
    *,
    width: int = 64,
    bias: float = 0.0,
    sizes: Sequence[int] | None = None,
    seed: int = 0,
) -> bytes:
    """Gemm and activation, `depth` Gemms in all, logits without activation."""
    random = np.random.default_rng(seed)
    sizes = sizes or [INPUTS, *[width] * (depth - 1), CLASSES]
    nodes, weights, value = [], [], "x"
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        last = layer == len(sizes) - 2
        shift = np.full(fan_out, 0.0 if last else bias, np.float32)
        weights.append(numpy_helper.from_array(draw(random, fan_out, fan_in).astype(np.float32), f"w{layer}"))
        weights.append(numpy_helper.from_array(shift, f"b{layer}"))
        nodes.append(
            helper.make_node("Gemm", [value, f"w{layer}", f"b{layer}"], [f"z{layer}"], transB=1, name=f"fc{layer}")
        )
        value = f"z{layer}"
        if not last:
            nodes.append(helper.make_node(activation, [value], [f"a{layer}"], name=f"act{layer}"))
            value = f"a{layer}"
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", sizes[0]])]
    outputs = [helper.make_tensor_value_info(value, TensorProto.FLOAT, ["N", sizes[-1]])]
    graph = helper.make_graph(nodes, "mlp", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def export(module: nn.Module, example: torch.Tensor, *, keep_batch_norm: bool = False) -> bytes:
    """Through torch's exporter, batch axis open."""
    file = io.BytesIO()
    how = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False} if keep_batch_norm else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), (example,), file, dynamo=False, input_names=["x"], output_names=["logits"],
            dynamic_axes={"x": {0: "N"}, "logits": {0: "N"}}, **how,
        )  # fmt: skip
    return file.getvalue()


def export_for_training(module: nn.Module, example: torch.Tensor) -> bytes:
    """With Dropout and BatchNormalization as they train, batch axis open."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.train(), (example,), file, dynamo=False, training=torch.onnx.TrainingMode.TRAINING,
            do_constant_folding=False, input_names=["x"], output_names=["logits"],
            dynamic_axes={"x": {0: "N"}, "logits": {0: "N"}},
        )  # fmt: skip
    return file.getvalue()


class ResidualNetwork(nn.Module):
    """Convolutions with biases, BatchNorm, residual blocks."""

    def __init__(self, channels: int = 16, blocks: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(),
                nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels),
            )
            for _ in range(blocks)
        )  # fmt: skip
        self.head = nn.Linear(channels, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = torch.relu(x + block(x))
        return self.head(x.mean((2, 3)))


class Block(nn.Module):
    """A pre-LN transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, steps, width = x.shape
        q, k, v = (
            part.view(batch, steps, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).chunk(3, -1)
        )
        scores = (q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5).softmax(-1)
        x = x + self.out((scores @ v).transpose(1, 2).reshape(batch, steps, width))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """Token ids in, class logits of the mean token out."""

    def __init__(self, width: int = 32, blocks: int = 3, vocabulary: int = 50, steps: int = 12) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.randn(1, steps, width) * 0.02)
        self.blocks = nn.Sequential(*[Block(width, 4) for _ in range(blocks)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.blocks(self.tokens(ids) + self.positions)).mean(1))


class Recurrent(nn.Module):
    """An LSTM with torch's default initialisation, read at the last step."""

    def __init__(self, kind: type[nn.RNNBase] = nn.LSTM, **how: str) -> None:
        super().__init__()
        self.cells, self.head = kind(8, 32, batch_first=True, **how), nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x)[0][:, -1])


# ------------------------------------------------------------------ batches


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def vectors(samples: int = SAMPLES, inputs: int = INPUTS, classes: int = CLASSES, seed: int = 0) -> bytes:
    """Noisy prototypes: easy for any healthy network."""
    random = np.random.default_rng(seed)
    prototypes = random.standard_normal((classes, inputs))
    target = random.integers(0, classes, samples)
    x = prototypes[target] + 0.5 * random.standard_normal((samples, inputs))
    return npz(x=x.astype(np.float32), target=target)


def images(samples: int = 64, seed: int = 0) -> bytes:
    random = np.random.default_rng(seed)
    prototypes = random.standard_normal((CLASSES, 3, 16, 16))
    target = random.integers(0, CLASSES, samples)
    x = prototypes[target] + 0.5 * random.standard_normal((samples, 3, 16, 16))
    return npz(x=x.astype(np.float32), target=target)


def tokens(samples: int = 128, seed: int = 0) -> bytes:
    ids = np.random.default_rng(seed).integers(0, 50, (samples, 12))
    return npz(x=ids, target=ids[:, 0] % 5)


def sequences(samples: int = 64, seed: int = 0) -> bytes:
    x = np.random.default_rng(seed).standard_normal((samples, 20, 8)).astype(np.float32)
    return npz(x=x, target=x[:, -1, :4].argmax(1))


# ------------------------------------------------------------------ patients


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build()


SICK: dict[str, Callable[[], Patient]] = {
    "twelve sigmoid layers": lambda: Patient(
        mlp(12, "Sigmoid", xavier()), vectors(), frozenset({"GH101", "GH105"})
    ),
    "twenty relu layers with three times he": lambda: Patient(
        mlp(20, "Relu", he(3.0)), vectors(), frozenset({"GH102", "GH105"})
    ),
    "relus with a bias of -8": lambda: Patient(
        mlp(6, "Relu", he(), bias=-8.0), vectors(), frozenset({"GH201", "GH105"})
    ),
    "relu weights of 0.01": lambda: Patient(
        mlp(12, "Relu", normal(0.01)), vectors(), frozenset({"GH101", "GH105"})
    ),
}  # fmt: skip
HEALTHY: dict[str, Callable[[], Patient]] = {
    "he relu mlp": lambda: Patient(mlp(6, "Relu", he()), vectors()),
    "xavier tanh mlp": lambda: Patient(mlp(5, "Tanh", xavier()), vectors()),
    "residual network with batch norm": lambda: Patient(
        export(seeded(ResidualNetwork), torch.zeros(2, 3, 16, 16), keep_batch_norm=True), images()
    ),
    "pre-ln transformer": lambda: Patient(
        export(seeded(Transformer), torch.zeros(2, 12, dtype=torch.int64)), tokens()
    ),
    "default lstm": lambda: Patient(export(seeded(Recurrent), torch.zeros(2, 20, 8)), sequences()),
}  # fmt: skip
