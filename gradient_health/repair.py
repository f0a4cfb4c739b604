"""A module with the change that was proven on its export: parts exchanged by their paths, weights by their names."""

import copy
import itertools
import shutil
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from analysis.convert import convert
from analysis.errors import Unsupported
from analysis.facts import STEP_FACTORS, Layer
from analysis.graph.training_state import asks_for_batch_statistics
from analysis.interventions.variants import cell_of
from analysis.model import CheckedModel, check_model
from gradient_health.change import Change, Place, change_of
from gradient_health.export import called_by_name, untouched
from gradient_health.outputs import tensors_in

TOLERANCE: Final = 1e-3
"""How far outputs may differ, over their scale."""


@dataclass(frozen=True, eq=False)
class Repair:
    """What it takes to repair a module."""

    variant: str
    model: Path
    """The repaired export."""
    places: Mapping[str, Place]
    layers: tuple[Layer, ...]
    inputs: Mapping[str, Tensor]
    """By which module and export are held against each other."""
    temporary: bool = False
    """Whether the folder of the model is this one's own."""

    def __post_init__(self) -> None:
        """A folder that nobody asked for goes with this."""
        if self.temporary:
            weakref.finalize(self, shutil.rmtree, self.model.parent, ignore_errors=True)

    @property
    def tokens(self) -> tuple[str, ...]:
        """What the variant does to the network, the gradient step left out."""
        return tuple(each.token for each in cell_of(self.variant) if each.factor not in STEP_FACTORS)

    def change_of(self, module: nn.Module, model: CheckedModel) -> Change:
        """By the paths of the module."""
        return change_of(module, self.places, self.layers, self.tokens, model)

    def repaired(self, module: nn.Module) -> nn.Module:
        """A changed copy. Raises Unsupported."""
        model = check_model(self.model)
        change = self.change_of(module, model)
        if change.in_forward:
            raise Unsupported(
                f"{self.variant} changes what stands in forward: {'; '.join(change.in_forward)}",
                where=type(module).__name__,
                hint="change forward by hand, or train the repaired ONNX model (models_dir keeps it)",
            )
        own = copy.deepcopy(module)
        _fill(own, model)
        new = edited(own, change)
        self._hold_against(new, model)
        return new

    def _hold_against(self, module: nn.Module, model: CheckedModel) -> None:
        """Raises Unsupported where the module does not compute what the repaired export does."""
        opset = model.opset()
        by_the_batch = [
            self.places[node.output[0]].path
            for node in model.nodes
            if node.op_type == "BatchNormalization"
            and asks_for_batch_statistics(node, opset)
            and node.output[0] in self.places
        ]
        expected = _outputs_of_graph(model, self.inputs)
        found = _outputs(module, self.inputs, by_the_batch)
        for theirs, ours in zip(expected, found, strict=False):
            scale = max(float(theirs.abs().max()) if theirs.numel() else 0.0, 1e-6)
            if theirs.shape != ours.shape or not _is_near(theirs, ours, TOLERANCE * scale):
                raise Unsupported(
                    f"the module with the parts of {self.variant} exchanged computes something else than the repaired"
                    " export: it does in forward what is no part of it, or calls one part for several things",
                    where=type(module).__name__,
                    hint="change it by hand, or train the repaired ONNX model (models_dir keeps it)",
                )


def edited(module: nn.Module, change: Change) -> nn.Module:
    """The same module with parts exchanged in place, under every name that they have; another one if it is one part."""
    parts = dict(module.named_modules(remove_duplicate=False))
    new: dict[int, nn.Module] = {}
    for path, edit in change.edits.items():
        if id(parts[path]) not in new:  # a part of several names is exchanged once
            new[id(parts[path])] = edit(parts[path])
    for part in parts.values():
        for name, child in part._modules.items():  # noqa: SLF001 - of all names of a part, named_children gives one
            if child is not None and id(child) in new:
                part._modules[name] = new[id(child)]  # noqa: SLF001 - the same
    return new.get(id(module), module)


def shared_copy(module: nn.Module) -> nn.Module:
    """A copy to exchange parts of, which has the tensors of the original: no memory is needed for them."""
    tensors = itertools.chain(module.parameters(), module.buffers())
    return copy.deepcopy(module, {id(each): each for each in tensors})


def _fill(module: nn.Module, model: CheckedModel) -> None:
    """The weights of the repaired export. Raises Unsupported for one of another shape."""
    with torch.no_grad():
        for name, own in itertools.chain(module.named_parameters(), module.named_buffers()):
            if name not in model.weights:
                continue  # takes no part in what was exported
            value = torch.from_numpy(model.weights[name].copy())
            if value.shape != own.shape:
                raise Unsupported(
                    f"{name} has shape {list(value.shape)} in the repaired export and {list(own.shape)} in the module",
                    where=name,
                )
            own.copy_(value)


def _outputs_of_graph(model: CheckedModel, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    converted = convert(model).eval()
    given = [inputs[name].detach().cpu() for name in converted.input_names]
    with torch.no_grad():
        return [each for each in converted(*given) if isinstance(each, Tensor)]


def _outputs(module: nn.Module, inputs: Mapping[str, Tensor], by_the_batch: Iterable[str]) -> list[Tensor]:
    """In eval mode but for these parts. Raises Unsupported where the changed module does not run."""
    with untouched(module), called_by_name(module, tuple(inputs)), torch.no_grad():
        module.eval()
        for path in by_the_batch:
            module.get_submodule(path).train()
        try:
            return [each.detach().cpu() for each in tensors_in(module(*_moved(inputs, module)))]
        except (AttributeError, TypeError, RuntimeError, ValueError, IndexError) as error:
            raise Unsupported(
                f"the changed module does not run: {type(error).__name__}: {error}", where=type(module).__name__
            ) from error


def _moved(inputs: Mapping[str, Tensor], module: nn.Module) -> list[Tensor]:
    device = next((each.device for each in module.parameters()), torch.device("cpu"))
    return [value.to(device) for value in inputs.values()]


def _is_near(theirs: Tensor, ours: Tensor, most: float) -> bool:
    return bool(torch.allclose(ours.to(theirs.dtype), theirs, rtol=0.0, atol=most, equal_nan=True))
