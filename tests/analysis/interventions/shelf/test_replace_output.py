import numpy as np
import pytest
import torch
from torch import nn

from analysis.interventions.variants import cell_of as cell
from analysis.options import AnalysisOptions
from tests.analysis.experiment.experiments import experiment
from tests.analysis.interventions.builders import composed, outputs, refused
from tests.gallery import export, npz, seeded

X = np.random.default_rng(0).standard_normal((64, 6)).astype(np.float32)
FAR = (2 + X[:, :3]).astype(np.float32)


def ending(last: nn.Module, units: int = 3) -> tuple[bytes, torch.Tensor]:
    """The model, and what enters its end."""
    module = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, units), last)).eval()
    with torch.no_grad():
        return export(module, torch.from_numpy(X[:2])), module[:3](torch.from_numpy(X))


@pytest.mark.parametrize("last", [nn.Tanh(), nn.Sigmoid(), nn.ReLU()])
def test_an_activation_that_is_in_the_way_is_taken_off(last: nn.Module) -> None:
    model, entering = ending(last)
    targets = FAR if not isinstance(last, nn.ReLU) else -FAR
    torch.testing.assert_close(
        outputs("linear_output", model, npz(x=X, target=targets)), entering, rtol=1e-4, atol=1e-5
    )
    recipe, _ = composed("linear_output", model, npz(x=X, target=targets))
    assert "keeps the outputs from their targets" in recipe.words


def test_an_activation_that_is_not_in_the_way_stays() -> None:
    within = np.tanh(FAR).astype(np.float32)
    assert "not in the way" in refused("linear_output", ending(nn.Tanh())[0], npz(x=X, target=within))
    assert "no activation" in refused("linear_output", ending(nn.Identity())[0], npz(x=X, target=FAR))


def test_a_doubled_softmax_is_taken_off() -> None:
    model, entering = ending(nn.Softmax(-1))
    batch = npz(x=X, target=np.arange(64) % 3)
    found = experiment(model, batch, AnalysisOptions(loss="cross_entropy")).structures.compose(cell("linear_output"))
    assert isinstance(found, tuple)
    recipe, subject = found
    assert "the loss brings its own" in recipe.words
    with torch.no_grad():
        written = subject.converted.eval()(*subject.tensors()[0])[0]
    torch.testing.assert_close(written, entering, rtol=1e-4, atol=1e-5)


def test_a_softmax_over_one_unit_becomes_a_sigmoid() -> None:
    model, entering = ending(nn.Softmax(-1), 1)
    bits = (X[:, :1] > 0).astype(np.float32)
    torch.testing.assert_close(
        outputs("sigmoid_output", model, npz(x=X, target=bits)), entering.sigmoid(), rtol=1e-4, atol=1e-5
    )
    assert "one of the classes" in refused(
        "sigmoid_output", ending(nn.Softmax(-1))[0], npz(x=X, target=np.arange(64) % 3)
    )
    assert "no Softmax" in refused(
        "sigmoid_output", ending(nn.Sigmoid())[0], npz(x=X, target=np.abs(np.sign(X[:, :3])))
    )


def test_a_softmax_that_is_asked_for_several_classes_at_once_becomes_a_sigmoid_for_each() -> None:
    model, entering = ending(nn.Softmax(-1))
    bits = (X[:, :3] > 0).astype(np.float32)
    torch.testing.assert_close(
        outputs("sigmoid_output", model, npz(x=X, target=bits)), entering.sigmoid(), rtol=1e-4, atol=1e-5
    )
    recipe, _ = composed("sigmoid_output", model, npz(x=X, target=bits))
    assert "several classes may be right at once" in recipe.words
    assert "takes probabilities" in refused("linear_output", model, npz(x=X, target=bits))
