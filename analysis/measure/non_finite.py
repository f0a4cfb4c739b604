"""Where NaN or infinity appears first, in the order in which values and gradients are made.

scores -- Where (mask, -inf) -- Softmax        no fault: the softmax makes zeros of these
"""

import math

import torch
from onnx import NodeProto

from analysis.convert.program import Watcher
from analysis.facts import NonFinite
from analysis.graph.operands import reaches_softmax
from analysis.model import CheckedModel
from analysis.model.nodes import label
from analysis.subject.subject import Subject


def locate_non_finite(subject: Subject, *, training: bool = False) -> NonFinite:
    """Run once more in the same mode, and look at every value and its gradient; the loss where all are finite."""
    found: list[NonFinite] = []
    logits: list[torch.Tensor] = []
    watchers: dict[str, list[Watcher]] = {
        output: [_look(subject.model, output, node, found)]
        for node in subject.model.nodes
        for output in node.output
        if output
    }
    watchers.setdefault(subject.objective.head.value, []).append(logits.append)
    inputs, targets = subject.tensors()
    subject.converted.train(training)
    try:
        subject.converted.observe(inputs, watchers)
        loss = subject.objective.loss(logits[0], targets)
        if not found:
            loss.backward()
    finally:
        subject.converted.eval().zero_grad(set_to_none=True)
    head = subject.objective.head
    return found[0] if found else NonFinite(stage="loss", node=head.output, value=head.value)


def _is_finite(tensor: torch.Tensor) -> bool:
    """Whether all numbers are; their sum tells in one pass, unless it is too large itself."""
    return math.isfinite(float(tensor.detach().sum())) or bool(torch.isfinite(tensor).all())


def _hides(model: CheckedModel, node: NodeProto, tensor: torch.Tensor) -> bool:
    """Whether all that is no finite number is the -inf by which a mask shuts keys out of a softmax."""
    masked = reaches_softmax(model, node) and bool((tensor < math.inf).all())  # so it compares with NaN, too
    return masked and bool((tensor > -math.inf).any(-1).all())


def _look(model: CheckedModel, name: str, node: NodeProto, found: list[NonFinite]) -> Watcher:
    def check(tensor: torch.Tensor, stage: str) -> None:
        if not found and not _is_finite(tensor) and not (stage == "forward" and _hides(model, node, tensor)):
            through = [node] if stage == "forward" else [use.node for use in model.consumers.get(name, ())]
            operators = dict.fromkeys(each.op_type for each in through)
            found.append(NonFinite(stage=stage, node=label(node), value=name, operator=", ".join(operators)))

    def on_gradient(gradient: torch.Tensor) -> None:
        check(gradient, "backward")

    def on_value(value: torch.Tensor) -> None:
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            check(value, "forward")
            if value.requires_grad:
                value.register_hook(on_gradient)

    return on_value
