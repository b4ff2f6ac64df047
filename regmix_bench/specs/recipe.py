"""The recipe by which a model is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from regmix_bench.types import Frozen

#: What is drawn for each training image before it is used.
Augmentation = Literal["none", "crop", "crop-flip"]


class Recipe(Frozen):
    """The recipe by which a model is trained, whatever the method.

    The defaults are the single-step recipe of Jia et al. (2022) for CIFAR-10. Milestones are
    fractions of the run, so that a shorter run keeps the shape of the schedule.
    """

    epochs: int = Field(110, ge=1)
    batch_size: int = Field(128, ge=2)
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(5e-4, ge=0)
    schedule: Literal["multistep", "cosine", "onecycle"] = "multistep"
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (100 / 110, 105 / 110)
    gamma: float = Field(0.1, gt=0, le=1)
    augmentation: Augmentation = "crop-flip"
    gradient_clip: float | None = Field(None, gt=0)
    ema_decay: float | None = Field(None, gt=0, lt=1)
    precision: Literal["fp32", "bf16"] = "fp32"
