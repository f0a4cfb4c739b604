"""Which treatments are worth measuring on a network: the factorial, and what is known to help its kind.

A cell chooses at most one level of each factor. The factorial {activation kept, ReLU} x {normalisation kept,
BatchNorm} x {initialisation kept, He, Xavier} x {no clipping, clipping by norm} is always in the plan, so that the
effect of each factor can be read off; decay stands beside it. The others are the cures that worked in 1700 really
trained repairs of networks of the same kind, most successful first.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Final

from analysis.facts import Measurement, OutputFacts, TargetFacts
from analysis.facts.outputs import is_softmax_of_bits
from analysis.graph.families import LINEAR
from analysis.interventions.variants import ONLY, Cell, asked_for, cell_of, variant_id
from analysis.options import AnalysisOptions

FACTORIAL: Final = ((None, "relu"), (None, "batch_norm"), (None, "he", "xavier"), (None, "clip"))
FEED_FORWARD: Final = (
    "batch_norm+residual", "relu+batch_norm+residual+he", "relu+lsuv", "lsuv", "tanh+xavier_gain", "xavier_gain",
    "residual+he", "residual", "residual+lsuv", "orthogonal", "layer_norm+he", "relu+layer_norm+he",
)  # fmt: skip
IMAGES: Final = ("group_norm", "relu+group_norm+he", "group_norm+residual")
NORMALIZED: Final = (
    "relu+residual+he", "relu+residual", "relu+residual+lsuv", "no_batch_norm+he", "no_batch_norm+lsuv",
    "no_batch_norm+residual+lsuv",
)  # fmt: skip
RECURRENT: Final = (
    "orthogonal", "orthogonal+clip", "orthogonal_memory", "orthogonal_memory+clip", "orthogonal_long",
    "orthogonal_long+clip", "identity_rnn", "identity_rnn+clip",
)  # fmt: skip
ATTENTIVE: Final = (
    "pre_ln+xavier", "pre_ln", "residual", "residual+xavier", "zero_ends", "zero_ends+xavier", "scaled_ends",
    "temperature", "temperature+xavier", "pre_ln+zero_ends", "layer_norm+residual+xavier",
)  # fmt: skip
BESIDE_CELLS: Final = 3
"""Linear layers of a recurrent network that are its head, or a projection; more are a network of their own."""
GUARDED: Final = ("guarded", "guarded+he", "guarded+lsuv", "guarded+batch_norm")
WITHOUT_IDLE: Final = ("no_idle_norm", "no_idle_norm+he")
SMOOTHED: Final = ("smoothed", "smoothed+he", "smoothed+batch_norm")
STANDARDIZED: Final = ("standardized",)
UNSCALED: Final = (0.5, 2.0)
"""RMS of the input from which standardising is tried with every other cure, too."""
OFF_CENTRE: Final = 1.0
UNREACHED: Final = 0.1
"""Least loss over chance within the range of the outputs from which another end is tried."""
FAR_OFF: Final = (0.1, 5.0)
"""Targets this many times smaller or larger than the outputs: standardising them is tried."""
IMBALANCED_DECADES: Final = 2.0


def make_plan(measurement: Measurement, options: AnalysisOptions) -> list[Cell]:
    """Cells in the order they are measured, the unchanged model not among them; none twice. Raises BadOptions."""
    ids = [] if ONLY in options.variants else [*_factorial(), *_beside(measurement)]
    cells = [*(cell_of(name) for name in ids), *asked_for(options)]
    kept = [cell for cell in cells if not any(each.token in options.without for each in cell)]
    return list(dict.fromkeys(kept))


def is_factorial(cell: Cell) -> bool:
    """Whether a cell is one of the factorial, or decay."""
    return variant_id(cell) in _factorial()


def _factorial() -> list[str]:
    """Every combination of the levels but the first, which is the unchanged model; then decay."""
    choices = ["+".join(filter(None, choice)) for choice in itertools.product(*FACTORIAL)]
    return [*choices[1:], "decay"]


def _beside(measurement: Measurement) -> Iterator[str]:
    """What helps networks of this kind."""
    if len(measurement.anatomy.linear_layers) > 1:
        yield from ("inserted_relu", "inserted_relu+he")
    if measurement.batch.along_samples:
        yield from ("transposed", *(["batch_first"] if measurement.recurrent else []))
    if measurement.non_finite is not None:
        yield from GUARDED
    if measurement.normalized and measurement.flow.blindness_log10 == -math.inf:
        yield from WITHOUT_IDLE
    if any(each.is_cut_off for each in measurement.stats):
        yield from SMOOTHED
    if measurement.dropout is not None and not measurement.dropout.learns:
        yield "weak_dropout"
    yield from _of_the_output(measurement)
    cures = list(_of_its_kind(measurement))
    yield from cures
    yield from STANDARDIZED
    if input_is_unscaled(measurement):
        yield from (f"standardized+{name}" for name in _of_the_output(measurement))
        yield from (f"standardized+{name}" for name in ("he", "xavier", "relu+batch_norm+he", *cures[:6]))


def _of_its_kind(measurement: Measurement) -> Sequence[str]:
    kind: list[str] = []
    if measurement.recurrent:
        kind += RECURRENT
    if measurement.attentive:
        kind += ATTENTIVE
    if (not measurement.recurrent and not measurement.attentive) or measurement.unrolled or _is_mixed(measurement):
        kind += FEED_FORWARD
    if measurement.convolutional:
        kind += IMAGES
    if measurement.normalized:
        kind += NORMALIZED
    if _is_imbalanced(measurement):
        kind.append("rebalanced")
    if measurement.trained:
        kind.append("relu+rescaled")
    return kind


def _is_mixed(measurement: Measurement) -> bool:
    """Whether cells stand behind or before a feed-forward network, as in speech (Sainath et al. 2015, CLDNN)."""
    linear = sum(layer.op in LINEAR for layer in measurement.layers)
    return measurement.recurrent and not measurement.attentive and linear > BESIDE_CELLS


def _of_the_output(measurement: Measurement) -> Iterator[str]:
    """What lets the outputs get to their targets, alone and with what usually helps."""
    outputs, targets = measurement.outputs, measurement.targets
    if outputs is None:
        return
    if is_softmax_of_bits(outputs, targets) or outputs.link_units == 1:
        yield from ("sigmoid_output", "sigmoid_output+he")
    elif outputs.doubled or (outputs.floor or 0.0) > UNREACHED:
        yield from ("linear_output", "linear_output+he", "batch_norm+linear_output")
        if not outputs.doubled and targets is not None and targets.kind in {"labels", "numbers"}:
            yield from ("scaled_output", "scaled_output+he", "batch_norm+scaled_output")
    elif _targets_are_far_off(outputs, targets):
        yield from ("scaled_output", "scaled_output+he", "batch_norm+scaled_output")


def _targets_are_far_off(outputs: OutputFacts, targets: TargetFacts | None) -> bool:
    if targets is None or targets.kind != "numbers" or outputs.rms is None:
        return False
    low, high = FAR_OFF
    return not low * outputs.rms < targets.rms < high * max(outputs.rms, 1.0)


def input_is_unscaled(measurement: Measurement) -> bool:
    """Whether standardising the input is tried with every other cure, too."""
    rms, off_centre = measurement.flow.input_rms, measurement.flow.input_mean_over_std
    low, high = UNSCALED
    return (rms is not None and not low <= rms <= high) or (off_centre or 0.0) > OFF_CENTRE


def _is_imbalanced(measurement: Measurement) -> bool:
    ratios = [each.update_ratio for each in measurement.stats if each.update_ratio]
    return bool(ratios) and max(ratios) > 10**IMBALANCED_DECADES * min(ratios)
