"""GAMA-PGD: the margin between probabilities, guided at first by how far the output has moved."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from regmix_bench.attacks.noise import sign_start
from regmix_bench.attacks.pgd import pgd
from regmix_bench.attacks.protocol import Attack
from regmix_bench.models.predictions import correct, margins
from regmix_bench.types import Frozen, ThreatModel


class GAMAPGD(Attack):
    """PGD on the margin of probabilities, guided by the output's move (GAMA-PGD, NeurIPS 2020).

    Sriramanan, Addepalli, Baburaj and Babu, "Guided adversarial attack for evaluating and enhancing
    adversarial defenses", eq. 4: it climbs ``max_j≠y p_j(x') − p_y(x') + w·‖p(x') − p(x₀)‖²`` from
    x₀, the image with ε added to each pixel by a random sign and projected on the ball: a corner of
    it under L∞. The weight w falls to 0 in the first quarter of the steps; a step is 2ε long, a
    tenth of that after 60 % of them and a hundredth after 85 %. So does the authors' program; in
    the paper the output moves away from that of the image itself: ``guide=image``.
    """

    name = "gama-pgd"

    class Config(Frozen):
        """Steps of a run, runs, the first weight of the guide, and where it is measured from."""

        steps: int = Field(100, ge=1, description="Steps of the attack")
        n_restarts: int = Field(1, ge=1, description="Starts, one after the other")
        weight: float = Field(50.0, ge=0, description="Weight of the guide at the first step")
        guide: Literal["start", "image"] = "start"

    @property
    def passes(self) -> float:
        return float((2 * self.config.steps + 2) * self.config.n_restarts)

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int = 0
    ) -> Tensor:
        generator = torch.Generator(x.device).manual_seed(seed)
        found, held = x.clone(), torch.arange(len(x), device=x.device)
        for _ in range(self.config.n_restarts):
            images, labels = x[held], y[held]
            found[held] = images + self._run(model, images, labels, threat, generator)
            held = held[correct(model, found[held], labels)]
            if not len(held):
                break
        return found

    def _run(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        generator: torch.Generator,
    ) -> Tensor:
        delta = sign_start(x, threat, generator, 1.0)
        guide = model(x if self.config.guide == "image" else x + delta).softmax(1)
        for step in range(self.config.steps):
            weight, size = self.schedule(step)

            def objective(images: Tensor, weight: float = weight) -> Tensor:
                probabilities = model(images).softmax(1)
                moved: Tensor = (probabilities - guide).square().sum()
                return weight * moved - margins(probabilities, y).sum()

            size *= float(threat.epsilon)
            delta = pgd(objective, x, threat, delta=delta, steps=1, step_size=size)
        return delta

    def schedule(self, step: int) -> tuple[float, float]:
        """Return the weight of the guide, and the length as a multiple of ε, of one step from 0."""
        done = step / self.config.steps
        return (
            self.config.weight * max(0.0, 1 - 4 * done),
            2.0 if done < 0.6 else 0.2 if done < 0.85 else 0.02,
        )
