"""What was measured: frozen numbers that both rooms speak.

The laboratory fills these, the clinic reads them, the report publishes them under the same names. No tensors, no
prose. A number that could not be measured is None and named in the sibling `absent` with the reason; it is never
replaced by zero. `decades` are powers of ten: log10 of a ratio. Open `measurement.py` first: a Measurement holds the
others.
"""

from analysis.facts.flow import Flow, Range
from analysis.facts.kinds import Confidence, Effect, Outcome, ParityStatus, ProbeKind, Provenance, Status, Zone
from analysis.facts.layers import ActivationGradient, ActivationStats, GradientStats, LayerStats, WeightStats
from analysis.facts.measurement import (
    FOLDED_SHARE,
    Anatomy,
    AttentionStats,
    BatchFacts,
    LossFacts,
    Measurement,
    NonFinite,
    Parity,
    SampleGradients,
    TimeProfile,
)
from analysis.facts.network import (
    LOOKS_TRAINED,
    MATRIX_ROLES,
    EngineFacts,
    Layer,
    ModelFacts,
    ParameterCount,
    ParameterInfo,
    ValueFacts,
    is_matrix,
)
from analysis.facts.outputs import OutputFacts, TargetFacts
from analysis.facts.steps import LEAST_UNIT_NORM, TINY_NORM, Clip, ClipKind, GradientStep
from analysis.facts.training import (
    CARRIED_OVER,
    CARRIED_OVER_OF_FEW,
    ENOUGH_HELD_OUT,
    LATE,
    LATE_BY_HEART,
    DropoutTrial,
    LargerRate,
    NormalizationTrial,
    OwnLoss,
    Probe,
    Run,
    StartEnd,
    TargetReading,
    in_windows,
    promises,
)
from analysis.facts.variants import KEPT, STEP_FACTORS, Choices, Factor, ModelFile, VariantInfo

__all__ = [
    "CARRIED_OVER",
    "CARRIED_OVER_OF_FEW",
    "ENOUGH_HELD_OUT",
    "FOLDED_SHARE",
    "KEPT",
    "LATE",
    "LATE_BY_HEART",
    "LEAST_UNIT_NORM",
    "LOOKS_TRAINED",
    "MATRIX_ROLES",
    "STEP_FACTORS",
    "TINY_NORM",
    "ActivationGradient",
    "ActivationStats",
    "Anatomy",
    "AttentionStats",
    "BatchFacts",
    "Choices",
    "Clip",
    "ClipKind",
    "Confidence",
    "DropoutTrial",
    "Effect",
    "EngineFacts",
    "Factor",
    "Flow",
    "GradientStats",
    "GradientStep",
    "LargerRate",
    "Layer",
    "LayerStats",
    "LossFacts",
    "Measurement",
    "ModelFacts",
    "ModelFile",
    "NonFinite",
    "NormalizationTrial",
    "Outcome",
    "OutputFacts",
    "OwnLoss",
    "ParameterCount",
    "ParameterInfo",
    "Parity",
    "ParityStatus",
    "Probe",
    "ProbeKind",
    "Provenance",
    "Range",
    "Run",
    "SampleGradients",
    "StartEnd",
    "Status",
    "TargetFacts",
    "TargetReading",
    "TimeProfile",
    "ValueFacts",
    "VariantInfo",
    "WeightStats",
    "Zone",
    "in_windows",
    "is_matrix",
    "promises",
]
