"""A measurement as a whole: what every one has, and what is absent until somebody measured it."""

import dataclasses

import pytest

from analysis.facts import Anatomy, Confidence, Measurement, SampleGradients, TimeProfile
from tests.analysis.diagnosis.builders import measurement


def defaults(kind: type) -> dict[str, object]:
    return {field.name: field.default for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING}


def test_no_default_of_a_part_is_a_number() -> None:
    for kind in (Anatomy, SampleGradients, TimeProfile):
        numbers = [name for name, value in defaults(kind).items() if isinstance(value, float)]
        assert not numbers, kind


def test_what_every_measurement_has_cannot_be_left_out() -> None:
    for name in ("layers", "stats", "batch", "loss", "flow", "total_gradient_norm", "recurrent", "normalized"):
        given = {field.name: getattr(measurement(), field.name) for field in dataclasses.fields(Measurement)}
        del given[name]
        with pytest.raises(TypeError, match=name):
            Measurement(**given)


def test_a_measurement_is_believed_until_something_speaks_against_it() -> None:
    held = defaults(Measurement)
    assert (held["confidence_cap"], held["cap_reasons"]) == (Confidence.HIGH, ())
    assert (held["probe"], held["parity"], held["non_finite"], held["cotangents"]) == (None, None, None, 0)


def test_an_anatomy_in_which_nothing_was_found_accuses_nobody() -> None:
    assert not any(getattr(Anatomy(), field.name) for field in dataclasses.fields(Anatomy))
