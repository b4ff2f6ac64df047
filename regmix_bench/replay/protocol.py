"""The protocol of recorders, whatever they record on.

A recording is of fixed work on fixed memory. What a replay is to work on is filled into the tensors
that were there at the recording; a number of the host is frozen in, and a tensor that Python puts
in the place of another is not seen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import torch

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

    @abstractmethod
    def record(
        self, work: Callable[[], T], generators: Sequence[torch.Generator] = ()
    ) -> Recording[T]:
        """Record ``work`` without doing it: the first replay is the first time it is done.

        All that it draws comes from ``generators``, or from torch's own of the device. Raises
        :class:`CannotRecord` where it cannot be recorded, and ``torch.OutOfMemoryError``.
        """
