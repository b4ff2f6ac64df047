"""The optimiser of a recipe and its learning rate, and how a saved one is taken over."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR

from regmix_bench.specs import Recipe


def make_optimizer(
    parameters: Iterable[nn.Parameter], recipe: Recipe, device: torch.device, graphs: bool = False
) -> Optimizer:
    """Return the optimiser that ``recipe`` asks for, with fused kernels on CUDA.

    With ``graphs`` its steps can be recorded, for which it counts them on the device.
    """
    lr, decay, fused = recipe.lr, recipe.weight_decay, device.type == "cuda"
    if recipe.optimizer == "adamw":
        betas = (recipe.momentum, 0.999)
        # Steps before the first recording are no mistake.
        warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
        return AdamW(
            parameters,
            lr=lr,
            betas=betas,
            weight_decay=decay,
            fused=fused or graphs,
            capturable=fused and graphs,
        )
    return SGD(
        parameters,
        lr=lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=decay,
        fused=fused,
    )


def make_schedule(optimizer: Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    """Return the schedule of the learning rate, moved after each of the ``steps`` of an epoch.

    Where ``recipe.schedule_step`` is "epoch", it is moved after each epoch.
    """
    if recipe.schedule_step == "epoch":
        steps = 1
    total = recipe.epochs * steps
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimizer, total)
    if recipe.schedule == "onecycle":
        return OneCycleLR(optimizer, recipe.lr, total, cycle_momentum=recipe.cycle_momentum)
    # Rounded to whole epochs: a milestone that is no integer would never be reached.
    milestones = [round(fraction * recipe.epochs) * steps for fraction in recipe.milestones]
    return MultiStepLR(optimizer, milestones, recipe.gamma)


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Take over a saved state, in the memory layout and by the kernels of this optimiser.

    Raises ``KeyError`` or ``ValueError`` for the state of another optimiser.
    """
    (ours,) = optimizer.param_groups
    kernels = {key: ours[key] for key in ("fused", "capturable") if key in ours}
    groups = [{**group, **kernels} for group in state["param_groups"]]
    # Before it is loaded: where it keeps its count of steps depends on the kernels.
    optimizer.load_state_dict({**state, "param_groups": groups})
    for parameter, kept in optimizer.state.items():
        for name, buffer in kept.items():
            if isinstance(buffer, Tensor) and buffer.shape == parameter.shape and buffer.dim():
                # Fused kernels pair a weight and its buffers by their places in memory.
                kept[name] = torch.empty_like(parameter).copy_(buffer)
