"""The callbacks with what Lightning and Keras hand to their hooks.

Neither is in an extra of this project; the stand-in of Lightning here has what the hook reads of a Trainer, and the
Callback that a callback has to be; that of Keras is in `keras_stand_in`.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import gradient_health.training
from analysis.errors import BadOptions
from gradient_health.training import (
    AtTheStart,
    BeforeFitting,
    Unhealthy,
    keras_callback,
    lightning_callback,
    split_batch,
)
from tests.gradient_health import keras_stand_in
from tests.gradient_health.small_modules import chain

X, Y = torch.randn(64, 16, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 4
QUICK = {"effort": "quick"}


@dataclass
class Trainer:
    optimizers: list[torch.optim.Optimizer] = field(default_factory=list)
    is_global_zero: bool = True


class Callback:
    """As Lightning's: every hook is there, and does nothing."""

    def on_train_batch_start(self, *_: object) -> None: ...

    def on_train_end(self, *_: object) -> None: ...


@pytest.fixture
def lightning(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("lightning.pytorch")
    module.Callback = Callback  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lightning.pytorch", module)
    monkeypatch.setattr(gradient_health.training, "find_spec", lambda name: module if name == "lightning" else None)
    return


def test_the_first_batch_is_analysed_once_with_the_optimiser_of_the_trainer(lightning: None) -> None:
    module = chain(2, nn.ReLU)
    weights = [each.clone() for each in module.parameters()]
    callback = lightning_callback(options=QUICK, loss=nn.CrossEntropyLoss())
    assert isinstance(callback, Callback)
    trainer = Trainer([torch.optim.Adam(module.parameters(), lr=0.02)])
    callback.on_train_batch_start(trainer, module, (X, Y), 0)
    found = callback.found
    assert found.report.options == {
        "effort": "quick", "loss": "cross_entropy", "optimizer": "adam", "learning_rate": 0.02,
    }  # fmt: skip
    callback.on_train_batch_start(trainer, module, None, 1)
    assert callback.found is found
    assert all(torch.equal(old, new) for old, new in zip(weights, module.parameters(), strict=True))


def test_a_sick_module_is_a_warning_or_the_end() -> None:
    sick = chain(14, nn.Sigmoid)
    with pytest.warns(UserWarning, match="unhealthy: The gradient"):
        AtTheStart(options=QUICK).on_train_batch_start(Trainer(), sick, (X, Y), 0)
    with pytest.raises(Unhealthy, match="The gradient that reaches") as raised:
        AtTheStart(options=QUICK, fail_on="error").on_train_batch_start(Trainer(), sick, (X, Y), 0)
    assert raised.value.found.verdict == "unhealthy"


def test_only_one_of_many_processes_analyses() -> None:
    callback = AtTheStart(options=QUICK)
    callback.on_train_batch_start(Trainer(is_global_zero=False), chain(2, nn.ReLU), (X, Y), 0)
    assert callback.found is None


@pytest.mark.parametrize(
    ("batch", "inputs", "targets"),
    [
        (X, X, None),
        ((X, Y), X, Y),
        ([X, Y], X, Y),
        ((X, X + 1, Y), (X, X + 1), Y),
        ({"x": X, "labels": Y}, {"x": X}, Y),
        ({"x": X}, {"x": X}, None),
    ],
)
def test_batches_are_taken_apart_as_loaders_put_them_together(batch: Any, inputs: Any, targets: Any) -> None:
    found, labels = split_batch(batch)
    assert labels is targets
    if isinstance(inputs, dict):
        assert found.keys() == inputs.keys()
    else:
        pairs = zip(found, inputs, strict=True) if isinstance(inputs, tuple) else [(found, inputs)]
        assert all(torch.equal(one, other) for one, other in pairs)


def test_without_lightning_and_with_a_gate_that_is_none_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadOptions, match="'often' is no gate"):
        AtTheStart(fail_on="often")
    monkeypatch.setattr(gradient_health.training, "find_spec", lambda _: None)
    with pytest.raises(BadOptions, match="neither lightning nor pytorch_lightning"):
        lightning_callback()


@pytest.fixture
def keras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras.callbacks", keras_stand_in)
    monkeypatch.setattr(gradient_health.training, "find_spec", lambda name: keras_stand_in if name == "keras" else None)


@pytest.mark.usefixtures("keras")
def test_a_model_of_keras_is_analysed_before_it_is_fitted_with_what_it_was_compiled_with() -> None:
    optimizer = type("SGD", (SimpleNamespace,), {})(learning_rate=torch.tensor(0.05))
    callback = keras_callback(X.numpy(), Y.numpy(), options=QUICK)
    assert isinstance(callback, keras_stand_in.Callback)
    callback.model = keras_stand_in.network(2, normalized=True, optimizer=optimizer)
    callback.on_train_begin()
    report, found = callback.found.report, callback.found
    assert report.options == {"effort": "quick", "optimizer": "sgd", "learning_rate": pytest.approx(0.05)}
    assert [layer.name for layer in report.layers] == ["hidden_0", "norm_0", "hidden_1", "norm_1", "head"]
    callback.on_train_begin()
    assert callback.found is found


def test_a_sick_model_of_keras_is_a_warning_or_the_end() -> None:
    gated, warned = BeforeFitting(X, Y, options=QUICK, fail_on="error"), BeforeFitting(X, Y, options=QUICK)
    gated.model = warned.model = keras_stand_in.network(14)
    with pytest.raises(Unhealthy, match="The gradient that reaches"):
        gated.on_train_begin()
    with pytest.warns(UserWarning, match="unhealthy: The gradient"):
        warned.on_train_begin()


def test_without_keras_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient_health.training, "find_spec", lambda _: None)
    with pytest.raises(BadOptions, match="keras is not installed"):
        keras_callback(X)
