import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper, parser

from analysis.batch import Batch, load_batch
from analysis.convert import convert
from analysis.errors import BadBatch, NodeFailed
from analysis.facts import Provenance
from analysis.model import CheckedModel, check_model
from analysis.synthesis import trial
from analysis.synthesis.synthesize import synthesize_batch, synthesize_inputs
from tests.analysis.batch.batches import identical, model, npz
from tests.analysis.graph.graphs import model as graph_model


def made_up(against: CheckedModel, size: int, seed: int) -> Batch:
    """A batch for a model that is converted for it."""
    return synthesize_batch(against, convert(against), size, seed)


def test_a_synthetic_batch_follows_the_input_specification() -> None:
    against = model("float[N,3,T] x, float[N,T] m, double[2] d, bool[N] b, int64[N,T] i, float k", "float[N,3,T] y")
    batch = made_up(against, 5, 0)
    shapes = {name: array.shape for name, array in batch.inputs.items()}
    assert shapes == {"x": (5, 3, 16), "m": (5, 16), "d": (2,), "b": (5,), "i": (5, 16), "k": ()}
    types = {name: array.dtype.name for name, array in batch.inputs.items()}
    assert types == {"x": "float32", "m": "float32", "d": "float64", "b": "bool", "i": "int64", "k": "float32"}
    assert batch.inputs["b"].all()
    assert (batch.inputs["i"] == 1).all()
    assert (batch.size, batch.provenance) == (5, Provenance.SYNTHETIC)
    assert batch.notes[0].startswith("inputs were made up: x (5 x 3 x 16) holds numbers; m (5 x 16)")
    assert not batch.targets


def test_synthetic_numbers_have_mean_zero_and_variance_one() -> None:
    array = made_up(model("float[N,100] x", "float[N,100] y"), 200, 3).inputs["x"]
    assert abs(float(array.mean())) < 4 / np.sqrt(array.size)
    assert float(array.var()) == pytest.approx(1, abs=0.05)


def test_where_all_sizes_are_fixed_there_is_nothing_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial.Trials, "run", None)
    against = model("float[3,4] x", "float[3,4] y")
    assert synthesize_inputs(against, convert(against), against.inputs, 0)["x"].shape == (3, 4)


@pytest.mark.parametrize("element", ["float16", "bfloat16", "double"])
def test_all_floating_types_are_synthesized(element: str) -> None:
    array = made_up(model(f"{element}[N,4] x", f"{element}[N,4] y"), 3, 0).inputs["x"]
    assert array.dtype.name == {"double": "float64"}.get(element, element)


def test_the_same_seed_gives_the_same_batch_and_another_one_another() -> None:
    against = model("float[N,4] x, float[N,4] z", nodes="y = Add(x, z)")
    first, again, other = (made_up(against, 6, seed) for seed in (1, 1, 2))
    assert all(identical(first.inputs[name], again.inputs[name]) for name in ("x", "z"))
    assert first.sha256 == again.sha256 != other.sha256
    assert not identical(first.inputs["x"], other.inputs["x"])
    assert not identical(first.inputs["x"], first.inputs["z"])


def test_a_fixed_batch_size_is_kept() -> None:
    assert made_up(model("float[3,4] x", "float y"), 32, 0).size == 3


def test_a_batch_axis_is_found_by_name_in_a_time_major_model() -> None:
    batch = made_up(model("float[11,N,3] x", "float y"), 6, 0)
    assert batch.inputs["x"].shape == (11, 6, 3)
    assert (batch.size, batch.axes) == (6, {"x": 1})


@pytest.mark.parametrize(
    "path",
    [
        "y = Gather(E, i)",
        "j = Cast<to: int = 6>(i) k = Identity(j) y = Gather(E, k)",
        "j = Unsqueeze(i, one) k = Squeeze(j, one) y = Gather(E, k)",
        "y = Gather(E, i) z = Gather(B, i)",
        "y = Gather<axis: int = 1>(Et, i)",
    ],
)
def test_token_ids_lie_within_the_table_they_look_up(path: str) -> None:
    tables = {"E": np.zeros((7, 3)), "B": np.zeros((1000, 3)), "Et": np.zeros((3, 7)), "one": np.array([1])}
    proto = parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 20]> net (int64[N,T] i) => (float[] y) {{ {path} }}'
    )
    for name, table in tables.items():
        dtype = table.dtype if table.dtype == np.int64 else np.float32
        proto.graph.initializer.append(numpy_helper.from_array(table.astype(dtype), name))
    ids = made_up(check_model(proto.SerializeToString()), 50, 0).inputs["i"]
    assert ids.min() == 0
    assert ids.max() == 6
    assert len(np.unique(ids)) == 7


@pytest.mark.parametrize("counts", ["int32[N] last, int32 total", "int32[N,1] last, int32[1] total"])
def test_a_prompt_has_as_many_keys_as_tokens_whatever_its_cache_holds(counts: str) -> None:
    """onnxruntime takes it, too: it looks at what these say before it attends."""
    proto = parser.parse_model(
        f"""<ir_version: 10, opset_import: ["": 20, "com.microsoft": 1]> net
        (int64[N,T] ids, {counts}, float[N,1,P,16] past_key, float[N,1,P,16] past_value) => (float[N,T,32] y) {{
            q = Gather(Q, ids) k = Gather(K, ids) v = Gather(V, ids)
            y, pk, pv = com.microsoft.GroupQueryAttention<num_heads = 2, kv_num_heads = 1>
                (q, k, v, past_key, past_value, last, total)
        }}"""
    )
    random = np.random.default_rng(0)
    for name, width in (("Q", 32), ("K", 16), ("V", 16)):
        table = random.standard_normal((9, width)).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(table, name))
    source = proto.SerializeToString()
    inputs = made_up(check_model(source), 5, 0).inputs
    tokens = inputs["ids"].shape[1]
    assert int(inputs["total"].reshape(-1)[0]) == tokens
    assert set(inputs["last"].reshape(-1).tolist()) == {tokens - 1}
    assert not inputs["past_key"].any()
    (theirs,) = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"]).run(None, dict(inputs))
    assert theirs.shape == (5, tokens, 32)


def test_ids_of_a_table_in_a_branch_are_spread_over_it() -> None:
    """So a decoder that was merged with the one that has a cache reads them."""
    proto = parser.parse_model(
        """<ir_version: 10, opset_import: ["": 20]> net (int64[N,T] ids, bool[1] use_cache) => (float[] y) {
            y = If(use_cache)<then_branch = t () => (float[] a) { e = Gather(E, ids) a = ReduceSum(e) },
                              else_branch = e () => (float[] b) { e = Gather(E, ids) b = Tanh(e) }>
        }"""
    )
    proto.graph.initializer.append(numpy_helper.from_array(np.ones((7, 3), np.float32), "E"))
    ids = made_up(check_model(proto.SerializeToString()), 50, 0).inputs["ids"]
    assert set(ids.reshape(-1).tolist()) == set(range(7))


def test_what_cannot_be_made_up_is_named() -> None:
    for inputs in ("seq(float[2]) s, float[N,4] x", "string[N] s, float[N,4] x"):
        with pytest.raises(BadBatch) as caught:
            made_up(model(inputs, nodes="y = Neg(x)"), 4, 0)
        assert caught.value.where == "s"
        assert caught.value.hint


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(0, 2**31 - 1))
def test_a_synthetic_batch_is_one_that_would_be_accepted(size: int, seed: int) -> None:
    against = model("float[N,3,T] x, int64[N,T] i, bool[N] b, float k", "float[N,3,T] y")
    made = made_up(against, size, seed)
    loaded = load_batch(npz(**made.inputs), against)
    assert all(identical(loaded.inputs[name], made.inputs[name]) for name in made.inputs)
    assert (loaded.size, loaded.axes) == (made.size, made.axes)


def test_where_trials_take_too_long_what_was_found_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first trial runs already: ids are not spread, samples are made up all the same."""
    monkeypatch.setattr(trial, "MOST_SECONDS", 0.0)
    against = graph_model("y = Gather(E, i)", "int64[N,T] i", E=np.zeros((7, 3), np.float32))
    batch = made_up(against, 8, 0)
    assert batch.inputs["i"].shape == (8, 16)
    assert batch.size == 8


def test_where_trials_end_without_one_that_ran_it_is_refused_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MOST_SECONDS", 0.0)
    against = graph_model("y = MatMul(x, W)", "float[N,K] x", W=np.zeros((7, 3), np.float32))
    with pytest.raises(NodeFailed, match="no batch could be made up"):
        made_up(against, 8, 0)


@pytest.mark.parametrize("kind", ["seq(float)", "string[N]", "optional(float[N])"])
def test_an_input_that_no_array_fills_is_refused_whether_it_is_sent_or_not(kind: str) -> None:
    against = model(f"{kind} s, float[N,4] x", "float[N,4] y")
    for refused in (lambda: made_up(against, 4, 0), lambda: load_batch(npz(s=np.ones(4), x=np.ones((4, 4))), against)):
        with pytest.raises(BadBatch, match="neither made up nor sent") as told:
            refused()
        assert told.value.where == "s"
        assert "tensors of numbers" in told.value.hint
