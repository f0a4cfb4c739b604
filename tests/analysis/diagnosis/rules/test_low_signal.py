from dataclasses import replace

from analysis.facts import SampleGradients
from analysis.report import Severity
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.rules.patients import ENDING, evidence, found, severity

GRADIENTS = SampleGradients(
    samples=32, method="loop", least_norm=1.0, median_norm=1.0, largest_norm=1.0, coherence=1.0, noise_scale=4000.0
)


def test_noise_is_a_remark_where_it_drowns_the_batch() -> None:
    assert severity("GH502", measurement()) is None
    assert severity("GH502", measurement(sample_gradients=GRADIENTS)) is Severity.INFO
    assert severity("GH502", measurement(sample_gradients=replace(GRADIENTS, noise_scale=100.0))) is None
    unresolved = replace(GRADIENTS, coherence=0.9, noise_scale=None)
    assert severity("GH502", measurement(sample_gradients=unresolved)) is Severity.INFO
    learnt = measurement(sample_gradients=unresolved, flow=flow(head_gradient_log10=-5.0), loss=ENDING)
    assert severity("GH502", learnt) is None
    assert severity("GH502", measurement(sample_gradients=replace(unresolved, coherence=0.0))) is None


def test_the_noise_stands_beside_ten_batches_of_256() -> None:
    loud = measurement(sample_gradients=replace(GRADIENTS, noise_scale=25600.0))
    assert evidence(found("GH502", loud)) == {"noise_scale": (25600, 2560, 1)}
    assert severity("GH502", measurement(sample_gradients=replace(GRADIENTS, noise_scale=2560.0))) is None


def test_where_noise_cannot_be_told_the_coherence_stands_beside_that_of_unrelated_gradients() -> None:
    unresolved = replace(GRADIENTS, coherence=0.1, noise_scale=None)
    assert evidence(found("GH502", measurement(sample_gradients=unresolved))) == {"coherence": (0.1, 1, 1)}
