"""What a training method is: a subclass with a ``name``, a ``Config`` and a ``step``."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field

from regmix_bench.attacks.pgd import frozen
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
        """The loss of one batch.

        ``model`` maps images (B, C, H, W) in [0, 1] to logits (B, K) and is in training mode, in
        which it must be left. All randomness is drawn from ``generator``, which lives on the
        batch's device. Everything is computed in the dtype of ``batch.x``.

        On several devices the batch is this one's share. To give the numbers of one device, the
        loss is a mean over images, noise comes from
        :func:`~regmix_bench.attacks.noise.noise` (as that of all starts there does), and
        a sum over the batch passes through :func:`~regmix_bench.attacks.noise.batch_sum`.
        """

    def after_update(self, model: nn.Module) -> None:
        """See the model after the optimiser's step."""

    def evaluated_model(self, model: nn.Module) -> nn.Module:
        """The model to validate, save and score: ``model`` unless its weights are averaged."""
        return model

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and containers of them: what a resumed run needs.

        On several devices all call it, and what the first returns is saved.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state, its tensors on the CPU, after ``setup``."""


class AttackConfig(Frozen):
    """The inner maximisation of multi-step methods."""

    steps: int = Field(10, ge=1)
    #: Step size as a multiple of ε: 2/255 at 8/255.
    step_ratio: float = Field(0.25, gt=0)
    #: Mode of the batch-norm layers while the attack runs.
    attack_bn: Literal["train", "eval"] = "train"


@contextlib.contextmanager
def attacked(model: nn.Module, mode: Literal["train", "eval"]) -> Iterator[None]:
    """Let a step's attack run on ``model``, its batch-norm layers in ``mode``.

    While the block runs no gradient reaches a weight, so that input gradients cost what they must;
    in "eval" the trainer's model answers with a copy whose batch norm is folded into its
    convolutions. Afterwards the model is in training mode, as before.
    """
    # Here, so that a plan, which needs the methods' defaults alone, does without torch.
    from regmix_bench.models.execution import Executed

    if mode == "eval" and isinstance(model, Executed):
        with model.attacked():
            yield
        return
    model.train(mode == "train")
    try:
        with frozen(model):
            yield
    finally:
        model.train()
