"""The shelf of treatments: INTERVENTIONS, by factor in the order of a variant's id."""

from typing import Final

from analysis.interventions.contract import Treatment
from analysis.interventions.shelf import (
    clip_gradients,
    cool_attention,
    decay_weights,
    identity_rnn,
    insert_normalization,
    move_normalization,
    orthogonalize,
    rebalance,
    reinitialize,
    remove_normalization,
    rescale_weights,
    shrink_residual_ends,
    standardize_input,
    swap_activation,
    unit_variance,
    wrap_residual,
)

INTERVENTIONS: Final[tuple[Treatment, ...]] = (
    *standardize_input.TREATMENTS,
    *swap_activation.TREATMENTS,
    *insert_normalization.TREATMENTS,
    *move_normalization.TREATMENTS,
    *remove_normalization.TREATMENTS,
    *wrap_residual.TREATMENTS,
    *cool_attention.TREATMENTS,
    *reinitialize.TREATMENTS,
    *orthogonalize.TREATMENTS,
    *unit_variance.TREATMENTS,
    *identity_rnn.TREATMENTS,
    *shrink_residual_ends.TREATMENTS,
    *rebalance.TREATMENTS,
    *rescale_weights.TREATMENTS,
    *clip_gradients.TREATMENTS,
    *decay_weights.TREATMENTS,
)
BY_TOKEN: Final = {treatment.token: treatment for treatment in INTERVENTIONS}
