"""Networks for the treatments, and the treatments applied to them as the experiment does it."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import onnx.parser
import torch
from torch import nn

from analysis.experiment.replay import draw
from analysis.facts import Factor
from analysis.interventions.contract import NotApplicable, Recipe
from analysis.interventions.draws import Draw, Normal, Uniform
from analysis.interventions.treatment import SHELF, Apply, Treatment
from analysis.interventions.variants import cell_of
from analysis.model import CheckedModel, check_model
from analysis.subject.subject import Subject
from tests.analysis.experiment.experiments import experiment
from tests.gallery import export, seeded

SQUARE = {"A": (8, 8), "B": (8, 8), "C": (8, 4)}


def composed(name: str, model: CheckedModel | bytes, batch: bytes | None = None) -> tuple[Recipe, Subject]:
    """The recipe of a variant and the structure it is for."""
    found = experiment(model, batch).structures.compose(cell_of(name))
    assert not isinstance(found, NotApplicable), found.reason
    return found


def applied(name: str, model: CheckedModel | bytes, batch: bytes | None = None) -> Recipe:
    return composed(name, model, batch)[0]


def refused(name: str, model: CheckedModel | bytes, batch: bytes | None = None) -> str:
    """Why a variant does not apply."""
    found = experiment(model, batch).structures.compose(cell_of(name))
    assert isinstance(found, NotApplicable), found
    return found.reason


def drawn(name: str, model: CheckedModel | bytes, batch: bytes | None = None, seed: int = 0) -> dict[str, np.ndarray]:
    """The weights of a variant."""
    recipe, subject = composed(name, model, batch)
    draw(subject, recipe, seed)
    return {key: weight.detach().numpy().copy() for key, weight in subject.converted.initializers.items()}


def outputs(name: str, model: CheckedModel | bytes, batch: bytes | None = None) -> torch.Tensor:
    """What the drawn variant computes for its own batch."""
    recipe, subject = composed(name, model, batch)
    draw(subject, recipe, 0)
    inputs, _ = subject.tensors()
    with torch.no_grad():
        return subject.converted.eval()(*inputs)[0]


def deviation(draw: Draw | None) -> float:
    """Of a draw that is normal or uniform."""
    assert isinstance(draw, Normal | Uniform)
    return draw.std if isinstance(draw, Normal) else draw.bound / math.sqrt(3)


def operators(model: CheckedModel) -> list[str]:
    return [node.op_type for node in model.nodes]


def parsed(
    body: str, weights: dict[str, tuple[int, ...]], inputs: str = "float[N,8] x", outputs: str = "float[N,4] y"
) -> CheckedModel:
    """A model in ONNX's text form, its weights drawn from N(0, 1 / fan_in)."""
    random = np.random.default_rng(0)
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> test ({inputs}) => ({outputs}) {{ {body} }}'
    )
    for name, shape in weights.items():
        values = random.standard_normal(shape).astype(np.float32) / np.float32(np.sqrt(shape[0]))
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return check_model(model.SerializeToString())


class PostNorm(nn.Module):
    """A transformer encoder that normalises behind each addition."""

    def __init__(self, blocks: int = 3, width: int = 16) -> None:
        super().__init__()
        layers = [nn.TransformerEncoderLayer(width, 2, 32, 0.0, batch_first=True) for _ in range(blocks)]
        self.enter, self.blocks, self.head = nn.Linear(8, width), nn.Sequential(*layers), nn.Linear(width, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.enter(x)).mean(1))


class Bare(nn.Module):
    """Attention and feed-forward without skip paths."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(8, width), nn.Linear(width, 4)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.wide, self.narrow = nn.Linear(width, 32), nn.Linear(32, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enter(x)
        weights = torch.softmax(self.query(x) @ self.key(x).transpose(1, 2) / 4, -1)
        x = self.out(weights @ self.value(x))
        return self.head(self.narrow(torch.relu(self.wide(x))).mean(1))


def post_norm(blocks: int = 3) -> bytes:
    return export(seeded(lambda: PostNorm(blocks)), torch.zeros(2, 6, 8))


def bare() -> bytes:
    return export(seeded(Bare), torch.zeros(2, 6, 8))


def acting(token: str, factor: Factor, apply: Apply) -> Treatment:
    """A treatment whose file on the shelf is made up."""
    file = f"acting_{token}"
    sys.modules[f"{SHELF}.{file}"] = SimpleNamespace(TREATMENTS={token: apply})  # type: ignore[assignment]
    return Treatment(token, factor, file)
