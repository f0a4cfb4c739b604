"""Torch against onnxruntime on the same batch: gradients of a wrong translation are worthless.

Eval mode, Dropout off, the same random numbers on both sides (`reference`). `equal` within 1e-4 of each output's scale
(of 1 behind a sigmoid, whose small results onnxruntime rounds to 0), or a few roundings of the half-precision type that
a model has values of: where onnxruntime rounds to it depends on the kernels it has. Beyond that torch computes again in
float64: where its own float32 is about as far off, and every trunk tensor before the first ill-conditioned one still
agrees with onnxruntime, the network itself amplifies rounding (chaotic networks are patients too). Small values behind
an ELU or a sigmoid, and every step of a recurrent cell, are rounded by onnxruntime as if they were near 1, and the bins
of a Fourier transform as if near the largest: how far that goes is found by doing the same. What quantises by the range
of what it reads decides by the last digit, a recurrent cell at every step: how far that goes is found by reading
numbers a few roundings off. Values that float32 holds only in part, and a difference that does not recur, are no faults
either. Where whole numbers are made of floats (labels, pixels, choices of rows) a rounding decides what comes out:
there torch is given onnxruntime's numbers, and has to agree before and behind. Anything else is a wrong translation.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from onnx import TensorProto

from analysis.clock import OutOfTime
from analysis.convert.program import Watcher
from analysis.convert.registry import Interrupt
from analysis.convert.tensors import to_tensor
from analysis.errors import ConversionMismatch
from analysis.facts import Parity, ParityStatus
from analysis.graph.edges import edge_values
from analysis.graph.families import PASSING, walk_back
from analysis.graph.slots import RECURRENT
from analysis.model import CheckedModel
from analysis.model.weights import Array
from analysis.subject import reference
from analysis.subject.preparation import in_float64
from analysis.subject.subject import Subject

TOLERANCE: Final = 1e-4
HALVES: Final = {TensorProto.FLOAT16: 2.0**-11, TensorProto.BFLOAT16: 2.0**-8}
"""Half-precision types and how far one rounding goes, over the number itself."""
ROUNDINGS: Final = 8
COMPARABLE: Final = 10.0
"""onnxruntime may be this many times further from float64 than torch's own float32 is."""
CANCELLING: Final[Mapping[str, float]] = {
    **dict.fromkeys(("Elu", "Selu", "Celu", "Softplus", "Mish", "Sigmoid"), 1.0),
    "QuickGelu": 16.0,
}
"""onnxruntime computes these by exp(x) - 1, log(1 + exp(x)) or a fraction + 0.5: near 0 it rounds as if the result were
near this number (QuickGelu: x times a sigmoid)."""
ROUNDED_STEPS: Final = 64.0
"""The same for the cells of recurrent nodes, whose every step rounds near one."""
TRANSFORMS: Final = frozenset({"STFT", "DFT"})
"""Where the length is no power of two, onnxruntime's bins are off by some 6 roundings of the largest for each sample of
the window (its chirps of angles in float32: 2e-5 at 320 samples, 6e-5 at 551)."""
NEAR_ONE: Final = 2.0**-20
RANGED: Final = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul"})
STRETCHES: Final = (2.0**-20, 2.0**-21, 2.0**-22, -(2.0**-20), -(2.0**-21), -(2.0**-22))
"""A few roundings of float32, over the number."""
FLIPPED: Final = 4.0
"""onnxruntime may be this many times further from float64 than float64 is from itself so stretched."""
ROUNDING: Final = 2.0**-24
"""Of float32, over the number: always to the same side, as an approximation of tanh may err, it adds up over nodes."""
NAMED: Final = 3
LOOKED_AT: Final = 500
"""Values of the trunk that are compared one by one."""
SUBNORMAL: Final = 2.0**-126
"""Under this float32 has fewer and fewer digits."""


def check_parity(subject: Subject, look: Interrupt | None = None) -> Parity:
    """Compare all outputs on the batch. `look` is asked while it is found out why they differ, see `Clock.look`.

    Raises ConversionMismatch naming the output that differs, or the first trunk tensor that does.
    """
    if reference.draws_inside(subject.model):
        detail = "a body of the graph draws random numbers, and no two generators agree"
        return Parity(reference=reference.NAME, status=ParityStatus.UNAVAILABLE, detail=detail)
    drawn = _drawn(subject)
    ours = _evaluate(subject, (), known=subject.evaluated)
    try:
        theirs = reference.compute(subject.model, subject.batch.inputs, drawn)
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no public base class
        reason = " ".join(str(error).split())[:300]
        return Parity(
            reference=reference.NAME, status=ParityStatus.UNAVAILABLE, detail=f"onnxruntime cannot run it: {reason}"
        )
    absolute, relative = _differences(ours, theirs, {name: _scale_of(subject, name, theirs[name]) for name in theirs})
    if relative <= tolerance(subject.model):
        return Parity(
            reference=reference.NAME,
            status=ParityStatus.EQUAL,
            max_absolute_error=absolute,
            max_relative_error=relative,
        )
    forced = _on_the_same_edges(subject, drawn)
    if forced is not None:
        return forced
    try:
        detail, own = _explain(subject, drawn, look)
    except OutOfTime:
        detail = f"they differ by {relative:.1e} of the scale, and budget_seconds ended before it was known why"
        return Parity(
            reference=reference.NAME,
            status=ParityStatus.UNAVAILABLE,
            max_absolute_error=absolute,
            max_relative_error=relative,
            detail=detail,
        )
    return Parity(
        reference=reference.NAME,
        status=ParityStatus.ILL_CONDITIONED,
        max_absolute_error=absolute,
        max_relative_error=relative,
        own_relative_error=own,
        detail=detail,
    )


def _on_the_same_edges(subject: Subject, drawn: Mapping[str, Array]) -> Parity | None:
    """Equal, if torch agrees with onnxruntime wherever both decide on the same numbers; None where that is not so."""
    names = edge_values(subject.model)
    if not names or len(names) > LOOKED_AT:
        return None
    theirs = reference.compute(subject.model, subject.batch.inputs, drawn, names)
    ours = _evaluate(subject, (), forced={name: theirs[name] for name in names if name in theirs})
    absolute, relative = _differences(ours, theirs, {name: _scale_of(subject, name, theirs[name]) for name in theirs})
    if relative > tolerance(subject.model):
        return None
    return Parity(
        reference=reference.NAME,
        status=ParityStatus.EQUAL,
        max_absolute_error=absolute,
        max_relative_error=relative,
        detail=f"where whole numbers are made of {_some_of(names)} a rounding decides, so both were given the same",
    )


def _some_of(names: Sequence[str]) -> str:
    few = ", ".join(names[:NAMED])
    return f"{few} and {len(names) - NAMED} more" if len(names) > NAMED else few


def tolerance(model: CheckedModel) -> float:
    """How far outputs may differ, over their scale."""
    present = {value.type.tensor_type.elem_type for value in model.values.values()}
    return max([TOLERANCE, *(ROUNDINGS * step for element, step in HALVES.items() if element in present)])


def _evaluate(
    subject: Subject,
    extra: Sequence[str],
    *,
    near_one: bool = False,
    stretched: float = 0.0,
    forced: Mapping[str, Array] = MappingProxyType({}),
    known: tuple[Any, ...] | None = None,
) -> dict[str, Array]:
    """Outputs in eval mode, and intermediate values asked for, as numpy; rounded as onnxruntime rounds near 1.

    `stretched`: by how much more, over the number, than there is, all read that quantise by the range of it.
    `forced`: values that are noted as they are computed, and read as these from there on. `known`: the outputs, where
    they were computed before.
    """
    seen: dict[str, Any] = {}
    inputs, _ = subject.tensors()
    watchers: dict[str, list[Watcher]] = {}
    for node in subject.model.nodes if near_one else ():
        near = ROUNDED_STEPS if node.op_type in RECURRENT else CANCELLING.get(node.op_type)
        if near is not None:
            watchers |= {name: [partial(_round_near, near)] for name in node.output if name}
        if node.op_type in TRANSFORMS:
            watchers[node.output[0]] = [_round_near_the_largest]
    ranged = _ranged(subject.model) if stretched else frozenset[str]()
    stretch = partial(_stretched, 1.0 + stretched)
    watchers |= {name: [stretch] for name in ranged}
    named = zip(subject.batch.inputs, inputs, strict=True)
    inputs = [stretch(value) if name in ranged else value for name, value in named]
    for name in extra:
        watchers.setdefault(name, []).append(_keep(seen, name))
    for name, array in forced.items():
        watchers.setdefault(name, []).extend([_keep(seen, name), partial(_in_place_of, array)])
    with torch.no_grad():
        outputs = subject.converted.eval().observe(inputs, watchers) if known is None else known
    results = zip(subject.converted.output_names, outputs, strict=True)
    seen.update({name: value for name, value in results if name not in forced})
    return {name: _to_numpy(value) for name, value in reference.parts(seen) if isinstance(value, torch.Tensor)}


def _drawn(subject: Subject) -> dict[str, Array]:
    """The random numbers of the graph: every pass draws the same ones."""
    names = reference.drawn_names(subject.model)
    seen = _evaluate(subject, names) if names else {}
    return {name: seen[name] for name in names}


def _round_near(number: float, value: torch.Tensor) -> torch.Tensor:
    return (value.float() + number - number).to(value.dtype)


def _round_near_the_largest(value: torch.Tensor) -> torch.Tensor:
    """Each bin as if it were near the largest times the samples of the window; one-sided there are half as many."""
    return _round_near(2.0 * value.shape[-2] * float(value.abs().max()), value)


def _ranged(model: CheckedModel) -> frozenset[str]:
    """What is read by nodes that quantise it by its own range, but for weights."""
    read = (node.input[0] for node in model.nodes if node.op_type in RANGED)
    return frozenset(name for name in read if name not in model.weights)


def _stretched(factor: float, value: torch.Tensor) -> torch.Tensor:
    return value * factor


def _in_place_of(array: Array, value: torch.Tensor) -> torch.Tensor:
    """The other computation's numbers, in the type of these; of another shape they stay what they are."""
    same = array.shape == tuple(value.shape)
    return to_tensor(np.ascontiguousarray(array)).reshape(value.shape).to(value) if same else value


def _keep(seen: dict[str, Any], name: str) -> Callable[[torch.Tensor], None]:
    def keep(value: torch.Tensor) -> None:
        seen[name] = value

    return keep


def _to_numpy(value: torch.Tensor) -> Array:
    value = value.detach().cpu()
    array: Array = (value.float() if value.dtype is torch.bfloat16 else value).numpy()
    return array


def _scale_of(subject: Subject, name: str, reference_value: Array) -> float:
    """The least scale of a value: 1 behind a sigmoid; where all of it is 0, that of what it was made of."""
    producer = subject.model.producers.get(walk_back(subject.model, name, PASSING))
    if producer is None:
        return 0.0
    if producer.op_type == "Sigmoid":
        return 1.0
    if reference_value.dtype.kind != "f" or reference_value.any():
        return 0.0
    read = [value for value in producer.input if value in subject.model.producers and subject.model.is_float(value)]
    values = _evaluate(subject, read) if read else {}
    sizes = [float(np.abs(values[each]).max()) for each in read if each in values and values[each].size]
    return max(filter(np.isfinite, sizes), default=0.0)


def _differences(
    ours: Mapping[str, Array], theirs: Mapping[str, Array], scales: Mapping[str, float] = MappingProxyType({})
) -> tuple[float, float]:
    """Largest absolute error, and largest over the output's scale, at least `scales`; equal non-finites are equal."""
    pairs = [_difference(ours[name], theirs[name], scales.get(name, 0.0)) for name in theirs if name in ours]
    return max((absolute for absolute, _ in pairs), default=0.0), max((relative for _, relative in pairs), default=0.0)


def _difference(a: Array, b: Array, least_scale: float = 0.0) -> tuple[float, float]:
    if a.shape != b.shape:
        return float("inf"), float("inf")
    if a.size == 0:
        return 0.0, 0.0
    wide = np.complex128 if "c" in {a.dtype.kind, b.dtype.kind} else np.float64
    a, b = a.astype(wide), b.astype(wide)
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("inf"), float("inf")
    if not finite.any():
        return 0.0, 0.0
    error = float(np.abs(a[finite] - b[finite]).max())
    scale = max(float(np.abs(b[finite]).max()), least_scale)
    return error, error / scale if scale else (0.0 if error == 0 else float("inf"))


def _some(names: Sequence[str]) -> Sequence[str]:
    """At most LOOKED_AT of them, evenly spread: onnxruntime takes minutes to hand out each of 100,000 values."""
    return names[:: math.ceil(len(names) / LOOKED_AT)] if names else names


def _explain(subject: Subject, drawn: Mapping[str, Array], look: Interrupt | None) -> tuple[str, float]:
    """Why torch and onnxruntime differ, if the network's own conditioning is the reason; and how far float32 is off.

    The latter is torch's float32 against its float64, at the worst of the trunk and the outputs, over their scale.
    """
    model = subject.model
    names = _some([name for name in subject.trunk.values if name in model.producers])
    double = in_float64(subject)
    with subject.converted.interrupted_by(look), double.converted.interrupted_by(look):
        ours, exact = _evaluate(subject, names), _evaluate(double, names)
        rounded = _evaluate(double, names, near_one=True)
    if look is not None:
        look()
    theirs, allowed = reference.compute(model, subject.batch.inputs, drawn, names), tolerance(model)
    stretches = STRETCHES if _ranged(model) else ()
    stretched = cache(lambda: [_evaluate(double, names, stretched=each) for each in stretches])
    outputs = [name for name in theirs if name not in names]
    floats = [name for name in [*names, *outputs] if name in ours and ours[name].dtype.kind == "f"]
    own = max((_difference(ours[name], exact[name])[1] for name in floats), default=0.0)
    depth = {name: place for place, name in enumerate(subject.trunk.values, 1)}
    for name in [*names, *outputs]:
        if name not in theirs or name not in ours or ours[name].dtype.kind != "f":
            continue
        absolute, between = _difference(ours[name], theirs[name])
        if between <= allowed:
            continue
        if absolute <= SUBNORMAL:
            return f"the values of {name} are too small for float32 to hold them exactly", own
        producer = model.producers.get(name)
        operator = "" if producer is None else producer.op_type
        if absolute <= NEAR_ONE * CANCELLING.get(operator, 0.0):
            return f"onnxruntime rounds {operator} near one, {between:.1e} of the small values of {name}", own
        steps = depth.get(name, len(depth))
        if between <= steps * ROUNDING:
            return f"one rounding in each of {steps} nodes comes to {between:.1e} of the scale at {name}", own
        rounding = max(_difference(each[name], exact[name])[1] for each in (ours, rounded))
        flips = max((_difference(each[name], exact[name])[1] for each in stretched()), default=0.0)
        explained = between <= max(COMPARABLE * rounding, FLIPPED * flips)
        rounding = max(rounding, flips)
        if explained or not np.isfinite(theirs[name]).all():
            grown = f"float32 rounding grows to {rounding:.1e} of the scale at {name}"
            return f"{grown}; onnxruntime differs by {between:.1e}", own
        raise ConversionMismatch(
            f"torch and onnxruntime differ by {between:.1e} of the scale, float32 rounding explains {rounding:.1e}",
            where=name,
            hint="please report the model: this is a fault of the conversion, not of your network",
        )
    if _differences(ours, {name: theirs[name] for name in outputs})[1] <= allowed:
        return "in a second run torch and onnxruntime agree: rounding depends on where numbers lie in memory", own
    raise ConversionMismatch(where=", ".join(outputs), hint="please report the model")
