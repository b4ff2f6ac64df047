"""A step that is done in the ordinary way, watched for what a recording of it would get wrong."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from regmix_bench.errors import abridged
from regmix_bench.replay.memory import MemoryOrigins
from regmix_bench.replay.operations import HostReads, identity, obstacle
from regmix_bench.replay.places import Place, at, here

_PLAIN = (bool, int, float, complex, str, torch.dtype, torch.layout, torch.memory_format)


class Watch:
    """Watches what is done inside the block, on any device, without changing its results.

    It costs some tens of microseconds an operation. Autocast and backward passes may be part of it:
    autograd's threads take over the modes of the thread that calls it, which are a part of
    ``at::ThreadLocalState``. Compiled functions cannot be looked into.
    """

    def __init__(self, device: torch.device) -> None:
        self._eyes = _Eyes(device)
        self._reads = HostReads(device, self._eyes.note_read)

    def __enter__(self) -> Self:
        self._reads.__enter__()  # type: ignore[no-untyped-call]
        self._eyes.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._eyes.__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        self._reads.__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        self._eyes.origins.end()

    @property
    def obstacle(self) -> str | None:
        """The first thing that keeps the step out of a recording, in one line that names the place.

        It makes the host wait for the device, or exchanges tensors with other processes.
        """
        return self._eyes.obstacle

    def difference(self, later: Watch) -> str | None:
        """Return what the two steps did differently, in one line that names the place, or None.

        They are steps of one branch of a method on the same input tensors. So a number or an
        operation that differs follows from a value of the host, and a tensor that was there before
        each step and is another one is a buffer that was replaced: both a recording freezes in.
        """
        for one, two in itertools.zip_longest(self._eyes.seen, later._eyes.seen):
            if one is None or two is None or one[:2] != two[:2]:
                return _told(one, two)
        return None


class _Memory(NamedTuple):
    """A tensor without its values: the address of its memory, or 0 where the step made it."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    address: int


class _Seen(NamedTuple):
    """An operation, what a recording keeps of its arguments, and the line that asked."""

    name: str
    arguments: tuple[Any, ...]
    place: Place | None


class _Eyes(TorchDispatchMode):
    """Sees the operations below autograd."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.seen: list[_Seen] = []
        self.obstacle: str | None = None
        self.origins = MemoryOrigins()
        self._drawn: list[torch.Generator] = []  # held, so that no other has its address
        self._thread = threading.get_ident()

    def note_read(self, what: str) -> None:
        """Note a function that makes the host wait."""
        self._note(what, "makes the host wait for the device", here(self._thread))

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        place, name = here(self._thread), func.overloadpacket.__name__
        arguments = tuple(map(self._kept, (*args, *given.values())))
        self.seen.append(_Seen(name, arguments, place))
        if self.obstacle is None:
            self._note(name, obstacle(func, args, given, self.device), place)
        out = func(*args, **given)
        self.origins.note_made(out)
        return out

    def _note(self, what: str, why: str | None, place: Place | None) -> None:
        if why is not None and self.obstacle is None:
            self.obstacle = f"{what} {why}{at(place)}"

    def _kept(self, value: Any) -> Any:
        """Return what a recording would keep of an argument, as something to compare."""
        if isinstance(value, Tensor):
            if value.dim() == 0 and value.device.type == "cpu" != self.device.type:
                return self._kept(value.item())  # a number of the host
            address = value.untyped_storage()._cdata if self.origins.was_found(value) else 0
            return _Memory(value.dtype, tuple(value.shape), address)
        if isinstance(value, (list, tuple)):
            return tuple(map(self._kept, value))
        if isinstance(value, torch.Generator):
            self._drawn.append(value)
            return f"generator {identity(value)}"
        if isinstance(value, float) and value != value:
            return "nan"  # which equals nothing
        return value if isinstance(value, _PLAIN) else type(value).__name__


def _told(one: _Seen | None, two: _Seen | None) -> str:
    """Say how two steps differ, at the first operation in which they do."""
    if one is None or two is None:
        longer = one or two
        assert longer is not None
        return f"one step goes on with {longer.name} where another ends{at(longer.place)}"
    if one.name != two.name:
        return f"{one.name}{at(one.place)} in one step is {two.name}{at(two.place)} in another"
    pairs = itertools.zip_longest(_flat(one.arguments), _flat(two.arguments))
    first, second = next((a, b) for a, b in pairs if a != b)
    if isinstance(first, _Memory) and isinstance(second, _Memory) and first[:2] == second[:2]:
        return f"{one.name} takes up a tensor in the place of another{at(two.place)}"
    shown = [abridged(v.shape if isinstance(v, _Memory) else v) for v in (first, second)]
    return f"{one.name} is given {shown[0]} in one step, {shown[1]} in another{at(two.place)}"


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, tuple) and not isinstance(value, _Memory):
            yield from _flat(value)
        else:
            yield value
