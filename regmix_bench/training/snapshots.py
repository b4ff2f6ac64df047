"""Copies of a training's state in main memory, which training does not change any more."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from regmix_bench.records.schema import CheckpointFile
from regmix_bench.types import TrainedCheckpoint


@dataclass
class KeptWeights:
    """The weights of a model after ``epoch``, in main memory until they lie in ``file``."""

    epoch: int
    tensors: dict[str, Tensor]
    file: CheckpointFile | None = None

    @classmethod
    def of(cls, model: nn.Module, epoch: int) -> KeptWeights:
        """Copy the weights and buffers of ``model``."""
        # Not into pinned memory: the thread that writes would give it back, and so call CUDA.
        tensors = {
            name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, value in model.state_dict().items()
        }
        return cls(epoch, tensors)


@dataclass(frozen=True)
class Snapshot:
    """The state of a training after ``epoch``, with the weights that it refers to."""

    epoch: int
    content: Mapping[str, Any]
    weights: Mapping[TrainedCheckpoint, KeptWeights]


class HostMemory:
    """Main memory that one copy of a state after the other is put into, pinned on CUDA."""

    def __init__(self) -> None:
        self._kept: Any = None

    def copy(self, content: Mapping[str, Any]) -> Any:
        """Return ``content`` with a copy of every tensor; the next call overwrites it.

        ``content`` are containers of tensors, numbers and text, as a ``state_dict`` has them.
        """
        devices: set[torch.device] = set()
        self._kept = _copied(content, self._kept, devices)
        for device in devices:
            torch.cuda.synchronize(device)
        return self._kept


def _copied(value: Any, kept: Any, devices: set[torch.device]) -> Any:
    """Copy ``value`` into the tensors of ``kept`` where they fit; ``devices`` are to be awaited."""
    if isinstance(value, Tensor):
        return _copied_tensor(value.detach(), kept, devices)
    if isinstance(value, dict):
        made = copy.copy(value)  # with the versions of layers that torch notes at a model's state
        for key, inner in value.items():
            made[key] = _copied(inner, kept.get(key) if isinstance(kept, dict) else None, devices)
        return made
    if isinstance(value, list | tuple):
        before = kept if isinstance(kept, list | tuple) else ()
        pairs = zip_longest(value, before[: len(value)])
        parts = [_copied(inner, old, devices) for inner, old in pairs]
        return parts if isinstance(value, list) else tuple(parts)
    return copy.deepcopy(value)


def _copied_tensor(value: Tensor, kept: Any, devices: set[torch.device]) -> Tensor:
    if value.layout != torch.strided:
        return value.to("cpu", copy=True)
    fits = isinstance(kept, Tensor) and (kept.shape, kept.dtype) == (value.shape, value.dtype)
    room: Tensor = kept if fits else _room_for(value)
    if value.is_cuda:
        devices.add(value.device)
    room.copy_(value, non_blocking=value.is_cuda)
    return room


def _room_for(value: Tensor) -> Tensor:
    if value.is_cuda:
        try:
            return torch.empty_like(value, device="cpu", pin_memory=True)
        except RuntimeError:  # more than the system lets a process pin
            pass
    return torch.empty_like(value, device="cpu")
