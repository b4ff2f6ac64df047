"""FGSM-PCO: adversarial images of two visits, mixed by the model's confidence.

Wang, Wang, Tian and Jin, "Preventing Catastrophic Overfitting in Fast Adversarial Training: A
Bi-level Optimization Perspective", ECCV 2024.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch.nn.functional import mse_loss

from regmix_bench.attacks.noise import batch_sum
from regmix_bench.losses import cross_entropy, true_class
from regmix_bench.methods.prior import StoredPerturbations, StoredStartMethod
from regmix_bench.methods.protocol import Citation
from regmix_bench.types import Batch, Frozen, Search, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


class FGSMPCO(StoredStartMethod):
    """Cross-entropy between the prior's images and those of a step, and agreement of outputs.

    δ is kept for each image, drawn once and never reset; δ₁ is one step of ε from it, inside the
    ball, and the next visit's δ. With c = 1 − p_y(x+δ)::

        x' = c·(x+δ) + (1 − c)·(x + 1.5·δ₁)

    which is clipped neither to the ball, from which it is up to 1.5 times as far as ε, nor to valid
    pixels. As in the authors' code every output carries gradient, and so does c: a step makes the
    model surer, or less sure, of x+δ for what that does to x'. The squared errors are means over
    the batch and the classes.
    """

    name = "fgsm-pco"
    title = "FGSM-PCO"
    symbols = {"lambda_": "λ"}
    formula = (
        "L = CE(f(x'), ŷ) + λ·|mean((f(x+δ₁) − f(x+δ))²) − mean((f(x+δ₁) − f(x'))²)|,"
        " x' = c·(x+δ) + (1 − c)·(x + 1.5·δ₁), c = 1 − p_y(x+δ)"
    )
    citation = Citation(
        "wang2024preventing",
        "Wang et al.",
        2024,
        "2407.12443",
        title=(
            "Preventing Catastrophic Overfitting in Fast Adversarial Training: A "
            "Bi-level Optimization Perspective"
        ),
        venue="ECCV",
    )
    rank = 51
    colour = 15
    default_true_class_mass = 0.6
    smoothed = frozenset({"attack", "loss"})
    clips_pixels = False

    class Config(Frozen):
        """λ, and how much further than the step the images go that it is mixed with."""

        lambda_: Annotated[float, Search(1, 100, log=True)] = Field(
            10.0, ge=0, description="Weight of the agreement of outputs"
        )
        overshoot: Annotated[float, Search(1, 3)] = Field(
            1.5, ge=1, description="What δ₁ is multiplied by in the mixture"
        )

    @property
    def largest_perturbation(self) -> float:
        return float(self.config.overshoot)

    def setup(
        self, dataset_size: int, image_shape: tuple[int, int, int], device: torch.device
    ) -> None:
        self.prior = StoredPerturbations(
            dataset_size,
            image_shape,
            device,
            compact=self.compact_state,
            seed=self.run_seed,
            count_visits=self.visits_vary,
        )

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        config, label = self.config, true_class(batch.y)[:, None]
        start = self.attack(model, batch, threat, generator)
        x_prior, x_far = batch.x + start.initial, batch.x + config.overshoot * start.delta
        self.prior.put(batch, start.delta)

        def mixed(prior_logits: Tensor) -> Tensor:
            sure = prior_logits.softmax(1).gather(1, label)[:, :, None, None]
            return torch.lerp(x_prior, x_far, sure)

        def terms(prior_logits: Tensor) -> dict[str, Tensor]:
            logits, step_logits = model(mixed(prior_logits)), model(start.x_adv)
            ce = cross_entropy(logits, batch.y, self.true_class_mass)
            apart = mse_loss(step_logits, prior_logits) - mse_loss(step_logits, logits)
            # |·| of the whole batch, of which the images here may differ the other way.
            sign = batch_sum(apart.detach() * len(logits)).sign()
            return {"ce": ce, "consistency": config.lambda_ * sign * apart}

        return StepOutput.of(
            terms(start.logits),
            mixed(start.logits).detach(),
            again=lambda: terms(model(x_prior)),
        )
