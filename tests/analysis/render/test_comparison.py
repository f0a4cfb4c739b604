"""A comparison at the terminal, by hand and in full."""

import json
import math
from typing import Any

import pytest

from analysis.comparison.compare import compare
from analysis.comparison.document import (
    Change,
    Comparison,
    FindingChange,
    LayerChanges,
    LayerName,
    OldNew,
    RemedyChanges,
)
from analysis.comparison.match import MatchedBy
from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.render.comparison import WIDTH, render_baseline, render_comparison
from tests.analysis.comparison.small_reports import WORSE_NEW, WORSE_OLD, excerpt, found, small_report
from tests.gallery import he, mlp, vectors, xavier

SUMMARY = """\
net.onnx -> net.onnx: REGRESSION
================================
The verdict goes from at_risk to unhealthy; findings: 1 gained, 1 moved, 1
unchanged, 1 lost.

note: Findings may come and go for other reasons than the model: engine.seed 0,
  now 1.

findings
  gained    error   GH101 vanishing-gradient
            flow 2 (limit 1)
            layer-1 stem, layer-2 inserted
  moved     warning GH201 dead-units
            names other layers
            now layer-4 tail
  lost      warning GH303 scale-imbalance
  unchanged GH105

numbers                                                      old         new
  flow in decades, by RMS                                   -0.5        -3.5

layers: 3 matched (2 by name, 1 by structure), 1 gained, 1 lost
  + layer-2 inserted
  - layer-3 block2

proven remedies
  + he
  - relu
"""


def test_a_comparison_is_told_worst_first() -> None:
    assert render_comparison(compare(excerpt(WORSE_OLD), excerpt(WORSE_NEW))) == SUMMARY


def test_reports_that_are_alike_are_told_in_few_lines() -> None:
    text = render_comparison(compare(excerpt(small_report()), excerpt(small_report())))
    assert text == (
        "net.onnx, same model: no regression\n===================================\n"
        "The verdict stays healthy; no findings.\n\nlayers: 4 matched (4 by id)\n"
    )


def test_a_baseline_says_how_much_it_accepts_and_what_is_new() -> None:
    assert render_baseline(compare(excerpt(WORSE_OLD), excerpt(WORSE_NEW)), "old.json") == (
        "baseline old.json: 2 known findings accepted, 1 new, 0 worsened, 1 gone\n"
        "  gained    error   GH101 vanishing-gradient\n"
        "  moved     warning GH201 dead-units\n"
        "            names other layers\n"
        "  note: Findings may come and go for other reasons than the model: engine.seed\n"
        "    0, now 1.\n"
    )
    same = render_baseline(compare(excerpt(WORSE_OLD), excerpt(WORSE_OLD)), "old.json")
    assert same == "baseline old.json: 3 known findings accepted, 0 new, 0 worsened, 0 gone\n"
    alone = small_report("at_risk", found("GH105", "info"))
    assert "1 known finding accepted" in render_baseline(compare(excerpt(alone), excerpt(alone)), "old.json")


@pytest.mark.parametrize("name", ["n", "a/very/long/name/" * 20, "names with spaces in them " * 20])
def test_a_comparison_fits_a_terminal(name: str) -> None:
    quick = parse_options({"effort": "quick"})
    models = (mlp(3, "Relu", he()), mlp(12, "Sigmoid", xavier()), mlp(6, "Relu", he(), bias=-8.0))
    reports = [json.loads(analyze(model, vectors(), quick).to_json()) for model in models]
    for report in reports:
        report["model"]["name"] = name
        report["layers"][-1]["name"] = name
        report["remedies"] = [{"variant": "+".join([name] * 3)}]
    for old in reports:
        for new in reports:
            comparison = compare(excerpt(old), excerpt(new))
            for text in (render_comparison(comparison), render_baseline(comparison, name)):
                assert all(len(line) <= WIDTH for line in text.splitlines())
                assert text.endswith("\n")


# ------------------------------------------------------------------ part by part


def parts(comparison: Comparison, **changes: Any) -> list[list[str]]:
    """The lines of each part."""
    return [part.splitlines() for part in render_comparison(comparison.model_copy(update=changes)).split("\n\n")]


ALIKE = compare(excerpt(small_report()), excerpt(small_report()))
CHANGED = compare(excerpt(WORSE_OLD), excerpt(WORSE_NEW))


def names(*lengths: int) -> tuple[LayerName, ...]:
    return tuple(LayerName(id=f"layer-{number}", name="n" * length) for number, length in enumerate(lengths, 1))


@pytest.mark.parametrize(
    ("old", "new", "same", "title"),
    [
        ("", "", False, "old -> new: no regression"),
        ("a", "b", False, "a -> b: no regression"),
        ("a", "b", True, "a, same model: no regression"),
        ("a", "b" * 60, False, f"a -> {'b' * 60}: no regression"),
        ("a", "b" * 61, False, f"…-> {'b' * 61}: no regression"),
        ("a", "b" * 99, False, f"…{'b' * 64}: no regression"),
    ],
)
def test_the_title_names_both_models_and_is_cut_in_front(old: str, new: str, same: bool, title: str) -> None:
    sides = [ALIKE.old.model_copy(update={"model": name}) for name in (old, new)]
    head = parts(ALIKE, old=sides[0], new=sides[1], same_model=same)[0]
    assert head == [title, "=" * len(title), "The verdict stays healthy; no findings."]
    assert parts(ALIKE, summary="No regression: one: two")[0][2] == "One: two"


def test_notes_go_on_under_their_beginning() -> None:
    assert parts(ALIKE, notes=("word " * 20, "another"))[1] == [
        f"note: {'word ' * 14}word", f"  {'word ' * 4}word", "note: another",
    ]  # fmt: skip


def change_of(kind: Change, **changes: Any) -> FindingChange:
    finding = {"name": "dead-units", "why": "", "regression": False, "layers_gained": (), "layers_lost": ()}
    return FindingChange.model_validate({"change": kind, "rule": "GH201", **finding, **changes})


def test_evidence_is_told_of_what_is_gained_or_worse_and_a_number_stays_beside_its_limit() -> None:
    margins = {"dead_units_in_all": 1.0, "spread": 0.5, "third": 0.1}
    finding = excerpt(small_report("at_risk", found("GH201", "warning", "layer-2", **margins))).findings[0]
    values = zip(finding.evidence.items(), (1234.5, 0.000123456, 3.0), strict=True)
    evidence = {name: each.model_copy(update={"value": value, "threshold": 12.5}) for (name, each), value in values}
    finding = finding.model_copy(update={"evidence": evidence})
    together = [
        "            dead_units_in_all 1.23e+03 (limit 12.5), spread",
        "            0.000123 (limit 12.5), third 3 (limit 12.5)",
    ]
    for kind in Change:
        (_, title, *lines) = parts(ALIKE, findings=(change_of(kind, new=finding, why="reason"),))[1]
        if kind is Change.UNCHANGED:
            assert (title, lines) == ("  unchanged GH201", [])
            continue
        assert title == f"  {kind.value:<10}warning GH201 dead-units"
        assert lines == ["            reason", *(together if kind in {Change.GAINED, Change.WORSENED} else [])]


def test_layers_a_finding_did_not_name_before_are_listed_by_name_up_to_six() -> None:
    finding = excerpt(small_report("at_risk", found("GH201", "warning"))).findings[0]
    layers = ALIKE.layers.model_copy(update={"gained": (LayerName(id="layer-7", name="seventh"),)})
    for count, more in ((6, []), (7, [" and 1 more"]), (9, [" and 3 more"])):
        gained = tuple(f"layer-{number}" for number in (7, 4, 1, 9, 8, 3, 2, 5, 6)[:count])
        change = change_of(Change.MOVED, new=finding, layers_gained=gained)
        lines = parts(ALIKE, findings=(change,), layers=layers)[1][2:]
        text = "layer-7 seventh, layer-4 head, layer-1 stem, layer-9, layer-8, layer-3 block2"
        assert " ".join(line.strip() for line in lines) == f"now {text}{''.join(more)}"
        assert all(line.startswith(" " * 12) and not line.startswith(" " * 13) for line in lines)
        first = parts(ALIKE, findings=(change.model_copy(update={"change": Change.GAINED}),), layers=layers)[1]
        assert first[2].startswith("            layer-7 seventh, ")
    lost = change_of(Change.LOST, old=finding, layers_gained=("layer-1",))
    assert parts(ALIKE, findings=(lost,))[1] == ["findings", "  lost      warning GH201 dead-units"]


def test_a_long_title_is_cut_at_its_end_and_what_is_unchanged_is_listed_by_rule() -> None:
    same = [change_of(Change.UNCHANGED, rule=rule) for rule in ("GH303", "GH105", "GH303")]
    lines = parts(
        ALIKE, findings=(change_of(Change.LOST, name="n" * 54), change_of(Change.EASED, name="n" * 55), *same)
    )[1]
    assert lines == [
        "findings",
        f"  lost              GH201 {'n' * 54}",
        f"  eased             GH201 {'n' * 53}…",
        "  unchanged GH105, GH303",
    ]
    many = [change_of(Change.UNCHANGED, rule=f"GH{number}") for number in range(101, 117)]
    assert parts(ALIKE, findings=tuple(many))[1][2].startswith(" " * 12 + "GH")


def test_numbers_stand_in_columns_in_the_order_that_a_reader_asks_for_them() -> None:
    numbers = {
        "loss.value": OldNew(old=1234.5, new=None),
        "loss.chance": OldNew(old=1.0, new=1.0),
        "gradient_flow.leverage_log10.least": OldNew(old=None, new=-0.00012345),
        "gradient_flow.decades_norm": OldNew(old=-math.inf, new=-1.5),
    }
    assert parts(ALIKE, numbers=numbers)[1] == [
        "numbers                                                      old         new",
        "  flow in decades, by norm                                  -inf        -1.5",
        "  least leverage, log10                                        -   -0.000123",
        "  loss                                                  1.23e+03           -",
    ]
    assert len(parts(ALIKE, numbers={"loss.chance": OldNew(old=1.0, new=1.0)})) == 2  # none of those told


def test_layers_are_counted_and_those_that_came_or_went_are_listed() -> None:
    matched = ALIKE.layers.matched
    other = matched[0].model_copy(update={"matched_by": MatchedBy.STRUCTURE, "resized": True})
    layers = LayerChanges(matched=(*matched, other, other), gained=names(3, 0), lost=names(*[1] * 8))
    assert parts(ALIKE, layers=layers)[-1] == [
        "layers: 6 matched (4 by id, 2 by structure), 2 of another size, 2 gained, 8 lost",
        "  + layer-1 nnn",
        "  + layer-2",
        *(f"  - layer-{number} n" for number in range(1, 7)),
        "  - and 2 more",
    ]
    none = LayerChanges(matched=(), gained=names(68, 69), lost=names(*[1] * 6))
    assert parts(ALIKE, layers=none)[-1][:3] == [
        "layers: 0 matched, 2 gained, 6 lost", f"  + layer-1 {'n' * 68}", f"  + layer-2 {'n' * 67}…",
    ]  # fmt: skip
    assert parts(ALIKE, layers=none)[-1][-1] == "  - layer-6 n"
    seven = LayerChanges(matched=(), gained=(), lost=names(*[1] * 7))
    assert parts(ALIKE, layers=seven)[-1][-1] == "  - and 1 more"


def test_a_long_line_of_layers_goes_on_under_its_beginning() -> None:
    others = tuple(
        each.model_copy(update={"matched_by": sign, "resized": True})
        for each in ALIKE.layers.matched
        for sign in (MatchedBy.NAME, MatchedBy.STRUCTURE)
    )
    layers = LayerChanges(matched=(*ALIKE.layers.matched, *others), gained=names(1), lost=names(1))
    assert parts(ALIKE, layers=layers)[-1][:2] == [
        "layers: 12 matched (4 by id, 4 by name, 4 by structure), 8 of another size, 1",
        "  gained, 1 lost",
    ]


def test_remedies_that_came_or_went_are_listed_and_no_others() -> None:
    def told(gained: tuple[str, ...], lost: tuple[str, ...]) -> list[str]:
        return parts(ALIKE, remedies=RemedyChanges(gained=gained, lost=lost, kept=("kept",)))[-1]

    assert told(("a",), ()) == ["proven remedies", "  + a"]
    assert told((), ("b", "c")) == ["proven remedies", "  - b", "  - c"]
    assert told((), ())[0].startswith("layers: ")


def test_a_baseline_tells_what_is_new_worse_or_elsewhere_and_why() -> None:
    finding = excerpt(small_report("at_risk", found("GH201", "warning"))).findings[0]
    changes = tuple(change_of(kind, old=finding, new=finding, why=f"{kind.value} " * 12) for kind in Change)
    told = ALIKE.model_copy(update={"findings": (*changes, changes[1]), "notes": ("word " * 20,)})
    assert render_baseline(told, "x" * 12).splitlines() == [
        f"baseline {'x' * 12}: 5 known findings accepted, 1 new, 2 worsened, 1 gone",
        "  gained    warning GH201 dead-units",
        f"            {'gained ' * 8}gained", f"            {'gained ' * 2}gained",
        *[
            "  worsened  warning GH201 dead-units",
            f"            {'worsened ' * 6}worsened", f"            {'worsened ' * 4}worsened",
        ],
        "  moved     warning GH201 dead-units",
        f"            {'moved ' * 10}moved", "            moved",
        "  worsened  warning GH201 dead-units",
        f"            {'worsened ' * 6}worsened", f"            {'worsened ' * 4}worsened",
        f"  note: {'word ' * 13}word", f"    {'word ' * 5}word",
    ]  # fmt: skip
    assert render_baseline(told, "x " * 30).splitlines()[1] == "  findings accepted, 1 new, 2 worsened, 1 gone"
