"""Norms are objects: one more is one object, and nothing else asks which norm it has."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import regmix_bench
from regmix_bench.attacks.ball import ascend, project
from regmix_bench.attacks.noise import noise, uniform_start
from regmix_bench.attacks.white_box import PGD
from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan
from regmix_bench.methods import load_method
from regmix_bench.models import build_model
from regmix_bench.types import NORMS, Batch, Norm, ThreatModel

PACKAGE = Path(regmix_bench.__file__).parent
KNOWN = set(NORMS.names())


class L1(Norm):
    """The sum of all changes."""

    symbol = "L1"
    budget = "12"
    corners = 4

    def diameter(self, dimensions: int) -> float:
        return float(dimensions)

    def length(self, delta: Tensor) -> Tensor:
        return delta.flatten(1).abs().sum(1)

    def direction(self, gradient: Tensor) -> Tensor:
        flat = gradient.flatten(1)
        steepest = flat.abs().argmax(1, keepdim=True)
        return torch.zeros_like(flat).scatter(1, steepest, flat.sign()).view_as(gradient)

    def shrink(self, delta: Tensor, epsilon: float) -> Tensor:
        # Duchi et al., "Efficient projections onto the l1-ball", ICML 2008, figure 1.
        flat = delta.flatten(1)
        sizes = flat.abs().sort(1, descending=True).values
        excess = (sizes.cumsum(1) - epsilon) / torch.arange(1, sizes.shape[1] + 1)
        last = (sizes > excess).sum(1, keepdim=True) - 1
        threshold = excess.gather(1, last).clamp_min(0)
        return (flat.sign() * (flat.abs() - threshold).clamp_min(0)).view_as(delta)

    def start(self, x: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
        delta = noise(torch.randn, x, generator)
        return self.shrink(delta, epsilon)


@pytest.fixture
def l1(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreatModel]:
    """The one line that a further norm takes."""
    monkeypatch.setattr(NORMS, "registered", {})
    NORMS.register("L1", L1())
    yield ThreatModel("L1", "2")


def test_another_norm_is_attacked_by_pgd(l1: ThreatModel) -> None:
    torch.manual_seed(0)
    model = build_model("smallcnn", (1, 8, 8), 10).eval()
    x, y = torch.rand(20, 1, 8, 8), torch.arange(20) % 10
    x_adv = PGD.of(steps=20).perturb(model, x, y, l1)
    length = (x_adv - x).flatten(1).abs().sum(1)
    assert (length <= 2 * (1 + 1e-5)).all() and (length > 1).any()
    assert x_adv.min() >= 0 and x_adv.max() <= 1
    before, after = (nn.functional.cross_entropy(model(z), y).item() for z in (x, x_adv))
    assert after > before


@pytest.mark.parametrize("name", ["pgd-at", "trades"])
def test_another_norm_is_planned_and_trained_under(l1: ThreatModel, name: str) -> None:
    grid = {"methods": [name], "eps": ["2"], "norm": "L1"}
    with pytest.raises(UserError, match="'apgd-ce' is defined for Linf, L2, not for L1"):
        plan([grid])
    scoring = {"autoattack_version": "custom", "attacks": ["pgd-20"]}
    (spec,) = plan([grid | {"scoring": scoring}])
    assert spec.train_threat == l1
    torch.manual_seed(0)
    model = build_model("smallcnn", (1, 8, 8), 10)
    x = torch.rand(20, 1, 8, 8)
    batch = Batch(x, torch.arange(20) % 10, torch.arange(20))
    generator = torch.Generator().manual_seed(0)
    output = load_method(name).step(model, batch, spec.train_threat, generator)
    output.loss.backward()
    assert ((output.x_adv - x).flatten(1).abs().sum(1) <= 2 * (1 + 1e-5)).all()


def test_what_is_not_registered_is_no_norm() -> None:
    with pytest.raises(UserError, match="unknown norm 'L1'"):
        ThreatModel("L1", "2")


@pytest.mark.parametrize("name", NORMS.names())
def test_a_norm_keeps_its_promises(name: str) -> None:
    norm, threat = NORMS[name], ThreatModel(name, NORMS[name].budget)
    epsilon = float(threat.epsilon)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(50, 3, 4, 4, generator=generator, dtype=torch.float64)
    gradient = torch.randn(x.shape, generator=generator, dtype=torch.float64)

    direction = norm.direction(gradient)
    torch.testing.assert_close(norm.length(direction), torch.ones(50, dtype=torch.float64))
    # No other direction of that length climbs faster.
    others = torch.randn(200, *x.shape[1:], generator=generator, dtype=torch.float64)
    others = others / norm.length(others).view(-1, 1, 1, 1)
    climbed = (gradient[:1] * others).flatten(1).sum(1)
    assert climbed.max() <= (gradient[0] * direction[0]).sum()

    for delta in (uniform_start(x, threat, generator), project(gradient, x, threat)):
        assert (norm.length(delta) <= epsilon * (1 + 1e-9)).all()
    assert norm.length(norm.shrink(gradient, epsilon)) == pytest.approx(epsilon)
    assert torch.equal(norm.shrink(direction * epsilon / 2, epsilon), direction * epsilon / 2)
    corner = torch.ones(1, 3, 4, 4, dtype=torch.float64)
    assert norm.length(corner).item() == pytest.approx(norm.diameter(48))
    assert torch.equal(
        ascend(torch.zeros_like(x), x, gradient, threat, epsilon),
        project(epsilon * direction, x, threat),
    )


def compared(source: str) -> set[str]:
    """Names of norms that a source compares with, dispatches on, or looks up in a table."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            parts: list[ast.AST] = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            parts = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        else:
            continue
        parts += [e for one in parts for e in getattr(one, "elts", [])]
        found |= {part.value for part in parts if isinstance(part, ast.Constant)} & KNOWN
    return found


@pytest.mark.parametrize(
    "source",
    ['x = norm == "Linf"', 'x = norm in ("Linf", "L2")', 'x = {"L2": 1}[norm]'],
)
def test_a_comparison_is_found(source: str) -> None:
    assert compared(source)


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "types.py"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_no_module_compares_the_name_of_a_norm(path: Path) -> None:
    assert compared(path.read_text()) == set()
