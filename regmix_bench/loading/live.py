"""Models that a program has in memory."""

from __future__ import annotations

import copy
import hashlib
import re

import torch
from torch import Tensor, nn

from regmix_bench.errors import UserError
from regmix_bench.loading.checks import count_classes
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


def from_module(model: nn.Module, images: Tensor, device: torch.device) -> LoadedModel:
    """Return a module as it stands, known by its class, settings and state; a copy elsewhere.

    The settings are what it prints as, and the plain attributes of classes that are not torch's,
    such as a scale; those that change when it sees one of ``images`` (N, C, H, W) on ``device``,
    such as a counter, do not count. Its code is not known. Raises :class:`UserError` for a module
    of which a layer is in training mode, where batch norm and dropout would make another model of
    it, whose state cannot be read, or that does not take the images.
    """
    if any(module.training for module in model.modules()):
        raise UserError("the model is in training mode: call its eval() first")
    name = type(model).__qualname__
    state = state_digest(model)
    if any(tensor.device != device for tensor in (*model.parameters(), *model.buffers())):
        model = copy.deepcopy(model).to(device)  # the user's stays where it is
    before = _settings(model)
    count_classes(model, images)
    settings = hashlib.sha256(repr(sorted(before & _settings(model))).encode()).hexdigest()
    source = ModelSource(kind="module", name=f"{name}:{settings[:8]}", sha256=state)
    return LoadedModel(model, source, arch_name(name), name)


def _settings(model: nn.Module) -> set[tuple[str, str]]:
    """Return what a module is made with, by name, as far as text says it."""
    found = {("", re.sub(r" at 0x[0-9a-f]+", "", repr(model)))}
    for path, module in model.named_modules():
        if not type(module).__module__.startswith("torch."):
            found |= {
                (f"{path}.{key}", repr(value))
                for key, value in vars(module).items()
                if not key.startswith("_") and _is_plain(value)
            }
    return found


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
