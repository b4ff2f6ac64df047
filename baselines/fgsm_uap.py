"""FGSM-UAP: steps from universal perturbations, one for all images or one for each class.

Pan, Li and Yao, "Adversarial Initialization with Universal Adversarial Perturbation: A New Approach
to Fast Adversarial Training", AAAI 2024.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field

from regmix_bench.attacks.ball import ascend, project
from regmix_bench.attacks.noise import batch_sum, epoch_seed
from regmix_bench.losses import cross_entropy, true_class
from regmix_bench.methods.protocol import Citation, Method
from regmix_bench.types import Batch, Frozen, Search, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


class FGSMUAP(Method):
    """Cross-entropy one step of ε from a shared pattern, and agreement with the output there.

    x₀ is x + u_k, inside the ball and clipped to valid pixels, and x' one step further; k is the
    image's class, or there is one pattern for all. Both outputs carry gradient, and the squared
    error is a mean over the batch and the classes. Each batch moves the patterns that it used by
    the mean of its gradients at x₀, where the norm is the whole batch's::

        m_k ← mean_i(g_i/‖g‖₁) + 0.3·m_k,   u_k ← Π_r(u_k + r·sign m_k)

    r is 10/255 at ε = 8/255, and here in proportion to ε. u is −r, 0 or r in each pixel, and is cut
    to ε where it is used: so no ratio r/ε above 1 differs from another.

    The authors' labels have the smoothing 0.4 of torch: the true class has 0.64 of 10 classes and
    0.604 of 100. They score an average of weights of decay 0.9995. What the paper calls FGSM-UAP
    chooses among patterns by a second network on the features of an image, which is not here; that
    of the FastAT Benchmark has one pattern.
    """

    name = "fgsm-uap"
    title = "FGSM-UAP"
    symbols = {"lambda_": "λ"}
    formula = "L = CE(f(x'), ŷ) + λ·mean((f(x') − f(x₀))²), x₀ = Π(x + u_k)"
    citation = Citation(
        "pan2024adversarial",
        "Pan et al.",
        2024,
        title=(
            "Adversarial Initialization with Universal Adversarial Perturbation: A "
            "New Approach to Fast Adversarial Training"
        ),
        venue="AAAI",
    )
    rank = 53
    colour = 17
    norms = ("Linf",)
    default_true_class_mass = 0.64
    smoothed = frozenset({"attack", "loss"})

    class Config(Frozen):
        """The patterns, how they move, and λ."""

        patterns: Literal["one", "class"] = Field(
            "one", description="One pattern for all images, or one for each class"
        )
        lambda_: Annotated[float, Search(1, 100, log=True)] = Field(
            10.0, ge=0, description="Weight of the agreement with f(x₀)"
        )
        pattern_ratio: Annotated[float, Search(0.5, 2)] = Field(
            1.25, gt=0, description="Bound of a pattern and its step, as a multiple of ε"
        )
        momentum_decay: float = Field(
            0.3, ge=0, lt=1, description="What is left of the momentum at the next batch"
        )

    def setup(
        self, dataset_size: int, image_shape: tuple[int, int, int], device: torch.device
    ) -> None:
        count = self.num_classes if self.config.patterns == "class" else 1
        generator = torch.Generator(device).manual_seed(epoch_seed(self.run_seed, 0, "patterns"))
        #: u as a multiple of r: −1, 0 or 1.
        self.patterns = torch.zeros(count, *image_shape, device=device)
        self.patterns.bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
        self.momentum = torch.zeros_like(self.patterns)

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        x, config, epsilon = batch.x, self.config, float(threat.epsilon)
        used = torch.zeros_like(batch.index) if config.patterns == "one" else true_class(batch.y)
        pattern = config.pattern_ratio * epsilon * self.patterns[used].to(x.dtype)
        delta = project(pattern, x, threat)
        x_start = (x + delta).requires_grad_()
        start_logits = model(x_start)
        attack_loss = cross_entropy(start_logits, batch.y, self.true_class_mass, "sum")
        (gradient,) = torch.autograd.grad(attack_loss, x_start, retain_graph=True)
        x_adv = x + ascend(delta, x, gradient, threat, epsilon)
        self._move(gradient, used)

        def terms(start_logits: Tensor) -> dict[str, Tensor]:
            logits = model(x_adv)
            ce = cross_entropy(logits, batch.y, self.true_class_mass)
            consistency = config.lambda_ * (logits - start_logits).square().mean()
            return {"ce": ce, "consistency": consistency}

        return StepOutput.of(
            terms(start_logits), x_adv, again=lambda: terms(model(x_start.detach()))
        )

    def _move(self, gradient: Tensor, used: Tensor) -> None:
        """Move the patterns that are ``used`` (B,) by the images' gradients (B, C, H, W)."""
        tiny = torch.finfo(gradient.dtype).tiny
        unit = gradient / batch_sum(gradient.abs().sum()).clamp_min(tiny)
        # A product, as sums by index are in no order on a GPU.
        users = torch.arange(len(self.patterns), device=used.device)[:, None] == used
        sums = batch_sum(users.to(unit.dtype) @ unit.flatten(1)).view_as(self.momentum)
        counts = batch_sum(users.sum(1))[:, None, None, None]
        before = self.config.momentum_decay * self.momentum
        momentum = sums / counts.clamp_min(1) + before
        patterns = (self.patterns + momentum.sign()).clamp(-1, 1)
        self.momentum.copy_(torch.where(counts > 0, momentum, self.momentum))
        self.patterns.copy_(torch.where(counts > 0, patterns, self.patterns))

    def state_dict(self) -> dict[str, Any]:
        return {"patterns": self.patterns, "momentum": self.momentum}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.patterns.copy_(state["patterns"])
        self.momentum.copy_(state["momentum"])
