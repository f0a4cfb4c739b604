"""Matrix products."""

from typing import Final

import torch

from analysis.convert.ops.arithmetic import also_unsigned, check_elements
from analysis.convert.registry import Tensor, op

ORDINARY: Final = 2
"""Factors of an Einsum; the product of many may be larger than anything."""


@op("MatMul")
@also_unsigned
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Numpy's matmul: [.., m, k] [.., k, n] -> [.., m, n]."""
    return torch.matmul(a, b)


@op("Gemm")
def gemm_1(
    a: Tensor, b: Tensor, c: Tensor, *, alpha: float = 1.0, beta: float = 1.0, broadcast: int = 0,
    transA: int = 0, transB: int = 0,  # noqa: N803 - ONNX names
) -> Tensor:  # fmt: skip
    """Before opset 7 broadcasting of c is announced; it is the same."""
    return gemm(a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)


@op("Gemm", 7)
@also_unsigned
def gemm(
    a: Tensor, b: Tensor, c: Tensor | None = None, *, alpha: float = 1.0, beta: float = 1.0,
    transA: int = 0, transB: int = 0,  # noqa: N803 - ONNX names
) -> Tensor:  # fmt: skip
    """Alpha A' B' + beta C with A' [m, k], B' [k, n], C broadcast to [m, n]."""
    a = a.t() if transA else a
    b = b.t() if transB else b
    if not a.is_floating_point():
        scaled = alpha * (a @ b).double()
        return (scaled if c is None else scaled + beta * c).to(a.dtype)
    if c is None or beta == 0.0:
        product = a @ b
        return product if alpha == 1.0 else alpha * product
    return torch.addmm(c, a, b, beta=beta, alpha=alpha)


@op("Einsum", 12)
@also_unsigned
def einsum(*tensors: Tensor, equation: str) -> Tensor:
    """Einstein summation."""
    equation = equation.replace(" ", "")
    if len(tensors) > ORDINARY:
        check_elements(torch.einsum(equation, *(tensor.to("meta") for tensor in tensors)))
    return torch.einsum(equation, *tensors)
