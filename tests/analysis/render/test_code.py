"""The change as a diff: for networks whose PyTorch code anybody can write down."""

from dataclasses import replace
from typing import Any

import pytest

from analysis.facts import Clip, ClipKind, GradientStep, ParameterInfo
from analysis.render._code import change_as_code
from analysis.report import Report
from tests.analysis.diagnosis.builders import FAILS, layer, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.diagnosis.trials import trained, trial

HE = [
    "  # once, before training",
    "+ for layer in model.modules():",
    "+     if isinstance(layer, nn.Linear):",
    '+         nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")',
    "+         if layer.bias is not None:",
    "+             nn.init.zeros_(layer.bias)",
]
WHERE = "  # layer-01, and wherever a layer looks like it (3 in all)"
CLIPPED = GradientStep(clip=Clip(kind=ClipKind.GLOBAL_NORM, max_norm=1.0))


def network(activation: str | None = "Sigmoid", op: str = "Gemm", shape: tuple[int, ...] = (8, 8)) -> Report:
    weight = {"weight": ParameterInfo(initializer="w", shape=shape)}
    layers = tuple(replace(layer(each), activation=activation, op=op, parameters=weight) for each in (1, 2, 3))
    patient = measurement(layers=layers, probe=FAILS)
    return report_of(patient, [trial("x", measurement(probe=trained(0.2)))])


def diff(report: Report, initialization: str = "kept", step: GradientStep | None = None, **structure: Any) -> list[str]:
    variant = report.variants[1]
    assert variant.structure is not None
    assert variant.parameters is not None
    changed = variant.model_copy(
        update={
            "structure": replace(variant.structure, **{"input": "kept"} | structure),
            "parameters": replace(variant.parameters, initialization=initialization),
            "gradient_step": step or GradientStep(),
        }
    )
    return [f"{line.sign} {line.text}" for line in change_as_code(report, changed)]


def test_the_classic_cure_of_a_sigmoid_network() -> None:
    assert diff(network(), "he", activation="relu", normalization="batch_norm") == [
        WHERE, "  nn.Linear(8, 8),", "+ nn.BatchNorm1d(8),", "- nn.Sigmoid(),", "+ nn.ReLU(),", *HE,
    ]  # fmt: skip


def test_what_stays_is_shown_around_what_comes() -> None:
    assert diff(network("Tanh"), normalization="layer_norm") == [
        WHERE, "  nn.Linear(8, 8),", "+ nn.LayerNorm(8),", "  nn.Tanh(),",
    ]  # fmt: skip


def test_images_get_their_own_modules_and_their_channels() -> None:
    lines = diff(network("Relu", "Conv", (16, 3, 3, 3)), "he", normalization="batch_norm")
    assert lines[1:4] == ["  nn.Conv2d(..., 16, ...),", "+ nn.BatchNorm2d(16),", "  nn.ReLU(),"]
    assert "+     if isinstance(layer, (nn.Conv2d, nn.Linear)):" in lines


def test_sizes_that_could_be_mistaken_are_not_told() -> None:
    assert diff(network(shape=(32, 8)), activation="tanh")[1] == "  nn.Linear(...),"
    assert diff(network(shape=(32, 8)), normalization="batch_norm") == []  # how wide?


def test_he_is_code_only_where_torch_has_the_same_gain() -> None:
    assert diff(network("Sigmoid"), "he") == []
    assert diff(network("Relu"), "he") == HE
    assert diff(network("Relu"), "he", activation="tanh")[-1] == "+ nn.Tanh(),"
    assert diff(network("Sigmoid"), "xavier")[3] == "+         nn.init.xavier_normal_(layer.weight)"


def test_skips_clipping_and_decay_belong_elsewhere() -> None:
    assert diff(network(), residual="residual")[1:] == ["- x = block(x)", "+ x = x + block(x)"]
    assert diff(network(), step=CLIPPED) == [
        "  loss.backward()",
        "+ torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1)",
        "  optimizer.step()",
    ]
    assert diff(network(), step=GradientStep(weight_decay=0.01)) == [
        "+ weight_decay=0.01  # an argument of the optimizer"
    ]


@pytest.mark.parametrize("level", ["temperature", "scaled", "novelty"])
def test_what_has_no_usual_spelling_has_no_diff(level: str) -> None:
    assert diff(network(), attention=level) == []
    assert diff(network(), level, normalization=level, activation=level) == []


def test_without_a_change_or_a_layer_that_is_known_there_is_no_diff() -> None:
    assert change_as_code(network(), None) == ()
    assert diff(network(op="LSTM"), activation="relu") == []
    assert diff(network(None), activation="relu") == []
