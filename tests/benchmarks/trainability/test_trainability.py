"""The verdict against what training does, on a small draw; and that the corpus is what it claims to be."""

import io
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from tests.benchmarks.conftest import Record
from tests.benchmarks.trainability.configurations import Configuration, Family, counts_for, draw
from tests.benchmarks.trainability.export import to_onnx
from tests.benchmarks.trainability.label import read_labels, summarize
from tests.benchmarks.trainability.networks import build
from tests.benchmarks.trainability.prediction import Inquiry
from tests.benchmarks.trainability.score import (
    Scored,
    confusion,
    fails_sgd,
    groups,
    has_static_error,
    list_wrong,
    score_all,
    tabulate,
)
from tests.benchmarks.trainability.tasks import make_task
from tests.benchmarks.trainability.training import label

pytestmark = pytest.mark.benchmark
NUMBER = 60
LABELS = Path(__file__).parent / "labels" / "development.jsonl"
"""The development corpus, with which thresholds were looked at: the first 122 of 260 networks drawn with seed 1. The
held-out ones (seed 2, first 204; seed 3, 70 sequence networks; `fresh`: seed 8, first 365 of 390) are scored once a
release: `score --labels ...`."""
LEARNT = 0.3
"""Of chance: what a healthy network reaches in 200 steps."""
REFERENCES = {
    "clusters, MLP": Configuration(
        family=Family.MLP, seed=5, task="clusters", classes=10, size=32, depth=4, width=64, initialization="he"
    ),
    "teacher, tanh MLP": Configuration(
        family=Family.MLP, seed=5, task="teacher", classes=3, size=6, depth=6, width=32, activation="tanh",
        initialization="xavier",
    ),
    "teacher, BatchNorm MLP": Configuration(
        family=Family.NORMALIZED_MLP, seed=5, task="teacher", classes=3, size=6, depth=6, width=64,
        initialization="he", normalization="batch",
    ),
    "regression, residual MLP": Configuration(
        family=Family.RESIDUAL_MLP, seed=5, task="regression", classes=2, size=6, depth=10, width=64,
        initialization="torch", residual=True,
    ),
    "textures, CNN": Configuration(
        family=Family.CNN, seed=5, task="textures", classes=6, size=8, depth=6, width=16, initialization="he"
    ),
    "templates, residual CNN": Configuration(
        family=Family.RESIDUAL_CNN, seed=5, task="templates", classes=6, size=12, depth=10, width=8,
        initialization="he", normalization="batch", residual=True, pooling="flatten",
    ),
    "recall, LSTM": Configuration(
        family=Family.RECURRENT, seed=5, task="recall", size=8, depth=1, width=32, cell="lstm", gate_bias=3.0,
        initialization="orthogonal", steps=20, cue=0,
    ),
    "majority, GRU": Configuration(
        family=Family.RECURRENT, seed=5, task="majority", size=8, depth=1, width=32, cell="gru",
        initialization="orthogonal", steps=20,
    ),
    "locate, transformer": Configuration(
        family=Family.TRANSFORMER, seed=5, task="locate", size=16, tokens=True, depth=2, width=32, activation="gelu",
        initialization="xavier", normalization="pre", residual=True, steps=10, cue=5, readout="mean",
    ),
    "recall, transformer": Configuration(
        family=Family.TRANSFORMER, seed=5, task="recall", size=8, depth=2, width=32, activation="gelu",
        initialization="xavier", normalization="pre", residual=True, steps=16, cue=0, readout="last",
    ),
}  # fmt: skip


# ------------------------------------------------------------------ the corpus


@pytest.mark.parametrize("name", REFERENCES)
def test_a_healthy_network_learns_its_task_in_time(name: str) -> None:
    result = label(REFERENCES[name])
    assert result.best("sgd") < LEARNT
    assert result.best("adam") < LEARNT


def test_labels_are_those_of_their_draw() -> None:
    drawn = draw(1, counts_for(260))
    labelled = [each.configuration for each in read_labels(LABELS)]
    assert labelled == list(drawn[: len(labelled)])


def test_a_larger_draw_begins_with_the_networks_of_a_smaller_one() -> None:
    small, large = draw(7, counts_for(60)), draw(7, counts_for(260))
    assert set(small) <= set(large)
    assert len({each.name for each in large}) == len(large)
    assert all(Configuration.from_json(each.to_json()) == each for each in large)


@pytest.mark.parametrize("dynamo", [False, True], ids=["TorchScript", "dynamo"])
@pytest.mark.parametrize("name", REFERENCES)
def test_a_network_exports_to_the_same_function(name: str, dynamo: bool) -> None:
    module = build(REFERENCES[name]).eval()
    inputs, _ = make_task(REFERENCES[name]).sample(8, torch.Generator().manual_seed(0))
    content = through_dynamo(module, inputs) if dynamo else to_onnx(module, inputs)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: inputs[0].numpy()})
    trains = not dynamo and REFERENCES[name].normalization == "batch"
    with torch.no_grad():
        expected = module.train(trains)(*inputs).numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)


def through_dynamo(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, inputs, dynamo=True, verbose=False).save(file)
    return file.getvalue()


# ------------------------------------------------------------------ the verdict


@pytest.fixture(scope="module")
def scored() -> list[Scored]:
    labelled = list(read_labels(LABELS))[:NUMBER]
    answers = score_all(labelled, Inquiry())
    print(f"\n{summarize(labelled)}\n\n{tabulate(answers)}\n{list_wrong(answers)}")  # noqa: T201
    return answers


@pytest.mark.parametrize(("group", "target", "known"), [("feed-forward", 0.94, 0.9), ("sequence", 0.86, 0.8)])
def test_the_verdict_says_what_gradient_descent_does(
    scored: list[Scored], record: Record, group: str, target: float, known: float
) -> None:
    found = confusion(dict(groups(scored))[group], fails_sgd).balanced_accuracy
    record(f"{group}: 1 - balanced accuracy", 1 - found.value, target=1 - target, known=1 - known, unit="")


@pytest.mark.parametrize("family", Family)
def test_an_error_without_training_is_hardly_ever_wrong(scored: list[Scored], record: Record, family: Family) -> None:
    found = confusion(dict(groups(scored))[family], has_static_error)
    wrong = found.false_alarms / max(found.hits + found.false_alarms, 1)
    record(f"{family}: errors without training that are wrong", wrong, target=0.03, known=0.1, unit="")
