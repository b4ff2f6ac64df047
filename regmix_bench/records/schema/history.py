"""The history of a training: what each epoch was, what it took, and what to know of the whole."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from regmix_bench.records.schema.quantities import (
    Bytes,
    Count,
    Epoch,
    Flop,
    FlopRate,
    Joules,
    Number,
    Seconds,
    Share,
)
from regmix_bench.types import LARGEST, Frozen


class MatrixProduct(Frozen):
    """A large matrix product on the devices of a training: its precision, and FLOP/s of all."""

    precision: Literal["fp32", "bf16"]
    flop_per_second: FlopRate


class Work(Frozen):
    """The work of an epoch's training steps, counted and measured; rates are derived from it.

    ``images`` are training images, each once a step that it is in, and ``passes`` how often images
    passed through the network, forwards and backwards. ``flop`` are those of
    convolutions and matrix products, in attacks and backward passes too; ``product`` says what the
    devices could do. ``peak_memory`` is the most that tensors took of a device's memory since
    training began, ``energy`` that of the whole devices, whatever else runs on them.
    ``processor_seconds`` are those that processors worked for it, of all its threads. None is what
    was not measured: memory and energy on a CPU, energy where the driver does not count it,
    processors on a GPU, which are not what its steps wait for.
    """

    images: Count
    passes: Count | None = None
    flop: Flop | None = None
    product: MatrixProduct | None = None
    peak_memory: Bytes | None = None
    energy: Joules | None = None
    processor_seconds: Seconds | None = None


class PerturbationLength(Frozen):
    """The lengths |δ|/ε of the perturbations of an epoch's images, in the norm of their threat."""

    mean: Annotated[float, Field(ge=0, le=LARGEST)]
    max: Annotated[float, Field(ge=0, le=LARGEST)]


class EpochLog(Frozen):
    """One epoch: learning rate at its start, means over its batches, accuracies (0 to 1).

    ``val_…`` are of the averaged weights where there is an average; ``raw_val_…`` are of the raw
    ones then, and None otherwise. ``seconds`` are those of the training steps, without compilation,
    capture and validation. ``perturbation`` is None in records that are older than it.
    """

    epoch: Epoch
    lr: Number
    loss: Number
    metrics: dict[str, Number] = {}
    val_clean_acc: Share
    val_fgsm_acc: Share
    val_pgd_acc: Share
    raw_val_clean_acc: Share | None = None
    raw_val_fgsm_acc: Share | None = None
    raw_val_pgd_acc: Share | None = None
    seconds: Seconds
    work: Work | None = None
    perturbation: PerturbationLength | None = None

    @model_validator(mode="after")
    def _raw_or_not(self) -> Self:
        raw = self.raw_val_clean_acc, self.raw_val_fgsm_acc, self.raw_val_pgd_acc
        if len({value is None for value in raw}) > 1:
            raise ValueError("has some accuracies of raw weights, and not all")
        return self


class Alarm(Frozen):
    """Something a reader of the number should know about the training.

    What the kinds mean, and which a history shows, says :mod:`regmix_bench.records.alarms`; older
    programs had another rule.
    """

    kind: Literal[
        "catastrophic-overfitting", "robust-overfitting", "average-behind", "non-finite-loss"
    ]
    epoch: Epoch
    message: str
