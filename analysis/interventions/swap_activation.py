"""Replace the hidden activation functions by ReLU.

ReLU has slope 1 wherever it is active, so the gradient does not shrink with every layer as it does through sigmoid and
tanh. Only activations behind a layer and in front of another are replaced: never the head, never a gate (a sigmoid
that multiplies something else, as in squeeze-excite), never what happens inside attention or a recurrent cell. The
weights are kept, which alone often makes things worse: combine it with He initialisation. Changes the function.
Source: Nair and Hinton 2010; Glorot, Bordes and Bengio 2011.
"""

from collections import Counter
from typing import Final

from analysis.facts import Effect, Layer
from analysis.interventions._base import Context, Factor, NotApplicable, Recipe, Treatment
from analysis.model import CheckedModel
from analysis.surgery import Editor, downstream

TARGET: Final = "Relu"
GATES: Final = frozenset({"Sigmoid", "HardSigmoid", "Tanh"})


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Swap every hidden activation that is not ReLU yet."""
    sites = {
        layer.activated: layer
        for layer in context.layers
        if layer.activated is not None and is_hidden_activation(model, context, layer)
    }
    if not sites:
        return NotApplicable("there is no hidden activation function")
    others = {after: layer for after, layer in sites.items() if layer.activation != TARGET}
    if not others:
        return NotApplicable("every hidden activation is ReLU already")
    editor = Editor(model)
    for after, layer in others.items():
        assert layer.pre_activation is not None
        assert after is not None
        editor.replace_between(layer.pre_activation, after, TARGET)
    counts = Counter(layer.activation for layer in others.values())
    listed = ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=str))
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"replace the hidden activations ({listed}) by ReLU",
        cost=f"{len(others)} nodes changed",
    )


def is_hidden_activation(model: CheckedModel, context: Context, layer: Layer) -> bool:
    """Whether the activation of a layer stands between layers and is no gate."""
    assert layer.activated is not None
    behind = downstream(model, layer.activated)
    leads_on = any(other.output in behind for other in context.layers)
    return leads_on and not _is_gate(model, layer)


def _is_gate(model: CheckedModel, layer: Layer) -> bool:
    """Whether the activation multiplies another value of the graph."""
    if layer.activation not in GATES or layer.activated is None:
        return False
    return any(
        use.node.op_type == "Mul" and all(name not in model.weights for name in use.node.input)
        for use in model.consumers.get(layer.activated, ())
    )


TREATMENT: Final = Treatment("relu", Factor.ACTIVATION, __doc__, apply)
