"""A report of plain numbers: what goes where, and what is said of variants that were not measured."""

import uuid
from dataclasses import replace

from analysis.clock import Clock
from analysis.diagnosis.assemble import assemble
from analysis.diagnosis.diagnosis import Diagnosis
from analysis.diagnosis.policy import EVERY_RULE
from analysis.diagnosis.rows import Row
from analysis.facts import (
    ActivationGradient,
    Clip,
    ClipKind,
    Confidence,
    Effect,
    Factor,
    Flow,
    GradientStep,
    LayerStats,
    Measurement,
    ModelFile,
    NonFinite,
    Provenance,
    Range,
    SampleGradients,
    Status,
    VariantInfo,
    Zone,
)
from analysis.options import parse_options
from analysis.report import Report, Severity, Variant
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, layer, measurement, stats
from tests.analysis.diagnosis.reports import BASELINE, report_of
from tests.analysis.diagnosis.trials import trained, trial

SICK = measurement(flow=flow(-7.0, leverage_log10=Range(least=-4.0, largest=1.0), input_rms=148.0), probe=FAILS)
CURED = trial("he", measurement(flow=flow(-0.25, -0.5, logits_gradient_rms=0.02), probe=trained(0.2)))


class StoppedClock(Clock):
    """Has measured what a test says."""

    def __init__(self) -> None:
        super().__init__(1.0, None)
        self.leave_out("lsuv", "budget")

    def total(self) -> dict[str, float]:
        return {"probe": 1.23456, "total": 2.0}


def only(report: Report, name: str) -> Variant:
    (variant,) = [each for each in report.variants if each.id == name]
    return variant


def shown(patient: Measurement, **changes: object) -> Variant:
    """What a report says of a variant with these numbers and this standing."""
    told = trial("he", patient)
    info: VariantInfo = replace(told.info, **changes)  # type: ignore[arg-type]
    return only(report_of(SICK, [replace(told, info=info)]), "he")


def test_findings_are_told_what_is_proven_to_help_and_remarks_are_not() -> None:
    report = report_of(replace(SICK, loss=replace(SICK.loss, targets=Provenance.SYNTHETIC)), [CURED])
    helped = {finding.rule: finding.remedies for finding in report.findings}
    assert helped["GH101"] == ("he",)
    assert {finding.remedies for finding in report.findings if finding.severity is Severity.INFO} == {()}
    assert [finding.severity for finding in report.findings].count(Severity.INFO) == 1


def test_layers_of_the_unchanged_model_are_told_which_findings_name_them_and_no_others() -> None:
    weak = (stats(1, leverage_log10=-3.0), stats(2), stats(3))
    report = report_of(replace(SICK, stats=weak), [trial("he", replace(CURED.measurement, stats=weak))])
    flags = [each.flags for each in report.variants[0].layers or ()]
    assert {"vanishing-gradient", "input-scale"} == set(flags[0])
    assert flags[1:] == [(), ()]
    assert [each.flags for each in only(report, "he").layers or ()] == [(), (), ()]


def test_flow_is_told_with_its_light() -> None:
    assert report_of(SICK).gradient_flow.zone is Zone.RED
    assert report_of(measurement(probe=LEARNS)).gradient_flow.zone is Zone.GREEN
    assert report_of(measurement(flow=Flow())).gradient_flow.zone is Zone.UNKNOWN


def test_notes_of_the_batch_stand_before_the_reasons_for_less_confidence() -> None:
    batch = replace(SICK.batch, notes=("inputs were made up",))
    report = report_of(replace(SICK, batch=batch, cap_reasons=("few samples",)))
    assert report.batch.notes == ("inputs were made up", "few samples")


def test_gradients_of_single_samples_are_told_as_they_were_measured() -> None:
    samples = SampleGradients(
        samples=8, method="loop", least_norm=0.1, median_norm=0.5, largest_norm=2.0, coherence=0.2
    )
    assert report_of(replace(SICK, sample_gradients=samples)).sample_gradients == samples
    assert report_of(SICK).sample_gradients is None


def test_what_two_levels_do_together_is_told_beside_what_each_does_alone() -> None:
    def at(rms: float, **levels: str) -> Row:
        told = trial("he", measurement(flow=flow(rms)))
        choices = {Factor(factor): level for factor, level in levels.items()}
        return Row(replace(told.info, choices=choices), told.measurement)

    report = told_with(
        at(-8.0), at(-6.0, activation="relu"), at(-5.0, initialization="he"),
        at(-1.0, activation="relu", initialization="he"),
    )  # fmt: skip
    (together,) = report.factor_interactions.items()
    assert (together[0], together[1].decades_rms) == ("activation=relu x initialization=he", 2.0)  # 7, not 2 + 3
    assert report.factor_effects["activation=relu"].decades_rms == 3.0  # 2 and 4


# ------------------------------------------------------------------ variants


def test_a_variant_carries_its_standing() -> None:
    step = GradientStep(clip=Clip(kind=ClipKind.VALUE, max_norm=0.5, active=True), weight_decay=0.1)
    broken = NonFinite(stage="backward", node="softmax", value="NaN")
    variant = shown(
        replace(CURED.measurement, non_finite=broken), gradient_step=step, effect=Effect.PRESERVES_OUTPUT, replicates=3,
        same_as="lsuv",
    )  # fmt: skip
    assert (variant.gradient_step, variant.effect, variant.replicates) == (step, Effect.PRESERVES_OUTPUT, 3)
    assert (variant.same_as, variant.non_finite) == ("lsuv", broken)


def test_a_variant_carries_its_choices_and_its_numbers() -> None:
    choices = {Factor.ACTIVATION: "relu", Factor.INITIALIZATION: "he", Factor.CLIP: "global_norm"}
    variant = shown(CURED.measurement, choices=choices, seed=3)
    assert variant.structure is not None
    assert variant.parameters is not None
    assert variant.measurement is not None
    assert variant.measurement.gradient_flow is not None
    assert (variant.structure.activation, variant.structure.residual) == ("relu", "kept")
    assert (variant.parameters.initialization, variant.parameters.branch_ends) == ("he", "kept")
    assert variant.parameters.seed == 3
    overall = variant.measurement
    assert (overall.gradient_flow.decades_rms, overall.gradient_flow.decades_norm) == (-0.25, -0.5)
    assert (overall.loss, overall.total_gradient_norm, overall.logits_gradient_rms) == (2.3, 1.0, 0.02)


def test_a_variant_that_was_not_measured_has_its_reason_and_nothing_else() -> None:
    variant = only(report_of(SICK, refused=[("lsuv", "no weights")]), "lsuv")
    assert (variant.status, variant.reason) == (Status.NOT_APPLICABLE, "no weights")
    assert variant.absent == {"measurement": "no weights"}
    assert (variant.structure, variant.measurement, variant.layers, variant.probe) == (None, None, None, None)
    assert told_with(Row(CURED.info, None)).variants[0].absent == {"measurement": ""}


def test_layers_that_an_edit_added_or_removed_are_known_by_the_value_they_write() -> None:
    """It normalises behind the first layer, and the last one is gone; ids count from the front."""
    first, second, _ = SICK.layers
    added = replace(layer(2), id="layer-02", name="norm", output="normalised")
    moved = replace(second, id="layer-03")
    edited = replace(CURED.measurement, layers=(first, added, moved), stats=(stats(1), stats(2), stats(3)))
    variant = shown(edited)
    assert (variant.added_layers, variant.removed_layers) == (("layer-02",), ("layer-03",))


def test_a_twin_has_neither_layers_nor_differences_of_its_own() -> None:
    grown = (*SICK.layers[:2], replace(layer(3), id="layer-04", output="normalised"))
    variant = shown(replace(CURED.measurement, layers=grown), same_as="batch_norm")
    assert (variant.layers, variant.added_layers, variant.removed_layers) == ((), (), ())
    assert variant.measurement is not None


def test_what_a_variant_lacks_is_named_with_the_reason() -> None:
    untrained = replace(CURED.measurement, probe=None, cotangents=0, flow=flow(absent={"decades_norm": "no trunk"}))
    assert shown(untrained).absent == {
        "decades_norm": "no trunk",
        "leverage_log10": "pass B is run for the baseline and for treatments that are trained",
        "probe": "not among the treatments that were trained",
    }
    unknown = replace(untrained, loss=replace(untrained.loss, absent={"chance": "a graph's own loss"}))
    assert shown(unknown).absent["probe"] == "a graph's own loss"
    assert shown(replace(CURED.measurement, cotangents=2)).absent == {}
    step = shown(replace(CURED.measurement, cotangents=2), effect=Effect.TRAINING_ONLY)
    assert step.absent == {"model": "a gradient step does not live in a graph"}


def test_numbers_of_layers_are_those_of_the_variant() -> None:
    def arriving(rms: float) -> tuple[LayerStats, ...]:
        return tuple(stats(n, activation_gradient=ActivationGradient(rms=rms, norm=1.0)) for n in (1, 2, 3))

    report = report_of(
        replace(SICK, stats=arriving(1e-8)), [trial("he", replace(CURED.measurement, stats=arriving(0.1)))]
    )
    told = [
        [each.activation_gradient.rms for each in variant.layers or () if each.activation_gradient is not None]
        for variant in report.variants
    ]
    assert told == [[1e-8] * 3, [0.1] * 3]


def test_the_file_of_a_repaired_model_is_that_of_its_row() -> None:
    report = report_of(SICK)
    assert report.variants[0].model is None
    file = ModelFile(href="variants/he/model.onnx", sha256="0")
    assert told_with(Row(CURED.info, CURED.measurement, file)).variants[0].model == file


# ------------------------------------------------------------------ identity


def told_with(*rows: Row, **options: object) -> Report:
    """A report of these rows, through the front door."""
    report = report_of(SICK)
    known = Diagnosis(SICK, EVERY_RULE, (), report.verdict)
    shown = rows or (Row(BASELINE, SICK),)
    return assemble((report.engine, report.model), known, shown, (), StoppedClock(), parse_options(options))


def test_the_same_question_has_the_same_id_and_another_question_another() -> None:
    plain = report_of(SICK)
    batch = replace(SICK, batch=replace(SICK.batch, sha256="1"))
    others = [report_of(batch), report_of(SICK, options=parse_options({"seed": 7})), report_of(SICK, sha256="1" * 64)]
    assert report_of(SICK, [CURED]).id == plain.id
    assert len({plain.id, *(each.id for each in others)}) == 4


def test_an_id_is_a_uuid_of_the_kind_that_is_left_to_whoever_makes_it() -> None:
    """RFC 9562: version 8, variant 10."""
    told = uuid.UUID(report_of(SICK).id)
    assert (told.version, told.variant) == (8, uuid.RFC_4122)


def test_only_what_was_chosen_otherwise_than_by_default_is_told() -> None:
    assert report_of(SICK).options == {}
    assert report_of(SICK, options=parse_options({"seed": 7, "effort": "standard"})).options == {"seed": 7}


def test_options_are_told_as_they_are_said_in_json() -> None:
    given = {"select": ["GH1", "GH305"], "effort": "quick"}
    options = report_of(SICK, options=parse_options(given)).options
    assert options == given
    assert type((options or {})["effort"]) is str


def test_seconds_are_told_to_a_ten_thousandth_and_what_was_left_out_with_its_reason() -> None:
    report = told_with()
    assert report.timings_seconds == {"probe": 1.2346, "total": 2.0}
    assert [(each.what, each.why) for each in report.left_out] == [("lsuv", "budget")]


def test_how_sure_anything_can_be_is_told() -> None:
    assert report_of(SICK).confidence_cap is Confidence.HIGH
    assert report_of(replace(SICK, confidence_cap=Confidence.MEDIUM)).confidence_cap is Confidence.MEDIUM
