from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.facts import Measurement
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, measurement
from tests.analysis.diagnosis.rules.patients import evidence, fired, found, severity

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR


def along(node: str, **changes: object) -> Measurement:
    return measurement(batch=replace(measurement().batch, along_samples=node), **changes)


@pytest.mark.parametrize(
    ("changes", "expected"), [({"probe": FAILS}, ERROR), ({"probe": LEARNS}, WARNING), ({}, WARNING)]
)
def test_a_node_that_runs_along_the_samples_is_an_error_unless_it_learns_or_nobody_tried(
    changes: dict[str, object], expected: Severity
) -> None:
    assert severity("GH603", along("fc2", **changes)) is expected


def test_it_names_the_layer_at_the_node_and_explains_that_nothing_is_learnt() -> None:
    finding = found("GH603", along("fc2", probe=FAILS))
    assert finding.layers == ("layer-02",)
    assert evidence(finding) == {"nodes_along_the_samples": (1, 0, None)}
    assert found("GH603", along("an attention")).layers == ()
    told = {each.rule: each.caused_by for each in diagnose(along("fc2", probe=FAILS))}
    assert told["GH105"] == ("GH603",)


def test_samples_that_stay_apart_are_no_finding() -> None:
    assert fired("GH603", measurement(probe=FAILS)) is None
