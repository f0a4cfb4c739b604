"""What all initialisations share: which tensors are redrawn, their fans, and what the other parameters become.

Biases, initial states and peepholes become zero, scales of normalisations one, slopes 0.25, embeddings N(0, 1), or 0.02
where the table is tied to a head. A factor of zero that lets nothing through becomes one. Positions, tokens and other
free parameters are kept.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from analysis.facts import Effect, Layer
from analysis.graph.fans import Fans, fans, gain
from analysis.graph.slots import RECURRENT
from analysis.graph.sources import Use
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.draws import Constant, Draw, Layout, Normal, Orthogonal
from analysis.interventions.kit.wiring import Wired, Wiring, wiring
from analysis.model import CheckedModel
from analysis.model.nodes import attributes_of

GATES: Final = {"RNN": 1, "GRU": 3, "LSTM": 4}
FIXED: Final[Mapping[str, Draw]] = {
    "bias": Constant(0.0),
    "initial_state": Constant(0.0),
    "initial_cell": Constant(0.0),
    "peephole": Constant(0.0),
    "scale": Constant(1.0),
    "slope": Constant(0.25),
}
TIED_EMBEDDING_STD: Final = 0.02
FUSED: Final = 3
"""Queries, keys and values in one projection."""


@dataclass(frozen=True, slots=True)
class WeightSite:
    """A weight matrix or kernel that has fans."""

    initializer: str
    layer: Layer
    recurrent: bool
    """Multiplies the state of a recurrent operator."""
    fans: Fans
    layout: Layout
    gates: int
    wiring: Wiring | None = None
    """Where the operator reads the weight in another shape than the initialiser's."""


def redraw(
    model: CheckedModel, context: Context, draw: Callable[[WeightSite], Draw | None], title: str
) -> Recipe | NotApplicable:
    """Every weight by `draw`, everything else as initialisations leave it."""
    draws: dict[str, Draw] = {}
    for layer in context.layers:
        for role, info in layer.parameters.items():
            found = _draw(model, context, layer, role.split(".")[0], info.initializer, draw)
            if found is not None:
                draws.setdefault(info.initializer, found)
    count = sum(each.random for each in draws.values())
    if not count:
        return NotApplicable("no weight has a fan-in to initialise by")
    return Recipe(
        model=model,
        effect=Effect.CHANGES_FUNCTION,
        words=f"initialise the weights {title} and the biases with zero",
        cost=f"{count} weights redrawn",
        draws=draws,
    )


def _draw(
    model: CheckedModel,
    context: Context,
    layer: Layer,
    role: str,
    initializer: str,
    draw: Callable[[WeightSite], Draw | None],
) -> Draw | None:
    uses = [use for use in context.sources.by_initializer.get(initializer, ()) if use.role != "other"]
    if role in {"weight", "recurrent_weight"}:
        return _draw_weight(model, context, layer, [use for use in uses if use.role == role], draw)
    if role == "embedding":
        return Normal(TIED_EMBEDDING_STD if any(use.role == "weight" for use in uses) else 1.0)
    is_free = role == "scale" and layer.op in {"Mul", "Div"} and initializer not in _closed(context)
    return None if is_free else FIXED.get(role)


def _closed(context: Context) -> set[str]:
    """Parameters of layers that let nothing through."""
    measured = context.baseline
    closed = (layer for layer in measured.layers if layer.id in measured.anatomy.zero_layers)
    return {info.initializer for layer in closed for info in layer.parameters.values()}


def _draw_weight(
    model: CheckedModel, context: Context, layer: Layer, uses: Sequence[Use], draw: Callable[[WeightSite], Draw | None]
) -> Draw | None:
    """As its first use wants it; of a weight that is cut into several, each part as it is read."""
    first = weight_site(model, context, layer, uses[0])
    if first is None or first.wiring is None:
        return None if first is None else draw(first)
    parts: dict[str, tuple[Draw, Wiring]] = {}
    for use in uses:
        site = weight_site(model, context, layer, use) if use.value not in parts else None
        found = None if site is None else draw(site)
        if site is not None and site.wiring is not None and found is not None:
            parts[use.value] = found, site.wiring
    return Wired(list(parts.values())) if parts else None


def weight_site(model: CheckedModel, context: Context, layer: Layer, use: Use) -> WeightSite | None:
    """A weight with its fans and layout; None where the operator has no such notion."""
    wired = _wiring(model, context, use)
    shape = model.shape(use.value) if wired is None else wired.shape
    slot = list(use.node.input).index(use.value)
    found = None if shape is None else fans(use.node, slot, shape)
    if found is None:
        return None
    if context.attention and found.fan_out == FUSED * found.fan_in:
        found = Fans(found.fan_in, found.fan_in)
    recurrent = use.node.op_type in RECURRENT
    layout = Layout.GATES if recurrent else _layout(use, slot, as_read=wired is not None)
    return WeightSite(
        use.initializer, layer, use.role == "recurrent_weight", found, layout, GATES.get(use.node.op_type, 1), wired
    )


def _wiring(model: CheckedModel, context: Context, use: Use) -> Wiring | None:
    """For recurrent operators, and where nobody knows the shape that is read; elsewhere a transposition at most."""
    if use.value == use.initializer or (use.node.op_type not in RECURRENT and model.shape(use.value) is not None):
        return None
    return wiring(model, context.sources, use.value)


def _layout(use: Use, slot: int, *, as_read: bool) -> Layout:
    """Of the tensor itself, which may be transposed on its way to the operator, or as the operator reads it."""
    if use.node.op_type not in {"Gemm", "MatMul", "FusedMatMul"}:
        return Layout.ROWS
    transposed = bool(attributes_of(use.node).get("transB" if slot == 1 else "transA", 0))
    columns = (slot == 1) != transposed
    return Layout.COLUMNS if columns == (as_read or use.value == use.initializer) else Layout.ROWS


# ------------------------------------------------------------------ schemes


def he(site: WeightSite) -> float:
    """Gain over sqrt(fan_in)."""
    return gain(site.layer.activation) / math.sqrt(site.fans.fan_in)


def he_fan_out(site: WeightSite) -> float:
    """Gain over sqrt(fan_out)."""
    return gain(site.layer.activation) / math.sqrt(site.fans.fan_out)


def xavier(site: WeightSite) -> float:
    """sqrt(2 / (fan_in + fan_out)), whatever follows."""
    return math.sqrt(2.0 / (site.fans.fan_in + site.fans.fan_out))


def xavier_gain(site: WeightSite) -> float:
    """The same times the gain."""
    return gain(site.layer.activation) * xavier(site)


def draw_orthogonal(site: WeightSite) -> Draw:
    """Times the gain of the activation behind; recurrent weights have theirs within."""
    if site.layout is Layout.GATES:
        return Orthogonal(layout=Layout.GATES, gates=site.gates) if site.recurrent else Normal(xavier(site))
    return Orthogonal(gain(site.layer.activation) * _thinning(site), site.layout)


def _thinning(site: WeightSite) -> float:
    """A kernel's rows have norm 1 over all of fan_in; where it grows, each output sums as many terms as it should."""
    return math.sqrt(max(1.0, site.fans.fan_out / site.fans.fan_in)) if site.layer.op == "ConvTranspose" else 1.0
