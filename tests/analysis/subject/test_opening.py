"""A fixed sample axis opened: truth is the module that was exported, on other numbers of samples."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from analysis.model import check_model
from analysis.model.onnx_tools import assemble_proto
from analysis.subject import opening as opening_module
from analysis.subject import trace as trace_module
from analysis.subject.opening import open_samples
from analysis.synthesis.trial import Trials
from tests.analysis.fixed_exports import (
    FEATURES,
    STEPS,
    WIDTH,
    Flattened,
    LastToken,
    OwnFactor,
    Patches,
    Reader,
    fixed,
    run,
)  # fmt: skip
from tests.analysis.text_models import drawn, written


def sequences(samples: int) -> torch.Tensor:
    return torch.randn(samples, STEPS, FEATURES)


def images(samples: int) -> torch.Tensor:
    return torch.randn(samples, 3, 4, 4)


def tokens(samples: int) -> torch.Tensor:
    return torch.randint(0, 9, (samples, STEPS))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], torch.Tensor]]] = {
    "flattened": (Flattened, images),
    "rnn": (lambda: Reader("RNN"), sequences),
    "gru": (lambda: Reader("GRU", every_step=True), sequences),
    "lstm": (lambda: Reader("LSTM", layers=2, both=True), sequences),
    "patches": (Patches, images),
    "tokens": (LastToken, tokens),
}


EXPORTS = [(name, samples, False) for name in NETWORKS for samples in (1, 8)]
EXPORTS += [("gru", 1, True), ("patches", 1, True), ("tokens", 8, True)]


@pytest.mark.parametrize(("name", "samples", "dynamo"), EXPORTS)
def test_the_opened_graph_is_the_module_on_any_number_of_samples(name: str, samples: int, dynamo: bool) -> None:
    make, draw = NETWORKS[name]
    torch.manual_seed(0)
    module = make().eval()
    opening = open_samples(check_model(fixed(module, draw(samples), dynamo=dynamo)), seed=0)
    assert f"fixes the number of samples at {samples}" in opening.done
    assert not opening.refused
    proto = assemble_proto(opening.model.proto, opening.model.weights).SerializeToString()
    for count in (samples, 5, 19):
        x = draw(count)
        with torch.no_grad():
            expected = module(x).numpy()
        np.testing.assert_allclose(run(proto, x.numpy()), expected, rtol=1e-4, atol=1e-5)


def test_a_graph_that_is_open_is_left_as_it_is() -> None:
    model = check_model(fixed(Flattened(), images(2), axes={"x": {0: "N"}}))
    assert open_samples(model, seed=0).model is model
    positions = check_model(written("(float[dim,10,4] x) => (float[dim,10,2] y)", "y = MatMul(x, W)", W=drawn(4, 2)))
    assert open_samples(positions, seed=0).model is positions
    beside = check_model(
        written("(float[1,4] a, float[dim,4] x) => (float[dim,4] y)", "s = Mul(a, W) y = Mul(x, s)", W=drawn(4))
    )
    assert open_samples(beside, seed=0).model is beside
    unnamed = check_model(written("(float[N,4] x) => (float[N,2] y)", "y = MatMul(x, W)", W=drawn(4, 2)))
    assert open_samples(unnamed, seed=0).model is unnamed


def test_what_is_declared_open_and_fixed_by_a_reshape_is_opened() -> None:
    model = written(
        "(float[N,4] x) => (float[8,3] y)", "h = Reshape(x, s) y = MatMul(h, W)", s=np.array([8, 4]), W=drawn(4, 3)
    )
    opening = open_samples(check_model(model), seed=0)
    x = drawn(5, 4)
    proto = assemble_proto(opening.model.proto, opening.model.weights).SerializeToString()
    np.testing.assert_allclose(run(proto, x), x @ drawn(4, 3), rtol=1e-5)


def test_a_reshape_that_fixes_nothing_changes_nothing() -> None:
    """Its leading size is that of a weight, or of channels."""
    model = written(
        "(float[N,6] x) => (float[2,M] y)", "t = Transpose(x) h = Reshape(t, s) r = Reshape(W, s) y = Add(h, r)",
        s=np.array([2, -1]), W=drawn(6),
    )  # fmt: skip
    checked = check_model(model)
    assert open_samples(checked, seed=0).model is checked


def test_every_input_that_counts_samples_is_opened() -> None:
    class Continued(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = nn.GRU(FEATURES, WIDTH, batch_first=True)

        def forward(self, x: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
            states: torch.Tensor = self.recurrent(x, state)[0]
            return states

    torch.manual_seed(0)
    module = Continued().eval()
    opening = open_samples(check_model(fixed(module, sequences(1), torch.zeros(1, 1, WIDTH))), seed=0)
    assert [spec.shape for spec in opening.model.inputs] == [("batch", STEPS, FEATURES), (1, "batch", WIDTH)]
    proto = assemble_proto(opening.model.proto, opening.model.weights).SerializeToString()
    x, state = sequences(3), torch.randn(1, 3, WIDTH)
    np.testing.assert_allclose(run(proto, x.numpy(), state.numpy()), module(x, state).detach(), rtol=1e-4, atol=1e-5)


def test_numbers_without_axes_beside_the_samples_are_left_alone() -> None:
    model = written("(float k, float[1,4] x) => (float[1,2] y)", "s = Mul(x, k) y = MatMul(s, W)", W=drawn(4, 2))
    assert [spec.shape for spec in open_samples(check_model(model), seed=0).model.inputs] == [(), ("batch", 4)]


def test_a_graph_whose_types_make_no_sense_is_left_to_those_who_convert_it() -> None:
    model = written(
        "(float[N,4] x) => (float[N,3] y)", "h = Reshape(x, s) y = MatMul(h, W)", s=np.array([1, 4]), W=drawn(9, 3)
    )
    checked = check_model(model)
    opening = open_samples(checked, seed=0)
    assert opening.model is checked
    assert not opening.refused


@pytest.mark.parametrize("samples", [1, 8])
def test_a_graph_that_draws_random_numbers_for_each_sample_is_opened(samples: int) -> None:
    model = written(
        f"(float[{samples},6] x) => (float[{samples},3] y)",
        "h = Reshape(x, s) e = RandomNormalLike(h) z = Add(h, e) y = MatMul(z, W)",
        s=np.array([samples, 6]), W=drawn(6, 3),
    )  # fmt: skip
    opening = open_samples(check_model(model), seed=0)
    assert "(1 constant rewritten)" in opening.done
    proto = assemble_proto(opening.model.proto, opening.model.weights).SerializeToString()
    assert run(proto, drawn(5, 6)).shape == (5, 3)


def test_samples_along_the_second_axis_are_found_and_said() -> None:
    torch.manual_seed(0)
    module = Reader("LSTM", batch_first=False, every_step=True).eval()
    opening = open_samples(check_model(fixed(module, torch.randn(STEPS, 1, FEATURES))), seed=0)
    assert opening.model.inputs[0].shape == (STEPS, "batch", FEATURES)
    assert "Samples lie along axis 1 of x" in opening.done
    assert "(LSTM) takes the first axis for time steps (batch_first?)" in opening.done


@pytest.mark.parametrize(
    ("model", "node"),
    [
        (lambda: fixed(OwnFactor(8), torch.randn(8, FEATURES)), "Mul"),
        (lambda: fixed(Reader("LSTM", batch_first=False), sequences(8)), "LSTM"),
    ],
)
def test_what_cannot_be_opened_stays_and_the_node_is_named(model: Callable[[], bytes], node: str) -> None:
    torch.manual_seed(0)
    checked = check_model(model())
    opening = open_samples(checked, seed=0)
    assert opening.model is checked
    assert not opening.done
    assert "fixes the number of samples at 8, and cannot be opened" in opening.refused
    assert f"({node})" in opening.refused


def test_a_mean_over_the_batch_is_not_taken_for_a_sample() -> None:
    """It runs on any number of samples, and says another thing of each."""
    model = written(
        "(float[4,3] x) => (float[4,2] y)", "m = ReduceMean<axes = [0]>(x) d = Sub(x, m) y = MatMul(d, W)",
        W=drawn(3, 2),
    )  # fmt: skip
    checked = check_model(model)
    assert open_samples(checked, seed=0).model is checked


def test_a_normalisation_over_the_batch_stands_against_opening_before_anything_is_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = written(
        "(float[8,3] x) => (float[8,2] y)",
        "n, m, v = BatchNormalization<training_mode = 1>(x, one, zero, zero, one) y = MatMul(n, W)",
        W=drawn(3, 2), one=np.ones(3, np.float32), zero=np.zeros(3, np.float32),
    )  # fmt: skip
    monkeypatch.setattr(opening_module, "_run", None)
    monkeypatch.setattr(Trials, "run", None)
    checked = check_model(model)
    opening = open_samples(checked, seed=0)
    assert opening.model is checked
    assert "(BatchNormalization)" in opening.refused


def test_a_proof_that_takes_too_long_leaves_the_graph_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model = check_model(fixed(Flattened(), images(2)))
    assert open_samples(model, seed=0).done
    monkeypatch.setattr(opening_module, "MOST_SECONDS", 0.0)
    left = open_samples(model, seed=0)
    assert left.model is model
    assert "takes too long" in left.refused


def test_a_proof_takes_a_share_of_the_budget_and_ends_after_the_first_run_where_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = check_model(fixed(Flattened(), images(2)))
    assert open_samples(model, seed=0, budget_seconds=60.0).done
    assert "takes too long" in open_samples(model, seed=0, budget_seconds=0.0).refused
    monkeypatch.setattr(opening_module, "PASSES", 1e9)
    monkeypatch.setattr(opening_module, "_proven", None)
    left = open_samples(model, seed=0)
    assert left.model is model
    assert "takes too long" in left.refused


def test_a_proof_that_would_keep_too_much_leaves_the_graph_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model = check_model(fixed(Flattened(), images(1)))
    assert open_samples(model, seed=0).done
    monkeypatch.setattr(trace_module, "MOST_BYTES", 1000)
    left = open_samples(model, seed=0)
    assert left.model is model
    assert "takes too much memory" in left.refused
    assert open_samples(check_model(fixed(Flattened(), images(8))), seed=0).done, "of many samples nothing is kept"
