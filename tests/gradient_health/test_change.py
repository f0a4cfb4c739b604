"""Where values of an export come from, and what a repaired graph changes there."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from analysis.errors import Unsupported
from analysis.model import check_model
from gradient_health.change import Place, change_of, places_of
from gradient_health.export import export_module
from tests.gradient_health.repairs import X, repair_of
from tests.gradient_health.small_modules import chain


def test_each_value_is_known_by_the_part_that_computes_it(tmp_path: Path) -> None:
    export_module(chain(2, nn.Tanh), {"input": X}, tmp_path / "m.onnx")
    places = places_of(check_model(tmp_path / "m.onnx"))
    found = [places[name] for node in check_model(tmp_path / "m.onnx").nodes for name in node.output]
    assert found[:3] == [Place("0", "Gemm", "0"), Place("1", "Tanh", "1/Tanh"), Place("2", "Gemm", "2")]


def changed(module: nn.Module, variant: str, folder: Path, x: Tensor = X) -> tuple[list[str], tuple[str, ...]]:
    with repair_of(module, x, variant, folder) as repair:
        model = check_model(repair.model)
        change = change_of(module, repair.places, repair.layers, repair.tokens, model)
    return sorted(change.edits), change.in_forward


def test_activations_change_where_they_are_and_normalisation_goes_behind_layers(tmp_path: Path) -> None:
    assert changed(chain(2, nn.Sigmoid), "relu+he", tmp_path) == (["1", "3"], ())
    assert changed(chain(2, nn.Sigmoid), "relu+batch_norm+he", tmp_path) == (["0", "1", "2", "3"], ())
    assert changed(chain(2, nn.Sigmoid), "xavier", tmp_path) == ([], ())


def test_the_head_keeps_its_activation(tmp_path: Path) -> None:
    module = nn.Sequential(*chain(2, nn.Sigmoid), nn.Tanh())
    assert changed(module, "relu+he", tmp_path)[0] == ["1", "3"]


def test_activations_that_are_written_out_are_one_part(tmp_path: Path) -> None:
    assert changed(chain(2, nn.GELU), "relu+he", tmp_path) == (["1", "3"], ())
    assert changed(chain(2, nn.GELU), "silu", tmp_path) == (["1", "3"], ())


def test_layers_without_anything_between_them_get_it(tmp_path: Path) -> None:
    assert changed(chain(2, nn.Identity), "inserted_relu+he", tmp_path) == (["0", "2"], ())


def test_dropout_is_weakened_where_it_is_a_part(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = chain(1, nn.ReLU), nn.Linear(4, 4)

        def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as torch's own modules call it
            return self.head(torch.dropout(self.body(input), 0.8, self.training))

    module = nn.Sequential(*chain(1, nn.ReLU), nn.Dropout(0.8), nn.Linear(4, 4))
    with repair_of(module, X, "weak_dropout", tmp_path) as repair:
        assert repair.repaired(module)[3].p == 0.1
    said = pytest.raises(Unsupported, match="Dropout of the module is no module")
    with repair_of(Own(), X, "weak_dropout", tmp_path) as repair, said:
        repair.repaired(Own())


def test_an_activation_at_the_output_is_taken_off(tmp_path: Path) -> None:
    module = nn.Sequential(*chain(2, nn.ReLU), nn.Softmax(1))
    assert changed(module, "linear_output+xavier", tmp_path) == (["5"], ())
