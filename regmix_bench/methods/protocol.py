"""The protocol of training methods: a ``name``, a ``Config`` and a ``step``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from regmix_bench.types import Batch, Frozen, Norm, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import nn


class Method(ABC):
    """A training method: how a batch becomes a loss.

    The trainer calls ``setup`` once, ``on_epoch_start`` with the epoch counted from 1, then for
    every batch ``step`` and, after the optimiser, ``after_update``. ``state_dict`` holds whatever a
    resumed run needs beyond the model. Raise ``version`` when a change alters results.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    norms: ClassVar[tuple[Norm, ...]] = ("Linf", "L2")
    #: Whether ``evaluated_model`` returns averaged weights; the recipe's own EMA is then refused.
    averages_weights: ClassVar[bool] = False
    #: Whether to keep per-image state in bfloat16; the trainer of a bf16 run sets it before
    #: ``setup``. Its range is float32's, which momentum near 1e-6 needs.
    compact_state: bool = False

    class Config(Frozen):
        """Hyper-parameters: validated, named, and all of them part of the run's identity."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def setup(
        self, dataset_size: int, image_shape: tuple[int, int, int], device: torch.device
    ) -> None:
        """Allocate per-image state for ``dataset_size`` images of ``image_shape`` (C, H, W)."""

    def on_epoch_start(self, epoch: int) -> None:
        """Prepare for ``epoch``, counted from 1."""

    @abstractmethod
    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        """Return the loss of one batch.

        ``model`` maps images (B, C, H, W) in [0, 1] to logits (B, K) and is in training mode, in
        which it must be left. All randomness is drawn from ``generator``, which lives on the
        batch's device. Everything is computed in the dtype of ``batch.x``.

        On several devices the batch is this one's share. To give the numbers of one device, the
        loss is a mean over images, noise comes from
        :func:`~regmix_bench.attacks.noise.noise` (as that of all starts there does), and
        a sum over the batch passes through :func:`~regmix_bench.attacks.noise.batch_sum`.
        """

    def after_update(self, model: nn.Module) -> None:
        """Look at the model after the optimiser's step; the default does nothing."""

    def evaluated_model(self, model: nn.Module) -> nn.Module:
        """Return the model to validate, save and score: ``model`` unless weights are averaged."""
        return model

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: tensors, numbers and containers of them.

        Every process of a group calls it, and the first one's answer is saved.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state, whose tensors are on the CPU; called after ``setup``."""
