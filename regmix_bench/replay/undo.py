"""Work that is done and taken back: what it would have done is known, and nothing has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from regmix_bench.replay.memory import MemoryOrigins
from regmix_bench.replay.operations import tensors_of


class Undo(TorchDispatchMode):
    """Notes what the memory that the block takes up held before, and puts it back at a call.

    It costs a copy of that memory, on its own device. ``generators`` are put back too.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._drawn = [(generator, generator.get_state()) for generator in generators]
        self._origins = MemoryOrigins()
        self._before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        # Of all that is read too: not every operation says what it writes, batch norm does not.
        for tensor in tensors_of((*args, *given.values())):
            storage = tensor.untyped_storage()
            if self._origins.was_found(tensor) and storage._cdata not in self._before:
                whole = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
                self._before[storage._cdata] = whole, whole.clone()
        out = func(*args, **given)
        self._origins.note_made(out)
        return out

    @torch.inference_mode()
    def rewind(self) -> None:
        """Put back what memory held, and how far generators were drawn from."""
        for memory, held in self._before.values():
            memory.copy_(held)
        for generator, state in self._drawn:
            generator.set_state(state)
