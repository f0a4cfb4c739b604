"""Cases of the random family: degenerate distributions are exact, the others are tested by their moments."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from analysis.convert import convert
from analysis.model import check_model
from tests.analysis.convert.ops.cases import Case, floats

X = floats(2, 3)
CERTAIN = np.where(np.eye(3, dtype=bool), 0.0, -np.inf).astype(np.float32)
MANY = (200, 500)
SPREAD = 4 / np.sqrt(MANY[0] * MANY[1])
"""Four standard errors of a mean with variance 1."""

CASES = [
    Case(
        "RandomNormal", [], {"shape": [2, 3], "mean": 1.5, "scale": 0.0}, differentiable=False,
        formula=lambda: np.full((2, 3), 1.5, np.float32),
    ),
    Case(
        "RandomUniform", [], {"shape": [2, 3], "low": 1.5, "high": 1.5, "dtype": TensorProto.DOUBLE},
        formula=lambda: np.full((2, 3), 1.5), differentiable=False,
    ),
    Case(
        "RandomNormalLike", [X], {"mean": 1.5, "scale": 0.0}, differentiable=False,
        formula=lambda x: np.full_like(x, 1.5),
    ),
    Case(
        "RandomUniformLike", [X], {"low": 1.5, "high": 1.5, "dtype": TensorProto.FLOAT16}, differentiable=False,
        formula=lambda x: np.full_like(x, 1.5, np.float16), returns=("float16",),
    ),
    Case("Bernoulli", [np.eye(3, dtype=np.float32)], formula=lambda x: x, differentiable=False),
    Case(
        "Bernoulli", [np.eye(3, dtype=np.float32)], {"dtype": TensorProto.BOOL}, formula=lambda x: x.astype(bool),
        differentiable=False, name="logical",
    ),
    Case(
        "Multinomial", [CERTAIN], {"sample_size": 4}, differentiable=False, returns=("int32",),
        formula=lambda _: np.repeat(np.arange(3, dtype=np.int32)[:, None], 4, 1),
    ),
    Case(
        "Multinomial", [CERTAIN], {"dtype": TensorProto.INT64}, formula=lambda _: np.arange(3)[:, None],
        differentiable=False, returns=("int64",), name="long",
    ),
]  # fmt: skip


def module(op: str, *inputs: np.ndarray, nodes: int = 1, precision: torch.dtype = torch.float32, **attributes: object):
    """That many nodes of the same kind."""
    case = Case(op, inputs, attributes)
    model = case.model(22)
    for place in range(1, nodes):
        model.graph.node.append(
            helper.make_node(op, model.graph.node[0].input, [f"z{place}"], f"n{place}", **attributes)
        )
        extra = model.graph.output.add()
        extra.CopyFrom(model.graph.output[0])
        extra.name = f"z{place}"
    return convert(check_model(model.SerializeToString()), precision=precision)


def draws(op: str, *inputs: np.ndarray, nodes: int = 1, **attributes: object) -> list[np.ndarray]:
    outputs = module(op, *inputs, nodes=nodes, **attributes)(*map(torch.from_numpy, inputs))
    return [output.numpy() for output in outputs]


LIKE = np.zeros(MANY, np.float32)
HALF = np.full(MANY, 0.5, np.float32)
SCORES = np.log(np.tile(np.array([[0.1, 0.2, 0.7]], np.float32), (200, 1)))
SOURCES = [
    ("RandomNormal", (), {"shape": MANY}),
    ("RandomUniform", (), {"shape": MANY}),
    ("RandomNormalLike", (LIKE,), {}),
    ("RandomUniformLike", (LIKE,), {}),
    ("Bernoulli", (HALF,), {}),
    ("Multinomial", (SCORES,), {"sample_size": 500}),
]


@pytest.mark.parametrize(("op", "inputs", "attributes"), [SOURCES[0], SOURCES[2]])
def test_normal_numbers_have_the_moments_asked_for(op: str, inputs: tuple, attributes: dict) -> None:
    (drawn,) = draws(op, *inputs, mean=2.0, scale=3.0, **attributes)
    assert drawn.shape == MANY
    assert drawn.dtype == np.float32
    standard = (drawn.astype(np.float64) - 2) / 3
    assert abs(standard.mean()) < SPREAD
    assert standard.var() == pytest.approx(1, abs=SPREAD * np.sqrt(2))
    assert abs((standard**3).mean()) < SPREAD * np.sqrt(15)


@pytest.mark.parametrize(("op", "inputs", "attributes"), [SOURCES[1], SOURCES[3]])
def test_uniform_numbers_fill_their_interval(op: str, inputs: tuple, attributes: dict) -> None:
    (drawn,) = draws(op, *inputs, low=-1.0, high=3.0, **attributes)
    assert drawn.shape == MANY
    assert drawn.dtype == np.float32
    assert drawn.min() >= -1
    assert drawn.max() < 3
    counts, _ = np.histogram(drawn, 10, (-1, 3))
    np.testing.assert_allclose(counts / drawn.size, 0.1, atol=SPREAD)


def test_bernoulli_draws_ones_as_often_as_told() -> None:
    chances = np.tile(np.linspace(0, 1, 5, dtype=np.float32), (20_000, 1))
    (drawn,) = draws("Bernoulli", chances)
    assert drawn.dtype == np.float32
    assert set(np.unique(drawn)) == {0.0, 1.0}
    np.testing.assert_allclose(drawn.mean(0), chances[0], atol=0.02)


def test_multinomial_draws_classes_as_often_as_told() -> None:
    (drawn,) = draws("Multinomial", SCORES, sample_size=500)
    assert drawn.shape == (200, 500)
    assert drawn.dtype == np.int32
    np.testing.assert_allclose(np.bincount(drawn.reshape(-1)) / drawn.size, [0.1, 0.2, 0.7], atol=SPREAD)
    assert len(np.unique(drawn, axis=0)) == 200  # rows differ


@pytest.mark.parametrize(("op", "inputs", "attributes"), SOURCES, ids=[source[0] for source in SOURCES])
def test_every_pass_and_every_conversion_draws_the_same(op: str, inputs: tuple, attributes: dict) -> None:
    network = module(op, *inputs, **attributes)
    tensors = [torch.from_numpy(value) for value in inputs]
    (first,), (second,) = network(*tensors), network(*tensors)
    torch.rand(7)  # whatever else draws
    (third,) = module(op, *inputs, **attributes)(*tensors)
    assert torch.equal(first, second)
    assert torch.equal(first, third)


@pytest.mark.parametrize(("op", "inputs", "attributes"), SOURCES, ids=[source[0] for source in SOURCES])
def test_nodes_draw_independently(op: str, inputs: tuple, attributes: dict) -> None:
    one, other = draws(op, *inputs, nodes=2, **attributes)
    assert abs(np.corrcoef(one.reshape(-1), other.reshape(-1))[0, 1]) < SPREAD


@pytest.mark.parametrize(("op", "inputs", "attributes"), SOURCES, ids=[source[0] for source in SOURCES])
def test_the_seed_attribute_overrules_the_node(op: str, inputs: tuple, attributes: dict) -> None:
    one, other = draws(op, *inputs, nodes=2, seed=1.0, **attributes)
    (third,) = draws(op, *inputs, seed=2.0, **attributes)
    assert np.array_equal(one, other)
    assert abs(np.corrcoef(one.reshape(-1), third.reshape(-1))[0, 1]) < SPREAD


@pytest.mark.parametrize(("op", "inputs", "attributes"), SOURCES[:5], ids=[source[0] for source in SOURCES[:5]])
def test_a_second_opinion_in_float64_sees_the_same_numbers(op: str, inputs: tuple, attributes: dict) -> None:
    (single,) = draws(op, *inputs, **attributes)
    (double,) = module(op, *inputs, precision=torch.float64, **attributes)(
        *(torch.from_numpy(x).double() for x in inputs)
    )
    assert double.dtype is torch.float64
    assert np.array_equal(single, double.float().numpy())


@pytest.mark.parametrize(("op", "inputs", "attributes"), SOURCES[:4], ids=[source[0] for source in SOURCES[:4]])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_the_type_is_the_one_asked_for(op: str, inputs: tuple, attributes: dict, kind: int) -> None:
    (drawn,) = draws(op, *inputs, dtype=kind, **attributes)
    assert drawn.dtype == helper.tensor_dtype_to_np_dtype(kind)
