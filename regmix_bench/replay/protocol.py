"""The protocol of recorders, whatever they record on.

A recording is of fixed work on fixed memory. What a replay is to work on is filled into the tensors
that were there at the recording; a number of the host is frozen in, and a tensor that Python puts
in the place of another is not seen.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch

from regmix_bench.errors import reason
from regmix_bench.replay.places import at, raised_at

T = TypeVar("T")

#: Ordinary runs of a piece of work before it is recorded: libraries choose their kernels in them,
#: and optimisers make their state.
REHEARSALS = 3


class CannotRecord(Exception):
    """A piece of work cannot be recorded; the message says why, and where in the code."""


class Recording(ABC, Generic[T]):
    """A piece of work that was recorded. ``result`` is what it returned: each replay fills it."""

    result: T

    @abstractmethod
    def replay(self) -> None:
        """Do the work again, on what its tensors hold now."""


class Recorder(ABC):
    """Records work on one device. Its recordings share memory: one is replayed at a time.

    ``seconds`` is the time that recording has taken so far.
    """

    seconds: float = 0.0

    @abstractmethod
    def rehearse(self, work: Callable[[], T]) -> T:
        """Do ``work`` in the ordinary way, as it has to be done before it is recorded."""

    def record(
        self, work: Callable[[], T], generators: Sequence[torch.Generator] = ()
    ) -> Recording[T]:
        """Record ``work`` without doing it: the first replay is the first time it is done.

        Python runs once, now, and never in a replay; what a tensor made by it holds before the
        first replay is anything. All that it draws comes from ``generators``, which are plain
        ``torch.Generator`` objects and may be seeded anew before any replay, or from torch's own of
        the device. A gradient that it is to make, and not to add to, is None before.

        Raises :class:`CannotRecord` where it cannot be recorded, whatever the error was, and
        ``torch.OutOfMemoryError``. No tensor that was there has changed then, but Python may have
        put what it made in the place of others, and no earlier recording may be replayed.
        """
        if any(type(generator) is not torch.Generator for generator in generators):
            raise TypeError("a recording takes plain generators, not those of a class of their own")
        started = time.perf_counter()
        try:
            return self._record(work, generators)
        except (CannotRecord, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise CannotRecord(f"{reason(error)}{at(raised_at(error))}") from error
        finally:
            self.seconds += time.perf_counter() - started

    @abstractmethod
    def _record(self, work: Callable[[], T], generators: Sequence[torch.Generator]) -> Recording[T]:
        """Record as :meth:`record` says, and raise whatever the work does."""
