"""The shelf of treatments: INTERVENTIONS, by factor in the order of a variant's id."""

from typing import Final

from analysis.interventions import clip_gradients, insert_normalization, reinitialize, swap_activation
from analysis.interventions._base import Treatment

INTERVENTIONS: Final[tuple[Treatment, ...]] = (
    swap_activation.TREATMENT,
    insert_normalization.TREATMENT,
    reinitialize.HE,
    reinitialize.XAVIER,
    clip_gradients.TREATMENT,
)
