"""LIET: label information elimination.

Pan, Tang, Li and Yao, "Mitigating Catastrophic Overfitting in Fast Adversarial Training via Label
Information Elimination", ICCV 2025.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import TYPE_CHECKING, Annotated, Self

import torch
from pydantic import Field, model_validator

from regmix_bench.attacks.ball import project
from regmix_bench.attacks.noise import noise
from regmix_bench.attacks.pgd import input_gradient
from regmix_bench.losses import cross_entropy, true_class
from regmix_bench.methods.effects import Idle
from regmix_bench.methods.multi_step import attack_mode
from regmix_bench.methods.protocol import Citation, Method
from regmix_bench.types import Batch, Frozen, Search, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


class LIET(Method):
    """Cross-entropy one step of ε from a class's own pattern, and agreement with the output there.

    The pattern of class k is ε·sign ∇CE(f(grey), k) at a grey image, taken anew every 20 batches of
    an epoch, its first included, with batch normalisation in evaluation mode. In each batch a share
    of its pixels, drawn once from ``mask_low`` to ``mask_high`` and alike for all images, gives way
    to U(−ε, ε), and with probability ½ the signs of all are turned; x₀ is clipped to valid pixels,
    and x' is one step further. Both outputs carry gradient, and λ_t grows in equal steps to λ in
    the last epoch.

    A label gives the true class its share and deals the rest out to the wrong ones at random, anew
    in each of its uses: those of the patterns, of the attack and of the loss.

    The defaults are the authors' at ε = 8/255 on CIFAR-10; on CIFAR-100 λ is 200 and the true class
    has 0.2, on Tiny-ImageNet 100 and 0.4. Above, at 16/255, they leave x' where the step ends
    (``project`` false), draw noise from twice the ball, mask from 0 to 1, and have λ = 20 and the
    share 0.6. They score an average of weights of decay 0.9995.
    """

    name = "liet"
    title = "LIET"
    symbols = {"lambda_": "λ"}
    formula = "L = CE(f(x'), ŷ) + λ_t·JS(p(x₀), p(x'))"
    citation = Citation(
        "pan2025mitigating",
        "Pan et al.",
        2025,
        title=(
            "Mitigating Catastrophic Overfitting in Fast Adversarial Training via "
            "Label Information Elimination"
        ),
        venue="ICCV",
    )
    rank = 55
    colour = 19
    norms = ("Linf",)
    default_true_class_mass = 0.4
    smoothed = frozenset({"attack", "loss"})

    class Config(Frozen):
        """λ, how often patterns are taken, and what becomes of them in a batch."""

        lambda_: Annotated[float, Search(1, 1000, log=True)] = Field(
            100.0, ge=0, description="Weight of the divergence, in the end"
        )
        refresh: int = Field(20, ge=1, description="Batches between two takings of the patterns")
        mask_low: float = Field(0.1, ge=0, le=1, description="Least share of noise in a pattern")
        mask_high: Annotated[float, Search(0.1, 1)] = Field(
            0.5, ge=0, le=1, description="Largest share of noise in it"
        )
        noise_ratio: Annotated[
            float, Idle("mask_high is 0", lambda config, *_: config.mask_high == 0)
        ] = Field(1.0, ge=0, description="Bound of the noise, as a multiple of ε")
        project: bool = Field(True, description="Project x' on the ball of ε")

        @model_validator(mode="after")
        def _ordered(self) -> Self:
            if self.mask_low > self.mask_high:
                raise ValueError("mask_low is above mask_high")
            return self

    @property
    def largest_perturbation(self) -> float:
        return 1.0 if self.config.project else 1.0 + max(1.0, self.config.noise_ratio)

    def setup(
        self, dataset_size: int, image_shape: tuple[int, int, int], device: torch.device
    ) -> None:
        #: Signs; of no epoch but the present one, which begins with taking them.
        self.patterns = torch.zeros(self.num_classes, *image_shape, device=device)
        self.weight = torch.zeros((), dtype=torch.float64, device=device)
        self.refreshing = True

    def on_epoch_start(self, epoch: int) -> None:
        self.weight.fill_(self.config.lambda_ * epoch / self.epochs)

    def on_batch_start(self, number: int) -> None:
        self.refreshing = number % self.config.refresh == 0

    @property
    def branch(self) -> Hashable:
        return self.refreshing

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        x, epsilon = batch.x, float(threat.epsilon)
        if self.refreshing:
            self._take_patterns(model, x.dtype, generator)
        x_start = self._start(batch, threat, generator).requires_grad_()
        start_logits = model(x_start)
        attacked = cross_entropy(start_logits, self._label(batch, generator), reduction="sum")
        (gradient,) = torch.autograd.grad(attacked, x_start, retain_graph=True)
        moved = x_start.detach() + epsilon * gradient.sign()
        inside = self.config.project
        x_adv = x + project(moved - x, x, threat) if inside else moved.clamp(*threat.bounds)
        label, weight = self._label(batch, generator), self.weight.to(x.dtype)

        def terms(start_logits: Tensor) -> dict[str, Tensor]:
            logits = model(x_adv)
            agreement = weight * js_divergence(start_logits, logits)
            return {"ce": cross_entropy(logits, label), "consistency": agreement}

        return StepOutput.of(
            terms(start_logits), x_adv, again=lambda: terms(model(x_start.detach()))
        )

    def _take_patterns(
        self, model: nn.Module, dtype: torch.dtype, generator: torch.Generator
    ) -> None:
        grey = torch.full_like(self.patterns, 0.5, dtype=dtype)
        classes = torch.eye(len(grey), dtype=dtype, device=grey.device)
        drawn = torch.rand(classes.shape, generator=generator, dtype=dtype, device=grey.device)
        label = randomly_smoothed(classes, self.true_class_mass, drawn)
        with attack_mode(model, "eval"):
            gradient = input_gradient(
                lambda x: cross_entropy(model(x), label, reduction="sum"), grey
            )
        self.patterns.copy_(gradient.sign())

    def _start(self, batch: Batch, threat: ThreatModel, generator: torch.Generator) -> Tensor:
        """Return x₀ (B, C, H, W)."""
        x, config, epsilon = batch.x, self.config, float(threat.epsilon)
        share, coin = torch.rand(2, generator=generator, dtype=x.dtype, device=x.device)
        share = config.mask_low + (config.mask_high - config.mask_low) * share
        masked = noise(torch.rand, x, generator) < share
        uniform = (noise(torch.rand, x, generator) * 2 - 1) * config.noise_ratio * epsilon
        pattern = epsilon * self.patterns[true_class(batch.y)].to(x.dtype)
        delta = torch.where(masked, uniform, pattern)
        return (x + torch.where(coin < 0.5, -delta, delta)).clamp(*threat.bounds)

    def _label(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return newly drawn labels (B, K)."""
        y, classes = batch.y, torch.arange(self.num_classes, device=batch.y.device)
        likely = (y[:, None] == classes if y.dim() == 1 else y).to(batch.x.dtype)
        drawn = noise(torch.rand, batch.x, generator, (self.num_classes,))
        return randomly_smoothed(likely, self.true_class_mass, drawn)


def randomly_smoothed(y: Tensor, true_class_mass: float, drawn: Tensor) -> Tensor:
    """Return class probabilities ``y`` (B, K), of which the wrong classes get 1 − mass at random.

    Their shares are in proportion to ``drawn`` (B, K), uniform from 0 to 1.
    """
    rest = drawn * (1 - y)
    return true_class_mass * y + (1 - true_class_mass) * rest / rest.sum(1, keepdim=True)


def js_divergence(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence of the softmax of logits (B, K), averaged over B.

    It is ½·KL(p‖m) + ½·KL(q‖m), m = (p + q)/2, differentiable in both arguments.
    """
    log_p, log_q = logits_p.log_softmax(1), logits_q.log_softmax(1)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    twice = log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)
    return twice.sum(1).mean() / 2
