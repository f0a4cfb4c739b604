"""Lines of PyTorch for recurrent layers: run as they stand, on layers of torch."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from analysis.facts import TimeProfile
from analysis.render import _code_recurrent as subject
from analysis.report import Report
from tests.analysis.diagnosis.builders import layer, measurement
from tests.analysis.diagnosis.reports import report_of

KINDS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
STEPS = 30


def report(op: str) -> Report:
    time = TimeProfile(node=op, direction="forward", gradient_log10=(0.0,) * STEPS)
    return report_of(measurement(layers=(replace(layer(1), op=op), layer(2), layer(3)), through_time=(time,)))


def drawn(op: str, level: str) -> dict[str, list[Tensor]]:
    """The gates of every parameter of a layer of two, 16 in and 32 states, after the lines have run on it."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"reader": KINDS[op](16, 32, num_layers=2), "head": nn.Linear(32, 4)})
    lines = [line.text for line in subject.draw(report(op), level)]
    exec("\n".join(["for layer in model.modules():", *lines]), {"model": model, "nn": nn})
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    return {name: list(values.detach().chunk(gates)) for name, values in model["reader"].named_parameters()}


@pytest.mark.parametrize("op", KINDS)
@pytest.mark.parametrize("level", ["orthogonal", "orthogonal_memory", "orthogonal_long"])
def test_what_stands_between_time_steps_is_orthogonal_gate_by_gate(op: str, level: str) -> None:
    found = drawn(op, level)
    for name in ("weight_hh_l0", "weight_hh_l1"):
        for gate in found[name]:
            torch.testing.assert_close(gate @ gate.T, torch.eye(32), rtol=0.0, atol=1e-5)
    quiet = 0.03 if (op, level) == ("RNN", "orthogonal_long") else 1.0
    for gate in found["weight_ih_l0"]:
        assert gate.std().item() == pytest.approx(quiet * math.sqrt(2 / (16 + 32)), rel=0.15)
    for gate in found["weight_ih_l1"]:
        assert gate.std().item() == pytest.approx(math.sqrt(2 / (32 + 32)), rel=0.15)


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
@pytest.mark.parametrize(("level", "kept"), [("orthogonal", 0.0), ("orthogonal_memory", 1.0), ("orthogonal_long", 3.4)])
def test_a_gate_that_stands_open_keeps_the_state(op: str, level: str, kept: float) -> None:
    """For one step of nothing, a state is multiplied by the sigmoid of the bias; a GRU of torch keeps z of it."""
    found = drawn(op, level)
    for place in (0, 1):
        biases = [ih + hh for ih, hh in zip(found[f"bias_ih_l{place}"], found[f"bias_hh_l{place}"], strict=True)]
        assert [round(each.mean().item(), 2) for each in biases] == [
            kept if gate == 1 else 0.0 for gate in range(len(biases))
        ]
        assert all((each == each[0]).all() for each in biases)


def test_the_second_gate_of_torch_is_the_one_that_keeps() -> None:
    for kind in (nn.LSTM, nn.GRU):
        reader = kind(2, 3)
        with torch.no_grad():
            for values in reader.parameters():
                values.zero_()
            reader.bias_ih_l0.chunk(4 if kind is nn.LSTM else 3)[1].fill_(3.0)
            before = torch.ones(1, 1, 3)
            state = reader(torch.zeros(1, 1, 2), (before, before) if kind is nn.LSTM else before)[1]
        kept = state[1] if kind is nn.LSTM else state
        torch.testing.assert_close(kept, before / (1 + math.exp(-3.0)))


def test_plain_cells_start_as_the_identity_and_are_of_relu() -> None:
    found = drawn("RNN", "identity_rnn")
    torch.testing.assert_close(found["weight_hh_l1"][0], torch.eye(32))
    assert [line.text for line in subject.cells(report("RNN"), "identity_rnn")] == [
        'nn.RNN(..., nonlinearity="relu")  # every plain cell'
    ]
    assert [line.sign for line in subject.cells(report("RNN"), "orthogonal_long")] == [" "], "it may be so already"
    assert not [*subject.cells(report("LSTM"), "orthogonal_long"), *subject.cells(report("RNN"), "orthogonal")]


@pytest.mark.parametrize("level", ["kept", "lsuv", "rescaled"])
def test_what_is_no_line_of_torch_is_none_here(level: str) -> None:
    assert not list(subject.draw(report("LSTM"), level))
