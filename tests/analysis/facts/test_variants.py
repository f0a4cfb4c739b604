from analysis.facts import KEPT, STEP_FACTORS, Effect, Factor, GradientStep, Status, VariantInfo


def info(name: str, plain: str) -> VariantInfo:
    return VariantInfo(
        id=name, plain=plain, choices={}, gradient_step=GradientStep(), status=Status.MEASURED,
        effect=Effect.TRAINING_ONLY,
    )  # fmt: skip


def test_a_variant_has_a_step_where_its_plain_twin_has_another_id() -> None:
    assert info("he+clip", "he").has_step
    assert info("clip", "baseline").has_step
    assert not info("he", "he").has_step


def test_only_clipping_and_decay_are_steps_and_come_last_in_an_id() -> None:
    assert frozenset({Factor.CLIP, Factor.DECAY}) == STEP_FACTORS
    assert [factor.value for factor in Factor] == [
        "input", "time", "arithmetic", "activation", "normalization", "residual", "attention", "dropout", "output",
        "initialization", "branch_ends", "clip", "decay",
    ]  # fmt: skip


def test_what_is_kept_is_no_level_that_a_treatment_could_choose() -> None:
    assert KEPT not in {factor.value for factor in Factor}


def test_a_variant_was_not_asked_whether_it_learns_unless_said() -> None:
    assert info("he", "he").learns is None
