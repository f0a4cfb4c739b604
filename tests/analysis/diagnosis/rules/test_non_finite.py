from dataclasses import replace

from analysis.facts import NonFinite
from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement, stats, with_activation
from tests.analysis.diagnosis.rules.patients import evidence, fired, found


def test_non_finite_values_are_an_error() -> None:
    where = NonFinite(stage="forward", node="log", value="l")
    finding = fired(
        "GH106", measurement(non_finite=where, stats=(stats(1), with_activation(2, non_finite=3), stats(3)))
    )
    assert finding is not None
    assert finding.severity is Severity.ERROR
    assert finding.layers == ("layer-02",)


def test_values_of_activations_and_gradients_are_counted_together_and_their_layers_named() -> None:
    where = NonFinite(stage="forward", node="log", value="l")
    whole = with_activation(2, non_finite=3)
    both = replace(whole, weight_gradient=replace(whole.weight_gradient, non_finite=4))
    unmeasured = stats(1, activation=None, weight_gradient=None)
    backward = stats(3, activation=None, weight_gradient=replace(whole.weight_gradient, non_finite=5))
    finding = found("GH106", measurement(non_finite=where, stats=(unmeasured, both, backward)))
    assert evidence(finding) == {"non_finite_values": (12, 0, None)}
    assert finding.layers == ("layer-02", "layer-03")
    assert finding.affects == ("sgd", "adam", "fp16")


def test_a_loss_that_is_no_number_is_an_error_without_layers() -> None:
    finding = found("GH106", measurement(non_finite=NonFinite(stage="loss", node="loss", value="loss")))
    assert evidence(finding) == {"non_finite_values": (0, 0, None)}
    assert finding.layers == ()
    assert fired("GH106", measurement()) is None
