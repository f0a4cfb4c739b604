"""Cases of the matmul family."""

import numpy as np
import pytest
import torch

from analysis.convert.ops.matmul import einsum
from analysis.errors import LimitExceeded
from tests.analysis.convert.ops.cases import RANDOM, Case, floats, scalar

A, B = floats(2, 3), floats(3, 4)
INTEGERS = RANDOM.integers(-3, 4, (3, 3)).astype(np.int32)
SCALED = {"alpha": 0.5, "beta": 1.5}

CASES = [
    Case("MatMul", [A, B]),
    Case("MatMul", [floats(5, 1, 2, 3), floats(2, 3, 4)], name="batched"),
    Case("MatMul", [floats(3), B], name="vector left"),
    Case("MatMul", [A, floats(3)], name="vector right"),
    Case("MatMul", [floats(3), floats(3)], name="vectors"),
    Case("MatMul", [INTEGERS, INTEGERS], since=9, differentiable=False, name="integers"),
    Case("Gemm", [A, B, floats(2, 4)], SCALED, until=7, formula=lambda a, b, c: 0.5 * a @ b + 1.5 * c),
    Case("Gemm", [A, B, floats(4)], {"broadcast": 1}, until=7, formula=lambda a, b, c: a @ b + c, name="bias"),
    Case("Gemm", [A, B, floats(2, 4)], SCALED, since=7),
    Case(
        "Gemm", [A.T, B.T, floats(2, 4)], {"transA": 1, "transB": 1}, formula=lambda a, b, c: a.T @ b.T + c, until=7,
        name="transposed",
    ),
    Case("Gemm", [A.T, B.T, floats(2, 4)], {"transA": 1, "transB": 1}, since=7, name="transposed"),
    Case("Gemm", [A, B, floats(4)], since=7, name="bias"),
    Case("Gemm", [A, B.T, floats(4)], {"transB": 1}, since=7, constant=(1, 2), name="linear layer"),
    Case("Gemm", [A, B, floats(2, 1)], since=7, name="bias per row"),
    Case("Gemm", [A, B, floats(1)], since=7, name="one number"),
    Case("Gemm", [A, B, scalar(0.7)], since=7, name="scalar"),
    Case("Gemm", [A, B, floats(4)], {"beta": 0.0}, since=7, name="bias off"),
    Case("Gemm", [A, B], since=11, name="no bias"),
    Case("Gemm", [A, B], {"alpha": 0.5}, since=11, name="no bias scaled"),
    Case("Gemm", [INTEGERS, INTEGERS, INTEGERS], since=9, differentiable=False, name="integers"),
    Case("Gemm", [INTEGERS, INTEGERS], {"alpha": 0.5}, since=11, differentiable=False, name="integers scaled"),
    Case("Einsum", [A, B], {"equation": "ij,jk->ik"}),
    Case("Einsum", [A, B], {"equation": "ij, jk"}, name="implicit"),
    Case("Einsum", [A, A], {"equation": "ij,ij->"}, name="inner"),
    Case("Einsum", [A], {"equation": "ij->ji"}, name="transposed"),
    Case("Einsum", [floats(3, 3)], {"equation": "ii->i"}, name="diagonal"),
    Case("Einsum", [floats(5, 2, 3), floats(1, 3, 4)], {"equation": "...ij,...jk->...ik"}, name="ellipsis"),
    Case("Einsum", [A, B, floats(4, 2)], {"equation": "ij,jk,kl->il"}, name="three"),
    Case("Einsum", [floats(2, 2, 3, 4), floats(2, 5, 3, 4)], {"equation": "Bqhd,Bkhd->Bhqk"}, name="attention"),
]  # fmt: skip


def test_a_product_of_many_is_refused_before_it_is_computed() -> None:
    """8 ** 12 elements."""
    with pytest.raises(LimitExceeded, match="68719476736 elements"):
        einsum(*[torch.ones(8)] * 12, equation="a,b,c,d,e,f,g,h,i,j,k,l->abcdefghijkl")
    assert einsum(*[torch.ones(2)] * 3, equation="a, b, c -> abc").sum() == 8
