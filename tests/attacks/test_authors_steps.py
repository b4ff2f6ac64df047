"""Attacks that are spared waiting give every bit of what the authors' own programs give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from regmix_bench.attacks.autoattack import APGDT, FABT, Square
from regmix_bench.attacks.protocol import Attack
from regmix_bench.models import build_model
from regmix_bench.types import ThreatModel

AUTHORS: dict[str, tuple[Attack, type, dict[str, Any]]] = {
    "square": (
        Square.of(n_queries=120),
        SquareAttack,
        {"p_init": 0.8, "n_restarts": 1, "n_queries": 120, "resc_schedule": False},
    ),
    "apgd-t": (
        APGDT.of(n_iter=12, n_target_classes=3),
        APGDAttack_targeted,
        {"rho": 0.75, "n_iter": 12, "n_restarts": 1, "eot_iter": 1, "n_target_classes": 3},
    ),
    "fab-t": (
        FABT.of(n_iter=8, n_target_classes=3),
        FABAttack_PT,
        {"targeted": True, "n_iter": 8, "n_restarts": 1, "n_target_classes": 3},
    ),
}


class OwnLogits(nn.Module):
    """A network whose logits an attack may write into."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(1)
            self.model = build_model("smallcnn", (3, 10, 10), 10).eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).clone()


@pytest.mark.parametrize("threat", ["Linf 0.02", "L2 0.4"])
@pytest.mark.parametrize("name", AUTHORS)
def test_each_image_is_that_of_the_authors(name: str, threat: str) -> None:
    ours, theirs, options = AUTHORS[name]
    budget = ThreatModel(*threat.split())
    model = OwnLogits().eval()
    x = torch.rand(24, 3, 10, 10, generator=torch.Generator().manual_seed(2))
    with torch.no_grad(), torch.random.fork_rng([]):
        y = model(x).argmax(1)
        found = ours.perturb(model, x, y, budget, seed=5)
        after = torch.rand(3)
        common = {"norm": budget.norm, "eps": float(budget.epsilon), "seed": 5, "device": x.device}
        expected = theirs(model, **common, **options).perturb(x.clone(), y.clone())
        assert torch.equal(torch.rand(3), after)  # as many numbers were drawn
    assert torch.equal(found, expected)
    assert not torch.equal(found, x)
