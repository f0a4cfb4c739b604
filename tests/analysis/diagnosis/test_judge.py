"""The judge between those who train and the rules: a laboratory of plain numbers, and what is made of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from analysis.diagnosis.diagnosis import Diagnosis
from analysis.diagnosis.judge import Judge, Ranked
from analysis.diagnosis.policy import EVERY_RULE, Policy, policy
from analysis.diagnosis.rank import Trial
from analysis.facts import Factor, Measurement, OutputFacts, Probe, VariantInfo
from analysis.options import AnalysisOptions
from analysis.report import Finding, Verdict
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement
from tests.analysis.diagnosis.rules.patients import remembering
from tests.analysis.diagnosis.trials import error, trained, trial

PATIENT = measurement(flow=flow(-5.0))


@dataclass
class Laboratory:
    """What was measured by now; a test may train on."""

    trials: list[Trial]
    unchanged: Probe | None = FAILS
    asked: list[Sequence[str]] = field(default_factory=list)
    together: list[Trial] = field(default_factory=list)
    combined: list[Sequence[str]] = field(default_factory=list)

    def treated(self, names: Iterable[str] | None = None) -> Sequence[tuple[VariantInfo, Measurement]]:
        asked = None if names is None else set(names)
        return [(each.info, each.measurement) for each in self.trials if asked is None or each.info.id in asked]

    def prove_until(self, hopeful: Sequence[str], proven: Ranked, furthest: Ranked) -> Sequence[str]:
        done = hopeful[:2]
        self.asked += [hopeful, proven(done), furthest(done)]
        return done

    def combine(self, names: Sequence[str]) -> Sequence[str]:
        """What these come to together is told in advance."""
        self.combined.append(names)
        self.trials += self.together
        return [each.info.id for each in self.together]


def diagnosis(
    known: tuple[Finding, ...] = (), verdict: Verdict = Verdict.UNHEALTHY, rules: Policy = EVERY_RULE
) -> Diagnosis:
    return Diagnosis(PATIENT, rules, known, verdict)


def judge(*trials: Trial, known: Diagnosis | None = None, unchanged: Probe | None = FAILS) -> Judge:
    return Judge(Laboratory(list(trials), unchanged), known or diagnosis())


def at(name: str, *ends: float, rms: float = 0.0) -> Trial:
    return trial(name, measurement(flow=flow(rms), probe=trained(*ends) if ends else None))


BEST, SECOND, USELESS = at("best", 0.2), at("second", 0.5), at("useless", 0.99)


def test_of_all_that_was_measured_the_hopeful_come_most_promising_first() -> None:
    measured = at("c", rms=-1.6), at("a", rms=-1.2), at("red", rms=-5.0), at("b", rms=-1.4)
    assert judge(*measured).hopeful() == ("a", "b", "c")
    assert judge(*measured, known=diagnosis(verdict=Verdict.HEALTHY)).hopeful() == ()


def test_no_treatment_is_hopeful_where_another_loss_is_all_that_it_takes() -> None:
    bare = OutputFacts(reading="", off_logarithms=1.4)
    known = diagnosis((error("GH501"),))
    taught = replace(known, baseline=replace(PATIENT, outputs=bare, probe=LEARNS))
    assert judge(BEST, known=taught).hopeful() == ()
    assert judge(BEST, known=replace(known, baseline=replace(PATIENT, outputs=bare, probe=FAILS))).hopeful()
    assert judge(BEST, known=replace(known, baseline=replace(PATIENT, probe=LEARNS))).hopeful()


def test_no_treatment_is_hopeful_where_the_cause_is_no_matter_of_the_network() -> None:
    drawn, stuck = error("GH301"), error("GH105").model_copy(update={"caused_by": ("GH603",)})
    assert judge(BEST, known=diagnosis((error("GH603"), stuck))).hopeful() == ()
    turned = replace(at("turned"), info=replace(at("turned").info, choices={Factor.TIME: "batch_first"}))
    assert judge(BEST, turned, known=diagnosis((error("GH603"), stuck))).hopeful() == ("turned",)
    assert judge(BEST, known=diagnosis((drawn, stuck))).hopeful() == ("best",)


def test_treatments_that_go_to_the_cause_are_trained_first() -> None:
    weak = at("weak_dropout", rms=-1.6)
    weak = replace(weak, info=replace(weak.info, choices={Factor.DROPOUT: "weak_dropout"}))
    trials = at("a", rms=-1.2), weak, at("b", rms=-1.4)
    assert judge(*trials, known=diagnosis((error("GH602"),))).hopeful() == ("weak_dropout", "a", "b")
    assert judge(*trials, known=diagnosis((error("GH301"),))).hopeful() == ("a", "b", "weak_dropout")


def test_of_those_that_were_trained_the_proven_come_best_first() -> None:
    assert judge(SECOND, USELESS, BEST).proven(["useless", "second", "best"]) == ("best", "second")


def test_only_those_that_are_asked_for_are_judged() -> None:
    measured = judge(SECOND, USELESS, BEST, at("untrained"))
    assert measured.proven(["second", "useless"]) == ("second",)
    assert measured.furthest(["useless", "second"]) == ("second", "useless")
    assert [remedy.variant for remedy in measured.remedies(["second"])] == ["second"]
    assert measured.remedies([]) == ()


def test_those_that_came_furthest_are_told_whether_they_are_proven_or_not() -> None:
    measured = judge(USELESS, BEST, SECOND)
    assert measured.furthest(["best", "second", "useless"]) == ("best", "second", "useless")


def test_a_remedy_is_held_against_the_unchanged_model() -> None:
    (remedy,) = judge(BEST).remedies(["best"])
    assert (remedy.before.decades_rms, remedy.proof.unchanged, remedy.proof.worst) == (-5.0, 1.0, 0.2)
    assert judge(BEST, unchanged=None).proven(["best"]) == ()
    assert judge(BEST, unchanged=trained(0.2)).proven(["best"]) == ()


def test_an_error_that_a_treatment_adds_is_looked_for_by_the_rules_in_force() -> None:
    """It remembers 8 steps; whether that is too little is for the user to say."""
    short = measurement(**remembering(horizon_steps=8, memory_decades=None), probe=trained(0.2))
    cure, far = trial("cure", short), policy(AnalysisOptions(required_horizon=20))
    assert judge(cure).proven(["cure"]) == ("cure",)
    assert judge(cure, known=diagnosis(rules=far)).proven(["cure"]) == ()
    assert judge(cure, known=diagnosis((error("GH401"),), rules=far)).proven(["cure"]) == ("cure",)


def test_a_judge_knows_what_was_trained_since_it_was_made() -> None:
    laboratory = Laboratory([at("best")])
    waiting = Judge(laboratory, diagnosis())
    assert waiting.proven(["best"]) == ()
    laboratory.trials = [BEST]
    assert waiting.proven(["best"]) == ("best",)


def test_the_hopeful_are_trained_and_what_was_trained_is_judged() -> None:
    laboratory = Laboratory([at("untrained", rms=-1.9), USELESS, SECOND, BEST])
    told = Judge(laboratory, diagnosis()).remedies_of_trainings()
    assert laboratory.asked == [("best", "second", "useless", "untrained"), ("best", "second"), ("best", "second")]
    assert [remedy.variant for remedy in told] == ["best", "second"]


def test_where_no_treatment_helps_those_that_came_furthest_are_combined() -> None:
    near = at("near", 0.95)
    laboratory = Laboratory([USELESS, near], together=[at("near+useless", 0.3)])
    (remedy,) = Judge(laboratory, diagnosis()).remedies_of_trainings()
    assert laboratory.combined == [("near", "useless")]
    assert remedy.variant == "near+useless"


def test_nothing_is_combined_where_a_treatment_helps_or_only_one_was_trained() -> None:
    for trials in ([BEST, USELESS], [USELESS]):
        laboratory = Laboratory(trials)
        Judge(laboratory, diagnosis()).remedies_of_trainings()
        assert laboratory.combined == []
