"""The change as a diff: for networks whose PyTorch code anybody can write down."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from analysis.facts import Clip, ClipKind, GradientStep, OutputFacts, ParameterInfo, TargetFacts
from analysis.render._code import Line, change_as_code
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


@pytest.mark.parametrize(
    ("shape", "made", "batch_norm", "kinds"),
    [
        ((16, 3, 5), "nn.Conv1d(..., 16, ...)", "nn.BatchNorm1d(16)", "(nn.Conv1d, nn.Linear)"),
        ((16, 3, 5, 5), "nn.Conv2d(..., 16, ...)", "nn.BatchNorm2d(16)", "(nn.Conv2d, nn.Linear)"),
        ((16, 3, 5, 5, 5), "nn.Conv3d(..., 16, ...)", "nn.BatchNorm3d(16)", "(nn.Conv3d, nn.Linear)"),
    ],
)
def test_a_convolution_has_as_many_dimensions_as_its_weight_but_two(
    shape: tuple[int, ...], made: str, batch_norm: str, kinds: str
) -> None:
    images = network("Relu", "Conv", shape)
    assert diff(images, "he_fan_out", normalization="batch_norm") == [
        WHERE, f"  {made},", f"+ {batch_norm},", "  nn.ReLU(),", HE[0], HE[1], f"+     if isinstance(layer, {kinds}):",
        '+         nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")', *HE[4:],
    ]  # fmt: skip
    assert diff(images, normalization="group_norm")[2] == "+ nn.GroupNorm(..., 16),"
    assert diff(images, normalization="layer_norm") == []  # over which axes?


def test_the_width_is_that_of_the_bias_or_of_a_square_weight() -> None:
    report = network(shape=(8, 32))
    biased = tuple(
        replace(each, parameters={**each.parameters, "bias": ParameterInfo(initializer="b", shape=(32,))})
        for each in report.layers
    )
    wide = report.model_copy(update={"layers": biased})
    assert diff(wide, normalization="batch_norm")[1:3] == ["  nn.Linear(...),", "+ nn.BatchNorm1d(32),"]
    strange = tuple(
        replace(each, parameters={**each.parameters, "bias": ParameterInfo(initializer="b", shape=(1, 32))})
        for each in report.layers
    )
    assert diff(report.model_copy(update={"layers": strange}), normalization="batch_norm") == []
    bare = tuple(replace(each, parameters={}) for each in report.layers)
    assert diff(report.model_copy(update={"layers": bare}), normalization="batch_norm") == []
    assert diff(report.model_copy(update={"layers": bare}), activation="relu")[1] == "  nn.Linear(...),"
    shapeless = network(op="Conv", shape=())
    assert diff(shapeless, activation="relu")[1] == "  nn.Linear(...),"


def test_the_place_is_the_first_of_those_that_are_most_alike_in_front_of_an_activation() -> None:
    report = network("Sigmoid")
    first, second, third = report.layers
    small = {"weight": ParameterInfo(initializer="w", shape=(4, 4))}
    odd = replace(first, parameters=small)
    assert diff(report.model_copy(update={"layers": (odd, second, third)}), activation="relu")[:2] == [
        "  # layer-02, and wherever a layer looks like it (3 in all)", "  nn.Linear(8, 8),",
    ]  # fmt: skip
    head = replace(third, activation=None)
    alone = report.model_copy(update={"layers": (first, head)})
    assert diff(alone, activation="relu")[0] == "  # layer-01"
    two = report.model_copy(update={"layers": (first, second, head)})
    assert diff(two, activation="relu")[0] == "  # layer-01, and wherever a layer looks like it (2 in all)"
    other = report.model_copy(update={"layers": (first, replace(second, op="MatMul"), head)})
    assert diff(other, activation="relu")[0] == "  # layer-01"


def test_an_activation_that_is_there_already_is_no_change() -> None:
    assert diff(network("Relu"), activation="relu") == []
    assert diff(network("Relu"), activation="relu", normalization="batch_norm") == [
        WHERE, "  nn.Linear(8, 8),", "+ nn.BatchNorm1d(8),", "  nn.ReLU(),",
    ]  # fmt: skip
    assert diff(network(None), normalization="batch_norm") == [
        WHERE, "  nn.Linear(8, 8),", "+ nn.BatchNorm1d(8),",
    ]  # fmt: skip


def test_sizes_that_could_be_mistaken_are_not_told() -> None:
    assert diff(network(shape=(32, 8)), activation="tanh")[1] == "  nn.Linear(...),"
    assert diff(network(shape=(32, 8)), normalization="batch_norm") == []  # how wide?


def test_he_is_code_only_where_torch_has_the_same_gain() -> None:
    assert diff(network("Sigmoid"), "he") == []
    assert diff(network("Relu"), "he") == HE
    assert diff(network("LeakyRelu"), "he") == HE
    assert diff(network("Sigmoid"), "he", activation="leaky_relu")[-6:] == HE
    assert diff(network("Sigmoid"), "he", activation="relu")[-6:] == HE
    assert diff(network("Relu"), "he", activation="tanh") == [
        WHERE, "  nn.Linear(8, 8),", "- nn.ReLU(),", "+ nn.Tanh(),",
        "  # and weights drawn by he, which PyTorch has no call for: the repaired model has them",
    ]  # fmt: skip
    assert diff(network("Relu"), "he_uniform")[3] == HE[3].replace("normal", "uniform")
    assert diff(network("Sigmoid"), "orthogonal")[3] == "+         nn.init.orthogonal_(layer.weight)"
    assert diff(network("Sigmoid"), "xavier")[3] == "+         nn.init.xavier_normal_(layer.weight)"


@pytest.mark.parametrize(
    ("was", "becomes", "name", "gain"),
    [("Sigmoid", "tanh", "tanh", 5 / 3), ("Relu", "kept", "relu", math.sqrt(2)), ("Relu", "selu", "selu", 0.75),
     ("Sigmoid", "kept", "sigmoid", 1.0)],
)  # fmt: skip
def test_xavier_has_the_gain_of_what_stands_behind_the_layers_then(
    was: str, becomes: str, name: str, gain: float
) -> None:
    call = f'+         nn.init.xavier_normal_(layer.weight, gain=nn.init.calculate_gain("{name}"))'
    assert call in diff(network(was), "xavier_gain", activation=becomes)
    assert torch.nn.init.calculate_gain(name) == pytest.approx(gain)  # type: ignore[arg-type]


def test_all_kinds_of_layers_are_drawn_and_not_the_typical_one_alone() -> None:
    report = network("Relu")
    stem = replace(network("Relu", "Conv", (16, 3, 5)).layers[0], id="layer-00")
    mixed = report.model_copy(update={"layers": (stem, *report.layers)})
    lines = diff(mixed, "he")
    assert lines[0] == HE[0]
    assert "+     if isinstance(layer, (nn.Conv1d, nn.Linear)):" in lines


@pytest.mark.parametrize("level", ["lsuv", "xavier_gain"])
def test_weights_that_pytorch_has_no_call_for_are_not_passed_over(level: str) -> None:
    (*_, last) = diff(network("Sigmoid"), level, activation="gelu")
    assert level in last
    assert "the repaired model has them" in last


def test_skips_clipping_and_decay_belong_elsewhere() -> None:
    assert diff(network(), residual="residual") == [
        "  # around each pair of layers, in forward", "- x = block(x)", "+ x = x + block(x)",
    ]  # fmt: skip
    adaptive = GradientStep(clip=Clip(kind=ClipKind.ADAPTIVE, max_norm=0.01))
    assert diff(network(), step=adaptive) == []  # torch has no call for it
    by_value = GradientStep(clip=Clip(kind=ClipKind.VALUE, max_norm=0.25), weight_decay=0.5)
    assert diff(network(), step=by_value) == [
        "  loss.backward()",
        "+ torch.nn.utils.clip_grad_value_(model.parameters(), clip_value=0.25)",
        "  optimizer.step()",
        "+ weight_decay=0.5  # an argument of the optimizer",
    ]
    assert diff(network(), step=CLIPPED) == [
        "  loss.backward()",
        "+ torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1)",
        "  optimizer.step()",
    ]
    assert diff(network(), step=GradientStep(weight_decay=0.01)) == [
        "+ weight_decay=0.01  # an argument of the optimizer"
    ]


def test_steps_without_a_slope_are_smoothed_in_forward() -> None:
    assert diff(network(), activation="smoothed") == [
        "  # in forward, what has no slope: it may come back behind training",
        "- torch.sign(x), (x > limit).float(), torch.round(x)",
        "+ torch.tanh(x), torch.sigmoid(x - limit), x",
    ]


@pytest.mark.parametrize("level", ["temperature", "scaled", "novelty"])
def test_what_has_no_usual_spelling_has_no_diff(level: str) -> None:
    assert diff(network(), attention=level) == []
    assert diff(network(), level, normalization=level, activation=level) == []


NUMBERS = TargetFacts(kind="numbers", least=0.0, most=250.0, mean=100.0, std=50.0, rms=110.0)


@pytest.mark.parametrize(
    ("outputs", "line"),
    [
        (None, "(targets - 100) / 50"),
        (OutputFacts(reading="", least=0.0, most=1.0), "(targets - 0) / 250"),
        (OutputFacts(reading="", least=-1.0, most=1.0), "(targets - 125) / 125"),
        (OutputFacts(reading="", least=0.0), "(targets - 0) / 50"),
        (OutputFacts(reading="", most=1.0), "(targets - 200) / 50"),
    ],
)
def test_what_goes_in_and_what_comes_out_are_standardised_in_the_training_loop(
    outputs: OutputFacts | None, line: str
) -> None:
    report = network().model_copy(update={"targets": NUMBERS, "outputs": outputs})
    shown = diff(report, input="standardized", output="scaled_output")
    assert shown[0] == "  # mean and deviation of each feature, or channel, over the training set"
    assert shown[1] == "+ inputs = (inputs - mean) / deviation"
    assert shown[3:] == ["- loss = criterion(model(inputs), targets)", f"+ loss = criterion(model(inputs), {line})"]
    offset, unit = line.removeprefix("(targets - ").split(") / ")
    assert f"{unit} * model(inputs) + {offset}" in shown[2], "the same numbers the other way round"


def test_what_follows_with_and_stands_behind_what_it_follows() -> None:
    shown = diff(network(), "novelty", input="standardized")
    assert shown[1] == "+ inputs = (inputs - mean) / deviation"
    assert shown[-1].startswith("  # and weights drawn by novelty")


def test_an_input_alone_leaves_the_targets() -> None:
    assert len(diff(network(), input="standardized")) == len(diff(network(op="LSTM"), input="standardized")) == 2
    assert diff(network(), output="scaled_output") == [], "of targets that nobody looked at nothing can be said"
    labels = network().model_copy(update={"targets": replace(NUMBERS, kind="labels")})
    assert diff(labels, output="scaled_output") == []


def test_without_a_change_or_a_layer_that_is_known_there_is_no_diff() -> None:
    assert change_as_code(network(), None) == ()
    assert diff(network(op="LSTM"), activation="relu") == []
    assert diff(network(None), activation="relu") == []
    report = network()
    for missing in ("structure", "parameters"):
        assert change_as_code(report, report.variants[1].model_copy(update={missing: None})) == ()
    whole = report.variants[1]
    assert whole.structure is not None
    stepless = whole.model_copy(
        update={"gradient_step": None, "structure": replace(whole.structure, residual="residual")}
    )
    assert change_as_code(report, stepless)[-1] == Line("+", "x = x + block(x)")
