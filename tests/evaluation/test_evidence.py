"""When a saved adversarial image is sound, down to the last bit of float32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from regmix_bench.attacks.ball import ball_tolerance
from regmix_bench.attacks.white_box import PGD
from regmix_bench.data import EvalData
from regmix_bench.evaluation.evidence import SHOWN, examine
from regmix_bench.models.predictions import correct
from regmix_bench.records.adversarial import SavedImages
from regmix_bench.types import NORMS, ThreatModel

THREATS = [ThreatModel("Linf", "8/255"), ThreatModel("Linf", "0.3"), ThreatModel("L2", "0.5")]


class Fixed(nn.Module):
    """Two classes; the first, which is every label here, leads by ``lead`` of a largest logit 1."""

    def __init__(self, lead: float) -> None:
        super().__init__()
        self.logits = torch.tensor([1.0, 1.0 - lead] if lead > 0 else [1.0 + lead, 1.0])

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), 2)


def grey(n: int, shape: tuple[int, int, int] = (3, 32, 32)) -> EvalData:
    """Images that no perturbation here takes out of the valid range."""
    x = torch.rand(n, *shape, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4
    y = torch.zeros(n, dtype=torch.int64)
    return EvalData(x, y, torch.arange(n) * 7, "d" * 64, 2)


def faults(model: nn.Module, test: EvalData, threat: ThreatModel, images: Tensor) -> list[str]:
    right = torch.ones(len(test.y), dtype=torch.bool)
    saved = SavedImages(threat, "square", test.index[: len(images)], images)
    shown = examine(model, test, right, saved)
    assert list(shown.columns) == SHOWN
    return list(shown["fault"])


@pytest.mark.parametrize("threat", THREATS, ids=str)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32)], ids=str)
def test_the_ball_ends_where_float32_rounds_and_not_further(threat: ThreatModel, shape) -> None:
    test = grey(50, shape)
    direction = torch.randn(test.x.shape, generator=torch.Generator().manual_seed(1))
    if threat.norm == "Linf":
        direction = direction.sign()
    unit = direction / NORMS[threat.norm].length(direction).view(-1, 1, 1, 1)
    epsilon = float(threat.epsilon)
    assert faults(Fixed(-1), test, threat, test.x + epsilon * unit) == [""] * 50

    tolerance = ball_tolerance(threat, test.x[0].numel())
    assert tolerance < 2e-5 * epsilon
    beyond = (epsilon + 2 * tolerance) * unit
    for fault in faults(Fixed(-1), test, threat, test.x + beyond):
        assert fault.startswith("lies ") and fault.endswith(f"beyond {threat.epsilon}")


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_what_pgd_makes_of_real_images_stays_inside(trained, threat: ThreatModel) -> None:
    model, x, y = trained(10)
    test = EvalData(x, y, torch.arange(len(y)), "d" * 64, 10)
    right, x_adv = correct(model, x, y), PGD.of(steps=20).perturb(model, x, y, threat)
    broke = right & ~correct(model, x_adv, y)
    assert broke.any()
    saved = SavedImages(threat, "pgd", test.index[broke], x_adv[broke])
    shown = examine(model, test, right, saved)
    assert set(shown["fault"]) == {""}
    assert shown["margin"].max() < 0 and shown["norm"].max() > 0.3 * float(threat.epsilon)


@pytest.mark.parametrize(
    ("lead", "fools"), [(-1e-3, True), (0.0, True), (1e-6, True), (1e-4, False), (1.0, False)]
)
def test_an_image_on_the_decision_boundary_fools(lead: float, fools: bool) -> None:
    test = grey(1)
    (fault,) = faults(Fixed(lead), test, THREATS[0], test.x)
    assert (fault == "") == fools
    assert fools or fault.startswith("does not fool the model: its own class leads by")


def test_logits_that_are_no_number_fool_nobody() -> None:
    test = grey(1)
    (fault,) = faults(Fixed(float("nan")), test, THREATS[0], test.x)
    assert "does not fool" in fault


@pytest.mark.parametrize("value", [-1e-7, 1 + 2e-7])
def test_the_valid_range_is_exact(value: float) -> None:
    test = grey(1)
    images = test.x.clone()
    test.x[0, 0, 0, 0] = images[0, 0, 0, 0] = round(value)
    assert faults(Fixed(-1), test, THREATS[0], images) == [""]
    images[0, 0, 0, 0] = value
    (fault,) = faults(Fixed(-1), test, THREATS[0], images)
    assert fault.endswith("outside [0, 1]")


def test_every_fault_of_an_image_is_named() -> None:
    test = grey(1)
    images = test.x.clone()
    images[0, 0, 0, 0] = 1.5
    (fault,) = faults(Fixed(1), test, THREATS[0], images)
    assert all(reason in fault for reason in ("outside [0, 1]", "beyond 8/255", "does not fool"))


def test_only_scored_images_that_the_model_gets_right_can_be_broken() -> None:
    test = grey(2)
    right = torch.tensor([True, False])
    saved = SavedImages(THREATS[0], "pgd", torch.tensor([7, 1]), test.x[[1, 1]])
    shown = examine(Fixed(-1), test, right, saved)
    assert list(shown["index"]) == [7, 1]
    assert list(shown["fault"]) == [
        "is misclassified without an attack",
        "is not among the images that were scored",
    ]
