from dataclasses import replace

import pytest

from analysis.facts import Confidence, Flow, Outcome, ProbeKind, Provenance, Run
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, flow, measurement, probe, run
from tests.analysis.diagnosis.rules.patients import evidence, fired, found


@pytest.mark.parametrize(
    ("runs", "expected", "affects"),
    [
        ([run("sgd", 1.0), run("adam", 1.0)], Severity.ERROR, ("sgd", "adam")),
        ([run("sgd", 1.0), run("adam", 0.5)], Severity.WARNING, ("sgd",)),
        ([run("sgd", 0.5), run("adam", 1.0)], None, ()),
        ([run("sgd", 0.5, 0), run("sgd", 1.0, 1)], Severity.ERROR, ("sgd", "adam")),  # the worst seed counts
    ],
)
def test_a_network_that_does_not_learn(runs: list[object], expected: Severity | None, affects: tuple[str, ...]) -> None:
    finding = fired("GH105", measurement(probe=probe(*runs)))  # type: ignore[arg-type]
    assert (None if finding is None else finding.severity) is expected
    assert finding is None or finding.affects == affects


def test_memorising_says_less_about_recurrent_networks() -> None:
    hasty = probe(run("sgd", 1.0), kind=ProbeKind.MEMORIZING)
    plain, recurrent = (
        fired("GH105", measurement(probe=hasty)),
        fired("GH105", measurement(probe=hasty, recurrent=True)),
    )
    assert plain is not None
    assert plain.confidence is Confidence.HIGH
    assert recurrent is not None
    assert recurrent.confidence is Confidence.MEDIUM


def test_targets_that_nobody_sent_are_no_proof_of_an_illness() -> None:
    invented = replace(measurement(probe=FAILS).loss, targets=Provenance.SYNTHETIC)
    finding = fired("GH105", measurement(probe=FAILS, loss=invented))
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.MEDIUM)
    assert finding.affects == ("sgd", "adam")


@pytest.mark.parametrize(
    ("unfinished", "held_out", "expected"),
    [(True, 64, Severity.WARNING), (False, 64, Severity.ERROR), (True, 0, Severity.ERROR)],
)
def test_a_recurrent_network_is_not_condemned_before_it_had_its_time(
    unfinished: bool, held_out: int, expected: Severity
) -> None:
    finding = fired("GH105", measurement(probe=replace(FAILS, unfinished=unfinished, held_out=held_out)))
    assert finding.severity is expected


@pytest.mark.parametrize(
    ("held_out", "known", "expected"),
    [
        (16, 0.49, Severity.WARNING),
        (47, 0.49, Severity.WARNING),
        (48, 0.49, Severity.ERROR),
        (16, 0.5, Severity.ERROR),  # nor are its own samples learnt
        (0, 0.49, Severity.ERROR),
    ],
)
def test_what_knows_its_samples_and_few_others_speak_against_may_have_had_too_few(
    held_out: int, known: float, expected: Severity
) -> None:
    by_heart = replace(run("sgd", known, outcome=Outcome.STALLED), held_out=(1.0, 1.1))
    finding = fired("GH105", measurement(probe=replace(probe(by_heart, run("adam", 1.0)), held_out=held_out)))
    assert finding.severity is expected


FEW_WEIGHTS = 3 * 64  # of the three layers of the healthy network


@pytest.mark.parametrize(
    ("changes", "target_count", "provenance", "expected"),
    [
        ({"trained": True}, 256, Provenance.SYNTHETIC, Severity.INFO),
        ({"trained": True}, 256, Provenance.UPLOADED, Severity.ERROR),
        ({}, FEW_WEIGHTS, Provenance.SYNTHETIC, Severity.WARNING),
        ({}, FEW_WEIGHTS + 1, Provenance.SYNTHETIC, Severity.INFO),
        ({}, FEW_WEIGHTS + 1, Provenance.UPLOADED, Severity.ERROR),
    ],
)
def test_made_up_targets_that_ask_for_too_much_are_a_remark(
    changes: dict[str, object], target_count: int, provenance: Provenance, expected: Severity
) -> None:
    loss = replace(measurement().loss, targets=provenance, target_count=target_count)
    finding = fired("GH105", measurement(probe=FAILS, loss=loss, **changes))
    assert finding.severity is expected


@pytest.mark.parametrize(
    ("provenance", "expected"), [(Provenance.UPLOADED, Severity.WARNING), (Provenance.SYNTHETIC, Severity.INFO)]
)
def test_from_equal_inputs_nobody_learns(provenance: Provenance, expected: Severity) -> None:
    batch = replace(measurement().batch, constant_inputs=True)
    loss = replace(measurement().loss, targets=provenance)
    assert fired("GH105", measurement(probe=FAILS, batch=batch, loss=loss)).severity is expected


@pytest.mark.parametrize(
    ("decades", "inputs", "expected"),
    [
        (0.0, Provenance.SYNTHETIC, Severity.INFO),
        (None, Provenance.SYNTHETIC, Severity.INFO),
        (-2.0, Provenance.SYNTHETIC, Severity.WARNING),
        (0.0, Provenance.UPLOADED, Severity.WARNING),
    ],
)
def test_labels_that_have_nothing_to_do_with_made_up_inputs_prove_nothing_where_flow_is_sound(
    decades: float | None, inputs: Provenance, expected: Severity
) -> None:
    batch = replace(measurement().batch, provenance=inputs)
    loss = replace(measurement().loss, targets=Provenance.SYNTHETIC)
    finding = fired(
        "GH105", measurement(probe=FAILS, batch=batch, loss=loss, flow=Flow() if decades is None else flow(decades))
    )
    assert finding.severity is expected


def line(start: float, end: float, points: int = 21) -> tuple[float, ...]:
    return tuple(start + (end - start) * at / (points - 1) for at in range(points))


@pytest.mark.parametrize(
    ("curve", "falling"),
    [
        (line(6.0, 2.0), True),  # in 20 steps more it would be under 0
        (line(1.0, 0.97), False),  # in 20 steps more: 0.94
        (line(6.0, 2.0)[:11] + (2.0,) * 10, False),  # fell, and stopped
        (line(1.0, 1.4), False),
        ((1.0, 8.0, *line(8.0, 2.0, 19)), False),  # coming back from where it was thrown
        (line(6.0, 2.0, 9), False),  # too short to be read
        ((*line(6.0, 2.0, 20), float("nan")), False),
    ],
)
def test_a_loss_that_still_falls_fast_enough_is_no_error(curve: tuple[float, ...], falling: bool) -> None:
    """Limit 0.7: `learnt` needs to lie in reach of as many steps again."""
    slow = replace(run("sgd", 1.0), curve=curve)
    finding = fired("GH105", measurement(probe=replace(FAILS, runs=(slow, run("adam", 1.0)))))
    assert (finding.severity is Severity.WARNING) is falling
    assert (finding.confidence is Confidence.MEDIUM) is falling


def limited(optimizer: str, end: float, limit: float, seed: int = 0) -> Run:
    return replace(run(optimizer, end, seed, Outcome.LEARNT if end < limit else Outcome.SLOW), limit=limit)


@pytest.mark.parametrize(("end", "expected"), [(0.61, Severity.ERROR), (0.59, Severity.WARNING)])
def test_a_run_that_came_far_is_slow_though_it_falls_no_more(end: float, expected: Severity) -> None:
    runs = (limited("sgd", end, 0.2), limited("adam", 1.0, 0.2))
    assert fired("GH105", measurement(probe=replace(probe(*runs), late=True))).severity is expected


def test_it_has_to_fall_with_every_seed() -> None:
    slow, stuck = replace(run("sgd", 1.0, 0), curve=line(6.0, 2.0)), run("sgd", 1.0, 1)
    assert fired("GH105", measurement(probe=replace(FAILS, runs=(slow, stuck)))).severity is Severity.ERROR


@pytest.mark.parametrize(
    ("runs", "loss", "limit"),
    [
        ([limited("sgd", 0.95, 0.7), limited("adam", 1.0, 0.8)], 0.95, 0.7),
        ([limited("sgd", 0.95, 0.7), limited("sgd", 0.3, 0.2), limited("adam", 0.9, 0.8)], 0.3, 0.2),
        ([limited("sgd", 0.97, 0.92), limited("adam", 0.25, 0.2)], 0.25, 0.2),
        ([limited("sgd", 0.97, 0.92), limited("adam", 0.474, 0.92)], 0.97, 0.92),  # Adam learns, of SGD it is told
        ([limited("sgd", 0.3, 0.7), limited("adam", 0.85, 0.8), limited("sgd", 0.75, 0.7, 1)], 0.75, 0.7),
        ([limited("sgd", 0.75, 0.7), limited("sgd", 0.8, 0.7, 1), limited("adam", 0.9, 0.8, 1)], 0.8, 0.7),
    ],
)
def test_the_loss_stands_beside_the_limit_that_it_breaks(runs: list[Run], loss: float, limit: float) -> None:
    finding = found("GH105", measurement(probe=probe(*runs)))
    assert evidence(finding) == {"best_loss_over_chance": (loss, limit, None)}
    assert loss > limit


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        (ProbeKind.MEMORIZING, {"attentive": True}, Confidence.MEDIUM),
        (ProbeKind.MEMORIZING, {"convolutional": True}, Confidence.HIGH),
        (ProbeKind.LEARNING, {"attentive": True}, Confidence.HIGH),
        (ProbeKind.LEARNING, {"recurrent": True}, Confidence.HIGH),
        (ProbeKind.LEARNING, {"idle_normalization": True}, Confidence.MEDIUM),
    ],
)
def test_how_sure_a_failure_is(kind: ProbeKind, changes: dict[str, object], expected: Confidence) -> None:
    finding = found("GH105", measurement(probe=probe(run("sgd", 1.0), run("adam", 1.0), kind=kind), **changes))
    assert finding.confidence is expected


@pytest.mark.parametrize(
    ("unfinished", "held_out", "expected"),
    [(True, 1, Confidence.MEDIUM), (True, 0, Confidence.HIGH), (False, 1, Confidence.HIGH)],
)
def test_a_training_that_was_cut_short_on_held_out_samples_is_less_sure(
    unfinished: bool, held_out: int, expected: Confidence
) -> None:
    finding = found("GH105", measurement(probe=replace(FAILS, unfinished=unfinished, held_out=held_out)))
    assert finding.confidence is expected
    assert (finding.severity is Severity.WARNING) is (expected is Confidence.MEDIUM)


def test_a_network_that_learns_clipped_or_as_its_owner_trains_it_is_not_condemned() -> None:
    clipped = fired("GH105", measurement(probe=replace(FAILS, clipped_at=0.1)))
    assert (clipped.severity, clipped.affects) == (Severity.WARNING, ("sgd", "adam"))
    own = replace(run("adam", 0.3), own=True)
    assert fired("GH105", measurement(probe=replace(FAILS, runs=(run("sgd", 1.0), own)))) is None
    stuck = replace(run("adam", 1.0, outcome=Outcome.STALLED), own=True)
    assert fired("GH105", measurement(probe=replace(FAILS, runs=(run("sgd", 1.0), stuck)))).severity is Severity.ERROR
