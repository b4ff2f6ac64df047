"""A stand-in for CUDA graphs where there is no GPU: what a graph gets wrong, a tape gets wrong too.

A tape notes the operations that reach the dispatcher below autograd, forward and backward, with
their tensors by identity and their numbers as they were, and a replay does them again on the same
memory. So a number of the host is frozen in, a tensor that Python puts in the place of another is
not seen, and an input that was not filled is the old one. Recording leaves tensors and generators
as they were, and fills what it made with garbage, since a graph has not computed it either.

What it cannot show: that recordings share the memory of what they drop, kernels that wait for the
host inside, and settings that a graph freezes and an operation looks up, such as TF32. On a CPU a
tensor of the host and one of the device are alike: copies between the two are known by the
functions that make them (:class:`~regmix_bench.replay.operations.HostReads`).
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor
from torch._ops import OpOverload

from regmix_bench.replay.operations import HostReads, identity, obstacle, tensors_of
from regmix_bench.replay.places import at, here
from regmix_bench.replay.protocol import CannotRecord, Recorder, Recording, T
from regmix_bench.replay.undo import Undo

CPU = torch.device("cpu")


class TapeRecorder(Recorder):
    """Records the work of a CPU on a tape."""

    def rehearse(self, work: Callable[[], T]) -> T:
        return work()

    def _record(self, work: Callable[[], T], generators: Sequence[torch.Generator]) -> Recording[T]:
        tape = _Tape(generators)
        try:
            with HostReads(CPU, tape.refuse), tape:
                result = work()
        finally:
            tape.rewind()
        return _TapeRecording(result, tape.calls)


class _Call(NamedTuple):
    """An operation, the numbers and the memory that it was given, and the memory that it filled."""

    operation: OpOverload
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    #: Results in memory of their own, into which a replay has to copy; None where there is none.
    made: list[Tensor | None]


class _TapeRecording(Recording[T]):
    def __init__(self, result: T, calls: list[_Call]) -> None:
        self.result, self._calls = result, calls

    def replay(self) -> None:
        # Operations were noted below autograd and autocast, and are not to meet them again.
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            for operation, args, kwargs, made in self._calls:
                again = operation(*args, **kwargs)
                for memory, value in zip(made, tensors_of((again,)), strict=True):
                    if memory is not None:
                        memory.copy_(value)


class _Tape(Undo):
    """Notes operations while it is entered, and then takes back what they did."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        known = *generators, torch.default_generator
        super().__init__(known)
        self.calls: list[_Call] = []
        self._known = set(map(identity, known))
        self._thread = threading.get_ident()

    def refuse(self, what: str, why: str = "makes the host wait for the device") -> NoReturn:
        """Raise :class:`CannotRecord` for the operation ``what``."""
        raise CannotRecord(f"{what} {why}{at(here(self._thread))}")

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        why = obstacle(func, args, given, CPU)
        if why is not None:
            self.refuse(func.overloadpacket.__name__, why)
        values = (*args, *given.values())
        drawn = [value for value in values if isinstance(value, torch.Generator)]
        if not self._known.issuperset(map(identity, drawn)):
            self.refuse(func.overloadpacket.__name__, "draws from a generator that was not named")
        inputs = {tensor.untyped_storage()._cdata for tensor in tensors_of(values)}
        out = super().__torch_dispatch__(func, types, args, given)
        results = [(result, result.untyped_storage()._cdata) for result in tensors_of((out,))]
        made = [None if address in inputs else result.data for result, address in results]
        views = bool(made) and not any(memory is not None for memory in made)
        if func._schema.is_mutable or not views:
            frozen = {name: _pinned(value) for name, value in given.items()}
            self.calls.append(_Call(func, tuple(map(_pinned, args)), frozen, made))
        return out

    def rewind(self) -> None:
        """Put back what memory held and how far generators were drawn; spoil what was made."""
        super().rewind()
        with torch.inference_mode():
            for memory in itertools.chain.from_iterable(call.made for call in self.calls):
                if memory is not None:  # an index has to stay inside of what it is of
                    memory.fill_(math.nan if _has_nan(memory.dtype) else 0)


def _has_nan(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point or dtype.is_complex


def _pinned(value: Any) -> Any:
    """Return an argument as a graph keeps it: of a tensor the memory, whatever becomes of it."""
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, (list, tuple)):
        return [_pinned(each) for each in value]
    return value
