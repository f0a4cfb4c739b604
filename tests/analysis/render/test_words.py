from dataclasses import replace

import pytest

from analysis.diagnosis.rules import BY_ID
from analysis.render._words import (
    LONGEST_NAME,
    MOST_NAMES,
    Missing,
    first_names,
    grouped_reasons,
    marked_up,
    short_name,
    shorter,
    threshold_words,
)
from tests.analysis.diagnosis.builders import layer
from tests.analysis.diagnosis.reports import report_of


def test_prose_is_escaped_and_only_code_and_emphasis_are_marked() -> None:
    assert marked_up("a `<b>` *c* & 2 * 3 * 4") == "a <code>&lt;b&gt;</code> <em>c</em> &amp; 2 * 3 * 4"


def test_those_who_lack_the_same_for_the_same_reason_stand_together() -> None:
    absent = [("a", {"x": "why"}), ("b", {"x": "why", "y": "why"}), ("c", {"x": "else"})]
    assert grouped_reasons(absent) == (("x", "why", ("a", "b")), ("y", "why", ("b",)), ("x", "else", ("c",)))


def test_what_is_missing_is_told_of_the_unchanged_model_and_of_what_was_measured() -> None:
    report = report_of(refused=[("he", "no weights")])
    silent = {"activation.dead_fraction": "no activation follows"}
    layers = tuple(
        replace(each, absent=silent if each.id != "layer-02" else {}) for each in report.variants[0].layers or ()
    )
    own, refused = report.variants
    changed = own.model_copy(update={"layers": layers, "absent": {"probe": "budget"}})
    refused = refused.model_copy(update={"absent": {"probe": "never told"}})
    assert Missing.of(report.model_copy(update={"variants": (changed, refused)})) == Missing(
        layers=(("activation.dead_fraction", "no activation follows", ("layer-01", "layer-03")),),
        variants=(("probe", "budget", ("baseline",)),),
    )
    bare = own.model_copy(update={"layers": None})
    assert Missing.of(report.model_copy(update={"variants": (bare,)})).layers == ()


def test_a_cell_has_the_first_names_and_how_many_more_there_are() -> None:
    names = [str(number) for number in range(MOST_NAMES + 2)]
    assert first_names(names) == (names[:MOST_NAMES], 2)
    assert first_names(names[:MOST_NAMES]) == (names[:MOST_NAMES], 0)


def test_thresholds_are_listed_by_name() -> None:
    assert threshold_words(BY_ID["GH305"]) == "least_rms 0.2, largest_rms 5, mean_over_std 3"


@pytest.mark.parametrize(
    ("name", "op", "words"),
    [
        ("/blocks.0/blocks.0.3/Conv", "Conv", "blocks.0.3"),
        ("/fc1/Gemm", "Gemm", "fc1"),
        ("/0/Gemm", "Gemm", "0 Gemm"),
        ("/attn/MatMul_2", "MatMul", "attn"),
        ("fc3", "Gemm", "fc3"),
        ("", "Gemm", "layer-01"),
    ],
)
def test_a_layer_is_called_by_the_last_part_of_its_path(name: str, op: str, words: str) -> None:
    assert short_name(replace(layer(1), name=name, op=op)) == words


def test_what_fits_beside_a_drawing_is_cut_at_its_end() -> None:
    assert shorter("x" * LONGEST_NAME) == "x" * LONGEST_NAME
    assert shorter("x" * 99) == "x" * (LONGEST_NAME - 1) + "\N{HORIZONTAL ELLIPSIS}"
