"""Where AutoAttack's attacks are defined, and what they survive."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from regmix_bench.attacks import load_attack
from regmix_bench.attacks.protocol import AttackedData
from regmix_bench.types import ThreatModel

AUTOATTACK = ("apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square")
THREATS = (ThreatModel("Linf", "1/4"), ThreatModel("L2", "1/2"))
L2 = THREATS[1]


class Mean(nn.Module):
    """Of class 0, whatever the image: nothing in the ball is of another."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x.flatten(1).mean(1) + 1, 0 * x.flatten(1).sum(1)], 1)


def square_runs(height: int, width: int, norm: str = "L2") -> bool:
    x, y = torch.full((1, 1, height, width), 0.5), torch.zeros(1, dtype=torch.int64)
    try:
        with torch.no_grad():
            load_attack("square[n_queries=2]").perturb(
                Mean(), x, y, ThreatModel(norm, "1/2"), seed=0
            )
    except (RuntimeError, ZeroDivisionError):
        return False
    return True


def square_is_defined(height: int, width: int, norm: str = "L2") -> bool:
    data = AttackedData((1, height, width))
    return load_attack("square").obstacle(ThreatModel(norm, "1/2"), data) is None


def test_square_says_exactly_where_its_start_fits() -> None:
    """Every size up to 19, and larger ones that are used, square or not."""
    sizes = [*itertools.product(range(1, 20), repeat=2)]
    sizes += [
        (24, 24),
        (24, 3),
        (24, 5),
        (28, 28),
        (32, 32),
        (48, 32),
        (32, 48),
        (64, 64),
        (64, 48),
        (48, 64),
        (96, 96),
    ]
    with torch.random.fork_rng([]):
        runs = {size for size in sizes if square_runs(*size)}
    assert {size for size in sizes if square_is_defined(*size)} == runs
    squares = [height for height, width in sizes if height == width]
    assert [n for n in squares if (n, n) not in runs] == [1, 2, 3, 4, 12, 14, 18, 19, 24]
    assert {(32, 48), (64, 48)}.isdisjoint(runs)


def test_square_in_linf_takes_every_size() -> None:
    with torch.random.fork_rng([]):
        for size in itertools.product((1, 2, 4, 14, 19), repeat=2):
            assert square_is_defined(*size, norm="Linf") and square_runs(*size, norm="Linf")


class Tied(nn.Module):
    """Logits that are all alike away from the images themselves, as few bits make them."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = images

    def forward(self, x: Tensor) -> Tensor:
        known = (x[:, None] == self.images[None]).flatten(2).all(2).any(1, keepdim=True)
        first = nn.functional.one_hot(torch.zeros(len(x), dtype=torch.int64), 4)
        return known * first.float() + 0 * x.flatten(1).sum(1, keepdim=True)


class Wrong(nn.Module):
    """Never of the class that is asked for: nothing is left to fool."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.arange(4.0).expand(len(x), 4) + 0 * x.flatten(1).sum(1, keepdim=True)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("threat", THREATS, ids=str)
@pytest.mark.parametrize("name", [*AUTOATTACK, "pgd", "fgsm", "random-directions"])
def test_nothing_left_to_fool_is_survived(name: str, threat: ThreatModel, count: int) -> None:
    attack = load_attack(name)
    fewer = {"n_iter": 3, "n_queries": 5, "steps": 2, "n_target_classes": 2}
    fields = type(attack).Config.model_fields
    attack = attack.of(**{key: value for key, value in fewer.items() if key in fields})
    x = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.zeros(count, dtype=torch.int64)
    for model in (Tied(x), Wrong()):
        with torch.no_grad(), torch.random.fork_rng([]):
            found = attack.perturb(model.eval(), x, y, threat, seed=0)
        assert found.shape == x.shape and found.isfinite().all()
