"""Gradients over time, against unrolled torch modules and closed forms."""

import io
import math

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from analysis.facts import TimeProfile
from analysis.measure.through_time import (
    MOST_SAMPLES,
    NO_LABELS,
    NOT_INFORMATIVE,
    informative_steps,
    measure_through_time,
)
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from tests.gallery import export, npz
from tests.gallery.networks import TimeFirst
from tests.gallery.tasks import sequences

STEPS, SAMPLES, CLASSES = 12, 64, 4


class Reader(nn.Module):
    """A recurrent layer read at one step, or at all of them."""

    def __init__(self, kind: type[nn.RNNBase], *, step: int | None = -1, **options: object) -> None:
        super().__init__()
        self.cells, self.step = kind(5, 8, batch_first=True, **options), step
        self.head = nn.Linear(8 * (2 if options.get("bidirectional") else 1), CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.cells(x)[0]
        return self.head(y.mean(1) if self.step is None else y[:, self.step])


def batch(told_at: int | None = None, seed: int = 0) -> bytes:
    """Noise; one step shows the class where there is one."""
    random = np.random.default_rng(seed)
    x, target = random.standard_normal((SAMPLES, STEPS, 5)), random.integers(0, CLASSES, SAMPLES)
    if told_at is not None:
        x[:, told_at, :CLASSES] = np.eye(CLASSES)[target] + 0.1 * random.standard_normal((SAMPLES, CLASSES))
    return npz(x=x.astype(np.float32), target=target)


def profiles(module: nn.Module, content: bytes) -> tuple[TimeProfile, ...]:
    torch.manual_seed(0)
    model = export(module, torch.zeros(2, STEPS, 5))
    return measure_through_time(prepare(check_model(model), content, AnalysisOptions()))


def stepwise(module: Reader, content: bytes) -> list[float]:
    """|dL/dh_t| of an Elman or GRU network, from torch's own cell run step by step."""
    arrays = np.load(io.BytesIO(content))
    x, target = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["target"])
    cell = (nn.RNNCell if isinstance(module.cells, nn.RNN) else nn.GRUCell)(5, 8)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in module.cells.state_dict().items()})
    h, states = torch.zeros(SAMPLES, 8), []
    for step in range(STEPS):
        h = cell(x[:, step], h)
        states.append(h)
    read = torch.stack(states).mean(0) if module.step is None else states[module.step]
    loss = nn.functional.cross_entropy(module.head(read), target)
    return [float(g.norm()) for g in torch.autograd.grad(loss, states)]


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU])
@pytest.mark.parametrize("step", [-1, None])
def test_the_profile_is_the_total_derivative_at_every_state(kind: type[nn.RNNBase], step: int | None) -> None:
    torch.manual_seed(1)
    module = Reader(kind, step=step)
    (found,) = profiles(module, batch())
    np.testing.assert_allclose(10 ** np.array(found.gradient_log10), stepwise(module, batch()), rtol=1e-4)
    assert found.direction == "forward"


def linear_chain(factor: float, steps: int = STEPS) -> bytes:
    """h_t = factor h_(t-1) + x_t, read at the last step: dL/dh_t falls by `factor` each step back."""
    w, r = np.ones((1, 1, 1), np.float32), np.full((1, 1, 1), factor, np.float32)
    nodes = [
        helper.make_node(
            "RNN", ["x", "w", "r"], ["", "last"], name="cells", hidden_size=1, activations=["Affine"],
            activation_alpha=[1.0], activation_beta=[0.0],
        ),
        helper.make_node("Squeeze", ["last", "axis"], ["h"]),
        helper.make_node("Gemm", ["h", "v"], ["y"], name="head"),
    ]  # fmt: skip
    tensors = {"w": w, "r": r, "axis": np.array([0]), "v": np.array([[1.0, -1.0]], np.float32)}
    graph = helper.make_graph(
        nodes, "chain", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [steps, "N", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def grown(factor: float, content: bytes) -> float:
    """The same chain by hand: log10 of the last state's RMS over the first one's."""
    x = np.load(io.BytesIO(content))["x"].astype(np.float64)
    states = [x[0]]
    for step in x[1:]:
        states.append(factor * states[-1] + step)
    return math.log10(np.sqrt(np.square(states[-1]).mean()) / np.sqrt(np.square(states[0]).mean()))


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_growth_and_horizon_of_a_linear_chain_follow_from_its_factor(factor: float) -> None:
    random = np.random.default_rng(0)
    content = npz(x=random.standard_normal((STEPS, 32, 1)).astype(np.float32), target=random.integers(0, 2, 32))
    (found,) = measure_through_time(prepare(check_model(linear_chain(factor)), content, AnalysisOptions()))
    assert found.growth_decades == pytest.approx((STEPS - 1) * math.log10(factor), abs=1e-4)
    assert found.state_growth_decades == pytest.approx(grown(factor, content), abs=1e-4)
    reach = STEPS - 1 if factor >= 1 else int(math.log(0.01) / math.log(factor))
    assert found.horizon_steps == reach


@pytest.mark.parametrize("told_at", [0, 3, 11])
def test_the_informative_step_is_where_the_class_is_shown(told_at: int) -> None:
    torch.manual_seed(1)
    (found,) = profiles(Reader(nn.RNN), batch(told_at))
    assert found.informative_step == told_at
    curve = found.gradient_log10
    assert found.memory_decades == pytest.approx(curve[told_at] - max(curve))


@pytest.mark.parametrize("told_at", [1, 7])
def test_of_numbers_the_quarters_are_told_apart(told_at: int) -> None:
    random = np.random.default_rng(4)
    x, target = random.standard_normal((SAMPLES, STEPS, 5)), random.uniform(-1, 1, (SAMPLES, 1))
    x[:, told_at, 2] = 3 * target[:, 0]
    module = Reader(nn.RNN)
    module.head = nn.Linear(8, 1)
    (profile,) = profiles(module, npz(x=x.astype(np.float32), target=target.astype(np.float32)))
    assert profile.informative_step == told_at
    constant = np.arange(SAMPLES)[:, None] % 8 == 0  # no quarters
    (profile,) = profiles(module, npz(x=x.astype(np.float32), target=constant * np.float32(0.5)))
    assert profile.absent["memory_decades"] == NO_LABELS


def test_without_information_in_any_single_step_there_is_no_memory_to_judge() -> None:
    (found,) = profiles(Reader(nn.GRU), batch())
    assert found.memory_decades is None
    assert found.absent == {"memory_decades": NOT_INFORMATIVE}


def test_without_uploaded_labels_there_is_no_memory_to_judge() -> None:
    x = np.random.default_rng(0).standard_normal((SAMPLES, STEPS, 5)).astype(np.float32)
    (found,) = profiles(Reader(nn.LSTM), npz(x=x))
    assert found.absent == {"memory_decades": NO_LABELS}


def test_a_reading_at_an_early_step_is_no_growth_of_the_backward_chain() -> None:
    forward, backward = profiles(Reader(nn.LSTM, bidirectional=True), batch(3))
    assert (forward.direction, backward.direction) == ("forward", "reverse")
    assert forward.growth_decades is not None
    assert forward.growth_decades < 0
    assert backward.growth_decades == 0  # read where the chain begins
    assert backward.horizon_steps == 0


def test_stacked_layers_have_a_profile_each_bottom_first() -> None:
    found = profiles(Reader(nn.LSTM, num_layers=2), batch(5))
    assert [len(each.gradient_log10) for each in found] == [STEPS, STEPS]
    assert found[0].informative_step == 5


class WrittenOut(nn.Module):
    """The cells of a Reader, step by step, as an exporter unrolls them."""

    def __init__(self, reader: Reader, kind: type[nn.RNNCellBase]) -> None:
        super().__init__()
        self.cell, self.head = kind(5, 8), reader.head
        self.cell.load_state_dict({name.removesuffix("_l0"): each for name, each in reader.cells.state_dict().items()})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.zeros_like(x[:, 0, :1]).expand(-1, 8)
        for step in range(STEPS):
            h = self.cell(x[:, step], h)
        return self.head(h)


@pytest.mark.parametrize(("kind", "cell"), [(nn.RNN, nn.RNNCell), (nn.GRU, nn.GRUCell)])
def test_a_cell_that_was_written_out_has_the_profile_of_the_operator(
    kind: type[nn.RNNBase], cell: type[nn.RNNCellBase]
) -> None:
    torch.manual_seed(0)
    module, content = Reader(kind), batch(told_at=3)
    expected = stepwise(module, content)[:-1]  # what the last step writes is no state that a step reads
    (profile,) = profiles(WrittenOut(module, cell), content)
    assert [10**each for each in profile.gradient_log10] == pytest.approx(expected, rel=1e-3)
    assert profile.informative_step == 3
    assert profile.memory_decades == pytest.approx(math.log10(expected[3] / max(expected)), abs=1e-3)


def test_a_feed_forward_network_has_no_profile() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(5 * STEPS, CLASSES))
    assert profiles(module, batch()) == ()


def test_one_feature_that_separates_the_classes_is_enough_and_chance_is_not() -> None:
    random = np.random.default_rng(0)
    x, labels = random.standard_normal((9, 40, 6)), np.arange(40) % 4
    assert informative_steps(x, labels) == {}
    x[7, :, 2] = labels + 0.05 * random.standard_normal(40)
    assert informative_steps(x, labels) == {7: pytest.approx(1.0, abs=0.01)}


@pytest.mark.parametrize("seed", range(5))
def test_steps_that_vote_on_the_label_are_all_informative(seed: int) -> None:
    """A majority of five steps out of twenty, the others noise."""
    random = np.random.default_rng(seed)
    x, voters = random.standard_normal((20, 400, 3)), [2, 5, 9, 14, 18]
    labels = (x[voters, :, 0].sum(0) > 0).astype(np.int64)
    assert sorted(informative_steps(x, labels)) == voters


def test_of_many_samples_some_are_looked_at_whatever_the_order_they_came_in() -> None:
    """Classes that take turns: every second sample would be of half of the classes."""
    random = np.random.default_rng(0)
    samples = 2 * MOST_SAMPLES
    x, labels = random.standard_normal((samples, STEPS, 5)).astype(np.float32), np.arange(samples) % 2
    x[:, 4, 0] += 4 * labels
    torch.manual_seed(0)
    (found,) = profiles(Reader(nn.RNN), npz(x=x, target=labels))
    assert found.informative_step == 4
    assert found.readable_share == pytest.approx(0.95, abs=0.05)


def test_of_several_informative_steps_the_one_that_is_reached_best_counts() -> None:
    torch.manual_seed(1)
    random = np.random.default_rng(0)
    x = random.standard_normal((SAMPLES, STEPS, 5)).astype(np.float32)
    labels = (x[:, 0, 0] + x[:, STEPS - 1, 0] > 0).astype(np.int64)
    (found,) = profiles(Reader(nn.RNN), npz(x=x, target=labels))
    assert found.informative_step == STEPS - 1
    assert found.memory_decades == 0.0


def test_a_network_that_runs_along_the_samples_has_no_label_for_its_rows() -> None:
    """Eight samples of five steps in cells that count time first: eight steps of five rows."""
    torch.manual_seed(0)
    module = TimeFirst(nn.LSTM(8, 6))
    x, _ = sequences(5, 0)(0)(np.random.default_rng(0), 16)
    model = export(module, torch.from_numpy(x))
    batch = npz(x=x, target=np.arange(16) % 4)
    (profile,) = measure_through_time(prepare(check_model(model), batch, AnalysisOptions()))
    assert len(profile.gradient_log10) == 16
    assert profile.memory_decades is None
    assert "no label" in profile.absent["memory_decades"]
