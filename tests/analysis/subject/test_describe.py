import hashlib

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper
from torch import nn

from analysis.facts import ValueFacts
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.describe import FOLDED, describe_engine, describe_model
from analysis.subject.preparation import in_float64, prepare
from analysis.subject.subject import Subject
from analysis.version import VERSION
from tests.gallery import CLASSES, INPUTS, ResidualNetwork, export, he, images, mlp, seeded, vectors

OPTIONS = AnalysisOptions(seed=7, effort="quick")


def subject_of(model: bytes, batch: bytes | None = None, **options: object) -> Subject:
    return prepare(check_model(model), batch, AnalysisOptions(**options))


def test_the_engine_names_the_versions_and_settings_that_numbers_depend_on() -> None:
    subject = subject_of(mlp(3, "Relu", he()), vectors())
    found = describe_engine(subject, OPTIONS)
    assert (found.version, found.torch, found.onnx) == (VERSION, torch.__version__, onnx.__version__)
    assert found.onnxruntime == onnxruntime.__version__
    assert (found.device, found.threads, found.seed, found.effort) == ("cpu", 1, 7, "quick")
    assert found.precision == "float32"
    assert describe_engine(in_float64(subject), OPTIONS).precision == "float64"


def test_the_model_is_described_as_it_was_uploaded() -> None:
    content = mlp(3, "Relu", he(), width=16)
    found = describe_model(subject_of(content, vectors()))
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert found.size_bytes == len(content)
    assert (found.name, found.producer, dict(found.opset), found.nodes) == ("mlp", "unknown", {"ai.onnx": 17}, 5)
    assert found.parameters.trainable == INPUTS * 16 + 16 + 16 * 16 + 16 + 16 * CLASSES + CLASSES
    assert found.parameters.frozen == 0
    assert found.inputs == (ValueFacts(name="x", dtype="float32", shape=("N", INPUTS)),)
    assert found.outputs == (ValueFacts(name="z2", dtype="float32", shape=("N", CLASSES)),)
    assert found.notes == ("weights look untrained",)


def test_parameters_are_those_of_the_module_and_frozen_ones_say_why() -> None:
    module = seeded(ResidualNetwork)
    with torch.no_grad():  # the exporter shares what is equal
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.copy_(torch.rand_like(tensor, dtype=torch.float32) + 0.5)
    found = describe_model(subject_of(export(module, torch.zeros(2, 3, 16, 16), keep_batch_norm=True), images(8)))
    assert found.parameters.trainable == sum(each.numel() for each in module.parameters())
    running = [name for name, _ in module.named_buffers() if "running" in name]
    assert {name: found.frozen[name] for name in running} == {
        name: "running mean" if "mean" in name else "running variance" for name in running
    }
    assert found.producer.startswith("pytorch")


def test_what_options_freeze_counts_as_frozen() -> None:
    found = describe_model(subject_of(mlp(3, "Relu", he(), width=16), vectors(), freeze=("w0",)))
    assert found.parameters.frozen == INPUTS * 16
    assert dict(found.frozen) == {"w0": "frozen by options"}


def test_notes_tell_where_the_loss_is_taken() -> None:
    model = onnx.load_from_string(mlp(3, "Relu", he()))
    model.graph.node.append(helper.make_node("Softmax", ["z2"], ["shares"], axis=1))
    model.graph.output[0].name = "shares"
    model.graph.output.append(helper.make_tensor_value_info("a1", onnx.TensorProto.FLOAT, ["N", 64]))
    notes = describe_model(subject_of(model.SerializeToString(), vectors())).notes
    assert "output shares is measured at z2, before Softmax" in notes
    assert "of 2 outputs, the loss is taken at shares" in notes


@pytest.mark.parametrize("trained", [False, True])
def test_folded_normalisation_is_suspected_where_weights_look_trained(trained: bool) -> None:
    module = seeded(lambda: nn.Sequential(nn.Conv2d(3, 24, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24 * 36, 10)))
    if trained:
        with torch.no_grad():  # one direction stands out, as after training
            for layer in (module[0], module[3]):
                rows, columns = layer.weight.shape[0], layer.weight[0].numel()
                outlier = torch.outer(torch.ones(rows), torch.linspace(-1, 1, columns))
                layer.weight.add_(outlier.view_as(layer.weight))
    notes = describe_model(subject_of(export(module, torch.zeros(2, 3, 8, 8)))).notes
    assert ("weights look trained" in notes) is trained
    assert (FOLDED in notes) is trained


def test_numbers_are_plain() -> None:
    found = describe_model(subject_of(mlp(3, "Relu", he()), vectors()))
    assert type(found.parameters.trainable) is int
    assert not isinstance(found.parameters.frozen, np.integer)
