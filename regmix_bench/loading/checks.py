"""The check that a stranger's model can be scored at all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from regmix_bench.errors import UserError, reason
from regmix_bench.models.logits import are_logits
from regmix_bench.models.predictions import BATCH_SIZE


def check_model(model: nn.Module, images: Tensor, num_classes: int) -> None:
    """Raise :class:`UserError` unless ``model`` can be scored on ``images``.

    ``images`` (N, C, H, W) are in [0, 1] and on the model's device. Of any number of them it has to
    return as many rows of ``num_classes`` finite logits, through which gradients flow back.
    Its layers have to stay in evaluation mode. Probabilities and random outputs pass: they are
    checks of AutoAttack, which the scores record.
    """
    for part in (images[:1], *images.split(BATCH_SIZE)):
        with torch.no_grad():
            _check_logits(_call(model, part), len(part), num_classes)
    with torch.enable_grad():
        pair = images[:2].clone().requires_grad_()
        logits = _call(model, pair)
        _check_logits(logits, len(pair), num_classes)
        gradient = _gradient(logits, pair) if logits.requires_grad else None
    if gradient is None:
        raise UserError("no gradient flows back through the model: white-box attacks need one")
    if any(module.training for module in model.modules()):
        raise UserError("the model puts itself into training mode when it is called")


def count_classes(model: nn.Module, images: Tensor) -> int:
    """Return the number of logits K that ``model`` gives one of ``images`` (N, C, H, W).

    Raises :class:`UserError` where it does not take them or does not return logits (1, K).
    """
    with torch.no_grad():
        logits = _call(model, images[:1])
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise UserError("the model does not return a tensor of logits (N, K)")
    return logits.shape[1]


def _call(model: nn.Module, images: Tensor) -> Any:
    try:
        return model(images)
    except torch.OutOfMemoryError:
        raise
    except (Exception, SystemExit) as error:  # a stranger's model may raise anything
        raise UserError(
            f"the model does not take images of shape {tuple(images.shape)}: {reason(error)}"
        ) from error


def _gradient(logits: Tensor, images: Tensor) -> Tensor | None:
    try:
        return torch.autograd.grad(logits.sum(), images, allow_unused=True)[0]
    except torch.OutOfMemoryError:
        raise
    except (Exception, SystemExit) as error:  # so may a backward pass of its own
        raise UserError(f"no gradient flows back through the model: {reason(error)}") from error


def _kind(found: object) -> str:
    if not isinstance(found, Tensor):
        return type(found).__name__
    if not found.is_floating_point():
        return str(found.dtype)
    return "values on the meta device" if found.is_meta else "a sparse or nested tensor"


def _check_logits(logits: object, n: int, num_classes: int) -> None:
    if not are_logits(logits):
        raise UserError(f"the model returns {_kind(logits)}, not a tensor of floating-point logits")
    if logits.shape != (n, num_classes):
        raise UserError(
            f"the model returns logits of shape {tuple(logits.shape)} for {n} images of"
            f" {num_classes} classes, not {(n, num_classes)}"
        )
    broken = int((~logits.isfinite()).any(1).sum())
    if broken:
        raise UserError(f"the model returns NaN or infinite logits for {broken} of {n} images")
