"""Models that a program has in memory."""

from __future__ import annotations

import copy

import torch
from torch import nn

from regmix_bench.errors import UserError
from regmix_bench.loading.model import LoadedModel, arch_name
from regmix_bench.models.weights import state_digest
from regmix_bench.specs import ModelSource
from regmix_bench.system.machine import Device, choose_device


def choose_live_device(model: nn.Module, device: Device) -> torch.device:
    """Return the device to score a module on: for ``auto`` the one it lies on.

    Raises :class:`UserError` for CUDA where there is none.
    """
    first = next(model.parameters(), None)
    if device == "auto" and first is not None and first.device.type in ("cpu", "cuda"):
        return first.device
    return choose_device(device)


def from_module(model: nn.Module, device: torch.device) -> LoadedModel:
    """Return a module as it stands, known by its class and its state; a copy on another device.

    Raises :class:`UserError` for one of which a layer is in training mode, where batch norm and
    dropout would make another model of it, or whose state cannot be read.
    """
    if any(module.training for module in model.modules()):
        raise UserError("the model is in training mode: call its eval() first")
    name = type(model).__qualname__
    source = ModelSource(kind="module", name=name, sha256=state_digest(model))
    if any(tensor.device != device for tensor in (*model.parameters(), *model.buffers())):
        model = copy.deepcopy(model).to(device)  # the user's stays where it is
    return LoadedModel(model, source, arch_name(name), name)
