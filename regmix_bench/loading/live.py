"""Models that a program has in memory."""

from __future__ import annotations

from torch import nn

from regmix_bench.errors import UserError
from regmix_bench.loading.model import LoadedModel, arch_name
from regmix_bench.models.weights import state_digest
from regmix_bench.specs import ModelSource


def from_module(model: nn.Module) -> LoadedModel:
    """Return a module as it stands, known by its class and its state.

    Raises :class:`UserError` for one of which a layer is in training mode, where batch norm and
    dropout would make another model of it, or whose state cannot be read.
    """
    if any(module.training for module in model.modules()):
        raise UserError("the model is in training mode: call its eval() first")
    name = type(model).__qualname__
    source = ModelSource(kind="module", name=name, sha256=state_digest(model))
    return LoadedModel(model, source, arch_name(name), name)
