"""What a module hands out, as the tensors in it: modules answer with tensors, sequences, mappings and records."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor


def tensors_in(found: Any) -> Iterator[Tensor]:
    """All of them in order; what is no tensor, such as a loss that was not asked for, is left out."""
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, Mapping):
        yield from tensors_in(list(found.values()))
    elif isinstance(found, list | tuple):
        for each in found:
            yield from tensors_in(each)
    elif dataclasses.is_dataclass(found) and not isinstance(found, type):
        yield from tensors_in([getattr(found, each.name) for each in dataclasses.fields(found)])
