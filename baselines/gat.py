"""GAT: guided adversarial training.

Sriramanan, Addepalli, Baburaj and Babu, "Guided Adversarial Attack for Evaluating and Enhancing
Adversarial Defenses", NeurIPS 2020.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

from regmix_bench.attacks.noise import sign_start
from regmix_bench.attacks.pgd import pgd
from regmix_bench.losses import cross_entropy
from regmix_bench.methods.effects import Idle
from regmix_bench.methods.multi_step import attack_mode
from regmix_bench.methods.protocol import Citation, Method
from regmix_bench.types import Batch, Frozen, Search, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


UNGUIDED = Idle("lambda_ is 0", lambda config, *_: config.lambda_ == 0)


class GuidedMethod(Method):
    """Base of GAT and NuAT: cross-entropy on clean images, and how far an attack moves outputs.

    The attack is one step of ε from ±ε/2, each pixel's sign drawn alone, on CE(f(x₀), ŷ) + a·λ·D
    with the same distance D as the loss. a is 0 in the first batch of an epoch, 1 in the second,
    and so on in turn. Batch normalisation is in evaluation mode at x₀; the clean output that guides
    the attack is one of training mode, as in the authors' code, without gradient.
    """

    norms = ("Linf",)
    smoothed = frozenset({"attack", "loss"})

    @abstractmethod
    def weight_at(self, epoch: int) -> float:
        """Return λ in ``epoch``, counted from 1."""

    @abstractmethod
    def distance(self, clean: Tensor, adversarial: Tensor) -> Tensor:
        """Return D of the logits (B, K) at x and at x₀ or x', a mean over the batch."""

    def setup(
        self, dataset_size: int, image_shape: tuple[int, int, int], device: torch.device
    ) -> None:
        self.weight, self.guided = torch.zeros(2, dtype=torch.float64, device=device)

    def on_epoch_start(self, epoch: int) -> None:
        self.weight.fill_(self.weight_at(epoch))

    def on_batch_start(self, number: int) -> None:
        self.guided.fill_(number % 2)

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        x, mass, size = batch.x, self.true_class_mass, len(batch.x)
        weight, guided = self.weight.to(x.dtype), self.guided.to(x.dtype)
        with torch.no_grad():
            guide = model(x)

        def objective(x_start: Tensor) -> Tensor:
            logits = model(x_start)
            distance: Tensor = guided * weight * self.distance(guide, logits)
            return size * (cross_entropy(logits, batch.y, mass) + distance)

        with attack_mode(model, "eval"):
            initial = sign_start(x, threat, generator, 0.5)
            step_size = float(threat.epsilon)
            delta = pgd(objective, x, threat, delta=initial, steps=1, step_size=step_size)
        x_adv = x + delta

        def terms() -> dict[str, Tensor]:
            adversarial, clean = model(x_adv), model(x)
            distance = self.distance(clean, adversarial)
            return {"natural": cross_entropy(clean, batch.y, mass), "guidance": weight * distance}

        return StepOutput.of(terms(), x_adv, again=terms)


class GAT(GuidedMethod):
    """Cross-entropy on clean images, and the squared distance to the probabilities at x'.

    Both outputs carry gradient. The distance is summed over classes, where those of other methods
    are means. The defaults are the authors' on CIFAR-10, at a batch size of 64 over 100 epochs.
    """

    name = "gat"
    title = "GAT"
    symbols = {"lambda_": "λ"}
    formula = "L = CE(f(x), ŷ) + λ_t·mean(Σ_k (p_k(x) − p_k(x'))²), on clean images"
    citation = Citation(
        "sriramanan2020guided",
        "Sriramanan et al.",
        2020,
        "2011.14969",
        title="Guided Adversarial Attack for Evaluating and Enhancing Adversarial Defenses",
        venue="NeurIPS",
    )
    rank = 45
    colour = 11

    class Config(Frozen):
        """λ, and how much of it there is in the last epochs."""

        lambda_: Annotated[float, Search(1, 50, log=True)] = Field(
            10.0, ge=0, description="Weight of the distance"
        )
        late_factor: Annotated[
            float, UNGUIDED, Idle("late_start is 1", lambda config, *_: config.late_start == 1)
        ] = Field(4.0, ge=0, description="λ is multiplied by this in the end")
        late_start: Annotated[
            float, UNGUIDED, Idle("late_factor is 1", lambda config, *_: config.late_factor == 1)
        ] = Field(
            0.85,
            ge=0,
            le=1,
            description="The share of epochs after which it is; of 100, the 87th is the first",
        )

    def weight_at(self, epoch: int) -> float:
        config = self.config
        late = epoch - 1 > config.late_start * self.epochs
        return float(config.lambda_ * (config.late_factor if late else 1.0))

    def distance(self, clean: Tensor, adversarial: Tensor) -> Tensor:
        return (clean.softmax(1) - adversarial.softmax(1)).square().sum(1).mean()
