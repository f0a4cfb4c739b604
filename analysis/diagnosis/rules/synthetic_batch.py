"""# GH907 synthetic-batch

## What it detects
An analysis on inputs or targets that were made up.

## Why it matters
Random numbers have neither the scale nor the structure of your data: dead and saturated units, input scale and what
can be learnt depend on it. Statements about the network as such, such as flow, are less affected.

## How it is measured
No batch was sent, or it holds no targets: a remark. Confidence is at most medium everywhere.

## Example
`curl -F model=@m.onnx`: inputs are drawn from the model's input specification, labels are balanced and random.

## When it is wrong
It is a remark and never accuses.

## Remedies
Send a batch: npz with the graph's input names as keys and `target`; 192 samples or more test learning.

## References
README, section "curl": what a batch may be.
"""

from collections.abc import Iterator

from analysis.diagnosis.contract import Draft, Limits, rule
from analysis.facts import Measurement, Provenance
from analysis.report import Evidence, Severity


@rule("GH907", "synthetic-batch", "Inputs or targets were made up; send a batch of your own data for sure statements.")
def synthetic_batch(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Which of both."""
    made_up = {
        "synthetic_inputs": measurement.batch.provenance,
        "synthetic_targets": measurement.loss.targets,
    }
    evidence = {
        name: Evidence(value=1, threshold=0) for name, source in made_up.items() if source is Provenance.SYNTHETIC
    }
    if evidence:
        yield Draft(severity=Severity.INFO, evidence=evidence, affects=())
