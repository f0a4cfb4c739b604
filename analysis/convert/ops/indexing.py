"""Elements looked up, written and counted by index."""

from typing import Final

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.ops.arithmetic import also_unsigned
from analysis.convert.registry import Ints, Tensor, op
from analysis.errors import NodeFailed, UnsupportedOp

ASSIGNED: Final = (
    "where this was h[mask] = value in PyTorch, its older exporter lost the shape of value: write "
    "h = torch.where(mask[..., None], value, h), or export with dynamo=True"
)


@op("Gather")
def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """Rows along an axis by index; negative ones count from the end."""
    indices = indices.long()
    if x.dim() == 0:
        raise UnsupportedOp("Gather from a scalar")
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    if axis == 0 and x.ndim == 2 and x.is_floating_point():
        return F.embedding(indices, x)
    axis %= x.ndim
    picked = x.index_select(axis, indices.reshape(-1))
    return picked.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


@op("GatherElements", 11)
def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """Single elements along an axis by index."""
    indices = indices.long()
    return x.gather(axis, torch.where(indices < 0, indices + x.shape[axis], indices))


@op("GatherND", 11)
def gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    """Slices by tuples of indices in the last axis, after batch_dims shared axes."""
    indices = indices.long()
    lead = indices.shape[:batch_dims]
    batch = [
        torch.arange(n, device=x.device).reshape([-1 if a == axis else 1 for a in range(indices.ndim - 1)])
        for axis, n in enumerate(lead)
    ]
    return x[(*batch, *indices.unbind(-1))]


def _accumulated(reduction: str) -> str:
    return {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}[reduction]


@op("ScatterElements", 11)
@also_unsigned
def scatter_elements(x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none") -> Tensor:
    """Single elements written, or combined, at indices along an axis; x itself is untouched."""
    indices = indices.long()
    if updates.shape != indices.shape:  # torch takes more updates than indices, and fails on its way back
        raise NodeFailed(f"updates have the shape {list(updates.shape)}, indices {list(indices.shape)}")
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    if reduction == "none":
        return x.scatter(axis, indices, updates)
    return x.scatter_reduce(axis, indices, updates, _accumulated(reduction))


@op("Scatter", 9)
def scatter(x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0) -> Tensor:
    """The older name of ScatterElements."""
    return scatter_elements(x, indices, updates, axis=axis)


@op("ScatterND", 11)
def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    """Slices written, or combined, at tuples of indices; x itself is untouched."""
    depth = indices.shape[-1]
    tail = x.shape[depth:]
    taken = (*indices.shape[:-1], *tail)
    if updates.shape != taken:
        raise NodeFailed(
            f"updates have the shape {list(updates.shape)}, these indices take {list(taken)}", hint=ASSIGNED
        )
    rows = x.reshape((-1, *tail))
    flat = torch.zeros(indices.shape[:-1], dtype=torch.int64, device=x.device)
    for axis, index in enumerate(indices.long().unbind(-1)):
        flat = flat * x.shape[axis] + torch.where(index < 0, index + x.shape[axis], index)
    places = flat.reshape(-1, *[1] * len(tail)).expand(-1, *tail)
    written = scatter_elements(rows, places, updates.reshape(-1, *tail), axis=0, reduction=reduction)
    return written.reshape(x.shape)


@op("OneHot", 9)
def one_hot(indices: Tensor, depth: Ints, values: Tensor, *, axis: int = -1) -> Tensor:
    """values[1] at the index along a new axis, values[0] elsewhere."""
    classes = torch.arange(depth[0], device=indices.device)
    wrapped = torch.where(indices < 0, indices + depth[0], indices).long()
    hot = wrapped.unsqueeze(axis if axis >= 0 else axis + indices.ndim + 1)
    place = axis % (indices.ndim + 1)
    classes = classes.reshape([-1 if a == place else 1 for a in range(indices.ndim + 1)])
    return torch.where(hot == classes, values[1], values[0])


@op("NonZero", 9)
def non_zero(x: Tensor) -> Tensor:
    """Indices of the elements that are not zero, [rank, count]."""
    return x.nonzero().t()
