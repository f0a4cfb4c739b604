"""What was measured: frozen numbers that both rooms speak.

The laboratory fills these, the clinic reads them, the report publishes them under the same names. No tensors, no
prose. A number that could not be measured is None and named in the sibling `absent` with the reason; it is never
replaced by zero. `decades` are powers of ten: log10 of a ratio.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def _fact(kind: type[T]) -> type[T]:
    return dataclass(frozen=True, slots=True, kw_only=True)(kind)


class Confidence(StrEnum):
    """How sure a statement is; independent of how bad it would be."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Effect(StrEnum):
    """What an edit preserves."""

    PRESERVES_OUTPUT = "preserves_output"
    CHANGES_FUNCTION = "changes_function"
    TRAINING_ONLY = "training_only"


class Status(StrEnum):
    """How far a variant got."""

    MEASURED = "measured"
    DERIVED = "derived"
    NOT_APPLICABLE = "not_applicable"
    LEFT_OUT = "left_out"


class ParityStatus(StrEnum):
    """Whether torch and onnxruntime compute the same function on this batch."""

    EQUAL = "equal"
    ILL_CONDITIONED = "ill_conditioned"
    UNAVAILABLE = "unavailable"


class Outcome(StrEnum):
    """How a short training run ended."""

    LEARNT = "learnt"
    SLOW = "slow"
    STALLED = "stalled"
    OSCILLATING = "oscillating"
    DIVERGED = "diverged"


class ProbeKind(StrEnum):
    """What a short training shows: minibatches out of many samples test learning, one batch tests memorising."""

    LEARNING = "learning"
    MEMORIZING = "memorizing"


class Zone(StrEnum):
    """What flow alone says; grey is for the probe."""

    GREEN = "green"
    GREY = "grey"
    RED = "red"
    UNKNOWN = "unknown"


class Provenance(StrEnum):
    """Where inputs or targets come from."""

    UPLOADED = "uploaded"
    SYNTHETIC = "synthetic"
    NOT_NEEDED = "not_needed"


# ------------------------------------------------------------------ the network


MATRIX_ROLES: Final = frozenset({"weight", "recurrent_weight", "embedding"})
"""Roles whose tensors multiply; all others add, scale or start."""


def is_matrix(role: str) -> bool:
    """Whether a parameter of this role (perhaps numbered: `weight.2`) is a weight matrix or kernel."""
    return role.split(".", maxsplit=1)[0] in MATRIX_ROLES


@_fact
class ParameterInfo:
    """One trainable tensor of a layer."""

    initializer: str
    shape: tuple[int, ...]


@_fact
class Layer:
    """A node that owns trainable weights, with the bias added behind it."""

    id: str
    """Stable within a model: `layer-01` in topological order."""
    name: str
    op: str
    depth: int
    """Layers on the longest path from an input up to and including this one."""
    on_trunk: bool
    """Whether every path from the inputs to the loss passes through its output."""
    activation: str | None = None
    """ONNX operator of the activation behind it; Relu6 for a Clip from 0, Gelu and Swish also where written out."""
    parameters: Mapping[str, ParameterInfo]
    """By role: weight, recurrent_weight, bias, scale, embedding, slope, initial_state, offset."""
    output: str
    """Value it writes, bias included."""
    pre_activation: str | None = None
    """Value that enters its activation: the output, perhaps normalised or added to a skip path."""
    activated: str | None = None
    """Value behind its activation."""


@_fact
class ParameterCount:
    """Elements, ties counted once."""

    trainable: int
    frozen: int


@_fact
class ValueFacts:
    """An input or output of the graph."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None = None
    """None for an open dimension; left out where even the rank is open."""


@_fact
class ModelFacts:
    """The model as uploaded."""

    name: str
    sha256: str
    size_bytes: int
    producer: str
    opset: Mapping[str, int]
    nodes: int
    parameters: ParameterCount
    inputs: tuple[ValueFacts, ...]
    outputs: tuple[ValueFacts, ...]
    frozen: Mapping[str, str]
    """Initialisers that do not train, and why."""
    notes: tuple[str, ...]


@_fact
class EngineFacts:
    """What computed the numbers."""

    version: str
    torch: str
    onnx: str
    onnxruntime: str
    device: str
    threads: int
    seed: int
    effort: str
    precision: str
    """float64 where gradients left the range of float32."""
    sandbox: Mapping[str, str]


# ------------------------------------------------------------------ one variant, one batch


@_fact
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


@_fact
class ActivationGradient:
    """dL/dz at the output of a layer."""

    rms: float
    norm: float


@_fact
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


@_fact
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


@_fact
class LayerStats:
    """What one layer showed."""

    id: str
    weight_gradient: GradientStats | None = None
    """Pass A, weight matrices and kernels."""
    vector_gradient: GradientStats | None = None
    """Pass A, the other parameters: biases, scales, slopes, initial states."""
    activation_gradient: ActivationGradient | None = None
    """Pass A, at the layer's output."""
    activation: ActivationStats | None = None
    weight: WeightStats | None = None
    gradient_dot_weight: float | None = None
    """Sum of gradient times weight over the weight matrices."""
    update_ratio: float | None = None
    """Gradient norm over weight norm, times the learning rate where one was given."""
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
    """False where the layer feeds only outputs without a target; a way without slope (comparison, index) is one."""
    blocked_by: str | None = None
    """Layer of zeros, or of dead units, that every path from here to the loss passes."""
    cancelled_by: str | None = None
    """Operator behind the layer that makes its bias irrelevant, so that its gradient is zero by design."""
    flags: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)


@_fact
class Range:
    """Smallest and largest."""

    least: float
    largest: float


@_fact
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


@_fact
class AttentionStats:
    """One attention: weights over keys, averaged over samples, heads and queries."""

    node: str
    """The Softmax, or the operator that holds it."""
    entropy_share: float
    """Entropy of a query's weights over log of the keys it may see: 1 uniform, 0 one key."""
    score_std: float
    """Standard deviation of a query's scores over the keys it may see."""
    keys: int


@_fact
class TimeProfile:
    """The gradient at the states of one recurrent chain, step by step."""

    node: str
    direction: str
    """forward or reverse: which way the chain runs through time."""
    gradient_log10: tuple[float, ...]
    """log10 of |dL/dh_t| over batch and units, t in the order of time; of several states (LSTM: h and c) the larger."""
    growth_decades: float | None = None
    """At the first step the chain runs through minus at the last one that gets any gradient."""
    state_growth_decades: float | None = None
    """log10 of the RMS of the state at the last step the chain runs through over the first; of several the larger."""
    horizon_steps: int | None = None
    """Steps back from the last one that the gradient stays over 1 % of its peak."""
    memory_decades: float | None = None
    """At the informative step minus at the peak; both chains of a bidirectional node taken together."""
    informative_step: int | None = None
    """The step whose input tells most about the label; of several that tell about as much, the one reached best."""
    informative_share: float | None = None
    """Between-class share of variance of its best feature."""
    readable_share: float | None = None
    """Of the labels of samples it has not seen, what a linear reader of the informative steps names right: 0 as by
    guessing the most frequent one, 1 all."""
    absent: Mapping[str, str] = field(default_factory=dict)


@_fact
class SampleGradients:
    """How far the gradients of single samples agree."""

    samples: int
    method: str
    """ghost (from activations and their gradients) or loop (one backward pass a sample)."""
    least_norm: float
    median_norm: float
    largest_norm: float
    coherence: float
    """B |mean|^2 / mean |g_b|^2: 1 for orthogonal gradients, B for equal ones (Chatterjee 2020)."""
    noise_scale: float | None = None
    """tr(Sigma) / |G|^2, the batch size at which noise and signal are equal (McCandlish et al. 2018)."""
    absent: Mapping[str, str] = field(default_factory=dict)


@_fact
class Anatomy:
    """What the graph and its weights show without running."""

    zero_branches: tuple[str, ...] = ()
    """Layers off the trunk whose weights, or scale, are all zero: branches that start closed."""
    zero_head: str | None = None
    """Last layer, if its weights are all zero, or so small that what enters it gets no gradient at first."""
    layer_scales: Mapping[str, float] = field(default_factory=dict)
    """Small learnt factors at the end of a residual branch: initialiser to largest absolute value."""
    cancelled: Mapping[str, str] = field(default_factory=dict)
    """Initialisers whose effect an operator removes, and the operator."""
    straight_through: tuple[str, ...] = ()
    """Quantising nodes that pass gradients as if they were not there."""
    head_operators: tuple[str, ...] = ()
    """Operators from the logits to the output, in order."""
    head_activation: str | None = None
    """An activation whose output is read as logits."""
    stacked_links: tuple[str, ...] = ()
    """Softmax or sigmoid nodes in front of the logits, where another one follows or the loss brings its own."""
    channel_norm_spread: float | None = None
    """log10 of the largest over the smallest norm of an output channel, median over convolutions with a bias."""
    fresh_biases: bool = False
    """Whether all biases of convolutions are exactly zero."""
    folded_share: float | None = None
    """Share of convolutions as an exporter leaves them that folds normalisation: without a bias, or with a weight that
    it computed and named itself; of at least three."""


@_fact
class NonFinite:
    """Where NaN or infinity appears first."""

    stage: str
    """forward, loss or backward."""
    node: str
    value: str


@_fact
class LossFacts:
    """The loss that pass A differentiates."""

    name: str
    chosen: str
    """Why this one."""
    value: float
    """Mean over samples; mean squared error is divided by the variance of the targets."""
    chance: float | None = None
    """Loss of the best constant prediction on this batch."""
    targets: Provenance
    absent: Mapping[str, str] = field(default_factory=dict)


@_fact
class BatchFacts:
    """The sample batch."""

    sha256: str
    size: int
    provenance: Provenance
    constant_inputs: bool
    """All samples are equal: no statement about units is possible."""
    notes: tuple[str, ...] = ()


@_fact
class Parity:
    """Torch against onnxruntime on the same batch, eval mode."""

    reference: str
    status: ParityStatus
    max_absolute_error: float | None = None
    max_relative_error: float | None = None
    """Largest absolute error over the output's scale (its largest absolute value)."""
    detail: str = ""


@_fact
class StartEnd:
    """A quantity before and after training."""

    start: float
    end: float


@_fact
class Run:
    """One short training."""

    optimizer: str
    momentum: float | None = None
    learning_rate: float
    seed: int
    outcome: Outcome
    curve: tuple[float, ...]
    """Loss over chance before each step and after the last."""
    held_out: tuple[float, ...] = ()
    """The same on samples that it was not trained on, every ten steps; where there are any, they decide the outcome."""
    weight_norm: StartEnd
    moved: Mapping[str, float]
    """Layer id to |W_K - W_0| / |W_0|."""

    @property
    def end(self) -> float:
        """The loss that counts: the best on samples held out, or else the last; infinite where it is no number."""
        end = min(filter(math.isfinite, self.held_out), default=math.inf) if self.held_out else self.curve[-1]
        return end if math.isfinite(end) else math.inf


@_fact
class LargerRate:
    """The unchanged network at a learning rate it cannot take, and the same with clipping by norm."""

    without: Run
    clipped: Run
    max_norm: float


@_fact
class Probe:
    """Short trainings of one variant on the sample batch; weights are restored after."""

    kind: ProbeKind
    steps: int
    samples: int
    minibatch: int
    held_out: int = 0
    """Samples kept from training, to see whether what is learnt carries over to them."""
    best_loss_over_chance: float
    """Best run of the worst seed."""
    late: bool = False
    """Runs that had not learnt were given four times as many steps, and had learnt only under 0.2 of chance."""
    unfinished: bool = False
    """They were to be given more steps, and the budget ended before."""
    runs: tuple[Run, ...]

    def learns(self, optimizer: str) -> bool:
        """Whether some run with this optimiser learnt, for every seed that was run."""
        seeds = {run.seed for run in self.runs}
        return all(
            any(run.outcome is Outcome.LEARNT for run in self.runs if run.seed == seed and run.optimizer == optimizer)
            for seed in seeds
        )

    @property
    def fails_sgd_alone(self) -> bool:
        """Whether plain gradient descent is all that a remedy has to mend."""
        return self.learns("adam") and not self.learns("sgd")


@_fact
class Measurement:
    """Everything one variant showed on one batch: what the rules read."""

    layers: tuple[Layer, ...]
    stats: tuple[LayerStats, ...]
    """In the order of `layers`."""
    batch: BatchFacts
    loss: LossFacts
    flow: Flow
    total_gradient_norm: float
    """Over all trainable parameters, pass A."""
    total_weight_norm: float
    gradient_dot_weight: float
    """Sum of gradient times weight: with the two norms it gives any decay or clip without another pass."""
    batch_statistics: bool
    """BatchNorm used the statistics of the batch."""
    idle_normalization: bool = False
    """BatchNorm used running statistics that no training has collected: it lets everything through as it comes."""
    recurrent: bool
    normalized: bool
    convolutional: bool
    attentive: bool
    anatomy: Anatomy = field(default_factory=Anatomy)
    attention: tuple[AttentionStats, ...] = ()
    through_time: tuple[TimeProfile, ...] = ()
    """Recurrent nodes and loops, inputs first."""
    sample_gradients: SampleGradients | None = None
    trained: bool = False
    """The weights look trained."""
    learning_rate: float | None = None
    """The user's own, where one was given."""
    non_finite: NonFinite | None = None
    absent: Mapping[str, str] = field(default_factory=dict)
    cotangents: int = 0
    """Backward passes with a random cotangent; 0: pass B was not run."""
    parity: Parity | None = None
    probe: Probe | None = None
    confidence_cap: Confidence = Confidence.HIGH
    cap_reasons: tuple[str, ...] = ()


# ------------------------------------------------------------------ treatments


LEAST_UNIT_NORM: Final = 1e-3
"""Of a unit's weights in adaptive clipping, so that zeros can leave (Brock et al. 2021, equation 3)."""
TINY_NORM: Final = 1e-6
"""Of a unit's gradient there, so that nothing is divided by zero."""


class ClipKind(StrEnum):
    """What a clip bounds: the joint norm, each element, or each unit in proportion to its weights."""

    GLOBAL_NORM = "global_norm"
    VALUE = "value"
    ADAPTIVE = "adaptive"


@_fact
class Clip:
    """Gradient clipping."""

    kind: ClipKind
    max_norm: float
    """The bound: of the norm, of an element's magnitude, or of a unit's gradient over its weights."""
    active: bool | None = None
    """Whether the measured gradient is over the limit."""


@_fact
class GradientStep:
    """What an optimiser would see of the gradient; clip first, then decay."""

    clip: Clip | None = None
    weight_decay: float = 0.0


@_fact
class Structure:
    """Choices that edit the graph."""

    input: str = "kept"
    activation: str = "kept"
    normalization: str = "kept"
    residual: str = "kept"
    attention: str = "kept"


@_fact
class ParameterChoice:
    """Choices that redraw weights."""

    initialization: str = "kept"
    branch_ends: str = "kept"
    seed: int | None = None


@_fact
class VariantInfo:
    """One cell of the experiment."""

    id: str
    """Tokens joined by `+`: input, activation, normalization, residual, attention, initialization, branch ends, clip,
    decay; or `baseline`."""
    structure: Structure
    parameters: ParameterChoice
    gradient_step: GradientStep
    status: Status
    effect: Effect | None = None
    same_as: str | None = None
    reason: str | None = None
    """Why it is not applicable or left out."""
    replicates: int = 1
    """Seeds drawn."""
    destructive: bool = False
    """Redraws weights that look trained."""
    cost: str = ""
    """How much it changes."""
    recipe: str = ""
    """What to do, in words."""
    learns: bool | None = None
    """Whether it also learnt from minibatches, under 0.2 of chance in 200 steps; None where it was not asked."""
