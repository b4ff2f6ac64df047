"""Predictions of a model, per image, and a count of the images that pass through it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

#: Images per forward pass; results do not depend on it beyond rounding.
BATCH_SIZE = 500


def require_eval_mode(model: nn.Module) -> None:
    """Raise ``RuntimeError`` where a layer is in training mode: its numbers would mean nothing."""
    if any(module.training for module in model.modules()):
        raise RuntimeError("the model is in training mode: call model.eval() before scoring it")


@torch.no_grad()
def predict_logits(model: nn.Module, x: Tensor, batch_size: int = BATCH_SIZE) -> Tensor:
    """Return logits (N, K) of images (N, C, H, W) in [0, 1], computed batch by batch."""
    return torch.cat([model(part) for part in x.split(batch_size)])


def correct(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Tell which images (N, C, H, W) are classified as their labels (N,): bool (N,)."""
    return predict_logits(model, x).argmax(1) == y


def accuracy(flags: Tensor) -> float:
    """Return the share of flags (N,) that are set, exactly count / N."""
    return int(flags.sum()) / len(flags)


def margins(logits: Tensor, y: Tensor) -> Tensor:
    """Return the true logit minus the largest other one (B,), of logits (B, K) and labels (B,)."""
    true = logits.gather(1, y[:, None])
    others = logits.scatter(1, y[:, None], float("-inf"))
    return (true - others.max(1, keepdim=True).values).squeeze(1)


class PassCounter:
    """Counts the images that go through a model forwards and backwards while it is active.

    It reads shapes on the host and never waits for the device. ``heard`` gets each count.
    """

    def __init__(
        self, model: nn.Module, heard: Callable[[int], None] = lambda images: None
    ) -> None:
        self.model, self.heard = model, heard
        self.forward_images = 0
        self.backward_images = 0

    def __enter__(self) -> PassCounter:
        self._handle = self.model.register_forward_hook(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def _count(self, _module: nn.Module, _inputs: object, logits: Tensor) -> None:
        self.forward_images += len(logits)
        self.heard(len(logits))
        if logits.requires_grad:
            logits.register_hook(self._count_backward)

    def _count_backward(self, gradient: Tensor) -> None:
        self.backward_images += len(gradient)
        self.heard(len(gradient))
