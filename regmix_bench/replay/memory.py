"""The memory that a block of work made, and the memory that was there before it."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from regmix_bench.replay.operations import tensors_of


class MemoryOrigins:
    """Tells memory that a block of work made from memory that it found, by its address.

    While a reference is held, even a weak one, nothing else has the address.
    """

    def __init__(self) -> None:
        self._made: dict[int, StorageWeakRef] = {}
        self._found: dict[int, StorageWeakRef] = {}

    def was_found(self, tensor: Tensor) -> bool:
        """Return whether the memory of a tensor that the block takes up is older than the block."""
        storage = tensor.untyped_storage()
        if storage._cdata in self._made:
            return False
        if storage._cdata not in self._found:
            self._found[storage._cdata] = StorageWeakRef(storage)
        return True

    def note_made(self, results: Any) -> None:
        """Note what an operation returned, of which some may be memory that it was given."""
        for tensor in tensors_of((results,)):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._found:
                self._made[storage._cdata] = StorageWeakRef(storage)

    def end(self) -> None:
        """Drop what is known of memory that the block made, as nothing more is asked of it."""
        self._made.clear()
