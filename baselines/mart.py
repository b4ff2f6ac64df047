"""MART.

Wang et al., "Improving Adversarial Robustness Requires Revisiting Misclassified Examples",
ICLR 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

from regmix_bench.attacks.noise import gaussian_start
from regmix_bench.attacks.pgd import Objective
from regmix_bench.losses import cross_entropy, kl_divergence, true_class
from regmix_bench.methods.multi_step import AttackBN, MultiStepMethod, PGDConfig
from regmix_bench.methods.protocol import Citation
from regmix_bench.types import Batch, Search, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


def boosted_cross_entropy(logits: Tensor, y: Tensor, true_class_mass: float = 1.0) -> Tensor:
    """Return the boosted cross-entropy of eq. 8, a mean over B.

    It is CE, which smoothed labels smooth, plus the margin term −log(1 − p of the best wrong
    class), of logits (B, K), which they leave as it is. The constants that keep the logarithm
    finite are those of the authors' code.
    """
    probabilities = logits.softmax(1)
    wrong = probabilities.scatter(1, true_class(y)[:, None], -1.0).argmax(1)
    return cross_entropy(logits, y, true_class_mass) + torch.nn.functional.nll_loss(
        (1.0001 - probabilities + 1e-12).log(), wrong
    )


class MART(MultiStepMethod):
    """Boosted cross-entropy, and a divergence that weighs more where the clean image is doubtful.

    x' is the end point of PGD (eq. 11), BCE the cross-entropy plus −log(1 − p of the best wrong
    class). β is 5 for a ResNet-18 and 6 for a WRN-34-10 in the paper. The attack starts at
    0.001·N(0, 1), which ours projects into the ball and to valid pixels and the authors' does not.
    Their code trains at ε = 0.031 with steps of 0.007, which is 7/31 of ε. Smoothed labels, which
    the authors do not use, change the cross-entropy in BCE alone: the attack, the margin and the
    weight of the divergence take the true class.
    """

    name = "mart"
    title = "MART"
    symbols = {"beta": "β"}
    formula = "L = BCE(x') + β·mean_i[KL_i(p(x) ‖ p(x'))·(1 − p(x)_y)]"
    citation = Citation(
        "wang2020improving",
        "Wang et al.",
        2020,
        title="Improving Adversarial Robustness Requires Revisiting Misclassified Examples",
        venue="ICLR",
    )
    rank = 30
    colour = 3
    smoothed = frozenset({"loss"})

    class Config(PGDConfig):
        """The attack and the weight of the divergence."""

        beta: Annotated[float, Search(1, 20, log=True)] = Field(
            5.0, ge=0, description="Weight of the divergence"
        )
        attack_bn: AttackBN = "eval"

    def objective(self, model: nn.Module, batch: Batch) -> Objective:
        return lambda x: cross_entropy(model(x), batch.y, reduction="sum")

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        x_adv = self.attack(model, batch, threat, gaussian_start(batch.x, threat, generator))

        def terms() -> dict[str, Tensor]:
            logits, adv_logits = model(batch.x), model(x_adv)
            true_probability = logits.softmax(1).gather(1, true_class(batch.y)[:, None]).squeeze(1)
            weighted = kl_divergence(logits, adv_logits, "none") * (1.0000001 - true_probability)
            boosted = boosted_cross_entropy(adv_logits, batch.y, self.true_class_mass)
            return {"bce": boosted, "robust": self.config.beta * weighted.mean()}

        return StepOutput.of(terms(), x_adv, again=terms)
