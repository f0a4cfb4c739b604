"""The batch as tensors, the loss on it, weights as they are, and whether batch statistics may be used."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from tests.analysis.text_models import drawn, written
from tests.gallery import CLASSES, INPUTS, ResidualNetwork, export, he, images, mlp, npz, seeded, vectors

OPTIONS = AnalysisOptions()


def test_inputs_and_targets_are_those_of_the_batch_in_the_order_of_the_graph() -> None:
    model = written(
        "(float[N,3] b, float[N,4] a) => (float[N,2] y)", "p = MatMul(a, A) q = MatMul(b, B) y = Add(p, q)",
        A=drawn(4, 2), B=drawn(3, 2),
    )  # fmt: skip
    a, b, target = drawn(8, 4), drawn(8, 3) + 1, np.arange(8) % 2
    subject = prepare(check_model(model), npz(a=a, b=b, target=target), OPTIONS)
    inputs, targets = subject.tensors()
    np.testing.assert_array_equal(inputs[0].numpy(), b)
    np.testing.assert_array_equal(inputs[1].numpy(), a)
    np.testing.assert_array_equal(targets.numpy(), target)
    chosen, labels = subject.tensors([5, 1])
    np.testing.assert_array_equal(chosen[1].numpy(), a[[5, 1]])
    np.testing.assert_array_equal(labels.numpy(), target[[5, 1]])


def test_an_input_that_is_one_number_stays_one_sent_or_made_up() -> None:
    """Diffusion networks are exported with such a time step: with an axis of its own it is another tensor."""
    model = written(
        "(float[N,4] x, int64 t) => (float[N,3] y)",
        "p = MatMul(x, W) c = Cast<to = 1>(t) u = Unsqueeze(c, first) b = Concat<axis = 0>(u, k) y = Add(p, b)",
        W=drawn(4, 3), first=np.array([0]), k=drawn(2),
    )  # fmt: skip
    checked = check_model(model)
    for batch in (npz(x=drawn(8, 4), t=np.array(3), target=np.arange(8) % 3), None):
        subject = prepare(checked, batch, OPTIONS)
        inputs, _ = subject.tensors()
        assert inputs[1].shape == ()
        assert subject.converted(*inputs)[0].shape == (subject.batch.size, 3)


def test_the_loss_is_that_of_torch_on_onnxruntime_s_function() -> None:
    module = seeded(lambda: nn.Sequential(nn.Linear(INPUTS, 16), nn.Tanh(), nn.Linear(16, CLASSES)))
    subject = prepare(check_model(export(module, torch.zeros(2, INPUTS))), vectors(), OPTIONS)
    inputs, targets = subject.tensors()
    expected = nn.functional.cross_entropy(module(inputs[0]), targets)
    assert float(subject.loss(inputs, targets).detach()) == pytest.approx(float(expected.detach()), rel=1e-6)


def test_weights_are_the_present_ones() -> None:
    subject = prepare(check_model(mlp(3, "Relu", he())), vectors(), AnalysisOptions(freeze=("w1",)))
    stored = dict(subject.weights())
    with torch.no_grad():
        subject.converted.initializers["w0"].fill_(0.5)
    present = subject.weights()
    assert (present["w0"] == 0.5).all()
    assert not np.array_equal(present["w0"], np.asarray(subject.model.weights["w0"]))
    np.testing.assert_array_equal(present["w1"], stored["w1"])
    assert present.keys() == dict(subject.model.weights).keys()


@pytest.mark.parametrize(("samples", "side", "enough"), [(2, 4, True), (2, 2, False), (31, 1, False), (32, 1, True)])
def test_values_per_channel_decide_about_batch_statistics(samples: int, side: int, enough: bool) -> None:
    """Samples times positions, at least 32."""
    ones = np.ones(3, np.float32)
    model = written(
        f"(float[N,2,{side},{side}] x) => (float[N,3,{side},{side}] y)",
        "c = Conv(x, K) n = BatchNormalization(c, g, s, m, v) y = Relu(n)", K=drawn(3, 2, 1, 1), g=ones, s=ones, m=ones,
        v=ones,
    )  # fmt: skip
    x = drawn(samples, 2, side, side)
    subject = prepare(check_model(model), npz(x=x, target=drawn(samples, 3, side, side)), OPTIONS)
    assert subject.batch_statistics is enough
    assert replace(subject, counted=None).batch_statistics is enough  # by a pass of its own


@pytest.mark.parametrize("samples", [2, 9])
def test_shapes_are_those_of_a_pass_on_the_whole_batch(samples: int) -> None:
    """Nine samples are told by one and two, what depends on which they are by all of them."""
    model = written(
        "(float[N,5,4] x) => (float[N,5,3] y)",
        "h = MatMul(x, W) r = Reshape(h, rows) t = Transpose<perm = [1, 0]>(r) q = Mul(W, W) y = Relu(h)",
        W=drawn(4, 3), rows=np.array([-1, 3]),
    )  # fmt: skip
    subject = prepare(check_model(model), npz(x=drawn(samples, 5, 4), target=drawn(samples, 5, 3)), OPTIONS)
    expected = {
        "h": (samples, 5, 3), "r": (5 * samples, 3), "t": (3, 5 * samples), "q": (4, 3), "y": (samples, 5, 3)
    }  # fmt: skip
    assert subject.shapes(expected.keys()) == expected
    assert subject.shapes({"nothing"}) == {}


def test_the_shape_of_what_depends_on_which_samples_there_are_is_seen_on_all() -> None:
    model = written(
        "(float[N,4] x) => (float[N,3] y)", "y = MatMul(x, W) p = Relu(x) i = NonZero(p) s = Cast<to = 1>(i)",
        W=drawn(4, 3),
    )  # fmt: skip
    x = drawn(9, 4)
    subject = prepare(check_model(model), npz(x=x, target=drawn(9, 3)), OPTIONS)
    assert subject.shapes({"s"}) == {"s": (2, int((x > 0).sum()))}


def test_the_narrowest_normalisation_decides() -> None:
    """Plenty of pixels in the stem, few samples behind the pooling."""

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.narrow, self.head = ResidualNetwork(8, 1), nn.BatchNorm1d(10), nn.Linear(10, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.relu(self.narrow(self.body(x))))

    model = check_model(export(seeded(Pooled), torch.zeros(2, 3, 16, 16), keep_batch_norm=True))
    for samples, enough in ((16, False), (64, True)):
        subject = prepare(model, images(samples), OPTIONS)
        assert subject.batch_statistics is enough


def test_without_batch_normalisation_there_is_nothing_to_decide() -> None:
    subject = prepare(check_model(mlp(3, "Relu", he())), vectors(), OPTIONS)
    assert not subject.batch_statistics
