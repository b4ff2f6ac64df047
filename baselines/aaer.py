"""AAER: regularisation of abnormal adversarial examples, on the steps of FGSM-RS and of N-FGSM.

Lin et al., "Eliminating Catastrophic Overfitting Via Abnormal Adversarial Examples Regularization",
NeurIPS 2023.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

from regmix_bench.attacks.ball import ascend, clip_pixels
from regmix_bench.attacks.noise import batch_sum, chosen_mean, uniform_start
from regmix_bench.losses import cross_entropy
from regmix_bench.methods.effects import Idle
from regmix_bench.methods.multi_step import attack_mode
from regmix_bench.methods.protocol import Citation, Method
from regmix_bench.types import Batch, Frozen, Search, StepOutput, ThreatModel

from .n_fgsm import noisy_start

if TYPE_CHECKING:
    from torch import Tensor, nn

PAPER = Citation(
    "lin2023eliminating",
    "Lin et al.",
    2023,
    "2404.08154",
    title="Eliminating Catastrophic Overfitting Via Abnormal Adversarial Examples Regularization",
    venue="NeurIPS",
)


NO_REGULARISER = Idle("lambda1 is 0", lambda config, *_: config.lambda1 == 0)
NO_TERMS = Idle(
    "lambda2 and lambda3 are 0", lambda config, *_: config.lambda2 == config.lambda3 == 0
)


class AAERConfig(Frozen):
    """Weights of the regulariser, and the epochs over which it is brought in."""

    lambda1: Annotated[float, NO_TERMS] = Field(
        1.0, ge=0, description="Weight of the regulariser, beside |A|/B"
    )
    lambda2: Annotated[float, NO_REGULARISER] = Field(
        ge=0, description="Weight of the fall of the loss, a constant"
    )
    lambda3: Annotated[float, NO_REGULARISER] = Field(
        ge=0, description="Weight of the change of the logits"
    )
    warmup: Annotated[int, NO_TERMS, NO_REGULARISER] = Field(
        0, ge=0, lt=2**31, description="Epochs over which λ1 grows from 0; the authors have 20"
    )


def abnormal_regulariser(
    before: Tensor, after: Tensor, logits_before: Tensor, logits: Tensor, config: AAERConfig
) -> Tensor:
    """Return |A|/B·[λ2·mean_A(ℓ − ℓ') + λ3·max(V_A − sg(V_Ā), 0)], a scalar.

    ℓ and ℓ' are the losses (B,) at the start of the step, ``before``, and at its end, ``after``, of
    which neither carries gradient; A are the images whose loss falls, Ā the others, and V the mean
    over a set of the squared distance of ``logits`` (B, K) from ``logits_before``, detached. It is
    0 where all images are of one set.
    """
    fall = before - after.detach()
    abnormal = (fall > 0).to(logits.dtype)
    normal = 1 - abnormal
    counts = batch_sum(abnormal.sum()), batch_sum(normal.sum())

    def mean(values: Tensor, chosen: Tensor, count: Tensor) -> Tensor:
        return batch_sum((chosen * values.detach()).sum()) / count.clamp_min(1)

    moved = (logits_before - logits).square().sum(1)
    settled = mean(moved, normal, counts[1])
    excess = mean(moved, abnormal, counts[0]) - settled
    hinge = torch.where(excess > 0, chosen_mean(moved, abnormal) - settled, 0)
    total = config.lambda2 * mean(fall, abnormal, counts[0]) + config.lambda3 * hinge
    both = (counts[0] > 0) & (counts[1] > 0)
    return torch.where(both, counts[0] / (counts[0] + counts[1]) * total, 0)


class AAER(Method):
    """Base of the two forms, which differ in where the step starts and in how it ends."""

    symbols = {"lambda1": "λ₁", "lambda2": "λ₂", "lambda3": "λ₃"}
    norms = ("Linf",)
    smoothed = frozenset({"attack", "loss", "regulariser"})

    def setup(
        self, dataset_size: int, image_shape: tuple[int, int, int], device: torch.device
    ) -> None:
        self.weight = torch.zeros((), device=device)

    def on_epoch_start(self, epoch: int) -> None:
        warmup = self.config.warmup
        share = min((epoch - 1) / warmup, 1.0) if warmup else 1.0
        self.weight.fill_(self.config.lambda1 * share)

    @abstractmethod
    def start(self, x: Tensor, threat: ThreatModel, generator: torch.Generator) -> Tensor:
        """Draw the perturbation (B, C, H, W) that a step starts at."""

    @abstractmethod
    def end(self, start: Tensor, x: Tensor, gradient: Tensor, threat: ThreatModel) -> Tensor:
        """Return the perturbation (B, C, H, W) one step from ``start``."""

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        start = self.start(batch.x, threat, generator)
        x_start, weight = batch.x + start, self.weight.to(batch.x.dtype)

        def output(x: Tensor) -> tuple[Tensor, Tensor]:
            """Logits (B, K), and the losses (B,) of which the attack and the loss are made."""
            logits = model(x)
            return logits, cross_entropy(logits, batch.y, self.true_class_mass, "none")

        with attack_mode(model, "train"):
            variable = x_start.clone().requires_grad_()
            found = output(variable)
            (gradient,) = torch.autograd.grad(found[1].sum(), variable)
        x_adv = batch.x + self.end(start, batch.x, gradient, threat)

        def terms(logits_before: Tensor, before: Tensor) -> dict[str, Tensor]:
            logits, after = output(x_adv)
            found = abnormal_regulariser(before, after, logits_before, logits, self.config)
            return {"ce": after.mean(), "aaer": weight * found}

        def again() -> dict[str, Tensor]:
            with torch.no_grad():
                there = output(x_start)
            return terms(*there)

        return StepOutput.of(terms(found[0].detach(), found[1].detach()), x_adv, again=again)


class RSAAER(AAER):
    """FGSM-RS, and a penalty where the loss of an image falls in the attack's own step.

    Such images A are abnormal: the step, of 1.25·ε from a uniform start δ₀ and projected, was meant
    to raise their loss. V_A and V_Ā are the means of ‖f(x + δ₀) − f(x')‖² over them and over the
    others, f(x + δ₀) detached. In the authors' program both losses of the λ₂ term are detached, so
    that it is a constant and λ₂ does nothing, and so it is here. Where all images are of one kind
    there is no penalty.

    λ₂ and λ₃ at 8, 12, 16 and 32/255 are, on CIFAR-10, (2.5, 1.5), (5, 2.75), (7, 3.25) and
    (5.75, 1.5), and on CIFAR-100 (3.5, 1.5), (3.5, 2.75), (6, 2.25) and (5, 0.75). In long
    schedules the authors let λ₁ grow over 20 epochs (``warmup``).
    """

    name = "rs-aaer"
    title = "RS-AAER"
    formula = (
        "L = CE(f(x'), ŷ) + λ₁·|A|/B·[λ₂·sg(mean_A(ℓ(x+δ₀) − ℓ(x'))) + λ₃·max(V_A − sg(V_Ā), 0)]"
    )
    citation = PAPER
    rank = 48
    colour = 16

    class Config(AAERConfig):
        """Weights of the regulariser, its first epochs, and the step as a multiple of ε."""

        lambda2: Annotated[float, Search(0.1, 20, log=True), NO_REGULARISER] = Field(
            2.5, ge=0, description="Weight of the fall of the loss, a constant"
        )
        lambda3: Annotated[float, Search(0.01, 10, log=True), NO_REGULARISER] = Field(
            1.5, ge=0, description="Weight of the change of the logits"
        )
        step_ratio: float = Field(1.25, gt=0, description="Size of the step as a multiple of ε")

    def start(self, x: Tensor, threat: ThreatModel, generator: torch.Generator) -> Tensor:
        return uniform_start(x, threat, generator)

    def end(self, start: Tensor, x: Tensor, gradient: Tensor, threat: ThreatModel) -> Tensor:
        return ascend(start, x, gradient, threat, self.config.step_ratio * float(threat.epsilon))


class NAAER(AAER):
    """N-FGSM, and a penalty where the loss of an image falls in the attack's own step.

    The penalty is that of RS-AAER. The step is one of ε from noise η ~ U(−2ε, 2ε), both clipped to
    valid pixels and neither to the ball, so that perturbations are as large as 3ε.

    λ₂ and λ₃ at 8, 12, 16 and 32/255 are, on CIFAR-10, (1.5, 0.15), (5, 0.55), (8.5, 1.5) and
    (2.75, 0.75), and on CIFAR-100 (1.5, 0.15), (3.5, 0.3), (6, 0.5) and (3.5, 0.5).
    """

    name = "n-aaer"
    title = "N-AAER"
    formula = RSAAER.formula
    citation = PAPER
    rank = 48
    colour = 18

    class Config(AAERConfig):
        """Weights of the regulariser, its first epochs, noise and step as multiples of ε."""

        lambda2: Annotated[float, Search(0.1, 20, log=True), NO_REGULARISER] = Field(
            1.5, ge=0, description="Weight of the fall of the loss, a constant"
        )
        lambda3: Annotated[float, Search(0.01, 10, log=True), NO_REGULARISER] = Field(
            0.15, ge=0, description="Weight of the change of the logits"
        )
        noise_ratio: float = Field(2.0, ge=0, description="Largest noise as a multiple of ε")
        step_ratio: float = Field(1.0, gt=0, description="Size of the step as a multiple of ε")

    @property
    def largest_perturbation(self) -> float:
        return float(self.config.noise_ratio + self.config.step_ratio)

    def start(self, x: Tensor, threat: ThreatModel, generator: torch.Generator) -> Tensor:
        return noisy_start(x, threat, generator, self.config.noise_ratio)

    def end(self, start: Tensor, x: Tensor, gradient: Tensor, threat: ThreatModel) -> Tensor:
        step = self.config.step_ratio * float(threat.epsilon)
        return clip_pixels(start + step * gradient.sign(), x, threat)
