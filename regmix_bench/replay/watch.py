"""A step that is done in the ordinary way, watched for what a recording of it would get wrong."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from regmix_bench.errors import abridged
from regmix_bench.replay.operations import HostReads, obstacle, tensors_of
from regmix_bench.replay.places import Place, at, here

_PLAIN = (bool, int, float, complex, str, torch.dtype, torch.layout, torch.memory_format)


class Watch:
    """Watches what is done inside the block, on any device, without changing its results.

    It costs some ten microseconds an operation. Autocast and backward passes may be part of what is
    done: autograd's threads take over the modes of the thread that calls it, which are a part of
    ``at::ThreadLocalState``. Compiled functions cannot be looked into.

    ``earlier`` watched the step before this one.
    """

    def __init__(self, device: torch.device, earlier: Watch | None = None) -> None:
        before: Mapping[int, StorageWeakRef] = earlier._eyes.left if earlier else {}
        self._eyes: _Eyes = _Eyes(device, before)
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
        self._eyes.left = {k: ref for k, ref in self._eyes.left.items() if not ref.expired()}

    @property
    def obstacle(self) -> str | None:
        """What keeps the step out of a recording, in one line that names the place.

        That it makes the host wait, that it exchanges tensors with other processes, or that it
        takes up a tensor that ``earlier`` had made: a recording would not, and take up the old one.
        """
        return self._eyes.obstacle

    def difference(self, other: Watch) -> str | None:
        """Return in one line what the two steps did differently, or None.

        They are of equal batches and in one branch of their method, so that a number that differs,
        or an operation, followed from a value of the host, which a recording would freeze in.
        """
        for one, two in itertools.zip_longest(self._eyes.seen, other._eyes.seen):
            if one is None or two is None or one[:2] != two[:2]:
                return _told(one, two)
        return None


class _Seen(NamedTuple):
    """An operation, its arguments without the values of tensors, and the line that asked for it."""

    name: str
    arguments: tuple[Any, ...]
    place: Place | None


class _Eyes(TorchDispatchMode):
    """Sees the operations below autograd."""

    def __init__(self, device: torch.device, before: Mapping[int, StorageWeakRef]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device, self._before = device, before
        self.seen: list[_Seen] = []
        self.obstacle: str | None = None
        #: Memory made in the step, by its address: once it is over, what outlives it.
        self.left: dict[int, StorageWeakRef] = {}
        self._thread = threading.get_ident()

    def note_read(self, what: str) -> None:
        """Note the first function that makes the host wait."""
        self._note(f"{what} makes the host wait for the device", here(self._thread))

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        values = (*args, *given.values())
        place, name = here(self._thread), func.overloadpacket.__name__
        self.seen.append(_Seen(name, tuple(map(self._frozen, values)), place))
        why = None if self.obstacle else obstacle(func, args, given, self.device)
        if why is not None:
            self._note(f"{name} {why}", place)
        inputs = {tensor.untyped_storage()._cdata for tensor in tensors_of(values)}
        if not self._before.keys().isdisjoint(inputs):
            self._note(f"{name} takes up a tensor that the step before made anew", place)
        out = func(*args, **given)
        for result in tensors_of((out,)):
            storage = result.untyped_storage()
            if storage._cdata not in inputs:
                self.left[storage._cdata] = StorageWeakRef(storage)
        return out

    def _note(self, what: str, place: Place | None) -> None:
        self.obstacle = self.obstacle or f"{what}{at(place)}"

    def _frozen(self, value: Any) -> Any:
        """Return what a recording would keep of an argument, as something to compare."""
        if isinstance(value, Tensor):
            if value.dim() == 0 and value.device.type == "cpu" != self.device.type:
                return self._frozen(value.item())  # a number of the host
            return (str(value.dtype), *value.shape)
        if isinstance(value, (list, tuple)):
            return tuple(map(self._frozen, value))
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
    pairs = itertools.zip_longest(one.arguments, two.arguments)
    first, second = next((a, b) for a, b in pairs if a != b)
    return f"{one.name} is given {abridged(first)}, then {abridged(second)}{at(two.place)}"
