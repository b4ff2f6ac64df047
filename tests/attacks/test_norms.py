"""Norms are objects: one more is one object, and nothing else asks which norm it has."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import regmix_bench
from regmix_bench.attacks import load_attack
from regmix_bench.attacks.ball import ascend, ball_tolerance, project
from regmix_bench.attacks.noise import noise, uniform_start
from regmix_bench.attacks.white_box import PGD
from regmix_bench.data import load_data
from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan
from regmix_bench.methods import load_method
from regmix_bench.models import build_model
from regmix_bench.types import NORMS, Batch, Norm, ThreatModel

PACKAGE = Path(regmix_bench.__file__).parent
KNOWN = set(NORMS.names())


class L3(Norm):
    """The third root of the sum of cubes."""

    symbol = "L3"
    budget = "0.2"

    def diameter(self, dimensions: int) -> float:
        return float(dimensions ** (1 / 3))

    def length(self, delta: Tensor) -> Tensor:
        return torch.linalg.vector_norm(delta.flatten(1), 3, dim=1)

    def direction(self, gradient: Tensor) -> Tensor:
        steepest = gradient.sign() * gradient.abs().sqrt()
        return steepest / self.length(steepest).view(-1, 1, 1, 1)

    def shrink(self, delta: Tensor, epsilon: float) -> Tensor:
        return delta * (epsilon / self.length(delta).clamp_min(epsilon)).view(-1, 1, 1, 1)

    def start(self, x: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
        return self.shrink(noise(torch.randn, x, generator), epsilon)


@pytest.fixture
def l3(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreatModel]:
    """The one line that a further norm takes."""
    monkeypatch.setattr(NORMS, "registered", {})
    NORMS.register("L3", L3())
    yield ThreatModel("L3", "0.2")


def test_another_norm_is_attacked_by_pgd(l3: ThreatModel) -> None:
    torch.manual_seed(0)
    model = build_model("smallcnn", (1, 8, 8), 10).eval()
    x, y = torch.rand(20, 1, 8, 8), torch.arange(20) % 10
    x_adv = PGD.of(steps=20).perturb(model, x, y, l3)
    length = L3().length(x_adv - x)
    assert (length <= 0.2 * (1 + 1e-5)).all() and (length > 0.1).any()
    assert x_adv.min() >= 0 and x_adv.max() <= 1
    before, after = (nn.functional.cross_entropy(model(z), y).item() for z in (x, x_adv))
    assert after > before


@pytest.mark.parametrize("name", ["pgd-at", "trades"])
def test_another_norm_is_planned_and_trained_under(l3: ThreatModel, name: str) -> None:
    grid = {"methods": [name], "eps": ["0.2"], "norm": "L3"}
    with pytest.raises(UserError, match="'apgd-ce' is defined for Linf, L2, L1, not for L3"):
        plan([grid])
    scoring = {"autoattack_version": "custom", "attacks": ["pgd-20"]}
    (spec,) = plan([grid | {"scoring": scoring}])
    assert spec.train_threat == l3
    torch.manual_seed(0)
    model = build_model("smallcnn", (1, 8, 8), 10)
    x = torch.rand(20, 1, 8, 8)
    batch = Batch(x, torch.arange(20) % 10, torch.arange(20))
    generator = torch.Generator().manual_seed(0)
    output = load_method(name).step(model, batch, spec.train_threat, generator)
    output.loss.backward()
    assert (L3().length(output.x_adv - x) <= 0.2 * (1 + 1e-5)).all()


def test_training_under_l1_holds_more_under_l1_than_training_under_linf() -> None:
    """Forty steps of PGD-AT on digits; ``benchmarks/l1_training.py`` has whole trainings."""
    x, y = load_data("digits", "train")
    test_x, test_y = (part[:80] for part in load_data("digits", "test"))
    threat = ThreatModel("L1", "2")
    attack = load_attack("apgd-ce[n_iter=20,n_restarts=1,use_largereps=true]")
    held = []
    for trained in (threat, ThreatModel("Linf", "32/255")):
        generator = torch.Generator().manual_seed(0)
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            model, method = build_model("smallcnn", (1, 8, 8), 10), load_method("pgd-at")
            optimizer = torch.optim.Adam(model.parameters(), 5e-3)
            for _ in range(40):
                index = torch.randint(len(x), (64,), generator=generator)
                batch = Batch(x[index], y[index], index)
                loss = method.step(model, batch, trained, generator).loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                x_adv = attack.perturb(model.eval(), test_x, test_y, threat, seed=0)
                held.append((model(x_adv).argmax(1) == test_y).float().mean().item())
    assert held[0] > held[1] + 0.2


def test_what_is_not_registered_is_no_norm() -> None:
    with pytest.raises(UserError, match="unknown norm 'L3'"):
        ThreatModel("L3", "2")


@st.composite
def moves_in_a_box(draw: st.DrawFn) -> tuple[Tensor, Tensor, float]:
    """Images, moves from them of any size, equal ones and none among them, and a radius."""
    pixels = st.floats(0, 1, width=32)
    moves = st.one_of(st.sampled_from([0.0, 0.5, -0.5, 1.0]), st.floats(-2, 2, width=32))
    n = draw(st.integers(1, 12))
    x = draw(st.lists(pixels, min_size=n, max_size=n))
    delta = draw(st.lists(moves, min_size=n, max_size=n))
    shape = (1, 1, 1, n)
    return (
        torch.tensor(x, dtype=torch.float64).view(shape),
        torch.tensor(delta, dtype=torch.float64).view(shape),
        draw(st.floats(0.01, 8)),
    )


@settings(deadline=None)
@given(moves_in_a_box())
def test_the_projection_on_the_l1_ball_in_the_box_is_the_nearest_point(
    case: tuple[Tensor, Tensor, float],
) -> None:
    """Against a bisection on the multiplier of ‖δ‖₁ ≤ ε, whose problem falls into pixels."""
    x, delta, epsilon = case

    def pixels(loss: float) -> Tensor:
        return (delta.sign() * (delta.abs() - loss).clamp_min(0)).clamp(-x, 1 - x)

    low, high = 0.0, 2.0
    if pixels(0.0).abs().sum() <= epsilon:
        high = 0.0
    for _ in range(70):
        middle = (low + high) / 2
        low, high = (middle, high) if pixels(middle).abs().sum() > epsilon else (low, middle)
    threat = ThreatModel("L1", repr(epsilon))
    for pixels_first in (False, True):
        found = project(delta, x, threat, pixels_first)
        torch.testing.assert_close(found, pixels(high), rtol=0, atol=1e-12)
    in_float32 = project(delta.float(), x.float(), threat)
    torch.testing.assert_close(in_float32, pixels(high).float(), rtol=0, atol=1e-6)
    moved = x.float() + in_float32
    assert moved.min() >= 0 and moved.max() <= 1
    assert in_float32.double().abs().sum() <= epsilon + ball_tolerance(threat, x.numel())


def test_a_step_under_l1_is_shared_by_the_steepest_pixels() -> None:
    gradient = torch.zeros(3, 1, 10, 10)
    gradient[0].view(-1)[:8] = torch.tensor([1.0, -2, 3, -4, 5, 6, 7, -8])
    gradient[1].view(-1)[:7] = 2.0  # more of them than a step moves, all as steep
    direction = NORMS["L1"].direction(gradient).flatten(1)
    expected = torch.zeros(3, 100)
    expected[0, 3:8] = torch.tensor([-1.0, 1, 1, 1, -1]) / 5
    expected[1, :7] = 1 / 7
    torch.testing.assert_close(direction, expected)


def test_a_start_under_l1_is_uniform_in_the_ball() -> None:
    x, generator = torch.zeros(20_000, 1, 1, 3), torch.Generator().manual_seed(0)
    start = NORMS["L1"].start(x, 2.0, generator).flatten(1) / 2
    length = start.abs().sum(1)
    # Of the ball of radius r lies r³ inside; each of the 8 parts of the ball holds as much, and
    # the share of a pixel in the length is that of one of three parts of a uniform partition.
    for radius in (0.4, 0.7, 0.9):
        assert (length <= radius).float().mean().item() == pytest.approx(radius**3, abs=0.012)
    octant = ((start > 0).long() * torch.tensor([4, 2, 1])).sum(1)
    assert torch.bincount(octant, minlength=8).min() > 20_000 / 8 * 0.93
    share = start[:, 0].abs() / length
    assert (share <= 0.5).float().mean().item() == pytest.approx(0.75, abs=0.012)


@pytest.mark.parametrize("name", NORMS.names())
def test_a_norm_keeps_its_promises(name: str) -> None:
    norm, threat = NORMS[name], ThreatModel(name, NORMS[name].budget)
    epsilon = float(threat.epsilon)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(50, 3, 4, 4, generator=generator, dtype=torch.float64)
    gradient = torch.randn(x.shape, generator=generator, dtype=torch.float64)

    direction = norm.direction(gradient)
    torch.testing.assert_close(norm.length(direction), torch.ones(50, dtype=torch.float64))
    # None of many other directions of that length climbs faster.
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
    [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "types/norms.py"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_no_module_compares_the_name_of_a_norm(path: Path) -> None:
    assert compared(path.read_text()) == set()
