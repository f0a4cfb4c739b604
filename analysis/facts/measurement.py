"""Everything one variant showed on one batch, and what is said of its parts beside layers, flow and training."""

from collections.abc import Mapping
from dataclasses import field
from typing import Final

from analysis.facts.flow import Flow
from analysis.facts.kinds import Confidence, ParityStatus, Provenance, fact
from analysis.facts.layers import LayerStats
from analysis.facts.network import Layer
from analysis.facts.outputs import OutputFacts, TargetFacts
from analysis.facts.training import DropoutTrial, NormalizationTrial, OwnLoss, Probe, TargetReading


@fact
class AttentionStats:
    """One attention: weights over keys, averaged over samples, heads and queries."""

    node: str
    """The Softmax, or the operator that holds it."""
    entropy_share: float
    """Entropy of a query's weights over log of the keys it may see: 1 uniform, 0 one key."""
    score_std: float
    """Standard deviation of a query's scores over the keys it may see."""
    keys: int


@fact
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


@fact
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


@fact
class Anatomy:
    """What the graph and its weights show without running."""

    zero_branches: tuple[str, ...] = ()
    """Layers off the trunk whose weights, or scale, are all zero: branches that start closed."""
    zero_layers: tuple[str, ...] = ()
    """The same on the trunk, in front of the last layer: nothing tells samples apart behind them."""
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
    linear_layers: tuple[str, ...] = ()
    """Layers with matrices, where from the inputs to the logits all of them are one linear map."""
    most_dropout: float | None = None
    """The largest share that a Dropout of the graph sets to zero."""
    channel_norm_spread: float | None = None
    """log10 of the largest over the smallest norm of an output channel, median over convolutions with a bias."""
    fresh_biases: bool = False
    """Whether all biases of convolutions are exactly zero."""
    folded_share: float | None = None
    """Share of convolutions as an exporter leaves them that folds normalisation: without a bias, or with a weight that
    it computed and named itself; of at least three."""
    kept_statistics: bool | None = None
    """Whether the module that was exported kept running statistics, which BatchNormalization does; None where the file
    does not say."""


@fact
class NonFinite:
    """Where NaN or infinity appears first."""

    stage: str
    """forward, loss or backward."""
    node: str
    value: str
    operator: str = ""
    """What made it: of the node, or on the way back those that read the value."""


@fact
class LossFacts:
    """The loss that pass A differentiates."""

    name: str
    chosen: str
    """Why this one."""
    value: float
    """Mean over samples; squared error is divided by the variance of the targets, their own entropy is taken off."""
    target_variance: float = 1.0
    """That variance, 1 for other losses: times it, gradients are those of the loss as it is trained."""
    chance: float | None = None
    """Loss of the best constant prediction on this batch."""
    targets: Provenance
    target_count: int = 0
    """Labels or numbers that the targets hold, all samples together."""
    absent: Mapping[str, str] = field(default_factory=dict)


@fact
class BatchFacts:
    """The sample batch."""

    sha256: str
    size: int
    provenance: Provenance
    constant_inputs: bool
    """All samples are equal: no statement about units is possible."""
    along_samples: str = ""
    """The node that runs along the samples, attends along them, or makes one answer of all, as of one sequence."""
    notes: tuple[str, ...] = ()


@fact
class Parity:
    """Torch against onnxruntime on the same batch, eval mode."""

    reference: str
    status: ParityStatus
    max_absolute_error: float | None = None
    max_relative_error: float | None = None
    """Largest absolute error over the output's scale (its largest absolute value)."""
    own_relative_error: float | None = None
    """Torch's float32 against its float64, the same way: how uncertain gradients are."""
    detail: str = ""


FOLDED_SHARE: Final = 0.5
"""Of convolutions; those around which a network had normalisation have no bias, or a weight the exporter named."""


@fact
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
    unrolled: bool = False
    """Recurrent by a cell that an exporter wrote out step by step: treatments see its layers, not a cell."""
    normalized: bool
    convolutional: bool
    attentive: bool
    anatomy: Anatomy = field(default_factory=Anatomy)
    outputs: OutputFacts | None = None
    """Looked at where the rules are to explain them."""
    targets: TargetFacts | None = None
    """Of targets that were sent."""
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
    unfolded: Probe | None = None
    """The same network with BatchNormalization put back, trained where the graph looks folded and does not learn."""
    own_loss: OwnLoss | None = None
    """Where the graph ends in its own loss, and was trained by it."""
    dropout: DropoutTrial | None = None
    """Where the graph has Dropout, and some run learnt without it."""
    normalization: NormalizationTrial | None = None
    """Where some run learns, and BatchNormalization as in the user's own training may be what keeps it from that."""
    values_per_channel: int | None = None
    """On a batch of one sample, of the BatchNormalization that sees fewest; None without one, or of more samples."""
    target_reading: TargetReading | None = None
    """Asked for where plain gradient descent did not learn promptly from minibatches."""
    confidence_cap: Confidence = Confidence.HIGH
    cap_reasons: tuple[str, ...] = ()

    @property
    def looks_folded(self) -> bool:
        """Whether the convolutions once had a normalisation behind them and none is left, but for that of attention."""
        share, never_there = self.anatomy.folded_share, self.anatomy.kept_statistics is False
        left = self.normalized and not self.attentive
        return share is not None and share >= FOLDED_SHARE and not left and not never_there

    @property
    def trains_unfolded(self) -> bool:
        """Whether plain gradient descent learns with BatchNormalization put back, and not as the graph is."""
        return self.unfolded is not None and self.unfolded.learns("sgd")
