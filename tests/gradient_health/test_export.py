"""A module as training needs it, held against the module itself and the standard's own checker."""

from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from analysis.convert import convert
from analysis.errors import BadBatch, Unsupported
from analysis.model import check_model
from gradient_health.export import export_module, named_inputs
from tests.gradient_health.small_modules import Memory, Residual, Words, first_step_tells

PICTURES = torch.arange(4 * 3 * 8 * 8.0).reshape(4, 3, 8, 8) / 100


def test_batch_norm_and_dropout_stay_and_weights_keep_their_names(tmp_path: Path) -> None:
    module = Residual()
    export_module(module, {"x": PICTURES}, tmp_path / "m.onnx")
    proto = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(proto)
    kinds = [node.op_type for node in proto.graph.node]
    assert (kinds.count("BatchNormalization"), kinds.count("Dropout")) == (3, 1)
    assert set(convert(check_model(tmp_path / "m.onnx")).initializers) == set(dict(module.named_parameters()))


def test_what_is_exported_computes_what_the_module_does_on_any_number_of_samples(tmp_path: Path) -> None:
    module = Residual()
    export_module(module, {"x": PICTURES}, tmp_path / "m.onnx")
    more = torch.cat([PICTURES, PICTURES.flip(0) / 2])
    module.train().drop.eval()
    (found,) = convert(check_model(tmp_path / "m.onnx"))(more)
    torch.testing.assert_close(found, module(more), rtol=1e-4, atol=1e-5)


def test_running_statistics_are_those_of_the_module(tmp_path: Path) -> None:
    module = Residual()
    module.stem[1].running_mean += 3.0
    export_module(module, {"x": PICTURES}, tmp_path / "m.onnx")
    written = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert (written["stem.1.running_mean"] == 3.0).all()
    assert (written["blocks.0.1.running_var"] == 1.0).all()


@pytest.mark.parametrize("training", [True, False])
def test_the_module_is_left_as_it_was(tmp_path: Path, training: bool) -> None:
    module = Residual().train(training)
    module.stem[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    modes = {name: part.training for name, part in module.named_modules()}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    export_module(module, {"x": PICTURES}, tmp_path / "m.onnx")
    assert torch.equal(torch.rand(4), expected)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert {name: part.training for name, part in module.named_modules()} == modes
    assert "forward" not in vars(module)


def test_arguments_by_keyword_optional_ones_and_outputs_by_name(tmp_path: Path) -> None:
    module, ids, scale = Words(), torch.arange(28).reshape(4, 7), torch.full((4, 1), 2.0)
    export_module(module, {"ids": ids, "scale": scale}, tmp_path / "m.onnx")
    converted = convert(check_model(tmp_path / "m.onnx"))
    assert list(converted.input_names) == ["ids", "scale"]
    torch.testing.assert_close(converted(ids, scale)[0], module(ids, scale=scale)["scores"], rtol=1e-4, atol=1e-5)


def test_a_module_that_cannot_be_followed_is_refused_by_name_and_left_as_it_was(tmp_path: Path) -> None:
    class Strange(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError(f"not today, {type(x).__name__}")

    module = Strange()
    with pytest.raises(Unsupported, match="not today") as caught:
        export_module(module, {"x": PICTURES}, tmp_path / "m.onnx")
    assert caught.value.where == "Strange"
    assert "forward" not in vars(module)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_dropout_between_recurrent_layers_is_written_between_them(kind: type[nn.RNNBase], tmp_path: Path) -> None:
    module = Memory(kind, num_layers=3, dropout=0.3, bidirectional=True)
    x = first_step_tells(6, 0, samples=5)[0]
    export_module(module, {"x": x}, tmp_path / "m.onnx")
    proto = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(proto)
    kinds = [node.op_type for node in proto.graph.node if node.op_type in {"LSTM", "GRU", "RNN", "Dropout"}]
    assert kinds == [kind.__name__, "Dropout"] * 2 + [kind.__name__]
    converted = convert(check_model(tmp_path / "m.onnx"))
    assert set(converted.initializers) == set(dict(module.named_parameters()))
    more = torch.cat([x, x / 2, x])
    (found,) = converted.eval()(more)
    torch.testing.assert_close(found, module.eval()(more), rtol=1e-4, atol=1e-5)


@dataclass
class Scores:
    """A record of outputs."""

    loss: Tensor | None
    logits: Tensor


class Recording(nn.Module):
    """Answers with a record, or with words."""

    def __init__(self, silent: bool = False) -> None:
        """With torch's own initialisation."""
        super().__init__()
        self.head, self.silent = nn.Linear(4, 2), silent

    def forward(self, x: Tensor) -> object:
        return "nothing" if self.silent else Scores(None, self.head(x))


def test_outputs_in_a_record_are_outputs(tmp_path: Path) -> None:
    module, x = Recording(), torch.randn(3, 4)
    export_module(module, {"x": x}, tmp_path / "m.onnx")
    (found,) = convert(check_model(tmp_path / "m.onnx"))(x)
    torch.testing.assert_close(found, module.head(x))
    with pytest.raises(Unsupported, match="forward hands out a str, in which there is no tensor"):
        export_module(Recording(silent=True), {"x": x}, tmp_path / "m.onnx")


class Complex(nn.Module):
    """What the exporter has no operator for; its message is the whole graph."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigvalsh(x @ x.transpose(1, 2))


def test_of_what_the_exporter_says_the_first_words_are_told(tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as raised:
        export_module(Complex(), {"x": torch.randn(2, 3, 3)}, tmp_path / "m.onnx")
    assert "linalg_eigvalsh" in str(raised.value)
    assert len(str(raised.value)) < 600
    assert "\n" not in str(raised.value)


def test_inputs_are_named_as_forward_names_them() -> None:
    class Two(nn.Module):
        def forward(self, first: Tensor, second: Tensor, *, third: Tensor) -> Tensor:
            return first + second + third

    one, two, three = torch.zeros(1), torch.ones(1), torch.ones(1) * 2
    assert list(named_inputs(Two(), (one, two))) == ["first", "second"]
    assert named_inputs(Two(), {"third": three, "first": one}) == {"first": one, "third": three}
    assert list(named_inputs(nn.Linear(2, 2), one)) == ["input"]
    assert list(named_inputs(nn.Sequential(nn.Linear(2, 2)), one)) == ["input"]
    with pytest.raises(BadBatch, match="takes 2 inputs, given 3"):
        named_inputs(Two(), (one, two, three))
    with pytest.raises(BadBatch, match="takes no 'fourth'"):
        named_inputs(Two(), {"fourth": one})


def test_all_values_of_an_open_argument_list_are_inputs() -> None:
    class Sum(nn.Module):
        def forward(self, *values: Tensor) -> Tensor:
            return sum(values, torch.zeros(()))

    assert list(named_inputs(Sum(), (torch.zeros(1), torch.zeros(1)))) == ["input_0", "input_1"]
