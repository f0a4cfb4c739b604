"""What an input of the graph is for, read off what the graph does with it.

    ids ---- (arithmetic) ----.
                              Gather        ids: they choose rows of a table
    table --------------------'

    h0 ------------- LSTM (initial_h)       state
    lengths -------- LSTM (sequence_lens)   lengths
    total ---------- GroupQueryAttention    of all keys, and one less for each sample
    image ---------- Conv (3 channels)      picture
    edges ---------- Gather (of a value)    positions
    t -- Mul (a frequency) -- Sin           numbers, as t is computed with by itself

Names decide only what the graph leaves open: an integer that is nothing else is a mask; a float called state is one
where an output has the same axes, the next state; [batch, samples] called audio, or beside a sample rate, is sound.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from analysis.graph.slots import RECURRENT
from analysis.model import CheckedModel
from analysis.model.checked import ValueSpec
from analysis.model.nodes import attributes_of
from analysis.synthesis.tables import ARITHMETIC, INDEXED, PASSING, positions_of, readers, tables_of


class Kind(StrEnum):
    """What an input holds."""

    NUMBERS = "numbers"
    POSITIVE = "positive numbers"
    FRACTION = "numbers of 0 to 1"
    PICTURE = "pictures"
    SOUND = "sound like speech"
    IDS = "ids"
    POSITIONS = "positions"
    MASK = "a mask of ones"
    NO_MASK = "a mask of zeros"
    LENGTHS = "full lengths"
    KEYS = "the number of keys"
    LAST_KEY = "the last keys"
    STATE = "states of zeros"
    RATE = "a sample rate"


MASK_NAME: Final = re.compile(r"mask|valid|padding", re.IGNORECASE)
LENGTH_NAME: Final = re.compile(r"(^|[._/-])(\w*len(gth)?s?|\w*_sizes?)$", re.IGNORECASE)
STATE_NAME: Final = re.compile(r"(^|[._/-])([hc]_?[0n]?|\w*cache\w*|\w*past\w*)([._/-]|$)", re.IGNORECASE)
PERHAPS_STATE_NAME: Final = re.compile(r"state|hidden|memory|carry|(^|[._/-])[hc]_?(in|prev|\d+)$", re.IGNORECASE)
ENCODED_NAME: Final = re.compile(r"encoder", re.IGNORECASE)
"""What an encoder found, `encoder_hidden_states`, is data."""
RATE_NAME: Final = re.compile(r"^(sr|fs|sample_?rate|sampling_?rate)$", re.IGNORECASE)
SOUND_NAME: Final = re.compile(r"audio|speech|sound|pcm|(^|[^a-z])wav(e?forms?|s)?([^a-z]|$)", re.IGNORECASE)
CACHES: Final = frozenset(
    {
        ("GroupQueryAttention", 3), ("GroupQueryAttention", 4), ("MultiHeadAttention", 6), ("MultiHeadAttention", 7),
        ("SparseAttention", 3), ("SparseAttention", 4), ("DecoderMaskedMultiHeadAttention", 5),
        ("DecoderMaskedMultiHeadAttention", 6), ("Attention", 4),
    }
)  # fmt: skip
"""Where keys and values of before come in."""
SHORTEST_SOUND: Final = 100
"""Samples: what is shorter are features of sound."""
CONVOLUTIONS: Final = frozenset({"Conv", "FusedConv", "ConvTranspose", "QLinearConv", "ConvInteger"})
WEIGHING: Final = CONVOLUTIONS | {"MatMul", "Gemm"}
CURVES: Final = frozenset({"Cos", "Exp", "Log", "Pow", "Sin", "Sqrt", "Tanh"})
CHANNELS: Final = frozenset({1, 3, 4})
LEAST_SIDE: Final = 8
PICTURE_RANK: Final = 4


def kind_of(model: CheckedModel, spec: ValueSpec) -> Kind:
    """What an input holds."""
    ends = {(node.op_type, slot) for node, slot in readers(model, spec.name, PASSING)}
    named = "" if len(model.inputs) == 1 else spec.name
    return _by_slot(ends) or _by_name(spec, named, ends) or _by_shape(model, spec, named, ends)


def _by_slot(ends: set[tuple[str, int]]) -> Kind | None:
    """What a recurrent operator, or an attention with a cache, takes it for."""
    slots = {slot for operator, slot in ends if operator in RECURRENT}
    if slots & {5, 6} or not ends.isdisjoint(CACHES):
        return Kind.STATE
    known = {Kind.LAST_KEY: ("GroupQueryAttention", 5), Kind.KEYS: ("GroupQueryAttention", 6)}
    counted = next((kind for kind, end in known.items() if end in ends), None)
    return counted or (Kind.LENGTHS if 4 in slots else None)


def _by_name(spec: ValueSpec, named: str, ends: set[tuple[str, int]]) -> Kind | None:
    """What it is called, where other inputs stand beside it; positions of what is masked are no mask."""
    chooses = any(operator in INDEXED and slot == 1 for operator, slot in ends)
    if spec.dtype == "bool" or (MASK_NAME.search(named) and not chooses):
        return Kind.MASK
    if RATE_NAME.match(named) and len(spec.shape or ()) < 2:
        return Kind.RATE
    return Kind.STATE if STATE_NAME.search(named) and not _is_integer(spec) else None


def _by_shape(model: CheckedModel, spec: ValueSpec, named: str, ends: set[tuple[str, int]]) -> Kind:
    """Ids where it chooses rows, else pictures by their axes, else by type and name."""
    if tables_of(model, spec):
        return Kind.IDS
    if is_picture(model, spec):
        return Kind.PICTURE
    if _is_integer(spec):
        return _integers(model, spec, named, ends)
    if _is_state(model, spec, named):
        return Kind.STATE
    return Kind.SOUND if _is_sound(model, spec) else Kind.NUMBERS


def _is_sound(model: CheckedModel, spec: ValueSpec) -> bool:
    """Whether an input counts samples and nothing else beside the batch, and is called sound or has a sample rate."""
    if signal_axis(spec.shape or ()) is None or spec.dtype not in {"float16", "float32", "float64"}:
        return False
    beside = any(RATE_NAME.match(other.name) and len(other.shape or ()) < 2 for other in model.inputs)
    return beside or bool(SOUND_NAME.search(spec.name))


def signal_axis(shape: Sequence[int | str | None]) -> int | None:
    """The axis that counts the samples of a signal: of [batch, T], [batch, 1, T] or [batch, T, 1]."""
    if len(shape) == 3 and 1 in shape[1:]:
        axis = 2 if shape[1] == 1 else 1
    elif len(shape) == 2:
        axis = 1
    else:
        return None
    length = shape[axis]
    return axis if not isinstance(length, int) or length >= SHORTEST_SOUND else None


def _is_state(model: CheckedModel, spec: ValueSpec, named: str) -> bool:
    """Whether an output is the next state of what is called one: data may be called so, too.

    memory [N, T, 256], hidden [N, 2, 256] -> hidden_out [N, 2, 256]: that of `hidden` alone, `memory` is data.
    """
    return (
        bool(PERHAPS_STATE_NAME.search(named))
        and not ENCODED_NAME.search(named)
        and any(_are_alike(spec, output) and not _belongs_to_another(model, spec, output) for output in model.outputs)
    )


def _belongs_to_another(model: CheckedModel, spec: ValueSpec, output: ValueSpec) -> bool:
    """Whether an output has the very axes of another input, and not those of this one."""
    others = [other.shape for other in model.inputs if other.name != spec.name and other.dtype == output.dtype]
    return output.shape is not None and output.shape != spec.shape and output.shape in others


def _are_alike(one: ValueSpec, other: ValueSpec) -> bool:
    """Whether both have the same type and axes, as far as the graph says."""
    if one.shape is None or other.shape is None:
        return one.dtype == other.dtype
    pairs = zip(one.shape, other.shape, strict=False)
    sizes = [(mine, its) for mine, its in pairs if isinstance(mine, int) and isinstance(its, int)]
    alike = len(one.shape) == len(other.shape) and all(mine == its for mine, its in sizes)
    return alike and one.dtype == other.dtype


def is_picture(model: CheckedModel, spec: ValueSpec) -> bool:
    """Whether an input has height, width and the channels of a picture, in either order."""
    shape = spec.shape
    if shape is None or len(shape) != PICTURE_RANK:
        return False
    channels = known_channels(model, spec)
    for axis in (1, 3):
        sides = [shape[place] for place in (2, 3)] if axis == 1 else [shape[place] for place in (1, 2)]
        size = shape[axis] if isinstance(shape[axis], int) else channels if axis == 1 else None
        if size in CHANNELS and all(not isinstance(side, int) or side >= LEAST_SIDE for side in sides):
            return True
    return False


def known_channels(model: CheckedModel, spec: ValueSpec) -> int | None:
    """What the first convolution expects along axis 1, where nothing but a cast stands before it."""
    for node, slot in readers(model, spec.name, frozenset({"Cast", "Identity"})):
        weight = model.weights.get(node.input[1]) if node.op_type in {"Conv", "FusedConv"} and slot == 0 else None
        if weight is not None and weight.ndim >= 2:
            return int(weight.shape[1]) * int(attributes_of(node).get("group", 1))
    return None


def rank_of(model: CheckedModel, spec: ValueSpec) -> int:
    """How many axes an input of unknown rank is given: what its first reader needs."""
    for node, slot in readers(model, spec.name, PASSING - {"Reshape", "Flatten", "Squeeze", "Unsqueeze"}):
        weight = model.weights.get(node.input[1]) if len(node.input) > 1 else None
        if node.op_type in CONVOLUTIONS and slot == 0 and weight is not None:
            return weight.ndim
        if node.op_type in RECURRENT and slot == 0:
            return 3
        if node.op_type in {"Gemm", "MatMul", "Gather"}:
            return 2
    return 1


def _integers(model: CheckedModel, spec: ValueSpec, named: str, ends: set[tuple[str, int]]) -> Kind:
    """Integers that choose no rows: sizes by name, positions, numbers where they are computed with, else a mask."""
    if LENGTH_NAME.search(named) and len(spec.shape or ()) <= 1:
        return Kind.LENGTHS
    if positions_of(model, spec):
        return Kind.POSITIONS
    multiplied = any(operator in CONVOLUTIONS | {"MatMul", "Gemm"} | ARITHMETIC for operator, _ in ends)
    alone = spec.dtype == "uint8" or (multiplied and named == "")
    return Kind.NUMBERS if alone or _is_computed_with(model, spec) else Kind.MASK


def _is_computed_with(model: CheckedModel, spec: ValueSpec) -> bool:
    """Whether weights multiply it, or a curve is taken of it, before it meets any other value: no mask does that."""
    for node, slot in readers(model, spec.name, PASSING | ARITHMETIC, unmixed=True):
        if node.op_type in CURVES:
            return True
        if node.op_type in WEIGHING and slot == 0 and node.input[1] in model.weights:
            return True
    return False


def _is_integer(spec: ValueSpec) -> bool:
    return spec.dtype.startswith(("int", "uint"))
