"""How much gradient survives along the trunk, and what else is said of the network as a whole."""

from collections.abc import Mapping
from dataclasses import field

from analysis.facts.kinds import Zone, fact


@fact
class Range:
    """Smallest and largest."""

    least: float
    largest: float


@fact
class Flow:
    """How much gradient survives from the logits back to the first weights, along the trunk."""

    zone: Zone = Zone.UNKNOWN
    """Filled in by the clinic."""
    decades_rms: float | None = None
    """log10 of the RMS of dL/dz at the start of the trunk over that at the logits; negative: vanishing."""
    decades_norm: float | None = None
    """The same with norms per tensor."""
    decades_per_layer: float | None = None
    transport_decades: float | None = None
    """decades_rms with a random unit cotangent instead of the loss."""
    collapse_decades: float | None = None
    """Least collapse_log10 over the layers."""
    leverage_log10: Range | None = None
    """Over weights on the trunk, both cotangents taken together."""
    leverage_by_seed: tuple[Range, ...] = ()
    """The same for each cotangent alone: a verdict wants both."""
    leverage_decades_per_layer: float | None = None
    """Theil-Sen slope of leverage against depth on the trunk."""
    logits_gradient_rms: float | None = None
    """RMS of dL/dz at the logits, pass A (of numbers: in units of their targets): what decades are relative to."""
    input_rms: float | None = None
    """RMS of what enters the trunk."""
    input_mean_over_std: float | None = None
    """|mean| over standard deviation of what enters the trunk."""
    input_far_decades: float | None = None
    """log10 of how far a value that enters lies from the median of its feature, in deviations as the middle half of the
    feature has them; left out where none lies 1000 away."""
    input_far_share: float | None = None
    """Of the samples, those that hold such a value."""
    nonlinearity_coefficient: float | None = None
    """1: linear; large: chaotic (Philipp and Carbonell 2018)."""
    nonlinearity_by_seed: tuple[float, ...] = ()
    """The same for each cotangent alone."""
    gain_log10: float | None = None
    """log10 of the standard deviation of the logits over that of what enters the trunk, both over samples."""
    blindness_log10: float | None = None
    """log10 of the spread of the logits over samples over their RMS: -2 means that all samples look the same."""
    logit_std_log10: float | None = None
    """log10 of the standard deviation of the logits over samples."""
    head_gradient_log10: float | None = None
    """log10 of a sample's gradient norm at the logits, pass A: about 0 at chance, small once converged. A graph's own
    loss has any scale, and none is told."""
    tokens_decades: float | None = None
    """Least log10 of between-token variance over mean square on the trunk of a network with attention."""
    shatter_cosine: float | None = None
    """Cosine between input gradients of x and x + 0.1 std: 1 smooth, 0 shattered (Balduzzi et al. 2017)."""
    width_sum: float | None = None
    """Sum of 1 / width over the layers of a trunk without skip paths (beta of Hanin 2018)."""
    trunk: tuple[str, ...] = ()
    """Layers on the trunk, inputs first."""
    absent: Mapping[str, str] = field(default_factory=dict)
