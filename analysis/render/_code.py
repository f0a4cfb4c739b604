"""The one change as a diff of PyTorch code: at one typical place, as a person would edit the module.

The report knows layers, not the source they were written in, so the lines show the layer that most of the others look
like, before and after. What has no usual spelling in PyTorch is left to the recipe, which is said where weights are
drawn by it, and a change of which nothing can be said has no diff. Whoever has the module shows that instead, and
takes the lines around it from here.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from analysis.facts import KEPT, Layer, scale_between
from analysis.render import _code_recurrent as recurrent
from analysis.render._code_line import Line
from analysis.report import Report, Variant

ACTIVATIONS: Final[Mapping[str, str]] = {
    "relu": "nn.ReLU()", "leaky_relu": "nn.LeakyReLU()", "elu": "nn.ELU()", "selu": "nn.SELU()", "gelu": "nn.GELU()",
    "silu": "nn.SiLU()", "tanh": "nn.Tanh()",
}  # fmt: skip
"""Of a treatment's level."""
WRITTEN: Final[Mapping[str, str]] = {
    "Sigmoid": "nn.Sigmoid()", "Tanh": "nn.Tanh()", "Relu": "nn.ReLU()", "Relu6": "nn.ReLU6()", "Elu": "nn.ELU()",
    "LeakyRelu": "nn.LeakyReLU()", "Selu": "nn.SELU()", "Gelu": "nn.GELU()", "Swish": "nn.SiLU()",
    "Softplus": "nn.Softplus()", "Softsign": "nn.Softsign()", "HardSigmoid": "nn.Hardsigmoid()",
    "HardSwish": "nn.Hardswish()", "Mish": "nn.Mish()",
}  # fmt: skip
"""Of an ONNX operator."""
INITIALIZERS: Final[Mapping[str, str]] = {
    "xavier": "nn.init.xavier_normal_(layer.weight)",
    "xavier_uniform": "nn.init.xavier_uniform_(layer.weight)",
    "orthogonal": "nn.init.orthogonal_(layer.weight)",
    "orthogonal_memory": "nn.init.orthogonal_(layer.weight)",
    "orthogonal_long": "nn.init.orthogonal_(layer.weight)",
    "identity_rnn": "nn.init.xavier_normal_(layer.weight)",
}
HE: Final[Mapping[str, str]] = {
    "he": 'nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")',
    "he_uniform": 'nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")',
    "he_fan_out": 'nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")',
}
GAINS: Final[Mapping[str, str]] = {
    "Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu", "LeakyRelu": "leaky_relu", "Selu": "selu",
}  # fmt: skip
"""An ONNX operator -> what PyTorch knows the gain of, by the names that levels have, too."""
LAYERS: Final[Mapping[str, str]] = {"Gemm": "nn.Linear", "MatMul": "nn.Linear", "Conv": "nn.Conv"}


def change_as_code(report: Report, variant: Variant | None) -> tuple[Line, ...]:
    """The diff; empty where nothing of the change can be said."""
    if variant is None or variant.structure is None or variant.parameters is None:
        return ()
    place = _typical(report)
    if place is None:
        return tuple(_data(report, variant))
    block = tuple(_block(variant, place))
    forward = (*_residual(variant), *_smoothed(variant))
    whole = (*block, *forward, *_data(report, variant), *_weights(report, variant, place), *_step(variant))
    if all(line.sign == " " for line in whole):
        return ()
    return whole if not block else (Line(" ", f"# {_where(report, place)}"), *whole)


def around_the_module(report: Report, variant: Variant) -> tuple[Line, ...]:
    """What a change does beside the module: the initialisation, and lines of the training loop."""
    place = _typical(report)
    draw = () if place is None or variant.parameters is None else _drawn(report, variant, place)
    return (*draw, *_data(report, variant), *_step(variant))


def _typical(report: Report) -> Layer | None:
    """Of the layers in front of an activation the first of those that are most alike; where none is, of all."""
    known = [layer for layer in report.layers if layer.op in LAYERS]
    hidden = [layer for layer in known if layer.activation in WRITTEN] or known
    counts = Counter(_looks(layer) for layer in hidden)
    return max(hidden, key=lambda layer: counts[_looks(layer)], default=None)


def _looks(layer: Layer) -> tuple[str, tuple[int, ...], str | None]:
    weight = layer.parameters.get("weight")
    return layer.op, () if weight is None else weight.shape, layer.activation


def _where(report: Report, place: Layer) -> str:
    alike = sum(layer.op == place.op and layer.activation == place.activation for layer in report.layers)
    return f"{place.id}, and wherever a layer looks like it ({alike} in all)" if alike > 1 else place.id


# ------------------------------------------------------------------ structure


def _block(variant: Variant, place: Layer) -> Iterator[Line]:
    """The layer, what is inserted behind it, and its activation; nothing where neither changes."""
    assert variant.structure is not None
    activation = ACTIVATIONS.get(variant.structure.activation)
    normalization = _normalization(variant.structure.normalization, place)
    before = WRITTEN.get(place.activation or "")
    if before is None or before == activation:
        activation = None
    if activation is None and normalization is None:
        return
    yield Line(" ", f"{_made(place)},")
    if normalization is not None:
        yield Line("+", f"{normalization},")
    if activation is not None:
        yield Line("-", f"{before},")
        yield Line("+", f"{activation},")
    elif before is not None:
        yield Line(" ", f"{before},")


def _made(place: Layer) -> str:
    """The layer as a module; sizes only where the order of the weight's axes cannot be mistaken."""
    shape = _shape(place)
    if place.op == "Conv" and len(shape) > 2:
        return f"nn.Conv{len(shape) - 2}d(..., {shape[0]}, ...)"
    square = len(shape) == 2 and shape[0] == shape[1]
    return f"nn.Linear({shape[0]}, {shape[0]})" if square else "nn.Linear(...)"


def _normalization(level: str, place: Layer) -> str | None:
    width, dimensions = _width(place), max(len(_shape(place)) - 2, 1)
    if width is None:
        return None
    return {
        "batch_norm": f"nn.BatchNorm{dimensions}d({width})",
        "layer_norm": f"nn.LayerNorm({width})" if place.op != "Conv" else None,
        "group_norm": f"nn.GroupNorm(..., {width})",
    }.get(level)


def _shape(place: Layer) -> tuple[int, ...]:
    weight = place.parameters.get("weight")
    return () if weight is None else weight.shape


def _width(place: Layer) -> int | None:
    """Units of the layer."""
    shape, bias = _shape(place), place.parameters.get("bias")
    if bias is not None and len(bias.shape) == 1:
        return bias.shape[0]
    if shape and (place.op == "Conv" or shape[0] == shape[-1]):
        return shape[0]
    return None


def _residual(variant: Variant) -> Iterator[Line]:
    assert variant.structure is not None
    if variant.structure.residual == "residual":
        yield Line(" ", "# around each pair of layers, in forward")
        yield Line("-", "x = block(x)")
        yield Line("+", "x = x + block(x)")


def _smoothed(variant: Variant) -> Iterator[Line]:
    assert variant.structure is not None
    if variant.structure.activation == "smoothed":
        yield Line(" ", "# in forward, what has no slope: it may come back behind training")
        yield Line("-", "torch.sign(x), (x > limit).float(), torch.round(x)")
        yield Line("+", "torch.tanh(x), torch.sigmoid(x - limit), x")


# ------------------------------------------------------------------ data


def _data(report: Report, variant: Variant) -> Iterator[Line]:
    """What goes in, and what the outputs are compared with."""
    structure, targets = variant.structure, report.targets
    if structure is None:
        return
    if structure.input == "standardized":
        yield Line(" ", "# mean and deviation of each feature, or channel, over the training set")
        yield Line("+", "inputs = (inputs - mean) / deviation")
    if structure.output == "scaled_output" and targets is not None and targets.kind == "numbers":
        offset, unit = scale_between(report.outputs, targets)
        yield Line(" ", f"# what the network predicts is then {unit:.3g} * model(inputs) + {offset:.3g}")
        yield Line("-", "loss = criterion(model(inputs), targets)")
        yield Line("+", f"loss = criterion(model(inputs), (targets - {offset:.3g}) / {unit:.3g})")


# ------------------------------------------------------------------ weights and gradient step


def _weights(report: Report, variant: Variant, place: Layer) -> Iterator[Line]:
    """The initialisation, which for plain recurrent cells may be one of what they compute."""
    assert variant.parameters is not None
    level = variant.parameters.initialization
    yield from recurrent.cells(report, level)
    drawn = tuple(_drawn(report, variant, place))
    yield from drawn
    if level != KEPT and not drawn:
        yield Line(" ", f"# and weights drawn by {level}, which PyTorch has no call for: the repaired model has them")


def _drawn(report: Report, variant: Variant, place: Layer) -> Iterator[Line]:
    assert variant.parameters is not None
    lines = (*_draw(report, variant, place), *recurrent.draw(report, variant.parameters.initialization))
    if lines:
        yield Line(" ", "# once, before training")
        yield Line("+", "for layer in model.modules():")
        yield from lines


def _draw(report: Report, variant: Variant, place: Layer) -> Iterator[Line]:
    """Inside `for layer in model.modules()`: layers that have no states."""
    assert variant.structure is not None
    assert variant.parameters is not None
    level = variant.parameters.initialization
    call = INITIALIZERS.get(level)
    if level in HE and _rectifies(variant, place):
        call = HE[level]
    known = _activation(variant, place)
    if level == "xavier_gain" and known in GAINS.values():
        call = f'nn.init.xavier_normal_(layer.weight, gain=nn.init.calculate_gain("{known}"))'
    if call is None:
        return
    convolutions = {f"nn.Conv{max(len(_shape(each)) - 2, 1)}d" for each in report.layers if each.op == "Conv"}
    kinds = f"({', '.join([*sorted(convolutions), 'nn.Linear'])})" if convolutions else "nn.Linear"
    yield Line("+", f"    if isinstance(layer, {kinds}):")
    yield Line("+", f"        {call}")
    yield Line("+", "        if layer.bias is not None:")
    yield Line("+", "            nn.init.zeros_(layer.bias)")


def _rectifies(variant: Variant, place: Layer) -> bool:
    """Whether the gain that PyTorch takes for He is that of the activation behind the layers."""
    return _activation(variant, place) in {"relu", "leaky_relu"}


def _activation(variant: Variant, place: Layer) -> str:
    """Behind the layers once the change is made, by PyTorch's name; empty where it has none."""
    assert variant.structure is not None
    level = variant.structure.activation
    return GAINS.get(place.activation or "", "") if level == KEPT else level


def _step(variant: Variant) -> Iterator[Line]:
    """Clipping and decay belong into the training loop."""
    step = variant.gradient_step
    if step is None:
        return
    if step.clip is not None:
        call = {
            "global_norm": f"torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm={step.clip.max_norm:g})",
            "value": f"torch.nn.utils.clip_grad_value_(model.parameters(), clip_value={step.clip.max_norm:g})",
        }.get(step.clip.kind.value)
        if call is not None:
            yield Line(" ", "loss.backward()")
            yield Line("+", call)
            yield Line(" ", "optimizer.step()")
    if step.weight_decay:
        yield Line("+", f"weight_decay={step.weight_decay:g}  # an argument of the optimizer")
