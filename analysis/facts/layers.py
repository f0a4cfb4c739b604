"""What one layer showed: its gradients, activations and weights."""

from collections.abc import Mapping
from dataclasses import field

from analysis.facts.kinds import fact


@fact
class GradientStats:
    """Statistics of one gradient tensor (or several of one layer, taken together)."""

    norm: float
    """L2 norm."""
    rms: float
    """Root mean square over elements."""
    max_abs: float
    zero_fraction: float
    """Share of exact zeros."""
    non_finite: int
    fp16_underflow_fraction: float | None = None
    """Share of the non-zero elements under 2^-24, which half precision flushes to zero; baseline only."""


@fact
class ActivationGradient:
    """dL/dz at the output of a layer."""

    rms: float
    norm: float


@fact
class ActivationStats:
    """The output of a layer; unit statistics are taken at its activation function."""

    mean: float
    std: float
    """Over samples, positions and units."""
    zero_fraction: float
    non_finite: int
    observations: int
    """Samples times positions seen by each unit."""
    dead_fraction: float | None = None
    """Share of units whose activation has zero slope for every observation."""
    near_dead_fraction: float | None = None
    """Share of units that have a slope for less than 1 % of the observations, the dead ones among them."""
    saturated_fraction: float | None = None
    """Share of activations where the slope is below 5 % of its maximum."""
    collapse_log10: float | None = None
    """log10 of between-sample variance over mean square: how different the samples still are."""
    effective_rank: float | None = None
    """exp of the entropy of the normalised eigenvalues of the second moment; at most units, and observations."""
    rank_limit: int | None = None
    """What the effective rank could be at most: the smaller of units and observations."""


@fact
class WeightStats:
    """A layer's weight matrices and kernels, taken together."""

    norm: float
    rms: float
    initialization_gain: float | None = None
    """sqrt(fan_in) times the standard deviation: what He and Xavier initialisation set."""
    target_gain: float | None = None
    """The gain that keeps the second moment through the activation behind the layer."""
    touched_fraction: float | None = None
    """Share of the rows of an embedding that the batch reads; norm, rms and ratios are those of these rows."""
    duplicate_fraction: float | None = None
    """Share of units whose weights equal another unit's; 1: no two can ever differ."""
    units: int | None = None
    """Rows of the weight that make one unit each."""


@fact
class LayerStats:
    """What one layer showed."""

    id: str
    weight_gradient: GradientStats | None = None
    """Pass A, weight matrices and kernels."""
    vector_gradient: GradientStats | None = None
    """Pass A, the other parameters: biases, scales, slopes, initial states."""
    activation_gradient: ActivationGradient | None = None
    """Pass A, at the layer's output."""
    block_gradient: ActivationGradient | None = None
    """The same at the output of the block (on the trunk) that the layer, beside the trunk, is the last one of."""
    activation: ActivationStats | None = None
    weight: WeightStats | None = None
    gradient_dot_weight: float | None = None
    """Sum of gradient times weight over the weight matrices."""
    update_ratio: float | None = None
    """Gradient norm over weight norm, times the learning rate where one was given; in a report, as all gradients there,
    of the loss as it is trained."""
    leverage_log10: float | None = None
    """log10 of |W| |G_B| / sqrt(batch): how far a relative change of the weights moves the outputs."""
    gain_forward: float | None = None
    """RMS of the output over that of the layer before it on the trunk."""
    gain_backward: float | None = None
    """RMS of the gradient at the layer before it on the trunk over that at this one's output (chi_1, squared, of
    Schoenholz et al. 2017 where the widths are equal)."""
    moved: float | None = None
    """|W_K - W_0| / |W_0| in the best run of the probe."""
    leads_to_loss: bool = True
    """False where the layer feeds only outputs without a target, or branches of an If that this batch does not take, or
    weighs an input that is zero in this batch; a way without slope (comparison, index) leads to the loss."""
    has_slope: bool = False
    """Whether operators with a slope lead from here to the loss: a gradient that is zero all the same was lost in the
    numbers, at saturated units or closed gates, and not by the graph."""
    blocked_by: str | None = None
    """Layer of zeros, or of dead units, that every path from here to the loss passes."""
    cancelled_by: str | None = None
    """Operator behind the layer that makes its bias irrelevant, so that its gradient is zero by design."""
    flags: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_cut_off(self) -> bool:
        """Whether every way from here to the loss has no slope: nothing can arrive."""
        arrives = self.weight_gradient is not None and self.weight_gradient.max_abs != 0
        return self.leads_to_loss and not self.has_slope and not arrives
