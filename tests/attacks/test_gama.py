"""GAMA-PGD against its formula, written out once more in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from regmix_bench.attacks import load_attack
from regmix_bench.attacks.gama import GAMAPGD
from regmix_bench.models.predictions import correct
from regmix_bench.types import ThreatModel

EPSILON = 0.1


class Tanh(nn.Module):
    """Logits B·tanh(A·x), of which gradients are written out below."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self.a, self.b = rng.normal(size=(7, 12)), 2 * rng.normal(size=(4, 7))

    def forward(self, x: Tensor) -> Tensor:
        a, b = (torch.from_numpy(matrix).to(x) for matrix in (self.a, self.b))
        return torch.tanh(x.flatten(1) @ a.T) @ b.T


def by_hand(model: Tanh, x: np.ndarray, y: int, delta: np.ndarray, steps: int, guide: str):
    """Equation 4 with the authors' schedule, for one image (12,), by derivatives on paper."""

    def probabilities(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hidden = np.tanh(model.a @ z)
        powers = np.exp(model.b @ hidden)
        p = powers / powers.sum()
        # ∂p/∂z = (diag p − p pᵀ)·B·diag(1 − h²)·A
        return p, (np.diag(p) - np.outer(p, p)) @ model.b @ np.diag(1 - hidden**2) @ model.a

    origin, _ = probabilities(x if guide == "image" else x + delta)
    for step in range(steps):
        weight = 50 * (1 - step / (steps / 4)) if step < steps / 4 else 0
        size = 2 * EPSILON
        size /= 100 if step >= 0.85 * steps else 10 if step >= 0.6 * steps else 1
        p, slope = probabilities(x + delta)
        other = max((j for j in range(4) if j != y), key=lambda j: p[j])
        gradient = slope[other] - slope[y] + 2 * weight * (p - origin) @ slope
        delta = np.clip(delta + size * np.sign(gradient), -EPSILON, EPSILON)
        delta = np.clip(x + delta, 0, 1) - x
    return x + delta


@pytest.mark.parametrize("guide", ["image", "start"])
def test_it_follows_the_formula(guide: str) -> None:
    model, threat = Tanh().eval(), ThreatModel("Linf", EPSILON)
    x = torch.rand(9, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(1)
    attack = GAMAPGD.of(steps=20, guide=guide)
    signs = torch.rand(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(4)) - 0.5
    start = (x + EPSILON * signs.sign()).clamp(0, 1) - x
    with torch.no_grad():
        found = attack.perturb(model, x, y, threat, seed=4)
    expected = [
        by_hand(model, image.flatten().numpy(), int(label), delta.flatten().numpy(), 20, guide)
        for image, label, delta in zip(x, y, start, strict=True)
    ]
    np.testing.assert_allclose(found.flatten(1).numpy(), np.stack(expected), atol=1e-12)


def test_a_further_start_is_tried_on_what_still_holds() -> None:
    model, threat = Tanh().eval(), ThreatModel("Linf", EPSILON)
    x = torch.rand(60, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(1)
    once, often = GAMAPGD.of(steps=1), GAMAPGD.of(steps=1, n_restarts=8)
    with torch.no_grad():
        broke = ~correct(model, once.perturb(model, x, y, threat, seed=0), y)
        found = often.perturb(model, x, y, threat, seed=0)
    assert not correct(model, found[broke], y[broke]).any()
    assert (~correct(model, found, y)).sum() > broke.sum() > 0


def test_its_usual_name_says_the_steps() -> None:
    assert load_attack("gama-pgd-40").config.steps == 40
    assert load_attack("gama-pgd-100").label == "gama-pgd"
