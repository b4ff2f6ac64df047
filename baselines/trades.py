"""TRADES.

Zhang et al., "Theoretically Principled Trade-off between Robustness and Accuracy", ICML 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

from regmix_bench.attacks.noise import gaussian_start
from regmix_bench.attacks.pgd import Objective
from regmix_bench.losses import kl_divergence
from regmix_bench.methods.effects import Idle
from regmix_bench.methods.multi_step import AttackBN, MultiStepMethod, PGDConfig
from regmix_bench.methods.protocol import Citation
from regmix_bench.methods.unlabelled import known_cross_entropy
from regmix_bench.types import Batch, Search, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


class TRADES(MultiStepMethod):
    """Cross-entropy on clean images, and the divergence that an attack can cause.

    x' is the end point of PGD on that divergence (eq. 5), and both outputs carry gradient. The
    attack starts at 0.001·N(0, 1) and, as in the authors' code, runs with batch normalisation in
    evaluation mode. Our start is projected into the ball and to valid pixels, theirs is not, and
    under L2 an image without gradient stays where it is, where theirs takes a random step.

    Their code trains at ε = 0.031 with steps of 0.007, which is 7/31 of ε. Under L2 its steps are
    2ε/10 and it clips to valid pixels before it projects on the ball.
    """

    name = "trades"
    title = "TRADES"
    symbols = {"beta": "β"}
    formula = "L = CE(f(x), ŷ) + β·KL(p(x) ‖ p(x'))"
    citation = Citation(
        "zhang2019theoretically",
        "Zhang et al.",
        2019,
        "1901.08573",
        title="Theoretically Principled Trade-off between Robustness and Accuracy",
        venue="ICML",
    )
    rank = 20
    colour = 2
    smoothed = frozenset({"loss"})
    takes_unlabelled = True

    class Config(PGDConfig):
        """The attack and the weight of the divergence."""

        beta: Annotated[float, Search(1, 20, log=True)] = Field(
            6.0, ge=0, description="Weight of the divergence"
        )
        attack_bn: AttackBN = "eval"
        pixels_first: Annotated[
            bool, Idle("the norm is Linf", lambda config, recipe, norm: norm == "Linf")
        ] = Field(
            False,
            description="Clip to valid pixels before projecting on the ball; L2 alone differs",
        )

    def objective(self, model: nn.Module, batch: Batch) -> Objective:
        # Constant during the attack, so computed once.
        with torch.no_grad():
            clean_logits = model(batch.x)
        return lambda x: kl_divergence(clean_logits, model(x), "sum")

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        config = self.config
        initial = gaussian_start(batch.x, threat, generator)
        x_adv = self.attack(model, batch, threat, initial, config.pixels_first)

        def terms() -> dict[str, Tensor]:
            logits = model(batch.x)
            natural = known_cross_entropy(logits, batch, self.true_class_mass)
            divergence = kl_divergence(logits, model(x_adv))
            return {"natural": natural, "robust": config.beta * divergence}

        return StepOutput.of(terms(), x_adv, again=terms)
