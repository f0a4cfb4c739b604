"""What torch's current exporter says of its tensors, against the modules that were exported."""

import warnings

import numpy as np
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn

from analysis.convert import convert
from analysis.model import check_model
from analysis.model.signature import FOLDED_FROM, SIGNATURE, read_signature

X = torch.linspace(-1, 1, 4 * 5 * 6).reshape(4, 5, 6)


class Positions(nn.Module):
    """Everything that looks alike in a graph: learnt and fixed positions, masks and tables of scores, factors."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head, self.learnt = nn.Linear(6, 8), nn.Linear(8, 3), nn.Embedding(5, 8)
        self.register_buffer("fixed", torch.randn(5, 8))
        self.register_buffer("shift", torch.randn(8), persistent=False)
        self.constant = torch.randn(8)
        self.bias = nn.Parameter(torch.randn(5, 5))
        self.temperature = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = (self.embed(x) + self.fixed * 0.5 + self.learnt(torch.arange(5))) * torch.sin(torch.arange(8) + 1.0)
        h = h + self.shift + self.constant
        scores = h @ h.mT * self.temperature + self.bias + torch.triu(torch.full((5, 5), -9.0), 1)
        return self.head((torch.softmax(scores, -1) @ h).mean(1))


def exported(module: nn.Module, x: torch.Tensor) -> ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        program = torch.onnx.export(module.eval(), (x,), dynamo=True, verbose=False)
    return program.model_proto


def test_what_the_module_trains_trains_whatever_it_looks_like_and_nothing_else_does() -> None:
    torch.manual_seed(0)
    module = Positions()
    found = check_model(exported(module, X).SerializeToString())
    assert found.signature is not None
    converted = convert(found)
    made_of = {
        name: {name, *found.signature.folded.get(name, ())} & dict(module.named_parameters()).keys()
        for name in converted.initializers
    }
    assert all(len(names) == 1 for names in made_of.values()), "each is one parameter of the module"
    assert set().union(*made_of.values()) == dict(module.named_parameters()).keys()
    assert "buffer" in converted.frozen["shift"]
    assert "constant" in converted.frozen["constant"]
    assert sum("computed by the exporter" in why for why in converted.frozen.values()) > 1
    module(X).square().sum().backward()
    converted(X)[0].square().sum().backward()
    for name, (original,) in made_of.items():
        expected, gradient = module.get_parameter(original).grad, converted.initializers[name].grad
        assert expected is not None
        assert gradient is not None
        gradient = gradient if gradient.shape == expected.shape else gradient.mT
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("normalized", [True, False])
def test_whether_running_statistics_were_there_is_known_when_they_are_folded(*, normalized: bool) -> None:
    norm = nn.BatchNorm2d(3) if normalized else nn.Identity()
    found = check_model(exported(nn.Sequential(nn.Conv2d(3, 3, 3), norm), torch.zeros(2, 3, 8, 8)).SerializeToString())
    assert not any("running" in name for name in found.weights), "folded"
    assert found.signature is not None
    assert found.signature.has_statistics is normalized


def sums(signature: str, folded: dict[str, str], **tensors: np.ndarray) -> ModelProto:
    """x w plus one tensor after the other."""
    value, names = helper.make_tensor_value_info, list(tensors)
    values = ["h", *(f"h{place}" for place in range(len(names)))]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"])]
    nodes += [helper.make_node("Add", [values[place], name], [values[place + 1]]) for place, name in enumerate(names)]
    stored = {"w": np.eye(3) + 1, **tensors}
    graph = helper.make_graph(
        nodes, "net", [value("x", TensorProto.FLOAT, ["N", 3])], [value(values[-1], TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in stored.items()],
    )  # fmt: skip
    for name, made_of in folded.items():
        known = graph.value_info.add()
        known.CopyFrom(value(name, TensorProto.FLOAT, [3]))
        known.metadata_props.add(key=FOLDED_FROM, value=made_of)
    graph.metadata_props.add(key=SIGNATURE, value=signature)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    made.producer_name = "pytorch"
    return made


NOW = "\n# inputs\np_w: PARAMETER target='w'\nb_pe: BUFFER target='pe' persistent=True\nx: USER_INPUT\n\n# outputs\n"
BEFORE = (
    "ExportGraphSignature(input_specs=[InputSpec(kind=<InputKind.PARAMETER: 2>, arg=TensorArgument(name='p_w'), "
    "target='w', persistent=None), InputSpec(kind=<InputKind.BUFFER: 3>, arg=TensorArgument(name='b_pe'), "
    "target='pe', persistent=True)], output_specs=[])"
)
RAMP, FLAT = np.arange(3.0), np.ones(3)


@pytest.mark.parametrize("signature", [NOW, BEFORE], ids=["now", "before torch 2.7"])
def test_both_spellings_are_read(signature: str) -> None:
    frozen = convert(check_model(sums(signature, {}, pe=RAMP).SerializeToString())).frozen
    assert frozen == {"pe": "a buffer of the module, which it does not train"}


@pytest.mark.parametrize(
    ("tensors", "folded", "trains"),
    [
        ({"pe": FLAT}, {}, True),  # stored once for a buffer and somebody's bias, perhaps
        ({"other": RAMP}, {}, True),  # of nobody known
        ({"mul": RAMP}, {"mul": "['pe', 'val_2']"}, False),
        ({"mul": RAMP}, {"mul": "['pe', 'w']"}, True),
        ({"mul": RAMP}, {"mul": "["}, False),
        ({"mul": RAMP}, {}, True),
    ],
)
def test_what_is_made_of_a_parameter_trains_and_what_is_not_known_is_judged_by_its_place(
    tensors: dict[str, np.ndarray], folded: dict[str, str], *, trains: bool
) -> None:
    converted = convert(check_model(sums(NOW, folded, **tensors).SerializeToString()))
    assert (set(tensors) <= set(converted.initializers)) is trains


@pytest.mark.parametrize("text", ["", "garbage", "p: target='w'", "kind=<InputKind.BUFFER: 3>"])
def test_what_is_no_signature_says_nothing(text: str) -> None:
    assert read_signature(sums(text, {}, pe=RAMP)) is None
