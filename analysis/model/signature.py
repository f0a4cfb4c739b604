"""What torch's current exporter says of the tensors it wrote: which the module trains, and which it does not.

It keeps the signature of the exported program beside the graph, and of every tensor that it computed itself the names
of those that went into it:

    p_emb_weight: PARAMETER target='emb.weight'
    b_pe: BUFFER target='pe' persistent=True
    c_k: CONSTANT_TENSOR target='k'

    val_0   folded from ['emb.weight']      a weight, laid out anew: it trains
    mul     folded from ['pe', 'val_2']     made of no parameter: it trains no more than `pe` does

Before torch 2.7 the signature was written as Python writes it, before onnxscript 0.5 nothing said what was folded.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import ModelProto, helper

from analysis.model.checked import FLOATS
from analysis.model.weights import Array, Stored, Weights

SIGNATURE: Final = "pkg.torch.export.ExportedProgram.graph_signature"
FOLDED_FROM: Final = "pkg.onnxscript.optimizer.folded_from"
PARAMETER: Final = "PARAMETER"
REASONS: Final[Mapping[str, str]] = {
    "BUFFER": "a buffer of the module, which it does not train",
    "CONSTANT_TENSOR": "a constant of the module, which it does not train",
}
COMPUTED: Final = "computed by the exporter, from no parameter of the module"
LINE: Final = re.compile(r"^\w+: ([A-Z_]+) target='([^'\n]*)'", re.MULTILINE)
SPEC: Final = re.compile(r"kind=<InputKind\.([A-Z_]+): \d+>, arg=\w+\([^)]*\), target='([^']*)'")
QUOTED: Final = re.compile(r"'([^']*)'")
STATISTIC: Final = re.compile(r"(^|\.)(running_mean|running_var|num_batches_tracked)$")
"""Buffers whose place in the graph says more."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The tensors of the exported module, by the names that the file has for them."""

    kinds: Mapping[str, str]
    """Tensor -> PARAMETER, BUFFER, CONSTANT_TENSOR; those that are not in the graph any more, too."""
    folded: Mapping[str, frozenset[str]]
    """Tensor that the exporter computed -> what it was computed from, directly or not."""

    @property
    def has_statistics(self) -> bool:
        """Whether the module keeps running statistics, in the graph or folded into its weights."""
        return any(name.endswith("running_mean") for name in self.kinds)

    def trains(self, name: str) -> bool:
        """Whether it is a parameter of the module, or made of one."""
        return any(self.kinds.get(each) == PARAMETER for each in (name, *self.folded.get(name, ())))

    def why_not(self, name: str) -> str:
        """Why a tensor does not train; empty where it does, or nobody says."""
        if self.trains(name) or STATISTIC.search(name):
            return ""
        return COMPUTED if name in self.folded else REASONS.get(self.kinds.get(name, ""), "")


def read_signature(proto: ModelProto) -> Signature | None:
    """What the file says; None where it says nothing."""
    text = next((each.value for each in proto.graph.metadata_props if each.key == SIGNATURE), "")
    kinds = {name: kind for kind, name in LINE.findall(text) or SPEC.findall(text)}
    if not kinds:
        return None
    written = {
        value.name: next((each.value for each in value.metadata_props if each.key == FOLDED_FROM), "")
        for value in proto.graph.value_info
    }
    return Signature(kinds, {name: frozenset(QUOTED.findall(names)) for name, names in written.items() if names})


def untrained(signature: Signature | None, entries: Mapping[str, Stored | Array]) -> dict[str, str]:
    """Tensors of floats that the module does not train -> why.

    Those with equal elements are left to their place in the graph: the exporter stores equal tensors once, and a buffer
    of zeros may be somebody's fresh bias, too. Integers may stand for weights.
    """
    if signature is None:
        return {}
    found = {name: signature.why_not(name) for name in entries}
    return {name: why for name, why in found.items() if why and _is_drawn(entries[name])}


def _is_drawn(entry: Stored | Array) -> bool:
    """Whether a tensor holds floats that are not all the same."""
    if helper.np_dtype_to_tensor_dtype(entry.dtype) not in FLOATS:
        return False
    array = Weights({"entry": entry})["entry"]
    return bool(array.size == 1 or np.any(array != array.flat[:1]))
