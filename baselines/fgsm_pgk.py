"""FGSM-PGK: prior-guided knowledge.

Jia et al., "Improving Fast Adversarial Training with Prior-Guided Knowledge", IEEE TPAMI 2024.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import Field

from regmix_bench.attacks.noise import batch_sum
from regmix_bench.losses import true_class
from regmix_bench.methods.averaging import WeightAverage
from regmix_bench.methods.effects import Idle
from regmix_bench.methods.prior import Reset
from regmix_bench.methods.protocol import Citation
from regmix_bench.types import Search

from .fgsm_pgi import FGSMPGI

if TYPE_CHECKING:
    from torch import Tensor, nn

NO_AVERAGE = Idle(
    "recipe.ema_decay is not method", lambda config, recipe, norm: recipe.ema_decay != "method"
)


class FGSMPGK(FGSMPGI):
    """FGSM-PGI whose momentum is weighted by attack quality, scored on averaged weights.

    The loss is that of FGSM-PGI, x' one step of ε from x+δ_prior, and on each batch::

        r = #correct(x') / #correct(x+δ_prior)

    The gradient enters the momentum with weight 2 − r, and the average decays by
    min(a, (t+1)/(t+10)) at its update t, where a = 0.999 while r < 0.82 and min(1, 0.99999·r/0.82)
    from there on, so that steps of a weak attack count less.

    These constants are parameters, and their defaults the authors' on CIFAR-10. On CIFAR-100 and
    Tiny-ImageNet their scripts have λ = 1, a reset every 40 epochs, the share 0.8 of the label, 0.1
    for the decay 0.3 of the momentum, 0.9 for 0.82, and one more in the denominator of r; on
    CIFAR-100 the average stands still while r < 0.9. Ours begins with the model of its first
    update, theirs with the untrained one, whose weight is 1e-5 after ten updates.
    """

    name = "fgsm-pgk"
    title = "FGSM-PGK"
    formula = FGSMPGI.formula
    citation = Citation(
        "jia2024improving",
        "Jia et al.",
        2024,
        "2304.00202",
        title="Improving Fast Adversarial Training with Prior-Guided Knowledge",
        venue="IEEE TPAMI",
    )
    rank = 60
    colour = 6
    averages_weights = True
    default_true_class_mass = 0.5
    smoothed = FGSMPGI.smoothed
    takes_unlabelled = False  # the ratio of its attacks that succeed counts labels

    class Config(FGSMPGI.Config):
        """As FGSM-PGI, with the constants of the ratio r and of the average of weights."""

        lambda_: Annotated[float, Search(1, 100, log=True)] = Field(
            5.6, ge=0, description="Weight of the agreement with the prior"
        )
        reset: Annotated[Reset, Search(5, 80, log=True)] = 10
        ratio_offset: int = Field(
            0, ge=0, le=1_000_000, description="Added to the denominator of r"
        )
        gradient_weight: Annotated[float, Search(1, 4)] = Field(
            2.0, ge=1, description="The gradient enters the momentum with this less r"
        )
        ratio_threshold: Annotated[float, Search(0.6, 1), NO_AVERAGE] = Field(
            0.82, gt=0, description="The r from which the attack counts as weak"
        )
        ema_decay: Annotated[
            float,
            NO_AVERAGE,
            Idle("ema_below_threshold is false", lambda config, *_: not config.ema_below_threshold),
        ] = Field(0.999, gt=0, lt=1, description="Decay of the average below the threshold")
        weak_ema_decay: Annotated[float, NO_AVERAGE] = Field(
            0.99999,
            gt=0,
            le=1,
            description="Decay at the threshold; above, it grows with r up to 1",
        )
        ema_warmup: Annotated[int, NO_AVERAGE] = Field(
            10,
            ge=1,
            le=1_000_000,
            description="No decay is above (t + 1)/(t + this) at the average's update t",
        )
        ema_below_threshold: Annotated[bool, NO_AVERAGE] = Field(
            True, description="Update the average below the threshold too"
        )

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.average = WeightAverage()

    def setup(
        self, dataset_size: int, image_shape: tuple[int, int, int], device: torch.device
    ) -> None:
        super().setup(dataset_size, image_shape, device)
        #: Of the average so far; on the device, which alone knows whether it is updated.
        self.updates = torch.zeros((), dtype=torch.float64, device=device)

    def prior_weight(self, prior_logits: Tensor, logits: Tensor, y: Tensor) -> Tensor:
        label = true_class(y)
        correct = (logits.argmax(1) == label).sum().to(logits.dtype)
        prior_correct = (prior_logits.argmax(1) == label).sum().to(logits.dtype)
        denominator = batch_sum(prior_correct) + self.config.ratio_offset
        self.ratio = batch_sum(correct) / denominator.clamp_min(1)
        weight: Tensor = self.config.gradient_weight - self.ratio
        return weight

    def after_update(self, model: nn.Module) -> None:
        if not self.keeps_average:
            return
        config, below = self.config, self.ratio < self.config.ratio_threshold
        weak = (config.weak_ema_decay * self.ratio / config.ratio_threshold).clamp_max(1)
        decay = torch.where(below, config.ema_decay, weak)
        warmup = (self.updates + 1) / (self.updates + config.ema_warmup)
        decay = torch.minimum(decay, warmup.to(decay.dtype))
        if config.ema_below_threshold:
            self.updates += 1
        else:
            # Below, the average stands still; before its first update it is the model itself.
            decay = torch.where(below, 1.0, decay)
            decay = torch.where(self.updates == 0, 0.0, decay)
            self.updates += ~below
        self.average.update(model, decay)

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
        self.updates.fill_(state["updates"])
