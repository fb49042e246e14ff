"""A batch in parts: which rows a process reads, and how features of all rows come together with their gradients.

Convention: every process computes the same loss from gathered features. What reaches a process's own rows on the way back is the sum
over the processes, so parameters below a gather get size() times their share of the gradient, parameters above it the whole gradient
in every process; `mean_gradients` is right for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from reidclip.data.samplers import part_of_batch
from reidclip.errors import UserError
from reidclip.parallel.processes import answered, rank, size

T = TypeVar("T")

_ROWS: ContextVar[int] = ContextVar("rows of the whole batch")


def share(items: Sequence[T]) -> Sequence[T]:
    """This process's consecutive part of a batch; empty in the last processes where there are fewer items than processes."""
    return items[part_of_batch(len(items), rank(), size())]


def share_of_pictures(count: int) -> Sequence[int]:
    """Indices of the pictures that this process encodes of all ``count``.

    Raises:
        UserError: fewer pictures than processes.
    """
    if count < size():
        raise UserError(f"{count} pictures cannot be split among {size()} processes.", "Use fewer processes.")
    return share(range(count))


@contextmanager
def batch_of(rows: int) -> Iterator[None]:
    """Within, `gather_rows` knows that the whole batch has so many rows; the last batch of an epoch may have fewer than there are
    processes, and some of them no row."""
    token = _ROWS.set(rows)
    try:
        yield
    finally:
        _ROWS.reset(token)


def gather_rows(part: Tensor) -> Tensor:
    """Rows of all processes in the batch's order, differentiable: (b, ...) -> (B, ...), b = this process's share of the batch's B rows.

    Raises:
        ValueError: another number of rows than this process's share.
    """
    if size() == 1:
        return part
    parts = [part_of_batch(_ROWS.get(), number, size()) for number in range(size())]
    own = parts[rank()]
    if len(part) != own.stop - own.start:
        raise ValueError(f"{len(part)} rows, but this process's share of {_ROWS.get()} is {own.stop - own.start}")
    gathered: Tensor = _Gather.apply(part, parts)
    return gathered


def gather_labels(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The batch as losses read it: columns and rows of numbers gathered; pictures (3 and more dimensions) stay this process's own, as does
    whatever is named "own...."."""
    return {n: value if value.dim() > 2 or n.startswith("own.") else gather_rows(value) for n, value in batch.items()}


def mean_gradients(gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Mean over the processes of each gradient, in one exchange, at least in float32; None stays None."""
    if size() == 1:
        return list(gradients)
    present = [g for g in gradients if g is not None]
    if not present:
        return list(gradients)
    flat = torch.cat([at_least_float32(g.detach()).reshape(-1) for g in present])
    with answered():
        dist.all_reduce(flat)
    flat /= size()
    parts = iter(torch.split(flat, [g.numel() for g in present]))
    return [None if g is None else next(parts).view_as(g).to(g.dtype) for g in gradients]


def sum_over_processes(values: Tensor) -> Tensor:
    """Sum over the processes, any shape; not differentiable."""
    if size() == 1:
        return values
    total = values.detach().clone()
    with answered():
        dist.all_reduce(total)
    return total


def at_least_float32(values: Tensor) -> Tensor:
    """Half precisions as float32, in which sums over processes are made (and gloo knows no bfloat16); wider ones as they are."""
    return values.float() if values.dtype.itemsize < 4 else values


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, parts: list[slice]) -> Tensor:
        ctx.own = parts[rank()]
        longest = parts[0].stop
        sent = at_least_float32(part) if part.is_floating_point() else part
        if len(part) < longest:
            sent = torch.cat([sent, sent.new_zeros((longest - len(part), *part.shape[1:]))])
        boxes = [torch.empty_like(sent) for _ in range(size())]
        with answered():
            dist.all_gather(boxes, sent.contiguous())
        return torch.cat([box[: rows.stop - rows.start] for box, rows in zip(boxes, parts, strict=True)]).to(part.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = at_least_float32(gradient).contiguous().clone()
        with answered():
            dist.all_reduce(total)
        return total[ctx.own].to(gradient.dtype), None
