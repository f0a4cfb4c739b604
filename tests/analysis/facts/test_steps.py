from analysis.facts import LEAST_UNIT_NORM, TINY_NORM, Clip, ClipKind, GradientStep


def test_the_plain_step_neither_clips_nor_decays() -> None:
    assert GradientStep() == GradientStep(clip=None, weight_decay=0.0)


def test_a_clip_does_not_know_whether_it_acts_before_a_gradient_was_measured() -> None:
    assert Clip(kind=ClipKind.VALUE, max_norm=0.1).active is None


def test_steps_that_do_the_same_are_equal_and_other_bounds_are_other_steps() -> None:
    step = GradientStep(clip=Clip(kind=ClipKind.GLOBAL_NORM, max_norm=1.0), weight_decay=0.01)
    assert step == GradientStep(clip=Clip(kind=ClipKind.GLOBAL_NORM, max_norm=1.0), weight_decay=0.01)
    assert step != GradientStep(clip=Clip(kind=ClipKind.VALUE, max_norm=1.0), weight_decay=0.01)


def test_adaptive_clipping_is_that_of_its_authors() -> None:
    """Brock et al. 2021: epsilon of equation 3, and the least gradient norm of their published code."""
    assert (LEAST_UNIT_NORM, TINY_NORM) == (1e-3, 1e-6)
