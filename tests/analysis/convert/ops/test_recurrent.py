"""Cases of the recurrent family: three steps, two samples, two inputs, two units."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from analysis.convert.ops.recurrent import gru, lstm, rnn
from analysis.convert.registry import RunMode
from tests.analysis.convert.ops.cases import Case, floats

STEPS, SAMPLES, SIZE = 3, 2, 2
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
LENGTHS = np.array([2, 3], np.int32)
ACTIVATIONS = (
    ("Relu", {}),
    ("Softsign", {}),
    ("Softplus", {}),
    ("Affine", {"activation_alpha": [0.7], "activation_beta": [0.2]}),
    ("LeakyRelu", {"activation_alpha": [0.3]}),
    ("ThresholdedRelu", {"activation_alpha": [0.1]}),
    ("ScaledTanh", {"activation_alpha": [0.8], "activation_beta": [1.4]}),
    ("HardSigmoid", {"activation_alpha": [0.3], "activation_beta": [0.4]}),
    ("Elu", {"activation_alpha": [0.6]}),
)
SCALES = {"activation_alpha": [0.3, 0.6, 0.8, 0.2, 0.5, 0.9], "activation_beta": [0.4, 1.4, 0.6, 1.2]}
"""Consumed in order by the activations that have one."""
MIRRORED = ["Sigmoid", "Tanh", "Tanh", "Sigmoid"]


def case(
    op: str, name: str, *, bias: bool = True, lengths: bool = False, initial: bool = False, peephole: bool = False,
    since: int = 22, until: int = 1_000_000, outputs: int = 0, constant: tuple[int, ...] = (1, 2), **attributes: object,
) -> Case:  # fmt: skip
    """A recurrent operator with the inputs asked for; one function serves all versions, so most cases run once."""
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    rows, states = GATES[op] * SIZE, 2 if op == "LSTM" else 1
    x, state = floats(STEPS, SAMPLES, SIZE), (directions, SAMPLES, SIZE)
    if attributes.get("layout"):
        x, state = x.swapaxes(0, 1), (SAMPLES, directions, SIZE)
    inputs = [
        x,
        floats(directions, rows, SIZE),
        floats(directions, rows, SIZE),
        floats(directions, 2 * rows) if bias else None,
        LENGTHS if lengths else None,
        *[floats(*state) if initial else None for _ in range(states)],
        floats(directions, 3 * SIZE) if peephole else None,
    ]
    while inputs[-1] is None:
        inputs.pop()
    return Case(
        op, inputs, {"hidden_size": SIZE, **attributes}, since, until, outputs or 1 + states, constant, name=name,
        refused=bool(attributes.get("layout")),  # onnxruntime knows the layout of opset 7 only,
    )  # fmt: skip


def shared(op: str) -> Iterator[Case]:
    """What the three operators have in common."""
    for direction in ("forward", "reverse", "bidirectional"):
        yield case(op, direction, direction=direction, since=7)
        yield case(op, f"{direction} initial", direction=direction, initial=True, bias=False)
        yield case(op, f"{direction} lengths", direction=direction, lengths=True, initial=True)
        yield case(op, f"{direction} layout", direction=direction, initial=True, layout=1)
    yield case(op, "opset 1", until=7, initial=True)
    yield case(op, "weights as inputs", since=7, constant=())
    yield case(op, "no bias", bias=False)
    yield case(op, "lengths without bias", bias=False, lengths=True)
    yield case(op, "clip", clip=0.4)
    yield case(op, "sequence only", outputs=1)


CASES = [
    *[each for op in GATES for each in shared(op)],
    *[case("RNN", name, activations=[name], **attributes) for name, attributes in ACTIVATIONS],
    # of Affine, ScaledTanh and ThresholdedRelu onnxruntime takes alpha for 0, although the last one's page says 1
    *[case("RNN", f"{name} by default", activations=[name]) for name in ("LeakyRelu", "HardSigmoid", "Elu")],
    case("RNN", "two activations", direction="bidirectional", activations=["Relu", "Elu"], activation_alpha=[0.6]),
    case("RNN", "relu twice", direction="bidirectional", activations=["Relu", "Relu"]),
    *[
        case("GRU", f"{name} before reset", linear_before_reset=1, **attributes)
        for name, attributes in (
            ("linear", {"since": 7}),
            ("bidirectional linear", {"direction": "bidirectional", "initial": True}),
            ("reverse linear", {"direction": "reverse"}),
            ("unbiased linear", {"bias": False}),
            ("clipped linear", {"clip": 0.4}),
            ("ragged linear", {"lengths": True, "direction": "bidirectional"}),
            ("batch first linear", {"layout": 1, "initial": True}),
        )
    ],
    case("GRU", "lower case", activations=["sigmoid", "tanh"], linear_before_reset=1),
    case("GRU", "activations", activations=["HardSigmoid", "ScaledTanh"], **SCALES),
    case("GRU", "mirrored", direction="bidirectional", activations=MIRRORED, linear_before_reset=1),
    case("GRU", "swapped", activations=["Tanh", "Sigmoid"], linear_before_reset=1),
    case(
        "GRU", "four activations", direction="bidirectional",
        activations=["HardSigmoid", "Tanh", "Sigmoid", "Elu"], **SCALES,
    ),
    case("LSTM", "lower case", activations=["sigmoid", "tanh", "tanh"]),
    case("LSTM", "peephole", since=7, peephole=True),
    case("LSTM", "peephole both ways", peephole=True, direction="bidirectional", initial=True, clip=0.6),
    case("LSTM", "coupled", input_forget=1),
    case("LSTM", "coupled peephole", input_forget=1, peephole=True, lengths=True),
    case("LSTM", "activations", activations=["HardSigmoid", "Elu", "ScaledTanh"], **SCALES),
    case("LSTM", "sigmoid last", activations=["Sigmoid", "Tanh", "Sigmoid"]),
    case("LSTM", "swapped", activations=["Tanh", "Sigmoid", "Tanh"]),
    case(
        "LSTM", "six activations", direction="bidirectional",
        activations=["Sigmoid", "LeakyRelu", "Tanh", "HardSigmoid", "Tanh", "Affine"], **SCALES,
    ),
]  # fmt: skip


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("operator", "attributes"),
    [(rnn, {}), (rnn, {"activations": ["Relu"]}), (gru, {"linear_before_reset": 1}), (lstm, {})],
)
def test_fused_loops_equal_unrolled_ones(operator: object, attributes: dict, direction: str) -> None:
    directions = 2 if direction == "bidirectional" else 1
    rows = GATES[operator.__name__.upper()] * SIZE
    shapes = ((STEPS, SAMPLES, SIZE), (directions, rows, SIZE), (directions, rows, SIZE), (directions, 2 * rows))
    inputs = [torch.from_numpy(floats(*shape)).double() for shape in shapes]
    attributes = {name: value * directions if name == "activations" else value for name, value in attributes.items()}
    fused = operator(*inputs, direction=direction, mode=RunMode(), node="cells", **attributes)
    lengths = torch.full((SAMPLES,), STEPS)
    unrolled = operator(*inputs, lengths, direction=direction, mode=RunMode(), node="cells", **attributes)
    torch.testing.assert_close(fused, unrolled)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("operator", "states"), [(rnn, 1), (gru, 1), (lstm, 2)])
def test_a_watcher_sees_every_state_and_the_outputs_stay_the_same(
    operator: object, states: int, direction: str
) -> None:
    directions = 2 if direction == "bidirectional" else 1
    rows = GATES[operator.__name__.upper()] * SIZE
    shapes = ((STEPS, SAMPLES, SIZE), (directions, rows, SIZE), (directions, rows, SIZE))
    inputs = [torch.from_numpy(floats(*shape)).double() for shape in shapes]
    mode, seen = RunMode(), {}
    plain = operator(*inputs, direction=direction, mode=mode, node="cells")
    mode.watch_states = lambda node, chain, step, found: seen.setdefault((node, chain, step), found)
    watched = operator(*inputs, direction=direction, mode=mode, node="cells")
    torch.testing.assert_close(plain, watched)
    assert seen.keys() == {("cells", chain, step) for chain in range(directions) for step in range(STEPS)}
    assert {len(found) for found in seen.values()} == {states}
    for (_, chain, step), found in seen.items():
        torch.testing.assert_close(found[0], watched[0][step, chain])


MISFITS = [(op, name) for op in (rnn, gru, lstm) for name in ("W", "R", "B", "initial_h")] + [(lstm, "initial_c")]


@pytest.mark.parametrize(("operator", "misfit"), MISFITS)
def test_a_tensor_that_does_not_fit_is_refused_before_torch_reads_past_its_end(operator: object, misfit: str) -> None:
    rows = GATES[operator.__name__.upper()] * SIZE
    states = ("initial_h", "initial_c") if operator is lstm else ("initial_h",)
    shapes = {"x": (STEPS, 64, SIZE), "W": (1, rows, SIZE), "R": (1, rows, SIZE), "B": (1, 2 * rows)}
    shapes |= dict.fromkeys(states, (1, 64, SIZE))
    shapes[misfit] = (1, 4 * rows) if misfit == "B" else (64, 4, SIZE)
    tensors = {name: torch.from_numpy(floats(*shape)) for name, shape in shapes.items()}
    initial = {name: tensors.pop(name) for name in states}
    attributes = {"linear_before_reset": 1} if operator is gru else {}
    with pytest.raises(ValueError, match=f"^{misfit} is "):
        operator(*tensors.values(), **initial, **attributes, mode=RunMode(), node="cells")
