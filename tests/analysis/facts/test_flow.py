"""What was not measured is absent, and never a zero that somebody could take for a measurement."""

import dataclasses

from analysis.facts import Flow, Range, Zone


def test_a_flow_that_nobody_measured_holds_no_number() -> None:
    empty = Flow()
    held = {field.name: getattr(empty, field.name) for field in dataclasses.fields(empty)}
    assert (held.pop("zone"), held.pop("absent")) == (Zone.UNKNOWN, {})
    assert set(held.values()) == {None, ()}


def test_a_range_keeps_both_ends_even_where_they_are_one() -> None:
    assert Range(least=0.5, largest=0.5) != Range(least=0.5, largest=0.6)
    assert (Range(least=-1.0, largest=2.0).least, Range(least=-1.0, largest=2.0).largest) == (-1.0, 2.0)


def test_two_flows_do_not_share_what_they_lack() -> None:
    assert Flow().absent is not Flow().absent
