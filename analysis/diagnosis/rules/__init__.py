"""The shelf of rules: RULES, in the order of their ids. `analysis.diagnosis.contract` says what a rule is."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from analysis.diagnosis.contract import Rule
from analysis.diagnosis.rules.batch_axis import batch_axis
from analysis.diagnosis.rules.batch_of_one import batch_of_one
from analysis.diagnosis.rules.cancelled_parameter import cancelled_parameter
from analysis.diagnosis.rules.chaotic_gradient import chaotic_gradient
from analysis.diagnosis.rules.collapsed_tokens import collapsed_tokens
from analysis.diagnosis.rules.converged import converged
from analysis.diagnosis.rules.dead_units import dead_units
from analysis.diagnosis.rules.does_not_learn import does_not_learn
from analysis.diagnosis.rules.doubled_link import doubled_link
from analysis.diagnosis.rules.dropout_strength import dropout_strength
from analysis.diagnosis.rules.exploding_gradient import exploding_gradient
from analysis.diagnosis.rules.exploding_memory import exploding_memory
from analysis.diagnosis.rules.fading_memory import fading_memory
from analysis.diagnosis.rules.flat_output import flat_output
from analysis.diagnosis.rules.folded_normalization import folded_normalization
from analysis.diagnosis.rules.ill_conditioned_parity import ill_conditioned_parity
from analysis.diagnosis.rules.input_blind import input_blind
from analysis.diagnosis.rules.input_scale import input_scale
from analysis.diagnosis.rules.layer_scale import layer_scale
from analysis.diagnosis.rules.loss_head import loss_head
from analysis.diagnosis.rules.low_signal import low_signal
from analysis.diagnosis.rules.narrow_deep import narrow_deep
from analysis.diagnosis.rules.no_gradient import no_gradient
from analysis.diagnosis.rules.no_nonlinearity import no_nonlinearity
from analysis.diagnosis.rules.non_finite import non_finite
from analysis.diagnosis.rules.output_range import output_range
from analysis.diagnosis.rules.own_learning_rate import own_learning_rate
from analysis.diagnosis.rules.own_loss import own_loss
from analysis.diagnosis.rules.poor_initialization import poor_initialization
from analysis.diagnosis.rules.rank_collapse import rank_collapse
from analysis.diagnosis.rules.saturated_attention import saturated_attention
from analysis.diagnosis.rules.saturated_units import saturated_units
from analysis.diagnosis.rules.scale_imbalance import scale_imbalance
from analysis.diagnosis.rules.shattered_gradient import shattered_gradient
from analysis.diagnosis.rules.stalled_early_layers import stalled_early_layers
from analysis.diagnosis.rules.straight_through import straight_through
from analysis.diagnosis.rules.symmetric_units import symmetric_units
from analysis.diagnosis.rules.synthetic_batch import synthetic_batch
from analysis.diagnosis.rules.target_faults import target_faults
from analysis.diagnosis.rules.target_scale import target_scale
from analysis.diagnosis.rules.unlearnable_targets import unlearnable_targets
from analysis.diagnosis.rules.unstable_training import unstable_training
from analysis.diagnosis.rules.update_ratio import update_ratio
from analysis.diagnosis.rules.vanishing_gradient import vanishing_gradient
from analysis.diagnosis.rules.zero_initialized_branch import zero_initialized_branch

RULES: Final[tuple[Rule, ...]] = (
    vanishing_gradient,
    exploding_gradient,
    chaotic_gradient,
    shattered_gradient,
    does_not_learn,
    non_finite,
    stalled_early_layers,
    unstable_training,
    own_learning_rate,
    dead_units,
    saturated_units,
    input_blind,
    rank_collapse,
    collapsed_tokens,
    flat_output,
    saturated_attention,
    poor_initialization,
    symmetric_units,
    scale_imbalance,
    update_ratio,
    input_scale,
    narrow_deep,
    no_nonlinearity,
    target_scale,
    fading_memory,
    exploding_memory,
    loss_head,
    low_signal,
    output_range,
    doubled_link,
    unlearnable_targets,
    target_faults,
    no_gradient,
    dropout_strength,
    batch_axis,
    batch_of_one,
    own_loss,
    converged,
    zero_initialized_branch,
    layer_scale,
    cancelled_parameter,
    folded_normalization,
    straight_through,
    synthetic_batch,
    ill_conditioned_parity,
)
BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}
_repeated = [rule_id for rule_id, count in Counter(rule.id for rule in RULES).items() if count > 1]
if _repeated:
    raise ValueError(f"rule ids used twice: {_repeated}")
