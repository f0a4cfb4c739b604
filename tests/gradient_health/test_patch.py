"""The one change as a diff of a module."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from analysis.facts import Clip, ClipKind, GradientStep
from analysis.model import check_model
from analysis.report import Report, Variant
from analysis.report.document import Structure
from gradient_health.patch import diff_of
from tests.analysis.diagnosis.builders import FAILS, layer, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.diagnosis.trials import trained, trial
from tests.gradient_health.repairs import Functional, X, repair_of
from tests.gradient_health.small_modules import Memory, chain, first_step_tells

RECTIFIED = "RNN(8, 24, batch_first=True, nonlinearity='relu')"
LOOP = ["# once, before training", "for layer in model.modules():", "    if isinstance(layer, nn.Linear):"]


def told(name: str, initialization: str = "kept", step: GradientStep | None = None) -> tuple[Report, Variant]:
    """A report of a variant, and the variant, on layers that a ReLU follows."""
    layers = tuple(replace(layer(each), activation="Relu", op="Gemm") for each in (1, 2, 3))
    report = report_of(measurement(layers=layers, probe=FAILS), [trial(name, measurement(probe=trained(0.2)))])
    variant = report.variants[1]
    assert variant.parameters is not None
    parameters = replace(variant.parameters, initialization=initialization)
    chosen = {"structure": Structure(), "parameters": parameters, "gradient_step": step or GradientStep()}
    return report, variant.model_copy(update=chosen)


def diff(module: nn.Module, name: str, folder: Path, initialization: str = "kept") -> list[str]:
    with repair_of(module, X, name, folder) as repair:
        change = repair.change_of(module, check_model(repair.model))
    return diff_of(module, change, *told(name, initialization)).splitlines()


def test_parts_are_shown_as_the_module_prints_them_and_the_draw_behind_them(tmp_path: Path) -> None:
    found = diff(chain(1, nn.Sigmoid), "relu+layer_norm+he", tmp_path, "he")
    assert found[:12] == [
        "--- Sequential", "+++ Sequential, relu+layer_norm+he", "@@ -1,5 +1,8 @@", " Sequential(",
        "-  (0): Linear(in_features=16, out_features=16, bias=True)", "-  (1): Sigmoid()", "+  (0): Sequential(",
        "+    (0): Linear(in_features=16, out_features=16, bias=True)",
        "+    (1): LayerNorm((16,), eps=1e-05, elementwise_affine=True, bias=True)", "+  )", "+  (1): ReLU()",
        "   (2): Linear(in_features=16, out_features=4, bias=True)",
    ]  # fmt: skip
    assert [line[1:] for line in found[13:16]] == LOOP


@pytest.mark.parametrize(
    ("kind", "how", "variant", "lines"),
    [
        (nn.RNN, {}, "identity_rnn", ["-RNN(8, 24, batch_first=True)", f"+{RECTIFIED}"]),
        (nn.RNN, {"nonlinearity": "relu"}, "orthogonal_long", [f"-{RECTIFIED}", "+RNN(8, 24, batch_first=True)"]),
        (nn.GRU, {"batch_first": False}, "batch_first", ["-GRU(8, 24)", "+GRU(8, 24, batch_first=True)"]),
        (nn.LSTM, {}, "orthogonal_memory", []),
    ],
)
def test_recurrent_layers_are_shown_with_what_they_are_made_of(
    kind: type[nn.RNNBase], how: dict[str, Any], variant: str, lines: list[str], tmp_path: Path
) -> None:
    module = Memory(kind, **how)
    with repair_of(module, first_step_tells(10, 0)[0], variant, tmp_path) as repair:
        change = repair.change_of(module, check_model(repair.model))
    found = diff_of(module, change, *told(variant)).splitlines()
    shown = [line.replace("  (reader): ", "") for line in found[2:] if "(reader)" in line]
    assert [line for line in shown if line.startswith(("-", "+"))] == lines


def test_what_lives_in_forward_is_said_and_not_shown(tmp_path: Path) -> None:
    assert diff(Functional(), "relu", tmp_path) == [
        " # in forward, which is not shown here: Sigmoid is called in forward of the module, not a module of its own"
    ]


def test_weights_that_no_line_draws_are_told_in_the_words_of_the_recipe(tmp_path: Path) -> None:
    (line,) = diff(chain(2, nn.Sigmoid), "lsuv", tmp_path)
    assert line.startswith(" # weights, as repaired(module) has them: ")


def test_a_change_of_the_training_loop_alone_is_nothing_of_the_module() -> None:
    clip = GradientStep(clip=Clip(kind=ClipKind.GLOBAL_NORM, max_norm=1.0))
    assert diff_of(chain(1, nn.ReLU), None, *told("clip", step=clip)).splitlines() == [
        " loss.backward()",
        "+torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1)",
        " optimizer.step()",
    ]
