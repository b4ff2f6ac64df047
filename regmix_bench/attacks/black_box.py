"""Attacks that ask for predictions alone."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from regmix_bench.attacks.ball import ascend
from regmix_bench.attacks.protocol import Attack, Searched
from regmix_bench.models.predictions import correct
from regmix_bench.types import Frozen, ThreatModel


class RandomDirections(Attack):
    """The first of random perturbations of full length that fools the model, if any does."""

    name = "random-directions"

    class Config(Frozen):
        """Forward passes for an image."""

        n_queries: int = Field(40, ge=1, description="Forward passes for an image")

    @property
    def passes(self) -> float:
        return float(self.config.n_queries)

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int = 0
    ) -> Tensor:
        return self.search(model, x, y, threat, seed=seed).images

    @torch.no_grad()
    def search(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int = 0
    ) -> Searched:
        generator = torch.Generator(x.device).manual_seed(seed)
        found, held = x.clone(), torch.ones_like(y, dtype=torch.bool)
        queries = torch.zeros_like(y)
        for _ in range(self.config.n_queries):
            direction = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            moved = x + ascend(torch.zeros_like(x), x, direction, threat, float(threat.epsilon))
            queries += held
            fooled = held & ~correct(model, moved, y)
            found[fooled] = moved[fooled]
            held &= ~fooled
        return Searched(found, queries)
