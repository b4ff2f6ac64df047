"""Predictions, PGD and FGSM for validation and scoring, per image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regmix_bench.methods.losses import cross_entropy
from regmix_bench.perturb import frozen, pgd, uniform_start
from regmix_bench.types import ThreatModel

#: Images per forward pass; results do not depend on it beyond rounding.
BATCH_SIZE = 500

#: Step of PGD as a multiple of ε: 2/255 at 8/255, and enough to cross the ball at any budget.
STEP_RATIO = 0.25


def require_eval_mode(model: nn.Module) -> None:
    """Raise ``RuntimeError`` where a layer is in training mode: its numbers would mean nothing."""
    if any(module.training for module in model.modules()):
        raise RuntimeError("the model is in training mode: call model.eval() before scoring it")


@torch.no_grad()
def predict_logits(model: nn.Module, x: Tensor, batch_size: int = BATCH_SIZE) -> Tensor:
    """Logits (N, K) of images (N, C, H, W), batch by batch."""
    return torch.cat([model(part) for part in x.split(batch_size)])


def correct(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Whether each image (N, C, H, W) is classified as its label (N,): bool (N,)."""
    return predict_logits(model, x).argmax(1) == y


def accuracy(flags: Tensor) -> float:
    """Share of images (N,) that are flagged, exactly count / N."""
    return int(flags.sum()) / len(flags)


def margins(logits: Tensor, y: Tensor) -> Tensor:
    """The true logit minus the largest other one (B,), of logits (B, K) and labels (B,)."""
    true = logits.gather(1, y[:, None])
    others = logits.scatter(1, y[:, None], float("-inf"))
    return (true - others.max(1, keepdim=True).values).squeeze(1)


def fgsm_images(model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel) -> Tensor:
    """One step of ε on the cross-entropy from the image itself (Goodfellow et al. 2015)."""
    return _attack(model, x, y, threat, torch.zeros_like(x), steps=1, step_ratio=1.0)


def pgd_start(x: Tensor, threat: ThreatModel, seed: int = 0) -> Tensor:
    """Uniform starts (N, C, H, W) of PGD on images ``x``, which ``seed`` and ``x`` decide."""
    generator = torch.Generator(x.device).manual_seed(seed)
    return torch.cat([uniform_start(part, threat, generator) for part in x.split(BATCH_SIZE)])


def pgd_images(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: ThreatModel,
    steps: int,
    seed: int = 0,
    start: Tensor | None = None,
) -> Tensor:
    """PGD end points (N, C, H, W): cross-entropy, one uniform start, steps of ε/4.

    The start is that of :func:`pgd_start` with ``seed``, unless it is given.
    """
    start = pgd_start(x, threat, seed) if start is None else start
    return _attack(model, x, y, threat, start, steps, STEP_RATIO)


def _attack(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: ThreatModel,
    start: Tensor,
    steps: int,
    step_ratio: float,
) -> Tensor:
    require_eval_mode(model)
    step_size = step_ratio * float(threat.epsilon)

    def attacked(images: Tensor, labels: Tensor, delta: Tensor) -> Tensor:
        def objective(z: Tensor) -> Tensor:
            return cross_entropy(model(z), labels, reduction="sum")

        return images + pgd(
            objective, images, threat, delta=delta, steps=steps, step_size=step_size
        )

    with frozen(model):
        return torch.cat(list(map(attacked, *(part.split(BATCH_SIZE) for part in (x, y, start)))))


class PassCounter:
    """Counts the images that go through a model forwards and backwards while it is active.

    It reads shapes on the host and never waits for the device.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.forward_images = 0
        self.backward_images = 0

    def __enter__(self) -> PassCounter:
        self._handle = self.model.register_forward_hook(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def _count(self, _module: nn.Module, _inputs: object, logits: Tensor) -> None:
        self.forward_images += len(logits)
        if logits.requires_grad:
            logits.register_hook(self._count_backward)

    def _count_backward(self, gradient: Tensor) -> None:
        self.backward_images += len(gradient)
