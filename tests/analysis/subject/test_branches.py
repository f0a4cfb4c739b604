"""Which branches are the network, and what becomes of the report then."""

import numpy as np
import pytest

from analysis.batch import load_batch
from analysis.clock import OutOfTime
from analysis.convert import convert
from analysis.errors import BadOptions
from analysis.model import CheckedModel
from analysis.options import AnalysisOptions
from analysis.subject.branches import take_branches, told
from analysis.subject.preparation import prepare
from tests.analysis.branching import BY_DATA, BY_RATE, BY_SIZE, RATES, branching
from tests.analysis.text_models import drawn
from tests.gallery import npz


def taken(model: CheckedModel, **arrays: np.ndarray) -> list[str]:
    """Operators of the graph once its branches were taken."""
    batch = load_batch(npz(x=drawn(6, 4), **arrays), model)
    return [node.op_type for node in take_branches(model, convert(model), batch).nodes]


@pytest.mark.parametrize(("rate", "inside"), [(16, "Relu"), (8, "Tanh")])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_one_integer_decides_for_all_samples(rate: int, inside: str, shape: tuple[int, ...]) -> None:
    inputs = RATES.replace("int64 rate", "int64[1] rate") if shape else RATES
    decides = BY_RATE if not shape else "k = Constant<value_ints = [16]>() w = Equal(rate, k) wide = Squeeze(w)"
    operators = taken(branching(decides, inputs), rate=np.full(shape, rate))
    assert inside in operators
    assert "If" not in operators


def test_sizes_decide_for_all_samples() -> None:
    assert "Relu" in taken(branching(BY_SIZE, "float[N,4] x"))


def test_what_looks_at_the_data_or_at_an_integer_of_each_sample_stays() -> None:
    assert "If" in taken(branching(BY_DATA, "float[N,4] x"))
    each = "k = Constant<value_int = 16>() m = ReduceMax<keepdims = 0>(rate) wide = Equal(m, k)"
    assert "If" in taken(branching(each, "float[N,4] x, int64[N] rate"), rate=np.full(6, 16))
    drawn_by_chance = (
        "r = RandomUniform<shape = [1]>() k = Constant<value_float = 0.5>() w = Less(r, k) wide = Squeeze(w)"
    )
    assert "If" in taken(branching(drawn_by_chance, "float[N,4] x"))


def test_the_taken_branch_is_the_network_and_the_note_says_so() -> None:
    model = branching()
    subject = prepare(model, npz(x=drawn(6, 4), rate=np.array(16)), AnalysisOptions())
    held = {info.initializer for layer in subject.layers for info in layer.parameters.values()}
    assert held == set(subject.converted.initializers) == {"A", "B"}
    assert subject.converted.frozen["C"] == "only in the branch of choice that is not taken"
    (note,) = told(model, subject.model)
    assert note in subject.batch.notes
    assert "choice" in note


def test_a_pass_that_takes_all_of_the_budget_is_refused_as_one() -> None:
    """Sizing runs one sample, and then the pass that shows the branches is ended."""
    model, looks = branching(), iter(range(10**6))
    steps = len(convert(model).steps) + 3

    def ended() -> bool:
        if next(looks) > steps:
            raise OutOfTime
        return True

    with pytest.raises(BadOptions, match="budget_seconds"):
        prepare(model, npz(x=drawn(6, 4), rate=np.array(16)), AnalysisOptions(), ended)
