"""FGSM-PGK: prior-guided knowledge.

Jia et al., "Improving Fast Adversarial Training with Prior-Guided Knowledge", IEEE TPAMI 2024.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from regmix_bench.attacks.noise import batch_sum
from regmix_bench.losses import TrueClassMass, true_class
from regmix_bench.methods.averaging import WeightAverage
from regmix_bench.methods.protocol import Citation

from .fgsm_pgi import FGSMPGI

if TYPE_CHECKING:
    from torch import Tensor, nn


class FGSMPGK(FGSMPGI):
    """FGSM-PGI whose momentum is weighted by attack quality, scored on averaged weights.

    The loss is that of FGSM-PGI, x' one step of ε from x+δ_prior, and on each batch::

        r = #correct(x') / #correct(x+δ_prior)

    The gradient enters the momentum with weight 2 − r, and the average decays by
    min(a, (t+1)/(t+10)) at step t, where a = 0.999 while r < 0.82 and min(1, 0.99999·r/0.82) from
    there on, so that steps of a weak attack count less.
    """

    name = "fgsm-pgk"
    title = "FGSM-PGK"
    formula = FGSMPGI.formula
    citation = Citation("jia2024improving", "Jia et al.", 2024, "2304.00202")
    rank = 60
    colour = 6
    averages_weights = True

    class Config(FGSMPGI.Config):
        """As FGSM-PGI, with the decay of the average and the ratio at which it changes."""

        lambda_: float = Field(5.6, ge=0)
        reset: int = Field(10, ge=1)
        true_class_mass: TrueClassMass = 0.5
        ema_decay: float = Field(0.999, gt=0, lt=1)
        ratio_threshold: float = Field(0.82, gt=0)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.average = WeightAverage()
        self.updates = 0

    def prior_weight(self, prior_logits: Tensor, logits: Tensor, y: Tensor) -> Tensor:
        label = true_class(y)
        correct = (logits.argmax(1) == label).sum().to(logits.dtype)
        prior_correct = (prior_logits.argmax(1) == label).sum().to(logits.dtype)
        self.ratio = batch_sum(correct) / batch_sum(prior_correct).clamp_min(1)
        return 2 - self.ratio

    def after_update(self, model: nn.Module) -> None:
        threshold = self.config.ratio_threshold
        slow = (0.99999 * self.ratio / threshold).clamp_max(1)
        decay = torch.where(self.ratio < threshold, self.config.ema_decay, slow)
        self.average.update(model, decay.clamp_max((self.updates + 1) / (self.updates + 10)))
        self.updates += 1

    def evaluated_model(self, model: nn.Module) -> nn.Module:
        return self.average.apply_to(model)

    def state_dict(self) -> dict[str, Any]:
        return {
            "prior": super().state_dict(),
            "average": self.average.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state["prior"])
        self.average.load_state_dict(state["average"])
        self.updates = state["updates"]
