"""Operators by what they do to a signal."""

from typing import Final

LINEAR: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "FusedMatMul"})
ACTIVATIONS: Final = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish", "Swish",
     "Tanh", "Softplus", "Softsign", "Mish", "ThresholdedRelu", "Clip", "Erf", "FastGelu", "BiasGelu", "QuickGelu"}
)  # fmt: skip
NORMALIZATIONS: Final = frozenset(
    {"BatchNormalization", "InstanceNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization",
     "MeanVarianceNormalization", "LpNormalization", "LRN", "SimplifiedLayerNormalization", "SkipLayerNormalization",
     "SkipSimplifiedLayerNormalization", "EmbedLayerNormalization", "GroupNorm", "SkipGroupNorm"}
)  # fmt: skip
