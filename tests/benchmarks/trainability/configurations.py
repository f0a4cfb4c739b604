"""Which networks the corpus has: every choice that decides whether a small network trains, drawn at random.

The distributions follow the corpora that the thresholds of the product were measured on: MLPs, convolutional and
recurrent networks and transformers whose initialisation, depth, activation, input scale or memory is right about as
often as it is wrong. A configuration follows from draw seed, family and place alone, so a larger draw begins with the
smaller one's networks.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final


class Family(StrEnum):
    """Kinds of networks; results are reported for each."""

    MLP = "mlp"
    NORMALIZED_MLP = "normalized_mlp"
    RESIDUAL_MLP = "residual_mlp"
    CNN = "cnn"
    RESIDUAL_CNN = "residual_cnn"
    RECURRENT = "recurrent"
    TRANSFORMER = "transformer"


SEQUENCE: Final = frozenset({Family.RECURRENT, Family.TRANSFORMER})
MIX: Final[Mapping[Family, int]] = {
    Family.MLP: 40, Family.NORMALIZED_MLP: 30, Family.RESIDUAL_MLP: 20, Family.CNN: 30, Family.RESIDUAL_CNN: 25,
    Family.RECURRENT: 65, Family.TRANSFORMER: 50,
}  # fmt: skip
"""How many of each in a corpus of 260."""

Choices = dict[str, Any]
"""Fields of a configuration."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One network and its task; what a family does not use keeps its default."""

    family: Family
    seed: int
    task: str
    """clusters, teacher, regression (vectors); textures, templates (images); recall, locate, majority (sequences)."""
    classes: int = 4
    """Of the task; outputs of a regression."""
    size: int = 16
    """Features of a vector or of a step, pixels along an image's side, words of a vocabulary."""
    input_scale: float = 1.0
    batch_size: int = 32
    depth: int
    """Weight layers with the head (mlp, cnn), stacked cells (recurrent), blocks (transformer)."""
    width: int
    activation: str = "relu"
    initialization: str
    """torch, he, xavier, xavier_gain, orthogonal, lsuv, normal, constant, large, small; ends (transformer)."""
    scale: float = 1.0
    """Standard deviation (normal), value (constant), times He or Xavier (large, small)."""
    bias: float = 0.0
    """Of hidden layers, or of their norms."""
    normalization: str = "none"
    """none, batch, layer, group; pre, post, none (transformer)."""
    residual: bool = False
    pooling: str = "average"
    """How a CNN ends: average, flatten."""
    cell: str = ""
    """rnn_tanh, rnn_relu, lstm, gru."""
    bidirectional: bool = False
    recurrent_scale: float = 1.0
    """Times the recurrent matrix."""
    gate_bias: float = 0.0
    """Of the gate that keeps the state: forget (lstm), update (gru)."""
    steps: int = 0
    cue: int = 0
    """Step that shows what has to be recalled."""
    tokens: bool = False
    """Ids and an embedding, rather than float features."""
    readout: str = "last"
    """What the head sees: last, first, mean."""
    embedding_std: float = 1.0
    position_std: float = 1.0
    temperature: float = 1.0
    """Times the attention logits."""

    @property
    def name(self) -> str:
        """Readable and unique: what it is, then what is unusual about it, then the seed."""
        parts = [self.family, *_architecture(self), *_start(self), *_inputs(self), f"s{self.seed}"]
        return "-".join(part for part in parts if part)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Configuration":
        """What `to_json` wrote."""
        return cls(**{**fields, "family": Family(fields["family"])})


def draw(seed: int, counts: Mapping[Family, int]) -> list[Configuration]:
    """So many random networks of each family, in an order whose every prefix has about the same mix."""
    placed = [
        ((place + 0.5) / count, _draw_one(seed, family, place))
        for family, count in counts.items()
        for place in range(count)
    ]
    return [configuration for _, configuration in sorted(placed, key=lambda each: each[0])]


def counts_for(total: int) -> dict[Family, int]:
    """The mix of the corpus at another size."""
    return {family: round(total * share / sum(MIX.values())) for family, share in MIX.items()}


def _draw_one(seed: int, family: Family, place: int) -> Configuration:
    chance = random.Random(f"{seed}/{family}/{place}")
    number = seed * 10_000 + list(Family).index(family) * 1_000 + place
    choices = DRAWS[family](chance)
    if family not in SEQUENCE and place % FAULTY_EVERY == FAULTY_EVERY - 1:
        for fault in chance.sample(FAULTS, FAULTS_EACH):
            choices |= fault
    return Configuration(family=family, seed=number, **choices)


# ------------------------------------------------------------------ faults

FAULTS: Final[tuple[Choices, ...]] = (
    {"depth": 40}, {"activation": "sigmoid"}, {"bias": -8.0}, {"input_scale": 1e-3}, {"input_scale": 255.0},
    {"initialization": "constant", "scale": 0.01}, {"initialization": "normal", "scale": 0.01},
    {"initialization": "normal", "scale": 1.0}, {"initialization": "large", "scale": 3.0},
    {"initialization": "small", "scale": 0.4},
)  # fmt: skip
"""What else may be wrong with a feed-forward network; the draws alone leave more than half of those healthy."""
FAULTS_EACH: Final = 2
FAULTY_EVERY: Final = 3


# ------------------------------------------------------------------ draws shared by families

ACTIVATIONS: Final = {
    "relu": 5, "tanh": 4, "sigmoid": 3, "leaky_relu": 2, "gelu": 2, "silu": 1, "selu": 1, "elu": 2,
}  # fmt: skip
INPUT_SCALES: Final = {1.0: 20, 1e-3: 1.5, 0.03: 1, 20.0: 1, 255.0: 1.5}


def _one_of(chance: random.Random, weights: Mapping[Any, float]) -> Any:
    return chance.choices(list(weights), list(weights.values()))[0]


def _feed_forward(chance: random.Random, initializations: Mapping[str, float], *, silent: float = 0.12) -> Choices:
    """`silent`: how often units that can die start with a negative bias."""
    initialization = _one_of(chance, initializations)
    activation = _one_of(chance, ACTIVATIONS)
    dying = activation in {"relu", "leaky_relu", "gelu"} and chance.random() < silent
    return {
        "activation": activation,
        "initialization": initialization,
        "scale": _scale(chance, initialization),
        "bias": chance.choice([-1.0, -2.0, -4.0, -8.0]) if dying else 0.0,
        "input_scale": _one_of(chance, INPUT_SCALES),
    }


def _scale(chance: random.Random, initialization: str) -> float:
    if initialization == "normal":
        return _one_of(chance, {0.01: 2, 0.02: 2, 0.05: 2, 1.0: 3})
    if initialization == "constant":
        return chance.choice([0.0, 0.01, 0.1])
    if initialization == "large":
        return round(chance.uniform(2.0, 4.0), 2)
    return round(chance.uniform(0.3, 0.7), 2) if initialization == "small" else 1.0


def _vectors(chance: random.Random) -> Choices:
    task = _one_of(chance, {"clusters": 5, "teacher": 2, "regression": 2})
    classes = {"clusters": chance.choice([4, 8, 10]), "teacher": 3, "regression": 2}[task]
    size = chance.choice([16, 32]) if task == "clusters" else 6
    return {"task": task, "classes": classes, "size": size, "batch_size": chance.choice([32, 64])}


def _images(chance: random.Random) -> Choices:
    task = chance.choice(["textures", "templates"])
    return {"task": task, "classes": chance.choice([4, 6]), "size": chance.choice([8, 12])}


def _sequences(
    chance: random.Random, lengths: Mapping[int, float], tasks: Mapping[str, float], *, tokens: float
) -> Choices:
    """`tokens`: how often the steps are ids rather than features."""
    steps = _one_of(chance, lengths)
    as_tokens = chance.random() < tokens
    classes = chance.choice([3, 4])
    return {
        "task": _one_of(chance, tasks),
        "classes": classes,
        "size": 4 * classes if as_tokens else 8,
        "steps": steps,
        "cue": chance.choice([0, 0, steps // 2, steps - 1]),
        "tokens": as_tokens,
        "input_scale": 1.0 if as_tokens else _one_of(chance, INPUT_SCALES),
    }


# ------------------------------------------------------------------ one draw a family

INITIALIZATIONS: Final = {
    "torch": 3, "he": 4, "xavier": 3, "xavier_gain": 2, "orthogonal": 3, "lsuv": 3, "normal": 3, "constant": 1,
    "large": 2, "small": 2,
}  # fmt: skip
WRONG_MORE_OFTEN: Final = {**INITIALIZATIONS, "normal": 9, "constant": 4, "large": 9}
"""For networks whose skip paths and norms forgive a lot."""
STEPS: Final = {10: 4, 20: 5, 30: 4, 50: 4, 100: 2, 200: 0.5}


def _mlp(chance: random.Random) -> Choices:
    return {
        **_vectors(chance),
        **_feed_forward(chance, INITIALIZATIONS),
        "depth": _one_of(chance, {3: 3, 4: 3, 6: 3, 8: 3, 10: 3, 14: 3, 20: 3, 30: 2, 40: 1, 60: 1}),
        "width": chance.choice([16, 32, 48, 64]),
    }


def _normalized_mlp(chance: random.Random) -> Choices:
    return {
        **_vectors(chance),
        **_feed_forward(chance, {**INITIALIZATIONS, "constant": 4}, silent=0.3),
        "depth": _one_of(chance, {3: 1, 6: 1, 10: 2, 16: 2, 24: 3, 32: 3, 40: 5, 60: 6}),
        "width": chance.choice([16, 32, 64]),
        "normalization": chance.choice(["batch", "batch", "layer"]),
    }


def _residual_mlp(chance: random.Random) -> Choices:
    return {
        **_vectors(chance),
        **_feed_forward(chance, WRONG_MORE_OFTEN),
        "depth": _one_of(chance, {6: 1, 10: 2, 16: 3, 24: 3, 32: 3, 48: 3, 60: 3}),
        "width": chance.choice([16, 32, 64]),
        "normalization": _one_of(chance, {"none": 6, "batch": 1, "layer": 1}),
        "residual": True,
    }


def _cnn(chance: random.Random) -> Choices:
    return {
        **_images(chance),
        **_feed_forward(chance, INITIALIZATIONS),
        "depth": _one_of(chance, {4: 4, 6: 4, 8: 3, 12: 3, 16: 2, 24: 2, 40: 1}),
        "width": chance.choice([8, 12, 16]),
        "normalization": _one_of(chance, {"none": 5, "batch": 3, "group": 2}),
        "pooling": _one_of(chance, {"average": 2, "flatten": 1}),
    }


def _residual_cnn(chance: random.Random) -> Choices:
    return {
        **_images(chance),
        **_feed_forward(chance, WRONG_MORE_OFTEN, silent=0.25),
        "depth": _one_of(chance, {6: 3, 10: 4, 16: 4, 24: 3, 32: 2}),
        "width": chance.choice([8, 12]),
        "normalization": _one_of(chance, {"none": 7, "batch": 2, "group": 1}),
        "residual": True,
        "pooling": _one_of(chance, {"average": 2, "flatten": 1}),
    }


def _recurrent(chance: random.Random) -> Choices:
    cell = _one_of(chance, {"rnn_tanh": 3, "rnn_relu": 2, "lstm": 3, "gru": 3})
    initialization = _one_of(chance, {"torch": 4, "orthogonal": 4, "xavier": 1, "normal": 1})
    scaled = initialization == "orthogonal" and chance.random() < 0.5
    return {
        **_sequences(chance, STEPS, {"recall": 5, "majority": 1}, tokens=0.25),
        "cell": cell,
        "depth": _one_of(chance, {1: 5, 2: 3, 3: 1}),
        "width": chance.choice([16, 32, 48]),
        "initialization": initialization,
        "scale": chance.choice([0.01, 0.02, 1.0]) if initialization == "normal" else 1.0,
        "recurrent_scale": chance.choice([0.5, 0.8, 1.2, 1.5, 2.0, 3.0]) if scaled else 1.0,
        "gate_bias": chance.choice([-1.0, 0.0, 1.0, 3.0]) if cell in {"lstm", "gru"} else 0.0,
        "bidirectional": chance.random() < 0.15,
        "readout": _one_of(chance, {"last": 4, "mean": 1}),
    }


def _transformer(chance: random.Random) -> Choices:
    initialization = _one_of(chance, {"torch": 3, "xavier": 3, "normal": 5, "ends": 2})
    sequences = _sequences(chance, {6: 3, 10: 3, 16: 3}, {"recall": 2, "locate": 2, "majority": 1}, tokens=0.7)
    return {
        **sequences,
        "depth": _one_of(chance, {2: 5, 4: 4, 6: 3, 8: 2, 12: 1, 24: 0.4}),
        "width": chance.choice([16, 32]),
        "activation": _one_of(chance, {"gelu": 3, "relu": 2}),
        "initialization": initialization,
        "scale": _one_of(chance, {0.02: 4, 1.0: 3}) if initialization == "normal" else 1.0,
        "normalization": _one_of(chance, {"pre": 4, "post": 3, "none": 3}),
        "residual": chance.random() < 0.8,
        "embedding_std": _one_of(chance, {0.02: 2, 1.0: 5, 30.0: 1}) if sequences["tokens"] else 1.0,
        "position_std": _one_of(chance, {0.02: 2, 1.0: 4}),
        "temperature": _one_of(chance, {1.0: 8, 8.0: 1, 50.0: 1}),
        "readout": chance.choice(["mean", "first", "last"]),
    }


DRAWS: Final[Mapping[Family, Callable[[random.Random], Choices]]] = {
    Family.MLP: _mlp, Family.NORMALIZED_MLP: _normalized_mlp, Family.RESIDUAL_MLP: _residual_mlp, Family.CNN: _cnn,
    Family.RESIDUAL_CNN: _residual_cnn, Family.RECURRENT: _recurrent, Family.TRANSFORMER: _transformer,
}  # fmt: skip


# ------------------------------------------------------------------ names


def _architecture(configuration: Configuration) -> list[str]:
    of = configuration
    return [
        f"d{of.depth}",
        f"w{of.width}",
        of.cell or of.activation,
        "bidirectional" if of.bidirectional else "",
        "" if of.normalization == "none" and of.family is not Family.TRANSFORMER else f"{of.normalization}_norm",
        "no_skip" if of.family is Family.TRANSFORMER and not of.residual else "",
        of.pooling if of.pooling != "average" else "",
    ]


def _start(configuration: Configuration) -> list[str]:
    of = configuration
    changes = {
        "bias": (of.bias, 0.0),
        "recurrent": (of.recurrent_scale, 1.0),
        "gate": (of.gate_bias, 0.0),
        "embedding": (of.embedding_std, 1.0),
        "positions": (of.position_std, 1.0),
        "logits": (of.temperature, 1.0),
    }
    initialization = (
        of.initialization if of.scale == 1.0 and of.initialization != "normal" else (f"{of.initialization}{of.scale:g}")
    )
    return [initialization, *(f"{what}{value:+g}" for what, (value, usual) in changes.items() if value != usual)]


def _inputs(configuration: Configuration) -> list[str]:
    of = configuration
    at = f"@{of.cue}of{of.steps}" if of.task in {"recall", "locate"} else f"of{of.steps}" if of.steps else ""
    return [
        f"{of.task}{at}",
        f"read_{of.readout}" if of.steps else "",
        "tokens" if of.tokens else "",
        f"x{of.input_scale:g}" if of.input_scale != 1.0 else "",
    ]
