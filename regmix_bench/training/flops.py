"""The floating-point operations of a training step, counted as torch computes it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from regmix_bench.models.execution import ModelRunner
from regmix_bench.system.machine import Execution


class FlopCounter(TorchDispatchMode):
    """Counts the operations of convolutions and matrix products while it is active.

    A multiplication and an addition are two. It has torch's own formulas, those of its
    ``FlopCounterMode``, which also follows modules and so refuses gradients of images alone.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flop = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(getattr(func, "_overloadpacket", None))
        if formula is not None:
            self.flop += formula(*args, **kwargs, out_val=result)
        return result


def count_flop(
    model: nn.Module, precision: Literal["fp32", "bf16"], loss: Callable[[ModelRunner], Tensor]
) -> int | None:
    """Count the operations of ``loss`` and its gradients on a copy of ``model``, uncompiled.

    Neither the model nor torch's generators notice. Returns None where a step cannot be taken on
    such a copy: what a stranger's method or architecture may raise is not worth a run.
    """
    device = next(model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            runner = ModelRunner(copy.deepcopy(model).train(), Execution(), precision)
            with FlopCounter() as counter:
                loss(runner).backward()
            counted: int = counter.flop
        except Exception:
            return None
    return counted
