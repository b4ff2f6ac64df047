"""A small defended model, its test images, and an AutoAttack that takes a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.quick_attacks import shorten
from torch import Tensor, nn

from regmix_bench.data import load_data
from regmix_bench.evaluation.journal import Journal
from regmix_bench.models import build_model
from regmix_bench.types import ThreatModel

Trained = Callable[[int], tuple[nn.Module, Tensor, Tensor]]


@pytest.fixture(scope="session")
def trained() -> Trained:
    """Makes a smallcnn that knows the first ``classes`` digits and resists a little noise."""
    made: dict[int, tuple[nn.Module, Tensor, Tensor]] = {}

    def make(classes: int = 10) -> tuple[nn.Module, Tensor, Tensor]:
        if classes not in made:
            x, y = load_data("digits", "train")
            x, y = x[y < classes], y[y < classes]
            with torch.random.fork_rng([]):
                torch.manual_seed(classes)
                model = build_model("smallcnn", (1, 8, 8), classes)
                optimizer = torch.optim.Adam(model.parameters(), 3e-3)
                for _ in range(60):
                    batch = torch.randint(len(x), (128,))
                    noisy = (x[batch] + 0.15 * torch.randn(128, 1, 8, 8).sign()).clamp(0, 1)
                    optimizer.zero_grad()
                    nn.functional.cross_entropy(model(noisy), y[batch]).backward()
                    optimizer.step()
            test_x, test_y = load_data("digits", "test")
            known = test_y < classes
            made[classes] = model.eval(), test_x[known][:37], test_y[known][:37]
        return made[classes]

    return make


@pytest.fixture
def quick_attacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer iterations for every AutoAttack of this process, ours and the package's alike."""
    shorten(monkeypatch)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal", {"weights": "w"})


@pytest.fixture(params=["Linf 24/255", "L2 0.5", "L1 2"])
def threat(request: pytest.FixtureRequest) -> ThreatModel:
    return ThreatModel(*request.param.split())
