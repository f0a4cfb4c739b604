"""A Keras model as it trains, held against torch and the standard."""

from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from analysis.convert import convert
from analysis.errors import Unsupported
from analysis.model import check_model
from gradient_health.export import export_module
from gradient_health.keras_model import KerasModel, inputs_of
from tests.gradient_health.keras_stand_in import BatchNormalization, Model, network
from tests.gradient_health.repairs import X


def test_batch_normalisation_and_dropout_are_exported_as_they_train_under_the_names_of_layers(tmp_path: Path) -> None:
    module = KerasModel(network(2, normalized=True))
    export_module(module, {"x": X}, tmp_path / "m.onnx")
    proto = onnx.load(tmp_path / "m.onnx")
    names = [node.name for node in proto.graph.node if node.op_type in {"MatMul", "BatchNormalization"}]
    assert names == ["hidden_0", "norm_0", "hidden_1", "norm_1", "head"]
    kinds = [node.op_type for node in proto.graph.node]
    assert (kinds.count("BatchNormalization"), kinds.count("Dropout")) == (2, 1)
    assert {"hidden_0.kernel", "norm_0.gamma", "norm_0.moving_mean"} <= {each.name for each in proto.graph.initializer}


def test_it_normalises_by_the_batch_over_the_axis_of_the_channels(tmp_path: Path) -> None:
    images = torch.randn(8, 4, 4, 16, generator=torch.Generator().manual_seed(0)) * 3 + 1
    layer = BatchNormalization("net/norm", 16)
    export_module(KerasModel(Model(layer)), {"x": images}, tmp_path / "m.onnx")
    (found,) = convert(check_model(tmp_path / "m.onnx"))(images)
    flat = images.reshape(-1, 16)
    expected = ((flat - flat.mean(0)) / torch.sqrt(flat.var(0, correction=0) + layer.epsilon)).reshape(images.shape)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert (layer.moving_mean.value == 0).all()
    assert "call" not in vars(layer)


def test_a_frozen_normalisation_keeps_to_its_running_statistics(tmp_path: Path) -> None:
    layer = BatchNormalization("net/norm", 16)
    layer.trainable = False
    export_module(KerasModel(Model(layer)), {"x": X}, tmp_path / "m.onnx")
    (found,) = convert(check_model(tmp_path / "m.onnx"))(X)
    torch.testing.assert_close(found, X / (1 + layer.epsilon) ** 0.5, rtol=1e-4, atol=1e-5)


def test_another_backend_and_a_model_that_is_not_built_are_refused() -> None:
    with pytest.raises(Unsupported, match="the backend of Keras is not torch"):
        KerasModel(SimpleNamespace(weights=[]))
    model = network(1)
    model.built = False
    with pytest.raises(Unsupported, match="not built"):
        KerasModel(model)


def test_inputs_are_put_in_the_order_of_the_model() -> None:
    model = SimpleNamespace(inputs=[SimpleNamespace(name="first"), SimpleNamespace(name="second")])
    first, second = inputs_of(model, {"second": [2.0], "first": [1.0]})
    assert (first.item(), second.item()) == (1.0, 2.0)
    assert [each.shape for each in inputs_of(model, X.numpy())] == [X.shape]


def test_the_model_is_left_as_it_was() -> None:
    model = network(1, normalized=True)
    before = model(X)
    torch.testing.assert_close(KerasModel(model)(X).shape, before.shape)
    torch.testing.assert_close(model(X), before)
    assert F.mse_loss(KerasModel(model)(X), before) > 0
