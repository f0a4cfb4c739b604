"""The one change, and the lines around a module."""

from dataclasses import replace

from analysis.facts import Clip, ClipKind, GradientStep
from analysis.render.pytorch import Line, around_the_module, the_change
from tests.analysis.diagnosis.builders import FAILS, layer, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.diagnosis.trials import trained, trial

LAYERS = tuple(replace(layer(each), activation="Relu", op="Gemm") for each in (1, 2, 3))
ILL = report_of(measurement(layers=LAYERS, probe=FAILS), [trial("clip", measurement(probe=trained(0.2)))])


def test_the_change_is_the_best_remedy_of_a_network_that_is_ill() -> None:
    change = the_change(ILL)
    assert change is not None
    assert change.id == ILL.remedies[0].variant == "clip"
    assert the_change(report_of()) is None


def test_the_draw_of_weights_and_the_step_stand_around_the_module_and_its_layers_do_not() -> None:
    change = the_change(ILL)
    assert change is not None
    assert change.structure is not None
    assert change.parameters is not None
    drawn = change.model_copy(
        update={
            "structure": replace(change.structure, normalization="batch_norm"),
            "parameters": replace(change.parameters, initialization="xavier"),
            "gradient_step": GradientStep(clip=Clip(kind=ClipKind.VALUE, max_norm=0.5)),
        }
    )
    assert around_the_module(ILL, drawn) == (
        Line(" ", "# once, before training"),
        Line("+", "for layer in model.modules():"),
        Line("+", "    if isinstance(layer, nn.Linear):"),
        Line("+", "        nn.init.xavier_normal_(layer.weight)"),
        Line("+", "        if layer.bias is not None:"),
        Line("+", "            nn.init.zeros_(layer.bias)"),
        Line(" ", "loss.backward()"),
        Line("+", "torch.nn.utils.clip_grad_value_(model.parameters(), clip_value=0.5)"),
        Line(" ", "optimizer.step()"),
    )
