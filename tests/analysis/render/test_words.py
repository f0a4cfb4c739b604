from analysis.diagnosis.rules import BY_ID
from analysis.render._words import (
    MOST_NAMES,
    first_names,
    grouped_reasons,
    marked_up,
    threshold_words,
)


def test_prose_is_escaped_and_only_code_and_emphasis_are_marked() -> None:
    assert marked_up("a `<b>` *c* & 2 * 3 * 4") == "a <code>&lt;b&gt;</code> <em>c</em> &amp; 2 * 3 * 4"


def test_those_who_lack_the_same_for_the_same_reason_stand_together() -> None:
    absent = [("a", {"x": "why"}), ("b", {"x": "why", "y": "why"}), ("c", {"x": "else"})]
    assert grouped_reasons(absent) == (("x", "why", ("a", "b")), ("y", "why", ("b",)), ("x", "else", ("c",)))


def test_a_cell_has_the_first_names_and_how_many_more_there_are() -> None:
    names = [str(number) for number in range(MOST_NAMES + 2)]
    assert first_names(names) == (names[:MOST_NAMES], 2)
    assert first_names(names[:MOST_NAMES]) == (names[:MOST_NAMES], 0)


def test_thresholds_are_listed_by_name() -> None:
    assert threshold_words(BY_ID["GH305"]) == "least_rms 0.2, largest_rms 5, mean_over_std 3"
