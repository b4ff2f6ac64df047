"""The recipe by which a model is trained."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeGuard

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from regmix_bench.types import LARGEST, Frozen, Later, Search

#: What is drawn for each training image before it is used.
Augmentation = Literal["none", "crop", "crop-flip"]

#: How an epoch is divided: all images into even batches, or into equal ones without the remainder.
Division = Literal["even", "equal"]

#: The use of images without labels: none, with the labels that a standard model of the labelled
#: images gives them (RST), or in those terms of a method's loss that need no label.
UnlabelledUse = Literal["none", "rst", "consistency"]

#: How the checkpoint to score is chosen: by PGD-10 on the validation part, the earlier epoch on a
#: tie, or not at all.
SelectionRule = Literal["val-pgd10", "last"]


def _method_or_share(value: object) -> object:
    if value == "method" or (_is_number(value) and 0 < value <= 1):
        return value
    raise ValueError("input should be 'method' or a number above 0 and at most 1")


def _average_or_decay(value: object) -> object:
    if value in ("method", "none") or (_is_number(value) and 0 < value < 1):
        return value
    raise ValueError("input should be 'method', 'none' or a number above 0 and below 1")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


#: The true class's share of a label, of which the other classes share the rest.
TrueClassMass = Annotated[Literal["method"] | float, BeforeValidator(_method_or_share)]

#: The decay of an average of weights.
Decay = Annotated[Literal["method", "none"] | float, BeforeValidator(_average_or_decay)]


class Recipe(Frozen):
    """The recipe by which a model is trained, whatever the method.

    The defaults are the single-step recipe of Jia et al. (2022) for CIFAR-10. Milestones are
    fractions of the run, so that a shorter run keeps the shape of the schedule. With AdamW
    (Loshchilov and Hutter, ICLR 2019) ``momentum`` is β₁ and ``weight_decay`` is decoupled, and
    ``nesterov`` is refused. Of ``batches`` that are ``even`` each holds ``batch_size`` images at
    most, and their sizes differ by one; ``equal`` ones hold just so many, and leave the remainder
    out, other images each epoch. ``validation_precision`` is that of the accuracy by which an epoch
    is selected; by ``selection`` "last" it is measured all the same, and the last epoch selected.

    Tricks that any method may be trained with are fields too. ``true_class_mass`` smooths labels,
    "method" as the method's authors do, and ``ema_decay`` averages weights, "method" as a part of
    a method that has its own average and else not at all: from ``ema_start`` on, an epoch counted
    from 1, in which the average begins as a copy. Running statistics of batch norm are "averaged"
    like weights, or the "live" ones of the model that is trained. ``awp_gamma`` perturbs weights
    (Wu et al., NeurIPS 2020), after ``awp_warmup`` epochs without.

    ``unlabelled`` is the use of images whose labels are hidden, or that have none. ``init`` is the
    SHA-256 of the weights that a training starts from, in the place of random ones.

    Of one cycle ``cycle_momentum`` has the momentum too, 0.95 → 0.85 → 0.95 in the place of
    ``momentum``. A schedule takes its steps after each batch or after each epoch.
    """

    epochs: int = Field(110, ge=1, lt=2**31)
    batch_size: Annotated[int, Search(32, 512, log=True)] = Field(128, ge=2, lt=2**31)
    batches: Annotated[Division, Later("even")] = "even"
    optimizer: Annotated[Literal["sgd", "adamw"], Later("sgd")] = "sgd"
    lr: Annotated[float, Search(0.01, 1, log=True)] = Field(0.1, gt=0, le=LARGEST)
    momentum: Annotated[float, Search(0.8, 0.99)] = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: Annotated[float, Search(1e-5, 1e-2, log=True)] = Field(5e-4, ge=0, le=LARGEST)
    schedule: Literal["multistep", "cosine", "onecycle"] = "multistep"
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (100 / 110, 105 / 110)
    gamma: float = Field(0.1, gt=0, le=1)
    schedule_step: Annotated[Literal["batch", "epoch"], Later("batch")] = "batch"
    cycle_momentum: Annotated[bool, Later(False)] = False
    augmentation: Augmentation = "crop-flip"
    gradient_clip: float | None = Field(None, gt=0, le=LARGEST)
    true_class_mass: Annotated[TrueClassMass, Later("method")] = "method"
    ema_decay: Decay = "method"
    ema_start: Annotated[int, Later(1)] = Field(1, ge=1, lt=2**31)
    ema_buffers: Annotated[Literal["averaged", "live"], Later("averaged")] = "averaged"
    awp_gamma: Annotated[float | None, Later(None)] = Field(None, gt=0, le=LARGEST)
    awp_warmup: Annotated[int, Later(0)] = Field(0, ge=0, lt=2**31)
    precision: Literal["fp32", "bf16"] = "fp32"
    validation_precision: Annotated[Literal["fp32", "tf32", "bf16"], Later("fp32")] = "fp32"
    selection: Annotated[SelectionRule, Later("val-pgd10")] = "val-pgd10"
    unlabelled: Annotated[UnlabelledUse, Later("none")] = "none"
    init: Annotated[str | None, Later(None), WithJsonSchema({"type": ["string", "null"]})] = Field(
        None, pattern=r"^[0-9a-f]{64}$"
    )

    @model_validator(mode="after")
    def _nesterov_needs_sgd(self) -> Self:
        if self.nesterov and self.optimizer != "sgd":
            raise ValueError(f"nesterov is a form of sgd, not of {self.optimizer}")
        return self

    @model_validator(mode="after")
    def _tricks_take_effect(self) -> Self:
        averaged = isinstance(self.ema_decay, float)
        needs = {
            "ema_start": (averaged, "a number as ema_decay"),
            "ema_buffers": (averaged, "a number as ema_decay"),
            "awp_warmup": (self.awp_gamma is not None, "awp_gamma"),
            "cycle_momentum": (self.schedule == "onecycle", "the schedule onecycle"),
            "schedule_step": (self.schedule != "multistep", "another schedule than multistep"),
        }
        for name, (there, needed) in needs.items():
            value = getattr(self, name)
            if value != type(self).model_fields[name].default and not there:
                raise ValueError(f"{name} {value} needs {needed}")
        if self.ema_start > self.epochs:
            raise ValueError(f"ema_start {self.ema_start} is after the last epoch, {self.epochs}")
        if self.awp_warmup >= self.epochs:
            raise ValueError(f"awp_warmup {self.awp_warmup} leaves no epoch of {self.epochs}")
        return self

    def images_per_epoch(self, size: int) -> int:
        """Return the number of images that an epoch sees of a training set of ``size`` images."""
        return size - size % self.batch_size if self.batches == "equal" else size
