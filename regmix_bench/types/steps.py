"""The batch that a step of training is given, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from torch import Tensor

#: The label of an image that has none.
NO_LABEL = -1


@dataclass(frozen=True, slots=True)
class Batch:
    """Training images on the device.

    ``x`` (B, C, H, W) float in [0, 1]; ``y`` (B,) int64, or class probabilities (B, K) of mixed
    images, which the shared losses take alike; ``index`` (B,) int64, the position of each image in
    the training set, for methods that keep state per image. Where several processes share a batch,
    these are its images in this one, of ``total`` in all. Only with ``partly_labelled`` there may
    be images without a label, whose ``y`` is −1.
    """

    x: Tensor
    y: Tensor
    index: Tensor
    total: int | None = None
    partly_labelled: bool = False


@dataclass(frozen=True, slots=True)
class StepOutput:
    """The result of a method's step.

    ``loss`` is a scalar to differentiate; ``x_adv`` (B, C, H, W), detached, are the images trained
    on; ``metrics`` are detached scalars, averaged over the epoch into its history. ``again``
    computes the loss at the weights that the model has when it is called, with all perturbations
    as they are; whatever perturbs weights needs it.
    """

    loss: Tensor
    x_adv: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)
    again: Callable[[], Tensor] | None = None

    @classmethod
    def of(
        cls,
        terms: Mapping[str, Tensor],
        x_adv: Tensor,
        again: Callable[[], Mapping[str, Tensor]] | None = None,
    ) -> Self:
        """Return the sum of scalar ``terms`` as the loss, and where there are several as metrics.

        ``again`` computes the terms at the model's present weights, perturbations unchanged.
        """
        metrics = {name: term.detach() for name, term in terms.items()} if len(terms) > 1 else {}
        repeated = None if again is None else lambda: _sum(again())
        return cls(_sum(terms), x_adv, metrics, repeated)


def _sum(terms: Mapping[str, Tensor]) -> Tensor:
    return reduce(add, terms.values())
