"""A model from anywhere, as it is handed to scoring."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from regmix_bench.errors import UserError
from regmix_bench.models.weights import WeightsFile
from regmix_bench.specs import Component, ModelSource


@dataclass(frozen=True)
class LoadedModel:
    """A model on the CPU, every layer in evaluation mode, and what to call it.

    It takes images (B, C, H, W) with pixels in [0, 1] and returns logits (B, K). ``label`` is its
    row's name in tables; ``arch`` is one of the registered architectures, with its ``component``
    where a plug-in brings it, or else the name of its class. ``notes`` are lines that a user should
    read.
    """

    model: nn.Module
    source: ModelSource
    arch: str
    label: str
    component: Component | None = None
    notes: tuple[str, ...] = ()


def key_notes(path: Path, content: WeightsFile) -> tuple[str, ...]:
    """Return the line that says which part of a checkpoint's file is taken, if it has parts."""
    return () if content.key is None else (f"weights: {content.key!r} of {path.name}",)


def arch_name(class_name: str) -> str:
    """Turn the name of a model's class into one that may stand in a file's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", class_name).strip("-") or "model"


def eval_mode(model: nn.Module, name: str) -> nn.Module:
    """Put every layer of ``model`` into evaluation mode and return it.

    Raises :class:`UserError`, which begins with ``name``, if a layer stays in training mode.
    """
    try:
        model.eval()
    except NotImplementedError:  # the module of an exported program, whose mode is in its graph
        for module in model.modules():
            module.training = False
    if any(module.training for module in model.modules()):
        raise UserError(f"{name} stays in training mode: its eval() does not reach every layer")
    return model
