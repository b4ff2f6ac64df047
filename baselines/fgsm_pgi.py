"""FGSM-PGI with momentum over epochs (FGSM-MEP).

Jia et al., "Prior-Guided Adversarial Initialization for Fast Adversarial Training", ECCV 2022.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

from regmix_bench.methods.prior import ClipStart, MomentumDecay, PriorGuidedMethod, Reset
from regmix_bench.methods.protocol import Citation
from regmix_bench.methods.unlabelled import known_cross_entropy
from regmix_bench.types import Batch, Frozen, Search, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


class FGSMPGI(PriorGuidedMethod):
    """Cross-entropy one step of ε from a stored prior, and agreement with the output at the prior.

    x' is one step of ε from x+δ_prior. The mean is over the batch and the classes, and both outputs
    carry gradient. The defaults are the authors' on CIFAR-10; on CIFAR-100 and Tiny-ImageNet their
    scripts reset the prior every 10 epochs.
    """

    name = "fgsm-pgi"
    title = "FGSM-PGI"
    symbols = {"lambda_": "λ"}
    formula = "L = CE(f(x'), ŷ) + λ·mean((f(x') − f(x+δ_prior))²)"
    citation = Citation(
        "jia2022prior",
        "Jia et al.",
        2022,
        "2207.08859",
        title="Prior-Guided Adversarial Initialization for Fast Adversarial Training",
        venue="ECCV",
    )
    rank = 50
    colour = 5
    default_true_class_mass = 0.6
    smoothed = frozenset({"attack", "loss"})
    takes_unlabelled = True

    class Config(Frozen):
        """λ, and the prior's resets, start and momentum."""

        lambda_: Annotated[float, Search(1, 100, log=True)] = Field(
            10.0, ge=0, description="Weight of the agreement with the prior"
        )
        reset: Annotated[Reset, Search(5, 80, log=True)] = 40
        clip_start: ClipStart = False
        momentum_decay: MomentumDecay = 0.3

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        with torch.no_grad():
            clean = model(batch.x) if batch.partly_labelled else None
        start = self.attack(model, batch, threat, generator, clean_logits=clean)
        logits = model(start.x_adv)
        weight = self.prior_weight(start.logits, logits, batch.y)
        self.prior.update(batch, start.initial, start.gradient, threat, weight)

        def terms(prior_logits: Tensor, logits: Tensor) -> dict[str, Tensor]:
            ce = known_cross_entropy(logits, batch, self.true_class_mass)
            consistency = self.config.lambda_ * (logits - prior_logits).square().mean()
            return {"ce": ce, "consistency": consistency}

        return StepOutput.of(
            terms(start.logits, logits),
            start.x_adv,
            again=lambda: terms(model(batch.x + start.initial), model(start.x_adv)),
        )

    def prior_weight(self, prior_logits: Tensor, logits: Tensor, y: Tensor) -> float | Tensor:
        """Return the weight of this batch's gradient in the momentum, a scalar.

        It may look at the logits (B, K) at the prior and one step from it.
        """
        return 1.0
