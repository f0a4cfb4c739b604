"""Networks of the kinds people export: every weight is one parameter and has the gradient of the original module."""

import io
import warnings

import pytest
import torch
from torch import nn

from analysis.convert import DifferentiableModel, convert
from analysis.model import check_model
from tests.architectures import ARCHITECTURES, Inputs, build

EXPORTERS = {"TorchScript 13": 13, "TorchScript 17": 17, "current": 0}
REFUSED_BY_EXPORTER = {("TorchScript 13", "decoder"), ("TorchScript 13", "encoder")}  # attention needs opset 14
NORMALISED = ["atrous pyramid", "inverted residual", "text reader"]
"""With BatchNormalization."""
REWRITTEN = {"decoder", "music", *NORMALISED}
"""The optimising exporter writes a tied weight twice, packs gates, folds BatchNormalization into convolutions."""


def export(module: nn.Module, inputs: Inputs, opset: int, *, optimize: bool = False, training: bool = False) -> bytes:
    """By the TorchScript exporter, or by the current one for opset 0."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not opset:
            torch.onnx.export(module, inputs, dynamo=True, verbose=False, optimize=optimize).save(file)
        else:
            mode = torch.onnx.TrainingMode.TRAINING if training else torch.onnx.TrainingMode.PRESERVE
            torch.onnx.export(
                module, inputs, file, dynamo=False, opset_version=opset, do_constant_folding=optimize, training=mode
            )
    return file.getvalue()


def loss(output: torch.Tensor) -> torch.Tensor:
    """A projection of the output that is the same for both."""
    direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=output.dtype)
    return (output * direction).sum() / output.numel() ** 0.5


def same_values(module: nn.Module, converted: DifferentiableModel) -> dict[str, list[nn.Parameter]]:
    """Weights of the module by name -> the parameters that hold their values, in whatever layout."""
    return {
        name: [
            parameter
            for parameter in converted.parameters()
            if parameter.numel() == weight.numel()
            and any(torch.equal(parameter.reshape(-1), form.reshape(-1)) for form in forms(weight))
        ]
        for name, weight in module.named_parameters()
    }


def forms(weight: torch.Tensor) -> list[torch.Tensor]:
    return [weight, weight.mT] if weight.ndim > 1 else [weight]


@pytest.mark.parametrize("exporter", list(EXPORTERS))
@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_forward_and_gradients_are_those_of_the_module(name: str, exporter: str) -> None:
    if (exporter, name) in REFUSED_BY_EXPORTER:
        pytest.skip("the exporter refuses it")
    module, inputs = build(name)
    missing = compare(module, convert(check_model(export(module, inputs, EXPORTERS[exporter]))), inputs)
    assert not missing


@pytest.mark.parametrize("name", sorted(ARCHITECTURES.keys() - REWRITTEN))
def test_what_the_optimising_exporter_leaves_of_the_weights_has_their_gradients(name: str) -> None:
    module, inputs = build(name)
    missing = compare(module, convert(check_model(export(module, inputs, 0, optimize=True))), inputs)
    assert len(missing) <= len(list(module.parameters())) // 2


def test_the_tables_of_rotary_positions_do_not_train() -> None:
    module, inputs = build("decoder")
    converted = convert(check_model(export(module, inputs, 0, optimize=True)))
    assert {"cos", "sin"} <= converted.frozen.keys()
    assert "embed.weight" in converted.initializers


@pytest.mark.parametrize("name", NORMALISED)
def test_with_batch_statistics_they_are_those_of_the_module_in_training(name: str) -> None:
    module, inputs = build(name)
    converted = convert(check_model(export(module.train(), inputs, 17, training=True))).train()
    buffers = {key: value.clone() for key, value in converted.named_buffers()}
    assert not compare(module, converted, inputs)
    assert all(torch.equal(value, buffers[key]) for key, value in converted.named_buffers()), "running statistics moved"


def compare(module: nn.Module, converted: DifferentiableModel, inputs: Inputs) -> list[str]:
    """Asserts equal outputs and gradients; returns the weights of the module that the graph does not have."""
    wanted, got = module(*inputs), converted(*inputs)[0]
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    loss(wanted).backward()
    loss(got).backward()
    gradients = {name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None}
    total = torch.cat([gradient.flatten() for gradient in gradients.values()]).norm()
    assert total > 0
    held, missing = same_values(module, converted), []
    for name, gradient in gradients.items():
        candidates = [converted.initializers[name]] if name in converted.initializers else held[name]
        errors = [difference(each.grad, gradient) for each in candidates if each.grad is not None]
        assert min(errors, default=0.0) <= 1e-4 * float(gradient.norm()) + 1e-6 * float(total), name
        missing += [] if errors else [name]
    return missing


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return min(float((form.reshape(-1) - other.reshape(-1)).norm()) for form in forms(one))
