"""A node's attributes as keyword arguments of the function that computes it.

`analysis.convert.registry` lists what the annotation of a parameter may ask for besides: the mode of the module, how
many outputs are read, element types, the name of the node.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from onnx import AttributeProto, NodeProto, TensorProto, helper, numpy_helper

from analysis.convert.definitions import Scope
from analysis.convert.registry import Element, Kind, Operator, RunMode
from analysis.convert.tensors import DTYPES, NEAREST, to_tensor
from analysis.errors import NeverSupported
from analysis.model.nodes import label


@dataclass(frozen=True, slots=True)
class Attributes:
    """Reads attributes where a node stands."""

    scope: Scope
    precision: torch.dtype
    """What takes the place of float32."""
    mode: RunMode

    def of(self, node: NodeProto, operator: Operator, read: int) -> dict[str, Any]:
        """By name; `read`: how many outputs, up to the last one that somebody reads."""
        values: dict[str, Any] = {}
        for attribute in node.attribute:
            kind = operator.attributes.get(attribute.name)
            if kind is None or kind is Kind.BODY:
                continue
            values[attribute.name] = self._attribute(attribute, kind)
        for name, kind in operator.attributes.items():
            if kind is Kind.MODE:
                values[name] = self.mode
            elif kind is Kind.OUTPUT_COUNT:
                values[name] = max(_declared(node), 1)
            elif kind is Kind.READ_COUNT:
                values[name] = max(read, 1)
            elif kind is Kind.OUTPUT_ELEMENT:
                values[name] = self._element_of(node.output[0])
            elif kind is Kind.INPUT_ELEMENTS:
                values[name] = tuple(map(self._element_of, node.input))
            elif kind is Kind.NAME:
                values[name] = label(node)
        return values

    def _attribute(self, attribute: AttributeProto, kind: Kind) -> Any:
        """The value of one attribute, as the annotation of its parameter wants it."""
        value = helper.get_attribute_value(attribute)
        if kind in {Kind.DTYPE, Kind.ELEMENT}:
            if value == TensorProto.UNDEFINED:
                return None
            element = self._element(TensorProto.DataType.Value(value.decode()) if isinstance(value, bytes) else value)
            return element.dtype if kind is Kind.DTYPE else element
        if isinstance(value, TensorProto):
            return to_tensor(np.array(numpy_helper.to_array(value)), self.precision)
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, list | tuple) or hasattr(value, "__len__"):
            return tuple(item.decode() if isinstance(item, bytes) else item for item in value)
        return value

    def _element_of(self, value: str) -> Element | None:
        known = self.scope.type_of(value)
        code = TensorProto.UNDEFINED if known is None else known.tensor_type.elem_type
        return None if code in {TensorProto.UNDEFINED, TensorProto.STRING} else self._element(code)

    def _element(self, code: int) -> Element:
        name = TensorProto.DataType.Name(code)
        dtype = DTYPES.get(code) or NEAREST.get(code)
        if dtype is None:
            raise NeverSupported(f"element type {name} carries no gradient")
        return Element(name, self.precision if dtype is torch.float32 else dtype)


def _declared(node: NodeProto) -> int:
    """How many outputs a node has; those without a name at the end do not count."""
    return max((place for place, name in enumerate(node.output, 1) if name), default=0)
