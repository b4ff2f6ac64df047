"""PGD adversarial training.

Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from regmix_bench.attacks.noise import uniform_start
from regmix_bench.attacks.pgd import pgd
from regmix_bench.losses import TrueClassMass, cross_entropy
from regmix_bench.methods.protocol import AttackConfig, Method, attacked
from regmix_bench.types import Batch, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import nn


class PGDAT(Method):
    """Cross-entropy on the end point of PGD.

    With x' the end point of PGD on the cross-entropy from a uniform start::

        L = CE(f(x'), ŷ)
    """

    name = "pgd-at"

    class Config(AttackConfig):
        """The attack, and the true class's share of the label."""

        true_class_mass: TrueClassMass = 1.0

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        config = self.config
        with attacked(model, config.attack_bn):
            delta = pgd(
                lambda x: cross_entropy(model(x), batch.y, config.true_class_mass, "sum"),
                batch.x,
                threat,
                delta=uniform_start(batch.x, threat, generator),
                steps=config.steps,
                step_size=config.step_ratio * float(threat.epsilon),
            )
        x_adv = batch.x + delta
        return StepOutput(cross_entropy(model(x_adv), batch.y, config.true_class_mass), x_adv)
