"""NuAT: adversarial training with the nuclear norm.

Sriramanan, Addepalli, Baburaj and Babu, "Towards Efficient and Effective Adversarial Training",
NeurIPS 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

from regmix_bench.attacks.noise import batch_sum
from regmix_bench.methods.protocol import Citation
from regmix_bench.types import Frozen, Search

from .gat import UNGUIDED, GuidedMethod

if TYPE_CHECKING:
    from torch import Tensor

#: Each makes a singular value far below 1 larger by half, and one near 1 twice as exact.
_ITERATIONS = 40


class NuAT(GuidedMethod):
    """Cross-entropy on clean images, and the nuclear norm of what the attack does to the logits.

    ‖·‖_* is the sum of the singular values of the whole batch's matrix (B, K), and both outputs
    carry gradient. B is the recipe's batch size, for the last and smaller batch too. Of logits of
    one size ‖·‖_*/B falls like B^(−½): λ = 4.5 at the authors' 64 images is 6.4 at 128.

    λ grows in equal steps with the epochs, from 0 in the first, as long as ``ramp`` says. The
    defaults are those of the authors' ResNet-18 on CIFAR-10; NuAT-WA, which is scored on an average
    of weights of decay 0.9998, has λ = 4 and ramp = 1.
    """

    name = "nuat"
    title = "NuAT"
    symbols = {"lambda_": "λ"}
    formula = "L = CE(f(x), ŷ) + λ_t·‖f(x) − f(x')‖_*/B, on clean images"
    citation = Citation(
        "sriramanan2021towards",
        "Sriramanan et al.",
        2021,
        title="Towards Efficient and Effective Adversarial Training",
        venue="NeurIPS",
    )
    rank = 47
    colour = 13

    class Config(Frozen):
        """λ, and for how long it grows."""

        lambda_: Annotated[float, Search(0.5, 20, log=True)] = Field(
            4.5, ge=0, description="Weight of the nuclear norm, at its largest"
        )
        ramp: Annotated[float, UNGUIDED] = Field(
            0.9, gt=0, le=1, description="The share of epochs over which λ grows"
        )

    def weight_at(self, epoch: int) -> float:
        grown = (epoch - 1) / (self.config.ramp * self.epochs)
        return float(self.config.lambda_ * min(grown, 1.0))

    def distance(self, clean: Tensor, adversarial: Tensor) -> Tensor:
        moved = clean - adversarial
        # As the mean over images that losses are: processes weigh it by their share of the batch.
        share = len(moved) / batch_sum(moved.new_full((), len(moved)))
        return nuclear_norm(moved) / share / self.batch_size


def nuclear_norm(rows: Tensor) -> Tensor:
    """Return what these ``rows`` (B, K) contribute to the nuclear norm of the whole batch's M.

    The norm is ⟨P, M⟩, where the polar factor P of M is the gradient too. P is found in float64 by
    the iteration of Newton and Schulz, P ← P·(3·I − PᵀP)/2 from M/‖M‖ on: products alone, which a
    device can record. It cannot record a decomposition, which asks whether it has converged.
    Singular values below 1e-6 of ‖M‖ count for less than they are.
    """
    with torch.no_grad():
        polar = rows.double()
        length = batch_sum(polar.square().sum()).sqrt()
        polar = polar / length.clamp_min(torch.finfo(polar.dtype).tiny)
        for _ in range(_ITERATIONS):
            polar = 1.5 * polar - 0.5 * polar @ batch_sum(polar.T @ polar)
    return (polar.to(rows.dtype) * rows).sum()
