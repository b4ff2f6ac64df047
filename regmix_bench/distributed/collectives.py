"""Exchanges between the processes that share one run.

Without a group every function here is the identity: a process alone computes what it ever did.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
_total: list[int | None] = [None]

#: Rows of a table that are drawn at once: a device need not have room for all of it twice.
_AT_A_TIME = 1000


def rank() -> int:
    """Return the number of this process, from 0; the first alone writes results."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def size() -> int:
    """Return the number of processes that share a run."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def share(n: int) -> slice:
    """Return this process's part of ``n`` rows.

    Parts differ by one row at most; the first are the larger.
    """
    quotient, rest = divmod(n, size())
    start = rank() * quotient + min(rank(), rest)
    return slice(start, start + quotient + (rank() < rest))


@contextlib.contextmanager
def whole_batch(total: int | None) -> Iterator[None]:
    """Have :func:`batch_total` answer ``total`` while the block works on a share of a batch."""
    before, _total[0] = _total[0], total
    try:
        yield
    finally:
        _total[0] = before


def batch_total() -> int | None:
    """Return the number of images in the batch that is worked on; None where nobody said it."""
    return _total[0]


def all_sum(value: Tensor) -> Tensor:
    """Sum ``value``, of the same shape in each process, over the processes; without gradient."""
    if size() == 1:
        return value
    total = value.detach().clone(memory_format=torch.contiguous_format)
    torch.distributed.all_reduce(total)
    return total


def all_max(value: Tensor) -> Tensor:
    """Return the largest of ``value``, of the same shape in each process, in each place."""
    if size() == 1:
        return value
    largest = value.detach().clone(memory_format=torch.contiguous_format)
    torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)
    return largest


def average(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over the processes, in one exchange; all of one dtype."""
    if size() == 1 or not tensors:
        return
    mean = all_sum(torch.cat([tensor.flatten() for tensor in tensors])) / size()
    for tensor, part in zip(tensors, mean.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def on_first(make: Callable[[], T]) -> T:
    """Call ``make`` in the first process alone and return its result in all, which wait for it."""
    if size() == 1:
        return make()
    made: list[Any] = [make() if rank() == 0 else None]
    torch.distributed.broadcast_object_list(made)
    found: T = made[0]
    return found


def gathered(value: T) -> list[T]:
    """Return the ``value`` of each process, in their order, in all, which wait for one another."""
    if size() == 1:
        return [value]
    found: list[Any] = [None] * size()
    torch.distributed.all_gather_object(found, value)
    return found


class Sharding:
    """A table of ``n`` rows that lies in a group: each process holds its :func:`share` of them.

    The rows of a process are made by :meth:`zeros`. They are read and written for a batch of
    ``total`` rows, of which each process has its share (B rows) too; ``index`` (B,) are their
    positions in the whole table. Every method is to be called by all processes.
    """

    def __init__(self, n: int) -> None:
        self.n, self.mine = n, share(n)
        self.held = self.mine.stop - self.mine.start

    def zeros(self, shape: Sequence[int], device: torch.device, dtype: torch.dtype) -> Tensor:
        """Make the rows that this process holds, each of ``shape``."""
        # In a group, one more: there goes what others hold, so that no shape depends on the data.
        return torch.zeros(self.held + (size() > 1), *shape, device=device, dtype=dtype)

    def fill(self, rows: Tensor, draw: Callable[[Tensor], object]) -> None:
        """Fill ``rows`` by ``draw``, which fills all ``n`` in place, a part of them at a time.

        Each process draws all and keeps what is its own, so that their number changes nothing.
        """
        for start in range(0, self.n, _AT_A_TIME):
            part = rows.new_empty(min(_AT_A_TIME, self.n - start), *rows.shape[1:])
            draw(part)
            low, high = max(start, self.mine.start), min(start + len(part), self.mine.stop)
            if low < high:
                rows[low - self.mine.start : high - self.mine.start] = part[
                    low - start : high - start
                ]

    def take(self, rows: Tensor, index: Tensor, total: int, dtype: torch.dtype) -> Tensor:
        """Return the rows (B, …) at ``index``, as ``dtype``."""
        if size() == 1:
            return rows[index].to(dtype)
        place = self._places(index, total)
        found = rows[place].to(dtype)
        there = (place < self.held).view(-1, *[1] * (rows.dim() - 1))
        return all_sum(torch.where(there, found, 0))[share(total)]

    def put(self, rows: Tensor, index: Tensor, total: int, values: Tensor) -> None:
        """Write ``values`` (B, …) at ``index``."""
        if size() > 1:
            index, values = self._places(index, total), _whole(values, total)
        rows[index] = values.to(rows.dtype)

    def gather(self, rows: Tensor) -> Tensor:
        """Return all rows (n, …) in the first process, and no row in the others."""
        if size() == 1:
            return rows
        parts = []
        for source in range(size()):
            held = self.n // size() + (source < self.n % size())
            part = (
                rows[:held].clone() if rank() == source else rows.new_empty(held, *rows.shape[1:])
            )
            torch.distributed.broadcast(part, source)
            if rank() == 0:
                parts.append(part.cpu())  # a device need not have room for all
        return torch.cat(parts) if parts else rows[:0]

    def load(self, rows: Tensor, state: Tensor) -> None:
        """Restore ``rows`` from all rows (n, …), however many processes have gathered them."""
        rows[: self.held].copy_(state[self.mine])

    def _places(self, index: Tensor, total: int) -> Tensor:
        """Positions (``total``,) of the whole batch in this process; the last, for others' rows."""
        place = _whole(index, total) - self.mine.start
        return torch.where((place >= 0) & (place < self.held), place, self.held)


def _whole(rows: Tensor, total: int) -> Tensor:
    """Rows of the whole batch (``total``, …), put together from the processes' shares."""
    found = rows.new_zeros(total, *rows.shape[1:])
    found[share(total)] = rows
    return all_sum(found)
