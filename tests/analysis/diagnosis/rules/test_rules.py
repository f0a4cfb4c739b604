"""What holds for every rule, and what several of them make of the same network."""

import pytest

from analysis.diagnosis.contract import HEADINGS
from analysis.diagnosis.rules import RULES
from analysis.facts import Anatomy, Range
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement
from tests.analysis.diagnosis.rules.patients import EXPLODING, VANISHING, remembering, severity


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_has_a_page_with_all_headings_in_order(rule: object) -> None:
    page = rule.page  # type: ignore[attr-defined]
    assert page.startswith(f"# {rule.id} {rule.name}\n")  # type: ignore[attr-defined]
    places = [page.index(f"## {heading}\n") for heading in HEADINGS]
    assert places == sorted(places)
    sections = page.split("## ")[1:]
    assert [section.splitlines()[0] for section in sections] == list(HEADINGS)
    assert all(len(section.split("\n", 1)[1].strip()) > 20 for section in sections)


def test_messages_are_constant_and_say_one_sentence() -> None:
    for rule in RULES:
        assert rule.message.endswith(".")
        assert not any(character.isdigit() for character in rule.message)


@pytest.mark.parametrize(
    ("rule", "changes"),
    [("GH101", VANISHING), ("GH102", EXPLODING), ("GH103", EXPLODING), ("GH105", {})],
)
def test_nothing_is_an_error_where_batch_normalisation_normalises_nothing(
    rule: str, changes: dict[str, object]
) -> None:
    """With running statistics of 0 and 1 a ResNet explodes and LeViT vanishes; nobody trains them like that."""
    for probed in (None, FAILS) if changes else (FAILS,):
        assert severity(rule, measurement(**changes, probe=probed)) is Severity.ERROR
        assert severity(rule, measurement(**changes, probe=probed, idle_normalization=True)) is Severity.WARNING


def test_where_normalisation_was_folded_only_a_training_makes_an_error() -> None:
    folded = {"anatomy": Anatomy(folded_share=0.6), "convolutional": True, "probe": FAILS}
    assert severity("GH101", measurement(**VANISHING, **folded)) is Severity.WARNING
    assert severity("GH102", measurement(**EXPLODING, **folded)) is Severity.WARNING
    assert severity("GH101", measurement(**VANISHING, **folded, normalized=True)) is Severity.ERROR
    assert severity("GH105", measurement(**VANISHING, **folded)) is Severity.WARNING
    for rule in ("GH101", "GH105"):  # nor does it learn with normalisation put back
        assert severity(rule, measurement(**VANISHING, **folded, unfolded=FAILS)) is Severity.ERROR


@pytest.mark.parametrize(
    ("states", "probed", "expected"),
    [
        (8.0, None, Severity.ERROR),  # the states explode as well
        (0.3, None, Severity.WARNING),  # a tanh holds them: half of such networks were trained
        (0.3, FAILS, Severity.ERROR),
        (0.3, LEARNS, Severity.WARNING),
    ],
)
def test_an_explosion_behind_states_that_stay_in_range_waits_for_a_probe(
    states: float, probed: object, expected: Severity
) -> None:
    exploding = flow(9.0, leverage_log10=Range(least=0.0, largest=9.0), nonlinearity_coefficient=1e6)
    chain = remembering(growth_decades=8.0, state_growth_decades=states)
    patient = measurement(flow=exploding, probe=probed, **chain)
    assert {rule: severity(rule, patient) for rule in ("GH102", "GH103", "GH402")} == dict.fromkeys(
        ("GH102", "GH103", "GH402"), expected
    )
