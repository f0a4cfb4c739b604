"""Where NaN or infinity appears first, in the order in which values and gradients are made."""

import torch

from analysis.convert.program import Watcher
from analysis.facts import NonFinite
from analysis.model.nodes import label
from analysis.subject.subject import Subject


def locate_non_finite(subject: Subject) -> NonFinite:
    """Run once more and look at every value and its gradient; the loss where all of them are finite."""
    found: list[NonFinite] = []
    logits: list[torch.Tensor] = []
    watchers: dict[str, list[Watcher]] = {
        output: [_look(output, label(node), found)] for node in subject.model.nodes for output in node.output if output
    }
    watchers.setdefault(subject.objective.head.value, []).append(logits.append)
    inputs, targets = subject.tensors()
    subject.converted.observe(inputs, watchers)
    loss = subject.objective.loss(logits[0], targets)
    if not found:
        loss.backward()
        subject.converted.zero_grad(set_to_none=True)
    head = subject.objective.head
    return found[0] if found else NonFinite(stage="loss", node=head.output, value=head.value)


def _look(name: str, node: str, found: list[NonFinite]) -> Watcher:
    def check(tensor: torch.Tensor, stage: str) -> None:
        if not found and not bool(torch.isfinite(tensor).all()):
            found.append(NonFinite(stage=stage, node=node, value=name))

    def on_gradient(gradient: torch.Tensor) -> None:
        check(gradient, "backward")

    def on_value(value: torch.Tensor) -> None:
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            check(value, "forward")
            if value.requires_grad:
                value.register_hook(on_gradient)

    return on_value
