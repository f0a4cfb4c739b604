"""Plain recurrent cells with another activation, against torch's own."""

from collections.abc import Sequence

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from analysis.interventions.kit.cells import with_cells
from analysis.model import CheckedModel, check_model
from analysis.model.onnx_tools import assemble_proto
from tests.gallery import Recurrent, export, he, mlp, seeded


class Plain(nn.Module):
    def __init__(self, activation: str, *, both: bool) -> None:
        super().__init__()
        self.cells = nn.RNN(8, 6, nonlinearity=activation, batch_first=True, bidirectional=both)
        self.head = nn.Linear(12 if both else 6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x)[0][:, -1])


def exported(activation: str, *, both: bool = False) -> CheckedModel:
    return check_model(export(seeded(lambda: Plain(activation, both=both)), torch.zeros(2, 5, 8)))


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("before", "after"), [("tanh", "Relu"), ("relu", "Tanh")])
def test_every_direction_has_the_new_activation_and_its_own_weights(before: str, after: str, both: bool) -> None:
    edited = with_cells(exported(before, both=both), after)
    assert edited is not None
    x = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    content = assemble_proto(edited.proto, dict(edited.weights)).SerializeToString()
    (found,) = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"x": x.numpy()})
    other = Plain(after.lower(), both=both)
    other.load_state_dict(seeded(lambda: Plain(before, both=both)).state_dict())
    np.testing.assert_allclose(found, other(x).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("activation", "wanted"), [("tanh", "Tanh"), ("relu", "Relu")])
def test_cells_that_have_it_already_are_left_as_they_are(activation: str, wanted: str) -> None:
    model = exported(activation)
    assert with_cells(model, wanted) is model


@pytest.mark.parametrize("activations", [["Sigmoid"], ["Tanh", "Sigmoid"]])
def test_cells_with_another_activation_are_not_touched(activations: Sequence[str]) -> None:
    model = exported("tanh", both=len(activations) == 2)
    (node,) = (node for node in model.nodes if node.op_type == "RNN")
    for attribute in list(node.attribute):
        if attribute.name == "activations":
            node.attribute.remove(attribute)
    given = node.attribute.add()
    given.name, given.type = "activations", given.STRINGS
    given.strings.extend(each.encode() for each in activations)
    assert with_cells(model, "Relu") is None


def test_a_cell_that_names_no_activation_is_one_of_tanh() -> None:
    model = exported("tanh")
    (node,) = (node for node in model.nodes if node.op_type == "RNN")
    for attribute in list(node.attribute):
        if attribute.name == "activations":
            node.attribute.remove(attribute)
    assert with_cells(model, "Tanh") is model
    assert with_cells(model, "Relu") not in {None, model}


@pytest.mark.parametrize("model", [mlp(3, "Tanh", he()), export(seeded(Recurrent), torch.zeros(2, 20, 8))])
def test_networks_without_plain_cells_have_none_to_change(model: bytes) -> None:
    assert with_cells(check_model(model), "Relu") is None
