"""What a repaired graph changes of the module it was exported from, by the paths of the module's own parts.

    graph                                          module
    /rnn/RNN: activations Tanh -> Relu             rnn: RNN(..) -> RNN(.., nonlinearity='relu')
    a Transpose before /gru/GRU, another behind    gru: GRU(..) -> GRU(.., batch_first=True)
    /1/Sigmoid_output_0: Sigmoid -> Relu           1: Sigmoid() -> ReLU()
    /0/Gemm_output_0_batch_norm.scale is there     0: Linear(..) -> Sequential(Linear(..), BatchNorm1d(..))
    node 1 (BatchNormalization) is gone            1: BatchNorm2d(..) -> Identity()
    initialiser 0.weight                           0.weight

A treatment never renames what was there and names what it adds after the value that it belongs to
(`analysis.interventions.kit.surgery`), so both graphs are read side by side. What `forward` does itself, or would have
to do, is no part of a module: it is told in words. Not like this: a ReLU that is called by `torch.relu` belongs to the
module whose `forward` calls it, which has parts of its own.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from analysis.facts import Layer
from analysis.graph.slots import RECURRENT
from analysis.model import CheckedModel

CALL: Final = re.compile(r" \(\d+\)$")
"""Of the name of a node: the second call of a layer."""
ACTIVATIONS: Final[Mapping[str, Callable[[], nn.Module]]] = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "selu": nn.SELU, "gelu": nn.GELU, "silu": nn.SiLU,
    "tanh": nn.Tanh, "sigmoid_output": nn.Sigmoid,
}  # fmt: skip
"""By token, as `analysis.interventions.shelf.swap_activation` writes them."""
NORMALIZATIONS: Final = frozenset({"batch_norm", "layer_norm", "group_norm"})
REMOVED: Final[Mapping[str, frozenset[str]]] = {
    "no_batch_norm": frozenset({"BatchNormalization"}),
    "linear_output": frozenset({"Tanh", "Sigmoid", "Relu", "Softmax", "LogSoftmax", "Elu", "LeakyRelu", "Softplus",
                                "Softsign", "Selu", "HardSigmoid", "Clip", "Abs", "Exp"}),
}  # fmt: skip
"""By token: the operators that a treatment takes out."""
CELLS: Final[Mapping[str, str]] = {"identity_rnn": "relu", "orthogonal_long": "tanh"}
"""By token: what plain recurrent cells compute afterwards."""
IN_FORWARD: Final[Mapping[str, str]] = {
    "standardized": "standardise the inputs before they enter: x = (x - mean) / deviation",
    "transposed": "permute the axes where a view or reshape was to exchange them",
    "pre_ln": "normalise in front of each part, not behind it: x = x + part(norm(x))",
    "no_idle_norm": "leave out the normalisations that have one number each to normalise",
    "guarded": "add 1e-6 inside roots and logarithms, keep denominators from 0 and cosines from 1, mask with -10000 in "
    "place of -inf",
    "smoothed": "put tanh in place of sign, a sigmoid in place of a threshold, and round nothing",
    "residual": "add each block to what enters it: x = x + block(x)",
    "temperature": "divide the attention scores by a temperature before the softmax",
    "scaled_output": "scale and shift the outputs to the targets, or standardise the targets",
}
"""By token: what no exchange of parts can do."""
LAYERS: Final = (nn.Linear, nn.modules.conv._ConvNd)  # noqa: SLF001 - the class of all convolutions has no other name
Edit = Callable[[nn.Module], nn.Module]
"""(the part as it is) -> the part in its place."""


class Place(NamedTuple):
    """Where a value of the export comes from."""

    path: str
    """Of the module, or layer, that computes it; empty for the outermost."""
    op: str
    node: str


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a module."""

    edits: Mapping[str, Edit]
    """By path."""
    in_forward: tuple[str, ...]
    """What is beyond the parts of a module, one sentence each."""


def places_of(model: CheckedModel) -> dict[str, Place]:
    """Where each value of an export comes from."""
    return {value: _place(node.name, node.op_type) for value, node in model.producers.items()}


def _place(node: str, op: str) -> Place:
    name = CALL.sub("", node)
    return Place(name.removesuffix(f"/{op}") if name.endswith(f"/{op}") else name, op, node)


def _known_path(path: str, parts: Mapping[str, nn.Module]) -> str:
    """The path, by a name that the part has where it is called: the exporter writes the first of its names there.

    act = ReLU(), body = Sequential(Linear(), act)        body.act -> body.1
    """
    parent, _, name = path.rpartition(".")
    if path in parts or parent not in parts:
        return path
    so_called = {id(part) for known, part in parts.items() if known.rpartition(".")[2] == name}
    children = (child for child, part in parts[parent].named_children() if id(part) in so_called)
    return next((f"{parent}.{child}".lstrip(".") for child in children), path)


def change_of(
    module: nn.Module,
    places: Mapping[str, Place],
    layers: tuple[Layer, ...],
    tokens: tuple[str, ...],
    repaired: CheckedModel,
) -> Change:
    """The change that a variant of these tokens is, read off its graph."""
    parts = dict(module.named_modules(remove_duplicate=False))
    places = {value: place._replace(path=_known_path(place.path, parts)) for value, place in places.items()}
    edits: dict[str, Edit] = {}
    missing: list[str] = [IN_FORWARD[token] for token in tokens if token in IN_FORWARD]
    for path, edit, reason in _edits(parts, places, layers, tokens, repaired):
        if reason:
            missing.append(reason)
        else:
            edits[path] = _both(edits[path], edit) if path in edits else edit
    return Change(edits, tuple(dict.fromkeys(missing)))


def _both(first: Edit, second: Edit) -> Edit:
    return lambda part: second(first(part))


Found = Iterator[tuple[str, Edit, str]]
"""(path, edit, why it cannot be)."""


def _edits(
    parts: Mapping[str, nn.Module],
    places: Mapping[str, Place],
    layers: tuple[Layer, ...],
    tokens: tuple[str, ...],
    repaired: CheckedModel,
) -> Found:
    for token in tokens:
        if token in ACTIVATIONS:
            yield from _swapped(parts, places, token, repaired)
        elif token in NORMALIZATIONS or token == "inserted_relu":  # noqa: S105 - of a variant's id
            yield from _inserted(parts, layers, token, repaired)
        elif token == "batch_first":  # noqa: S105 - the same
            yield from _turned(parts, places)
        elif token in CELLS:
            yield from _recelled(parts, places, token, repaired)
        elif token in REMOVED:
            yield from _removed(parts, places, token, repaired)
        elif token == "weak_dropout":  # noqa: S105 - the same
            yield from _weakened(parts, places)


# ------------------------------------------------------------------ activations


def _swapped(parts: Mapping[str, nn.Module], places: Mapping[str, Place], token: str, repaired: CheckedModel) -> Found:
    """Activations that are computed another way than before."""
    new = ACTIVATIONS[token]
    for value, place in places.items():
        node = repaired.producers.get(value)
        if node is None or (node.op_type == place.op and not any(f"{value}_" in name for name in node.input)):
            continue
        yield place.path, lambda part: new().train(part.training), _no_activation(parts, place)


def _no_activation(parts: Mapping[str, nn.Module], place: Place) -> str:
    """Why an activation is no part of the module; empty where it is."""
    part = parts.get(place.path)
    if isinstance(part, nn.PReLU) or (part is not None and not [*part.children(), *part.parameters(recurse=False)]):
        return ""
    return f"{place.op} is called in forward of {_named(place.path)}, not a module of its own"


def _removed(parts: Mapping[str, nn.Module], places: Mapping[str, Place], token: str, repaired: CheckedModel) -> Found:
    kept = {node.name for node in repaired.nodes}
    swapped = {_place(node.name, "").path for node in repaired.nodes}
    for place in places.values():
        if place.op not in REMOVED[token] or place.node in kept or place.path in swapped:
            continue
        part = parts.get(place.path)
        is_own = part is not None and not list(part.children()) and not isinstance(part, LAYERS)
        reason = "" if is_own else f"{place.op} is called in forward of {_named(place.path)}, and would have to go"
        yield place.path, lambda part: nn.Identity().train(part.training), reason


def _weakened(parts: Mapping[str, nn.Module], places: Mapping[str, Place]) -> Found:
    for place in places.values():
        if place.op == "Dropout":
            is_own = isinstance(parts.get(place.path), (nn.modules.dropout._DropoutNd, nn.RNNBase))  # noqa: SLF001 - as above
            reason = "" if is_own else f"Dropout of {_named(place.path)} is no module: give it 0.1 at most"
            yield place.path, _weak, reason


def _weak(part: nn.Module) -> nn.Module:
    if isinstance(part, nn.RNNBase):
        part.dropout = min(part.dropout, 0.1)
        return part
    assert isinstance(part, nn.modules.dropout._DropoutNd)  # noqa: SLF001 - as above
    weak = type(part)(min(part.p, 0.1), part.inplace)
    return weak.train(part.training)


# ------------------------------------------------------------------ recurrent layers


def _turned(parts: Mapping[str, nn.Module], places: Mapping[str, Place]) -> Found:
    """Layers that count time first and are handed samples first."""
    for place in places.values():
        if place.op in RECURRENT:
            is_own = isinstance(parts.get(place.path), nn.RNNBase)
            reason = f"{place.op} of {_named(place.path)}: exchange the first two axes before it, and back behind it"
            yield place.path, _batch_first, "" if is_own else reason


def _batch_first(part: nn.Module) -> nn.Module:
    assert isinstance(part, nn.RNNBase)
    part.batch_first = True
    return part


def _recelled(parts: Mapping[str, nn.Module], places: Mapping[str, Place], token: str, repaired: CheckedModel) -> Found:
    """Plain cells that compute something else than before; the others keep what they compute."""
    for value, place in places.items():
        if place.op != "RNN" or value not in repaired.producers:
            continue
        part = parts.get(place.path)
        if isinstance(part, nn.RNN) and part.nonlinearity == CELLS[token]:
            continue
        reason = "" if isinstance(part, nn.RNN) else f"RNN of {_named(place.path)} computes {CELLS[token]} afterwards"
        yield place.path, lambda part: _with_cell(part, CELLS[token]), reason


def _with_cell(part: nn.Module, cell: str) -> nn.Module:
    assert isinstance(part, nn.RNN)
    part.nonlinearity, part.mode = cell, f"RNN_{cell.upper()}"
    return part


# ------------------------------------------------------------------ what stands behind a layer


def _inserted(parts: Mapping[str, nn.Module], layers: tuple[Layer, ...], token: str, repaired: CheckedModel) -> Found:
    """Layers behind whose output something new stands."""
    behind = [layer for layer in layers if _behind(layer.output, token, repaired)]
    calls = Counter(CALL.sub("", layer.name) for layer in behind)
    for layer in behind:
        path = CALL.sub("", layer.name)
        if not isinstance(parts.get(path), LAYERS):
            reason = f"{layer.name} is computed in forward of {_named(path)}: what stands behind it belongs there"
        elif calls[path] > 1 or f"{path} (2)" in {each.name for each in layers}:
            reason = f"{path} is called {max(calls[path], 2)} times, and each call has something else behind it"
        else:
            reason = ""
        yield path, _wrapped(layer.output, token, repaired), reason


def _behind(value: str, token: str, repaired: CheckedModel) -> bool:
    if token == "inserted_relu":  # noqa: S105 - of a variant's id
        return f"{value}_Relu" in repaired.producers
    return f"{value}_{token}.scale" in repaired.weights


def _wrapped(value: str, token: str, repaired: CheckedModel) -> Edit:
    def wrap(part: nn.Module) -> nn.Module:
        new = nn.ReLU() if token == "inserted_relu" else _normalization(value, token, repaired, part)  # noqa: S105
        return nn.Sequential(part, new.to(next(part.parameters()).device)).train(part.training)

    return wrap


def _normalization(value: str, token: str, repaired: CheckedModel, part: nn.Module) -> nn.Module:
    """As `analysis.interventions.shelf.insert_normalization` writes it, with its statistics."""
    held = {name: _tensor(repaired, f"{value}_{token}.{name}") for name in ("scale", "bias")}
    width, dtype = held["scale"].numel(), held["scale"].dtype
    if token == "batch_norm":  # noqa: S105 - of a variant's id
        dimensions = getattr(part, "kernel_size", None)
        kind = {None: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
        new: nn.Module = kind[None if dimensions is None else len(dimensions)](width, dtype=dtype)
        new.get_buffer("running_mean").copy_(_tensor(repaired, f"{value}_batch_norm.running_mean"))
        new.get_buffer("running_var").copy_(_tensor(repaired, f"{value}_batch_norm.running_variance"))
    elif token == "layer_norm":  # noqa: S105 - the same
        new = nn.LayerNorm(width, dtype=dtype)
    else:
        groups = int(_tensor(repaired, f"{value}_group_norm.groups")[1])
        new = nn.GroupNorm(groups, width, dtype=dtype)
    with torch.no_grad():
        for name, of_module in (("scale", "weight"), ("bias", "bias")):
            new.get_parameter(of_module).copy_(held[name].flatten())
    return new


def _tensor(model: CheckedModel, name: str) -> Tensor:
    return torch.from_numpy(model.weights[name].copy())


def _named(path: str) -> str:
    return path or "the module"
