"""Layers of an export under the names that the module gives them."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from gradient_health.export import export_module
from gradient_health.names import module_path
from tests.gradient_health.small_modules import Residual, Words


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ("/layer1/layer1.0/conv1/Conv", "layer1.0.conv1"),
        ("/f/f.0/Gemm", "f.0"),
        ("/f/f.1/f.1.2/Gemm", "f.1.2"),
        ("/fc/Gemm", "fc"),
        ("/Add_3", ""),
        ("Constant_5", ""),
    ],
)
def test_a_scope_of_the_exporter_is_a_path_of_modules(scope: str, path: str) -> None:
    assert module_path(scope) == path


def names(module: nn.Module, path: Path, **inputs: torch.Tensor) -> list[str]:
    export_module(module, inputs, path / "model.onnx")
    return [node.name for node in onnx.load(path / "model.onnx").graph.node]


def test_every_layer_that_holds_weights_has_a_node_of_its_name(tmp_path: Path) -> None:
    module = Residual()
    found = names(module, tmp_path, x=torch.zeros(4, 3, 8, 8))
    holders = {name for name, part in module.named_modules() if list(part.parameters(recurse=False))}
    assert holders <= set(found)
    assert len(set(found)) == len(found)
    assert {"stem.2/Relu", "/Add", "drop/Dropout"} <= set(found)


def test_a_layer_that_is_called_twice_is_counted_and_what_carries_weights_is_no_layer(tmp_path: Path) -> None:
    found = names(Words(), tmp_path, ids=torch.zeros(4, 7, dtype=torch.int64), scale=torch.ones(4, 1))
    assert {"table", "reader", "twice", "twice (2)", "head"} <= set(found)
    assert "twice (3)" not in found
