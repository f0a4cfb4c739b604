"""Samples taken from a batch: cut where the graph bears it, masked in the loss where it does not."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from analysis.model import check_model
from analysis.model.opened import SampleAxis
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from analysis.subject.rows import Rows, samples_of
from analysis.subject.subject import Subject
from tests.analysis.fixed_exports import CLASSES, FEATURES, STEPS, OwnFactor, Reader, fixed
from tests.analysis.text_models import drawn, written
from tests.gallery import npz

OPTIONS = AnalysisOptions()


def prepared(model: bytes, **arrays: np.ndarray) -> Subject:
    return prepare(check_model(model), npz(**arrays), OPTIONS)


def test_a_graph_that_takes_any_number_of_samples_is_given_those_that_are_wanted() -> None:
    model = written("(float[N,4] x) => (float[N,3] y)", "y = MatMul(x, W)", W=drawn(4, 3))
    subject = prepared(model, x=drawn(8, 4), target=np.arange(8) % 3)
    assert subject.rows == Rows(cut=True, logits=SampleAxis(0))
    assert len(subject.tensors([3, 1])[0][0]) == 2
    assert not [note for note in subject.batch.notes if "whole batch" in note]


@pytest.mark.parametrize("mixing", [False, True])
def test_logits_that_the_graph_computes_in_float64_are_compared_as_the_others_are(*, mixing: bool) -> None:
    centred = "m = ReduceMean<axes = [0]>(h) d = Sub(h, m)" if mixing else "d = Neg(h)"
    model = written(
        "(float[N,4] x) => (double[N,3] y)", f"h = MatMul(x, W) {centred} y = Cast<to = 11>(d)", W=drawn(4, 3)
    )
    subject = prepared(model, x=drawn(8, 4), target=np.arange(8) % 3)
    assert subject.rows.logits == SampleAxis(0)
    assert subject.rows.cut is not mixing


def test_samples_that_are_merged_with_positions_are_cut_with_them() -> None:
    """Logits [N * T, C] with targets [N * T]."""
    model = written(
        "(float[N,5,4] x) => (float[M,3] y)", "h = MatMul(x, W) y = Reshape(h, s)", W=drawn(4, 3), s=np.array([-1, 3])
    )
    labels = np.arange(40) % 3
    subject = prepared(model, x=drawn(8, 5, 4), target=labels)
    assert subject.rows == Rows(cut=True, logits=SampleAxis(0, 1, 5))
    inputs, targets = subject.tensors([6, 2])
    np.testing.assert_array_equal(targets.numpy(), np.concatenate([labels[30:35], labels[10:15]]))
    expected = nn.functional.cross_entropy(subject.converted(*inputs)[0], targets)
    assert float(subject.loss(inputs, targets, [6, 2]).detach()) == pytest.approx(float(expected.detach()))


def test_samples_along_the_second_axis_are_cut_along_it() -> None:
    torch.manual_seed(0)
    module = Reader("LSTM", batch_first=False, every_step=True)
    model = fixed(module, torch.randn(STEPS, 2, FEATURES), axes={"x": {1: "batch"}})
    x, labels = drawn(STEPS, 12, FEATURES), np.arange(STEPS * 12).reshape(STEPS, 12) % CLASSES
    subject = prepared(model, x=x, target=labels)
    assert subject.rows == Rows(cut=True, logits=SampleAxis(1))
    inputs, targets = subject.tensors([4, 7])
    np.testing.assert_array_equal(inputs[0].numpy(), x[:, [4, 7]])
    np.testing.assert_array_equal(targets.numpy(), labels[:, [4, 7]])


def test_a_fixed_number_of_samples_that_cannot_be_opened_is_masked_in_the_loss() -> None:
    torch.manual_seed(0)
    module = OwnFactor(8)
    x, labels = drawn(8, FEATURES), np.arange(8) % CLASSES
    subject = prepared(fixed(module, torch.randn(8, FEATURES)), x=x, target=labels)
    assert subject.rows == Rows(cut=False, logits=SampleAxis(0))
    inputs, targets = subject.tensors([5, 2])
    np.testing.assert_array_equal(inputs[0].numpy(), x)
    each = nn.functional.cross_entropy(module(torch.from_numpy(x)), torch.from_numpy(labels), reduction="none")
    loss = subject.loss(inputs, targets, [5, 2])
    assert float(loss.detach()) == pytest.approx(float(each[[5, 2]].mean().detach()), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, [subject.converted.initializers["head.bias"]])
    (expected,) = torch.autograd.grad(each[[5, 2]].mean(), [module.head.bias])
    torch.testing.assert_close(gradient, expected)
    (note,) = [note for note in subject.batch.notes if "fixes the number" in note]
    assert "cannot be opened" in note
    assert "whole batch" in note


def test_of_a_graph_that_normalises_by_the_batch_no_further_pass_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    model = written(
        "(float[8,3] x) => (float[8,4] y)",
        "n, m, v = BatchNormalization<training_mode = 1>(x, one, zero, zero, one) y = MatMul(n, W)",
        W=drawn(3, 4), one=np.ones(3, np.float32), zero=np.zeros(3, np.float32),
    )  # fmt: skip
    monkeypatch.setattr("analysis.subject.rows._value", None)
    subject = prepared(model, x=drawn(8, 3), target=np.arange(8) % 4)
    assert subject.rows == Rows(cut=True, logits=SampleAxis(0))


def test_a_network_that_runs_along_the_samples_is_told_by_name() -> None:
    torch.manual_seed(0)
    model = fixed(Reader("LSTM", batch_first=False), torch.randn(8, STEPS, FEATURES), axes={"x": {0: "N"}})
    subject = prepared(model, x=drawn(8, STEPS, FEATURES), target=np.arange(8) % CLASSES)
    assert not subject.rows.cut
    assert subject.rows.along == next(node.name for node in subject.model.nodes if node.op_type == "LSTM")
    (note,) = [note for note in subject.batch.notes if "batch_first?" in note]
    assert "LSTM" in note


def test_states_stored_for_so_many_samples_are_not_taken_for_a_sequence_of_samples() -> None:
    """torch's exporter writes the zeros of a batch into the file, and warns."""
    model = written(
        "(float[5,N,3] x) => (float[N,6] y)",
        "s, h = GRU <hidden_size = 6> (x, W, R, , , h0) y = Squeeze(h, zero)",
        W=drawn(1, 18, 3),
        R=drawn(1, 18, 6),
        h0=drawn(1, 4, 6),
        zero=np.array([0]),
    )
    subject = prepared(model, x=drawn(5, 4, 3))
    assert not subject.rows.along
    (note,) = [note for note in subject.batch.notes if "whole batch" in note]
    assert "starts from states of 4 samples that the file holds" in note


class Streaming(nn.Module):
    """One sequence of feature vectors, whose state is handed in and out, as a detector in a stream has it."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(FEATURES, 8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        states, _ = self.recurrent(x.unsqueeze(1), (h, c))
        named: torch.Tensor = self.head(states.squeeze(1))
        return named


@pytest.mark.parametrize(("axis", "why"), [("seq_len", "is called seq_len"), ("rows", "the state of one sequence")])
def test_a_network_that_is_meant_to_run_along_its_rows_is_accused_of_nothing(axis: str, why: str) -> None:
    torch.manual_seed(0)
    state = torch.zeros(1, 1, 8)
    model = fixed(Streaming(), torch.randn(6, FEATURES), state, state, axes={"x": {0: axis}})
    zeros = np.zeros((1, 1, 8), np.float32)
    subject = prepared(model, x=drawn(8, FEATURES), x1=zeros, x2=zeros, target=np.arange(8) % CLASSES)
    assert (subject.rows.cut, subject.rows.along) == (False, "")
    (note,) = [note for note in subject.batch.notes if "on purpose" in note]
    assert why in note
    assert "whole batch" in note


def test_the_states_of_all_samples_do_not_excuse_a_network_that_runs_along_them() -> None:
    torch.manual_seed(0)

    class Mistaken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = nn.LSTM(FEATURES, 8)

        def forward(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
            states, _ = self.recurrent(x, (h, h))
            last: torch.Tensor = states[:, -1]
            return last

    model = fixed(Mistaken(), torch.randn(6, STEPS, FEATURES), torch.zeros(1, STEPS, 8), axes={"x": {0: "N"}})
    subject = prepared(model, x=drawn(8, STEPS, FEATURES), x1=np.zeros((1, STEPS, 8), np.float32))
    assert subject.rows.along


class Arranged(nn.Module):
    """Counts time first, and is handed samples first."""

    def __init__(self, arrange: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.arrange, self.recurrent, self.head = arrange, nn.GRU(FEATURES, 8), nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        named: torch.Tensor = self.head(self.recurrent(self.arrange(x))[0][-1])
        return named


@pytest.mark.parametrize("open_axis", [{"x": {0: "N"}}, {}])
def test_a_view_for_a_permute_shares_samples_out_and_is_told_by_name(open_axis: dict[str, dict[int, str]]) -> None:
    viewed = Arranged(lambda x: x.reshape(x.shape[1], x.shape[0], x.shape[2]))
    batch = {"x": drawn(8, STEPS, FEATURES), "target": np.arange(8) % CLASSES}
    subject = prepared(fixed(viewed, torch.randn(8, STEPS, FEATURES), axes=open_axis), **batch)
    assert not subject.rows.cut
    assert subject.rows.along == next(node.name for node in subject.model.nodes if node.op_type == "Reshape")
    permuted = fixed(Arranged(lambda x: x.permute(1, 0, 2)), torch.randn(8, STEPS, FEATURES), axes=open_axis)
    assert not prepared(permuted, **batch).rows.along


def test_attention_along_the_samples_is_told_by_name() -> None:
    model = written(
        "(float[N,4] x) => (float[N,3] y)",
        "t = Transpose(x) s = MatMul(x, t) a = Softmax(s) h = MatMul(a, x) y = MatMul(h, W)", W=drawn(4, 3),
    )  # fmt: skip
    subject = prepared(model, x=drawn(8, 4), target=np.arange(8) % 3)
    assert subject.rows == Rows(cut=False, logits=SampleAxis(0), along="s")
    assert any("batch_first?" in note and "MatMul" in note for note in subject.batch.notes)


@pytest.mark.parametrize(
    ("behind", "along"),
    [
        ("y = Mul(s, t)", ""),
        ("p = Softmax(s) y = Mul(p, t)", ""),
        ("p = Softmax(s) y = MatMul(p, a)", "scores"),
    ],
)
def test_similarities_of_pairs_are_no_attention_along_the_samples(behind: str, along: str) -> None:
    model = written(
        "(float[N,4] x, float[N,4] z) => (float[N,C] y)",
        f"a = MatMul(x, W) b = MatMul(z, V) c = Transpose(b) [scores] s = MatMul(a, c) {behind}",
        W=drawn(4, 6), V=drawn(4, 6), t=np.array([2.0], np.float32),
    )  # fmt: skip
    subject = prepared(model, x=drawn(16, 4), z=drawn(16, 4, seed=1))
    assert (subject.rows.cut, subject.rows.along) == (False, along)
    told = "pairs samples with one another" if not along else "batch_first?"
    assert [note for note in subject.batch.notes if told in note]


@pytest.mark.parametrize(("axis", "along"), [(0, "p"), (1, ""), (-1, ""), (-2, "p")])
def test_a_softmax_over_the_samples_is_told_by_name(axis: int, along: str) -> None:
    model = written(
        "(float[N,4] x) => (float[N,3] y)", f"z = MatMul(x, W) [p] y = Softmax<axis = {axis}>(z)", W=drawn(4, 3)
    )
    subject = prepared(model, x=drawn(8, 4), target=np.arange(8) % 3)
    assert subject.rows == Rows(cut=True, logits=SampleAxis(0), along=along)


def test_a_softmax_over_the_samples_that_the_loss_takes_as_it_stands_is_told_by_name() -> None:
    model = written("(float[N,4] x) => (float[N,3] y)", "z = MatMul(x, W) [p] y = Softmax<axis = 0>(z)", W=drawn(4, 3))
    subject = prepare(check_model(model), npz(x=drawn(8, 4), target=drawn(8, 3)), AnalysisOptions(loss="mse"))
    assert (subject.rows.cut, subject.rows.along) == (False, "p")


@pytest.mark.parametrize(
    ("made", "along"),
    [
        ("m = ReduceMean<axes = [0], keepdims = 1>(z) y = Expand(m, shape)", "mean"),
        ("m = ReduceMax<axes = [0], keepdims = 1>(z) y = Expand(m, shape)", "mean"),
        ("m = ReduceMean<axes = [0], keepdims = 1>(z) y = Sub(z, m)", ""),  # a normalisation written out
        ("m = ReduceMean<axes = [1], keepdims = 1>(z) y = Sub(z, m)", ""),
        ("m = ReduceMean<axes = [0], keepdims = 1>(z) d = Sub(z, m) e = Mul(d, small) y = Add(e, m)", ""),  # collapsed
        ("m = ReduceMean<axes = [0], keepdims = 1>(z) y = Identity(m)", ""),  # one answer is asked for: a bag
        ("p = Softmax<axis = 0>(z) y = Mul(p, z)", "mean"),
        ("p = Softmax<axis = 0>(z) w = Mul(p, z) y = ReduceSum<keepdims = 1>(w, axes)", ""),  # a bag, too
    ],
)
def test_one_answer_for_all_samples_is_told_by_the_node_that_makes_it(made: str, along: str) -> None:
    nodes = f"z = MatMul(x, W) shape = Shape(z) [mean] {made}"
    model = written(
        "(float[N,4] x) => (float[M,3] y)", nodes,
        W=drawn(4, 3), small=np.array([1e-9], np.float32), axes=np.array([0]),
    )  # fmt: skip
    bag = "Identity" in made or "axes)" in made
    assert prepared(model, x=drawn(8, 4), target=np.array([1]) if bag else np.arange(8) % 3).rows.along == along


def test_chaos_is_not_mistaken_for_samples_that_meet() -> None:
    """Forty layers multiply what rounding makes of another number of rows."""
    wide = {f"W{depth}": 40 * drawn(32, 32, seed=depth) for depth in range(40)}
    values = ["x", *(f"h{depth}" for depth in range(40))]
    nodes = "".join(f"p{d} = MatMul({values[d]}, W{d}) h{d} = Sin(p{d}) " for d in range(40))
    subject = prepared(
        written("(float[N,32] x) => (float[N,3] y)", nodes + "y = MatMul(h39, V)", **wide, V=drawn(32, 3)),
        x=drawn(8, 32), target=np.arange(8) % 3,
    )  # fmt: skip
    assert not [note for note in subject.batch.notes if "batch_first?" in note]


@pytest.mark.parametrize("along", [0, 1])
def test_one_quantisation_of_all_samples_is_not_mistaken_for_samples_that_meet(along: int) -> None:
    """The range of a batch is that of its largest sample: others of them move by the steps of the rest."""
    integers = np.random.default_rng(0).integers(-60, 61, (4, 6)).astype(np.int8)
    sums = "c = Add(r, k) n = ReduceSum(c, axis) m = Div(r, n)"  # of all samples along axis 0: they do meet
    behind = f"d = Mul(f, s) r = Relu(d) {sums} y = MatMul(m, V)"
    subject = prepared(
        written(
            "(float[N,4] x) => (float[N,3] y)",
            f"q, a, z = DynamicQuantizeLinear(x) i = MatMulInteger(q, W, z) f = Cast<to = 1>(i) s = Mul(a, k) {behind}",
            W=integers, k=np.array(0.02, np.float32), V=drawn(6, 3), axis=np.array([along]),
        ),
        x=drawn(32, 4) * np.linspace(0.2, 3, 32, dtype=np.float32)[:, None], target=np.arange(32) % 3,
    )  # fmt: skip
    assert subject.rows.cut is bool(along)


def test_random_numbers_are_not_mistaken_for_samples_that_meet() -> None:
    model = written(
        "(float[N,4] x) => (float[N,3] y)", "e = RandomNormalLike(x) z = Add(x, e) y = MatMul(z, W)", W=drawn(4, 3)
    )
    subject = prepared(model, x=drawn(8, 4), target=np.arange(8) % 3)
    assert subject.rows == Rows(cut=True, logits=SampleAxis(0))


def test_the_graphs_own_loss_is_one_number_of_any_samples() -> None:
    model = written(
        "(float[N,4] x) => (float y)", "p = MatMul(x, W) q = Mul(p, p) y = ReduceMean<keepdims = 0>(q)", W=drawn(4, 3)
    )
    subject = prepared(model, x=drawn(8, 4))
    assert subject.rows == Rows(cut=True, logits=None)
    assert len(subject.tensors([3, 1])[0][0]) == 2


def test_some_samples_of_an_axis_that_holds_more_than_them() -> None:
    value = torch.arange(12).reshape(12, 1)
    assert samples_of(value, SampleAxis(0, 1, 3), 4, [2, 0]).flatten().tolist() == [6, 7, 8, 0, 1, 2]
    assert samples_of(value, SampleAxis(0, 3, 1), 4, [2, 0]).flatten().tolist() == [2, 0, 6, 4, 10, 8]
    assert samples_of(value, SampleAxis(1), 4, [2, 0]) is value
