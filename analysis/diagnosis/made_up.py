"""What findings are worth where the inputs were made up and the weights look trained.

Trained weights expect the data that they were trained on. On made-up numbers their units fall silent, their outputs
mean nothing and no label can be learnt, and none of that is an illness. So what a rule says of the inputs as much as of
the network (`of_inputs`) is a remark then, and everything else weighs one step less: an error takes weights that look
fresh. Made-up targets ask trained weights to unlearn what they know: what a rule says of the targets as much as of the
network (`of_targets`) is a remark then, whoever sent the inputs. Weights that look fresh expect no data in particular,
and what is found on made-up numbers holds.

What is found of a graph whose BatchNormalization an exporter folded is no error before the network was trained with it
put back, and a remark where it learns then. A loss that was guessed (`OutputFacts.guessed`) accuses nobody either: no
error rests on it.
"""

from typing import Final

from analysis.diagnosis.readings import is_relearning
from analysis.facts import Measurement, Provenance
from analysis.report import Finding, Severity

FOLDED: Final = "GH905"
"""The rule that says so."""
ONE_STEP_LESS: Final = {
    Severity.ERROR: Severity.WARNING,
    Severity.WARNING: Severity.INFO,
    Severity.INFO: Severity.INFO,
}


def is_out_of_place(measurement: Measurement) -> bool:
    """Whether trained weights were shown made-up inputs."""
    return measurement.trained and measurement.batch.provenance is Provenance.SYNTHETIC


def weighed(finding: Finding, measurement: Measurement, *, of_inputs: bool, of_targets: bool) -> Finding:
    """The finding, as serious as such a batch allows."""
    if measurement.outputs is not None and measurement.outputs.guessed and finding.severity is Severity.ERROR:
        finding = finding.model_copy(update={"severity": Severity.WARNING})
    if measurement.trains_unfolded and finding.rule != FOLDED:
        return finding.model_copy(update={"severity": Severity.INFO})
    untried = measurement.looks_folded and measurement.unfolded is None
    if untried and finding.severity is Severity.ERROR:
        finding = finding.model_copy(update={"severity": Severity.WARNING})
    if is_out_of_place(measurement):
        severity = Severity.INFO if of_inputs else ONE_STEP_LESS[finding.severity]
    elif of_targets and is_relearning(measurement):
        severity = Severity.INFO
    else:
        return finding
    return finding.model_copy(update={"severity": severity})
