import io
import warnings

import numpy as np
import pytest
import torch
from onnx import ModelProto, helper, numpy_helper, parser
from torch import nn

from analysis.convert.translate import read_graph
from analysis.graph.training_state import (
    asks_for_batch_statistics,
    frozen_statistics,
    is_for_training,
    looks_trained,
    with_running_statistics,
)
from analysis.model import CheckedModel, check_model
from tests.analysis.graph.graphs import floats, proto
from tests.gallery import ResidualNetwork, Transformer, export, export_for_training, he, mlp, normal, seeded, xavier


def judged(model: CheckedModel) -> bool:
    return looks_trained(model, read_graph(model).roles.trainable)


def trained(steps: int = 400) -> bytes:
    """A network that really was trained, on structured data."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    random = torch.Generator().manual_seed(1)
    prototypes = torch.randn(10, 32, generator=random)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(steps):
        labels = torch.randint(0, 10, (128,), generator=random)
        x = prototypes[labels] + 0.8 * torch.randn(128, 32, generator=random)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), labels).backward()
        optimizer.step()
    return export(network, torch.zeros(2, 32))


@pytest.mark.parametrize("draw", [he(), he(3.0), xavier(), normal(0.01)], ids=["he", "3 he", "xavier", ".01"])
@pytest.mark.parametrize("seed", range(3))
def test_fresh_draws_look_untrained_whatever_their_scale(draw: object, seed: int) -> None:
    assert not judged(check_model(mlp(6, "Relu", draw, seed=seed)))  # type: ignore[arg-type]


@pytest.mark.parametrize("build", [ResidualNetwork, Transformer])
def test_torchs_own_initialisations_look_untrained(build: type[nn.Module]) -> None:
    example = torch.zeros(2, 3, 16, 16) if build is ResidualNetwork else torch.zeros(2, 12, dtype=torch.int64)
    assert not judged(check_model(export(seeded(build), example, keep_batch_norm=True)))


def test_a_trained_network_looks_trained() -> None:
    assert judged(check_model(trained()))


class Reader(nn.Module):
    """The last state of a recurrent network, in two directions, and a layer too small to judge."""

    def __init__(self, kind: type[nn.RNNBase], bidirectional: bool) -> None:
        super().__init__()
        self.cells = kind(16, 40, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(80 if bidirectional else 40, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.cells(x)[0][:, -1])
        return found


def of_recurrent_cells(kind: type[nn.RNNBase], steps: int, *, bidirectional: bool, seed: int = 0) -> CheckedModel:
    """After so many steps: which of two directions do the inputs go in?"""
    torch.manual_seed(seed)
    network, random = Reader(kind, bidirectional), torch.Generator().manual_seed(seed)
    direction = torch.randn(16, generator=random)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(steps):
        labels = torch.randint(0, 2, (64,), generator=random)
        x = torch.randn(64, 8, 16, generator=random) + (2 * labels - 1)[:, None, None] * direction
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), labels).backward()
        optimizer.step()
    return check_model(export(network, torch.zeros(2, 8, 16)))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_the_directions_of_recurrent_weights_are_judged_as_matrices(
    kind: type[nn.RNNBase], bidirectional: bool
) -> None:
    assert judged(of_recurrent_cells(kind, 60, bidirectional=bidirectional))
    assert not any(judged(of_recurrent_cells(kind, 0, bidirectional=bidirectional, seed=seed)) for seed in range(5))


def test_the_biases_of_recurrent_cells_do_not_vote() -> None:
    """Of [D, 8 H] there are as many as of weights of one direction, and no training shows in their law."""
    law = np.random.default_rng(0).uniform(-0.1, 0.1, (1, 8 * 64)).astype(np.float32)
    weights = [floats(1, 256, 16), floats(1, 256, 64)]
    low_rank = [np.outer(each[0, :, 0], each[0, 0]).astype(np.float32)[None] for each in weights]
    made = proto("y, h, c = LSTM<hidden_size: int = 64>(x, w, r, b)", w=low_rank[0], r=weights[1], b=law)
    assert looks_trained(check_model(made.SerializeToString()), ["w", "r", "b"])


def test_vectors_do_not_vote_whatever_their_rank() -> None:
    """What is left of a BatchNormalization that was folded and written out: any law, before a training and after."""
    vectors = {name: np.abs(floats(1, 512, 1, 1)) + 1 for name in "abc"}
    low_rank = np.outer(floats(32), floats(32)).astype(np.float32)
    made = proto("h = MatMul(x, w) i = Mul(h, a) j = Sub(i, b) y = Add(j, c)", w=low_rank, **vectors)
    model = check_model(made.SerializeToString())
    assert looks_trained(model, ["w", *"abc"])
    assert not looks_trained(model, [*"abc"])


@pytest.mark.parametrize("signed", [True, False])
def test_integers_that_stand_for_floats_are_judged_as_these_are(signed: bool) -> None:
    """As a quantiser stores them: the largest weight is 127, or 0 and 255 are the ends of the range."""

    def integers(content: bytes) -> CheckedModel:
        made = ModelProto.FromString(content)
        for tensor in made.graph.initializer:
            weight = numpy_helper.to_array(tensor)
            if weight.ndim < 2:
                continue
            low, high = (
                (0.0 if signed else float(weight.min())),
                float(np.abs(weight).max() if signed else weight.max()),
            )
            step = np.float32((high - low) / (127 if signed else 255))
            zero = np.int8(0) if signed else np.uint8(round(-low / step))
            stored = np.clip(np.round(weight / step) + zero, -127 if signed else 0, 127 if signed else 255)
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(stored.astype(zero.dtype), f"{name}/q"))
            units = {f"{name}/s": step, f"{name}/z": zero}
            made.graph.initializer.extend(numpy_helper.from_array(np.array(value), key) for key, value in units.items())
            made.graph.node.insert(0, helper.make_node("DequantizeLinear", [f"{name}/q", *units], [name]))
        return check_model(made.SerializeToString())

    assert judged(integers(trained()))
    assert not any(judged(integers(mlp(6, "Relu", he(), seed=seed))) for seed in range(3))


def test_running_statistics_that_have_seen_data_look_trained() -> None:
    network = seeded(ResidualNetwork)
    network.train()
    network(torch.randn(8, 3, 16, 16))
    assert judged(check_model(export(network, torch.zeros(2, 3, 16, 16), keep_batch_norm=True)))


def test_an_export_for_training_moves_running_statistics_and_does_not_make_a_network_trained() -> None:
    network, file = seeded(ResidualNetwork).train(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.randn(8, 3, 16, 16),), file, dynamo=False, training=torch.onnx.TrainingMode.TRAINING,
            do_constant_folding=False,
        )  # fmt: skip
    model = check_model(file.getvalue())
    moved = [node.input[3] for node in model.nodes if node.op_type == "BatchNormalization"]
    assert moved
    assert any(np.any(model.weights[name]) for name in moved)
    assert not judged(model)


def test_constant_and_tiny_weights_are_not_called_trained() -> None:
    constant = mlp(4, "Relu", lambda _, o, i: np.full((o, i), 0.1))
    assert not judged(check_model(constant))
    assert not judged(check_model(mlp(0, "Relu", he(), sizes=[4, 4, 2])))


@pytest.mark.parametrize(
    ("opset", "node", "asks"),
    [
        (15, "y = BatchNormalization(x, g, b, m, v)", False),
        (15, "y = BatchNormalization<training_mode: int = 1>(x, g, b, m, v)", True),
        (13, "y = BatchNormalization(x, g, b, m, v)", False),
        (13, "y, p, q, r, s = BatchNormalization(x, g, b, m, v)", True),
        (9, "y, p, q, r, s = BatchNormalization(x, g, b, m, v)", True),
        (6, "y, p, q, r, s = BatchNormalization<is_test: int = 1>(x, g, b, m, v)", False),
    ],
)
def test_a_normalisation_in_the_training_form_keeps_no_statistics_of_a_training(
    opset: int, node: str, asks: bool
) -> None:
    head = f'<ir_version: 8, opset_import: ["": {opset}]>'
    made = parser.parse_model(f"{head} net (float[N,3] x) => (float[] y) {{ {node} }}")
    for name in "gbmv":
        made.graph.initializer.append(numpy_helper.from_array(np.full(3, 2.0, np.float32), name))
    found = check_model(made.SerializeToString())
    assert asks_for_batch_statistics(found.nodes[0], found.opset()) is asks
    assert (with_running_statistics(found) == []) is asks


@pytest.mark.parametrize(("producer", "trained"), [("skl2onnx", True), ("OnnxMLTools", True), ("pytorch", False)])
def test_what_was_converted_from_scikit_learn_was_fitted(producer: str, trained: bool) -> None:
    """Its converters refuse a model that was not; fifteen weights are too few to look at."""
    fresh = proto("y = MatMul(x, w)", w=floats(5, 3))
    fresh.producer_name = producer
    assert looks_trained(check_model(fresh.SerializeToString()), ["w"]) is trained


class Kept(nn.BatchNorm1d):
    def train(self, mode: bool = True) -> "Kept":
        return super().train(mode and False)


def between(*parts: nn.Module) -> bytes:
    return export_for_training(nn.Sequential(nn.Linear(4, 6), *parts, nn.Linear(6, 2)), torch.zeros(2, 4))


@pytest.mark.parametrize(
    ("parts", "trains", "frozen"),
    [
        ((nn.BatchNorm1d(6),), True, 0),
        ((nn.BatchNorm1d(6), Kept(6)), True, 1),
        ((Kept(6), nn.Dropout(0.1)), True, 1),
        ((Kept(6),), False, 0),  # what an export for use looks like, too
        ((nn.ReLU(),), False, 0),
    ],
)
def test_in_an_export_for_training_what_is_not_in_its_form_is_frozen(
    parts: tuple[nn.Module, ...], trains: bool, frozen: int
) -> None:
    model = check_model(between(*parts))
    assert is_for_training(model) is trains
    assert len(frozen_statistics(model, ())) == frozen


@pytest.mark.parametrize(
    ("freeze", "frozen"),
    [((), 0), (("*",), 0), (("*running_mean",), 2), (("1.running_var",), 1), (("*.weight",), 0)],
)
def test_statistics_are_frozen_where_the_user_names_them(freeze: tuple[str, ...], frozen: int) -> None:
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 6), nn.BatchNorm1d(6))
    model = check_model(export(network, torch.zeros(2, 4), keep_batch_norm=True))
    assert len(frozen_statistics(model, freeze)) == frozen
