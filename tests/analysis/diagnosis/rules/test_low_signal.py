from dataclasses import replace

from analysis.facts import SampleGradients
from analysis.report import Severity
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.rules.patients import ENDING, severity


def test_noise_is_a_remark_where_it_drowns_the_batch() -> None:
    gradients = SampleGradients(
        samples=32, method="loop", least_norm=1.0, median_norm=1.0, largest_norm=1.0, coherence=1.0, noise_scale=4000.0
    )
    assert severity("GH502", measurement(sample_gradients=gradients)) is Severity.INFO
    assert severity("GH502", measurement(sample_gradients=replace(gradients, noise_scale=100.0))) is None
    unresolved = replace(gradients, coherence=0.9, noise_scale=None)
    assert severity("GH502", measurement(sample_gradients=unresolved)) is Severity.INFO
    learnt = measurement(sample_gradients=unresolved, flow=flow(head_gradient_log10=-5.0), loss=ENDING)
    assert severity("GH502", learnt) is None
    assert severity("GH502", measurement(sample_gradients=replace(unresolved, coherence=0.0))) is None
