"""The shelf of treatments: INTERVENTIONS, by factor in the order of a variant's id; a line for each file."""

from typing import Final

from analysis.facts import Factor
from analysis.interventions.treatment import Treatment, treatments

INTERVENTIONS: Final[tuple[Treatment, ...]] = (
    *treatments("standardize_input", Factor.INPUT, "standardized"),
    *treatments("run_along_time", Factor.TIME, "batch_first"),
    *treatments("transpose_axes", Factor.TIME, "transposed"),
    *treatments("guard_operators", Factor.ARITHMETIC, "guarded"),
    *treatments("smooth_steps", Factor.ACTIVATION, "smoothed"),
    *treatments("insert_activation", Factor.ACTIVATION, "inserted_relu"),
    *treatments("swap_activation", Factor.ACTIVATION, "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh"),
    *treatments("insert_normalization", Factor.NORMALIZATION, "batch_norm", "layer_norm", "group_norm"),
    *treatments("move_normalization", Factor.NORMALIZATION, "pre_ln"),
    *treatments("remove_normalization", Factor.NORMALIZATION, "no_batch_norm", "no_idle_norm"),
    *treatments("wrap_residual", Factor.RESIDUAL, "residual"),
    *treatments("cool_attention", Factor.ATTENTION, "temperature"),
    *treatments("weaken_dropout", Factor.DROPOUT, "weak_dropout"),
    *treatments("replace_output", Factor.OUTPUT, "linear_output", "sigmoid_output"),
    *treatments("scale_output", Factor.OUTPUT, "scaled_output"),
    *treatments("reinitialize", Factor.INITIALIZATION, "he", "xavier", "xavier_gain", "he_uniform", "he_fan_out",
                "xavier_uniform"),
    *treatments("orthogonalize", Factor.INITIALIZATION, "orthogonal", "orthogonal_memory", "orthogonal_long"),
    *treatments("unit_variance", Factor.INITIALIZATION, "lsuv"),
    *treatments("identity_rnn", Factor.INITIALIZATION, "identity_rnn"),
    *treatments("shrink_residual_ends", Factor.BRANCH_ENDS, "zero_ends", "scaled_ends"),
    *treatments("rebalance", Factor.INITIALIZATION, "rebalanced"),
    *treatments("rescale_weights", Factor.INITIALIZATION, "rescaled"),
    *treatments("clip_gradients", Factor.CLIP, "clip", "clip_value", "clip_adaptive"),
    *treatments("decay_weights", Factor.DECAY, "decay"),
)  # fmt: skip
BY_TOKEN: Final = {treatment.token: treatment for treatment in INTERVENTIONS}
