"""What becomes of a finding: two lists of findings by hand, and what a reader would say of them."""

import math
from typing import Any

import pytest

from analysis.comparison.changes import finding_changes
from analysis.comparison.document import FindingChange
from analysis.comparison.excerpt import Excerpt
from analysis.report.gate import Gate
from tests.analysis.comparison.small_reports import excerpt, found, small_report

SAME = {f"layer-{number}": f"layer-{number}" for number in range(1, 9)}
DEAD = found("GH201", "warning", "layer-2", dead=0.5)


def changes(
    old: list[dict[str, Any]], new: list[dict[str, Any]], layers: dict[str, str] = SAME, fail_on: str = "error"
) -> list[FindingChange]:
    before, after = excerpt(small_report("at_risk", *old)), excerpt(small_report("at_risk", *new))
    return list(finding_changes(before, after, layers, Gate.parse(fail_on)))


def the_change(old: dict[str, Any], new: dict[str, Any], layers: dict[str, str] = SAME) -> FindingChange:
    (change,) = changes([old], [new], layers)
    return change


# ------------------------------------------------------------------ which is which


def test_a_finding_that_is_in_one_report_only_is_gained_or_lost() -> None:
    gained, lost = changes([DEAD], [found("GH101", "error", "layer-1")])
    assert (gained.change, gained.rule, gained.old, gained.layers_gained) == ("gained", "GH101", None, ("layer-1",))
    assert (lost.change, lost.rule, lost.new, lost.layers_lost) == ("lost", "GH201", None, ("layer-2",))
    assert not lost.regression


def test_the_same_finding_is_unchanged() -> None:
    change = the_change(DEAD, DEAD)
    assert (change.change, change.why, change.decades, change.regression) == ("unchanged", "", 0.0, False)
    assert (change.layers_gained, change.layers_lost) == ((), ())
    assert change.is_known


def test_layers_are_followed_to_their_new_ids() -> None:
    new = found("GH201", "warning", "layer-5", dead=0.5)
    assert the_change(DEAD, new, {"layer-2": "layer-5"}).change == "unchanged"


def test_the_same_rule_on_other_layers_has_moved() -> None:
    change = the_change(DEAD, found("GH201", "warning", "layer-4", dead=0.5))
    assert (change.change, change.why) == ("moved", "names other layers")
    assert (change.layers_gained, change.layers_lost) == (("layer-4",), ("layer-2",))
    assert change.is_known


def test_an_id_that_now_means_another_layer_has_moved_too() -> None:
    """layer-2 was removed, and what was layer-3 is called layer-2 now."""
    assert the_change(DEAD, DEAD, {"layer-3": "layer-2"}).change == "moved"


def test_a_finding_that_names_fewer_layers_has_not_moved() -> None:
    old = found("GH201", "warning", "layer-1", "layer-2", "layer-3")
    change = the_change(old, found("GH201", "warning", "layer-1", "layer-2"))
    assert (change.change, change.layers_lost) == ("unchanged", ("layer-3",))


def test_findings_of_one_rule_are_told_apart_by_their_layers() -> None:
    """Written in another order, one of them worse: the exact partner first, then who shares a layer, then the rest."""
    first, second, third = (found("GH201", "warning", f"layer-{number}", dead=0.5) for number in (1, 2, 3))
    wider = found("GH201", "warning", "layer-2", "layer-5", "layer-6", dead=0.5)
    worse = found("GH201", "error", "layer-1", dead=0.5)
    told = {
        each.old.layers[0]: (each.change.value, each.new.layers)
        for each in changes([first, second, third], [found("GH201", "warning", "layer-8"), wider, worse])
        if each.old is not None and each.new is not None
    }
    assert told == {
        "layer-1": ("worsened", ("layer-1",)),
        "layer-2": ("worsened", ("layer-2", "layer-5", "layer-6")),  # thrice as many layers
        "layer-3": ("moved", ("layer-8",)),
    }


def test_a_finding_that_has_its_partner_is_no_partner_for_another() -> None:
    """Both share a layer with the wide one."""
    old = [found("GH201", "warning", "layer-1"), found("GH201", "warning", "layer-2")]
    wide, narrow = found("GH201", "warning", "layer-1", "layer-2"), found("GH201", "warning", "layer-2", "layer-8")
    partners = {
        each.old.layers: each.new.layers for each in changes(old, [wide, narrow]) if each.old and each.new is not None
    }
    assert partners == {("layer-1",): ("layer-1", "layer-2"), ("layer-2",): ("layer-2", "layer-8")}


def test_a_finding_with_an_exact_partner_takes_no_second_one_that_shares_a_layer() -> None:
    old = [found("GH201", "warning", "layer-1", "layer-2"), found("GH201", "warning", "layer-3")]
    new = [found("GH201", "warning", "layer-1", "layer-2"), found("GH201", "warning", "layer-2", "layer-4")]
    told = [
        (each.change.value, each.old and each.old.layers, each.new and each.new.layers) for each in changes(old, new)
    ]
    assert told == [
        ("moved", ("layer-3",), ("layer-2", "layer-4")),
        ("unchanged", ("layer-1", "layer-2"), ("layer-1", "layer-2")),
    ]


def test_one_finding_more_of_a_rule_is_gained() -> None:
    told = changes([DEAD], [found("GH201", "warning", "layer-1"), DEAD])
    assert [each.change.value for each in told] == ["gained", "unchanged"]
    assert told[0].layers_gained == ("layer-1",)


def test_findings_without_layers_are_known_by_their_rule() -> None:
    assert the_change(found("GH105", "error"), found("GH105", "error")).change == "unchanged"


def test_many_findings_of_one_rule_are_paired_once_each() -> None:
    old = [found("GH201", "warning", f"layer-{number}", "layer-0") for number in range(3000)]
    told = changes(old, old[::-1], {f"layer-{number}": f"layer-{number}" for number in range(3000)})
    assert {each.change.value for each in told} == {"unchanged"}
    assert len(told) == 3000


# ------------------------------------------------------------------ better or worse


@pytest.mark.parametrize(
    ("old", "new", "expected", "why"),
    [
        ("info", "warning", "worsened", "severity info, now warning"),
        ("warning", "error", "worsened", "severity warning, now error"),
        ("error", "warning", "eased", "severity error, now warning"),
        ("error", "info", "eased", "severity error, now info"),
    ],
)
def test_severity_decides_first(old: str, new: str, expected: str, why: str) -> None:
    """Whatever the margin says."""
    sign = -3.0 if expected == "worsened" else 3.0
    change = the_change(found("GH101", old, "layer-1", flow=0.5), found("GH101", new, "layer-1", flow=0.5 + sign))
    assert (change.change.value, change.why) == (expected, why)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (1.0, 1.0, "unchanged"), (1.0, 1.29, "unchanged"), (1.0, 1.3, "unchanged"), (1.3, 1.0, "unchanged"),
        (1.0, 1.31, "worsened"), (1.31, 1.0, "eased"), (0.0, 4.0, "worsened"),
        ("Infinity", "Infinity", "unchanged"), (1.0, "Infinity", "worsened"), ("Infinity", 1.0, "eased"),
        ("NaN", 1.0, "unchanged"), (1.0, None, "unchanged"), (None, 1.0, "unchanged"),
    ],
)  # fmt: skip
def test_at_the_same_severity_the_margin_decides_beyond_a_factor_of_two(
    old: float | None, new: float | None, expected: str
) -> None:
    change = the_change(found("GH101", "error", "layer-1", flow=old), found("GH101", "error", "layer-1", flow=new))
    assert change.change.value == expected


def test_a_step_that_nobody_can_tell_is_none_and_one_between_two_infinities_is_zero() -> None:
    steps = {
        (old, new): the_change(found("GH101", "error", flow=old), found("GH101", "error", flow=new)).decades
        for old, new in (("Infinity", "Infinity"), ("NaN", 1.0), (1.0, "NaN"), (1.0, None), (1.0, 1.0))
    }
    assert list(steps.values()) == [0.0, None, None, None, 0.0]


def test_of_equal_steps_the_first_name_is_told() -> None:
    names = ("spread", "flow", "reach", "dead", "leverage")
    old, new = (found("GH101", "error", **dict.fromkeys(names, margin)) for margin in (1.0, 1.5))
    assert the_change(old, new).why == "dead 0.5 decades further beyond its threshold"
    assert the_change(new, old).why == "dead 0.5 decades nearer to its threshold"


def test_a_finding_that_begins_or_ceases_to_name_layers_has_made_no_step_by_their_number() -> None:
    silent, naming = found("GH101", "error", flow=1.0), found("GH101", "error", "layer-1", "layer-2", flow=1.0)
    begun, ceased = the_change(silent, naming), the_change(naming, silent)
    assert (begun.change, begun.decades, ceased.change, ceased.decades) == ("moved", 0.0, "unchanged", 0.0)


def test_how_far_it_went_is_said_in_decades() -> None:
    change = the_change(
        found("GH101", "error", flow=1.0, leverage=2.0), found("GH101", "error", flow=1.1, leverage=3.5)
    )
    assert change.change == "worsened"
    assert change.why == "leverage 1.5 decades further beyond its threshold"
    assert change.decades == pytest.approx(1.5)
    back = the_change(found("GH101", "error", flow=1.0), found("GH101", "error", flow=0.2))
    assert back.why == "flow 0.8 decades nearer to its threshold"
    assert back.decades == pytest.approx(-0.8)


@pytest.mark.parametrize(("flow", "leverage", "expected"), [(0.5, -2.0, -2.0), (2.0, -0.5, 2.0), (0.1, 0.2, 0.2)])
def test_of_a_finding_whose_severity_changed_the_largest_step_is_told_in_either_direction(
    flow: float, leverage: float, expected: float
) -> None:
    old = found("GH101", "warning", flow=3.0, leverage=3.0)
    change = the_change(old, found("GH101", "error", flow=3.0 + flow, leverage=3.0 + leverage))
    assert (change.change, change.decades) == ("worsened", pytest.approx(expected))


def test_another_tolerance_is_another_line_between_the_same_and_worse() -> None:
    before, after = (excerpt(small_report("unhealthy", found("GH101", "error", flow=flow))) for flow in (1.0, 1.4))
    for tolerance, there, back in ((0.3, "worsened", "eased"), (0.5, "unchanged", "unchanged")):
        (change,) = finding_changes(before, after, SAME, Gate(), tolerance)
        (reverse,) = finding_changes(after, before, SAME, Gate(), tolerance)
        assert (change.change, reverse.change) == (there, back)


def test_a_step_as_long_as_the_tolerance_but_for_rounding_is_none() -> None:
    """Rounding is a billionth of a decade."""
    none, step = (excerpt(small_report("unhealthy", found("GH101", "error", flow=flow))) for flow in (0.0, 0.5 + 1e-9))
    for old, new in ((none, step), (step, none)):
        (change,) = finding_changes(old, new, SAME, Gate(), 0.5)
        assert change.change == "unchanged"


def test_what_got_worse_outweighs_what_got_better() -> None:
    change = the_change(
        found("GH101", "error", flow=1.0, leverage=2.0), found("GH101", "error", flow=1.5, leverage=0.1)
    )
    assert (change.change, change.decades) == ("worsened", pytest.approx(0.5))


def test_evidence_in_one_report_only_is_no_step() -> None:
    change = the_change(found("GH101", "error", flow=1.0), found("GH101", "error", leverage=9.0))
    assert (change.change, change.decades) == ("unchanged", None)


def test_a_margin_over_another_threshold_is_another_question() -> None:
    old, new = found("GH101", "error", flow=1.0), found("GH101", "error", flow=3.0)
    new["evidence"]["flow"]["threshold"] = 5.0
    change = the_change(old, new)
    assert (change.change, change.why, change.decades) == ("unchanged", "held against another flow", None)


def test_thresholds_that_differ_are_named_in_the_order_of_the_alphabet() -> None:
    names = ("spread", "flow", "reach", "dead", "leverage")
    old, new = (found("GH101", "error", **dict.fromkeys(names, 1.0)) for _ in range(2))
    for name in names:
        new["evidence"][name]["threshold"] = 5.0
    assert the_change(old, new).why == "held against another dead, flow, leverage, reach, spread"


def test_an_illness_that_spreads_to_more_than_twice_as_many_layers_is_worse() -> None:
    def named(count: int) -> dict[str, Any]:
        return found("GH201", "warning", *(f"layer-{number}" for number in range(1, count + 1)), dead=0.5)

    assert the_change(named(1), named(3)).change == "worsened"
    assert the_change(named(1), named(3)).why == "layers named: 3, before 1"
    assert the_change(named(1), named(3)).decades == pytest.approx(math.log10(3))
    assert the_change(named(1), named(2)).change == "moved"
    assert the_change(named(2), named(1)).change == "unchanged"
    assert the_change(named(5), named(2)).change == "eased"


def test_a_deeper_network_with_the_same_illness_is_not_sicker_and_a_second_layer_of_it_is() -> None:
    def on(depth: int, sick: int) -> Excerpt:
        names = tuple(f"fc{number}" for number in range(depth))
        finding = found("GH101", "error", *(f"layer-{number}" for number in range(1, sick + 1)), flow=1.0)
        return excerpt(small_report("unhealthy", finding, layers=names))

    def told(old: Excerpt, new: Excerpt) -> str:
        (change,) = finding_changes(old, new, SAME, Gate())
        return change.change.value

    assert told(on(8, 8), on(32, 32)) == "moved"
    assert told(on(32, 32), on(8, 8)) == "unchanged"
    assert told(on(8, 1), on(32, 1)) == "unchanged"
    assert told(on(32, 1), on(8, 1)) == "unchanged"
    assert told(on(8, 1), on(16, 8)) == "worsened"
    assert told(on(8, 8), on(8, 2)) == "eased"
    assert told(on(8, 1), on(16, 3)) == "moved"  # thrice as many, and a share that is half as large again
    assert told(on(16, 2), on(8, 3)) == "moved"  # thrice the share, and half as many again
    assert told(on(16, 3), on(8, 1)) == "unchanged"
    assert told(on(8, 2), on(64, 6)) == "moved"  # thrice as many, and little more than a third of the share
    assert told(on(64, 6), on(8, 2)) == "unchanged"


@pytest.mark.parametrize("silent", ["old", "new", "both"])
def test_where_a_report_tells_no_layers_the_number_that_a_finding_names_decides_alone(silent: str) -> None:
    """By the side with layers alone nobody can tell whether the network grew."""

    def told(before: int, after: int) -> str:
        sides = []
        for side, sick in (("old", before), ("new", after)):
            finding = found("GH201", "warning", *(f"layer-{number}" for number in range(1, sick + 1)), dead=0.5)
            names = () if silent in {side, "both"} else tuple(f"fc{number}" for number in range(8))
            sides.append(excerpt(small_report("at_risk", finding, layers=names)))
        (change,) = finding_changes(*sides, SAME, Gate())
        return change.change.value

    assert (told(2, 5), told(2, 4), told(5, 2)) == ("worsened", "moved", "eased")


# ------------------------------------------------------------------ regressions


@pytest.mark.parametrize(
    ("fail_on", "severity", "expected"),
    [
        ("error", "error", True), ("error", "warning", False), ("error", "info", False),
        ("warning", "error", True), ("warning", "warning", True), ("warning", "info", False),
        ("info", "info", True),
    ],
)  # fmt: skip
def test_what_is_gained_or_worsened_is_a_regression_from_the_severity_of_the_gate_on(
    fail_on: str, severity: str, expected: bool
) -> None:
    milder, worse = found("GH101", severity, flow=1.0), found("GH101", severity, flow=2.0)
    assert [each.regression for each in changes([], [milder], fail_on=fail_on)] == [expected]
    assert [each.regression for each in changes([milder], [worse], fail_on=fail_on)] == [expected]
    for old, new in (([worse], [milder]), ([worse], [worse]), ([worse], [])):
        assert [each.regression for each in changes(old, new, fail_on=fail_on)] == [False]
    moved = changes([found("GH201", severity, "layer-1")], [found("GH201", severity, "layer-2")], fail_on=fail_on)
    assert [each.regression for each in moved] == [False]


def test_the_worst_change_comes_first() -> None:
    old = [found("GH303", "warning", spread=1.0), DEAD, found("GH105", "error", loss=1.0)]
    new = [found("GH303", "warning", spread=2.0), DEAD, found("GH101", "error")]
    assert [(each.change.value, each.rule) for each in changes(old, new)] == [
        ("gained", "GH101"), ("worsened", "GH303"), ("unchanged", "GH201"), ("lost", "GH105"),
    ]  # fmt: skip


def test_of_like_changes_the_more_serious_comes_first_and_then_the_rule() -> None:
    findings = [found("GH303", "warning"), found("GH201", "warning"), found("GH105", "info"), found("GH101", "error")]
    expected = ["GH101", "GH201", "GH303", "GH105"]
    assert [each.rule for each in changes([], findings)] == expected
    assert [each.rule for each in changes(findings, [])] == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ""),
        ({"ignore": ["GH2"]}, "no longer looked for"),
        ({"ignore": ["dead-units"]}, "no longer looked for"),
        ({"ignore": ["GH1"]}, ""),
        ({"select": ["GH1", "GH3"]}, "no longer looked for"),
        ({"select": ["GH201"]}, ""),
        ({"select": ["GH201"], "ignore": ["GH201"]}, "no longer looked for"),
        ({"ignore": 7, "select": {"a": 1}}, "no longer looked for"),
        ({"ignore": [None, 7]}, ""),
        (None, ""),
    ],
)
def test_a_finding_that_nobody_looks_for_any_longer_is_not_healed(options: Any, expected: str) -> None:
    before = excerpt(small_report("at_risk", DEAD))
    after = excerpt(small_report("healthy", options=options))
    (lost,) = finding_changes(before, after, SAME, Gate())
    assert (lost.change, lost.why) == ("lost", expected)
    (gained,) = finding_changes(after, before, SAME, Gate())
    assert (gained.change, gained.why) == ("gained", "not looked for before" if expected else "")


def test_no_findings_are_no_changes() -> None:
    empty: Excerpt = excerpt(small_report())
    assert finding_changes(empty, empty, SAME, Gate()) == ()
