"""The gradient-masking audit: quiet on an honest model, loud on one that hides its gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from regmix_bench.attacks.autoattack import Square
from regmix_bench.attacks.white_box import PGD
from regmix_bench.data import load_data
from regmix_bench.evaluation import masking as module
from regmix_bench.evaluation.masking import Surrogate, diagnose
from regmix_bench.models import build_model
from regmix_bench.models.predictions import correct
from regmix_bench.records.schema import Diagnosis
from regmix_bench.types import ThreatModel

THREAT = ThreatModel("Linf", "32/255")
NAMES = ["unbounded", "more-steps", "iterative", "random-direction", "black-box", "transfer"]

Images = tuple[Tensor, Tensor]


def pgd_at(seed: int, steps: int) -> nn.Module:
    """A smallcnn trained on digits against PGD-5 (Madry et al. 2018), for a few seconds."""
    x, y = load_data("digits", "train")
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = build_model("smallcnn", (1, 8, 8), 10)
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        for step in range(steps):
            batch = torch.randint(len(x), (64,))
            attacked = PGD.of(steps=5).perturb(model.eval(), x[batch], y[batch], THREAT, seed=step)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model.train()(attacked), y[batch]).backward()
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def honest() -> nn.Module:
    return pgd_at(0, steps=100)


@pytest.fixture(scope="module")
def sibling() -> Surrogate:
    return Surrogate("sibling", pgd_at(1, steps=50))


@pytest.fixture(scope="module")
def images() -> Images:
    x, y = load_data("digits", "test")
    return x[:100], y[:100]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what does not depend on how strong the attacks are."""
    monkeypatch.setattr(module, "MORE_STEPS", 20)
    monkeypatch.setattr(module, "SQUARE_QUERIES", 20)


class Saturated(nn.Module):
    """Logits so large that the softmax has no gradient in float32."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * 1e4


class Quantised(Saturated):
    """Inputs rounded to 16 levels, which has no gradient at all."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(torch.round(x * 15) / 15)


def alarms(found: tuple[Diagnosis, ...]) -> set[str]:
    assert [diagnosis.name for diagnosis in found] == NAMES
    return {diagnosis.name for diagnosis in found if diagnosis.alarm}


def by_name(found: tuple[Diagnosis, ...]) -> dict[str, Diagnosis]:
    return {diagnosis.name: diagnosis for diagnosis in found}


@pytest.mark.parametrize("threat", [THREAT, ThreatModel("L2", "1.0")], ids=str)
def test_an_honest_model_raises_no_alarm(
    honest: nn.Module, sibling: Surrogate, images: Images, threat: ThreatModel
) -> None:
    found = diagnose(honest, *images, threat, other=sibling)
    assert alarms(found) == set()
    named = by_name(found)
    assert named["unbounded"].stronger == named["unbounded"].weaker == 0
    assert named["iterative"].stronger < named["iterative"].weaker
    assert named["transfer"].stronger < named["transfer"].weaker
    assert "sibling" in named["transfer"].note


@pytest.mark.parametrize(
    ("mask", "threat"),
    [(Saturated, THREAT), (Quantised, THREAT), (Quantised, ThreatModel("L2", "1.0"))],
    ids=["saturated Linf", "quantised Linf", "quantised L2"],
)
def test_a_masked_model_is_caught(
    honest: nn.Module,
    sibling: Surrogate,
    images: Images,
    mask: type[Saturated],
    threat: ThreatModel,
) -> None:
    found = diagnose(mask(honest).eval(), *images, threat, other=sibling)
    assert alarms(found) >= {"unbounded", "black-box", "transfer"}
    # The rounded model is nearly as right as the honest one: the gradient alone is gone.
    assert by_name(found)["unbounded"].stronger > 0.9


@pytest.mark.usefixtures("quick")
def test_the_numbers_are_those_of_pgd(honest: nn.Module, images: Images) -> None:
    x, y = images
    wrong = y.clone()
    wrong[:9] = (wrong[:9] + 1) % 10  # so that some are misclassified, and not attacked
    right = correct(honest, x, wrong)
    held = correct(honest, PGD().perturb(honest, x[right], wrong[right], THREAT), wrong[right])
    found = by_name(diagnose(honest, x, wrong, THREAT))
    assert found["black-box"].stronger == found["iterative"].stronger == int(held.sum()) / 100
    assert {d.n_examples for d in found.values()} == {100}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("stray", "alarm"), [(1, False), (6, False), (7, True)])
def test_seven_images_make_an_alarm_and_a_stray_one_does_not(
    honest: nn.Module,
    images: Images,
    monkeypatch: pytest.MonkeyPatch,
    stray: int,
    alarm: bool,
) -> None:
    def all_that_pgd_breaks_and_some(
        self: Square, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int
    ) -> Tensor:
        x_adv = PGD().perturb(model, x, y, threat, seed=seed)
        held = correct(model, x_adv, y).nonzero().squeeze(1)[:stray]
        for number in held:
            x_adv[number] = x[(y != y[number]).nonzero()[0]]
        return x_adv

    monkeypatch.setattr(Square, "perturb", all_that_pgd_breaks_and_some)
    found = by_name(diagnose(honest, *images, THREAT))["black-box"]
    assert round((found.stronger - found.weaker) * 100) == stray
    assert found.p_value == pytest.approx(0.5**stray)
    assert found.alarm is alarm


@pytest.mark.usefixtures("quick")
def test_without_another_model_transfer_is_not_asked(honest: nn.Module, images: Images) -> None:
    *asked, last = diagnose(honest, *images, THREAT)
    assert all(diagnosis.p_value is not None for diagnosis in asked)
    assert (last.name, last.stronger, last.weaker, last.p_value) == ("transfer", None, None, None)
    assert last.note == "no other run to craft images on"


def test_a_model_that_is_never_right_is_not_asked(honest: nn.Module, images: Images) -> None:
    x, _ = images
    never = (honest(x).argmax(1) + 1) % 10
    found = diagnose(honest, x, never, THREAT)
    assert alarms(found) == set()
    assert {d.note for d in found} == {"no image is classified correctly"}


@pytest.mark.usefixtures("quick")
def test_a_sample_is_looked_at_and_the_generator_is_left_alone(
    honest: nn.Module, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIMIT", 20)
    before = torch.get_rng_state()
    found = diagnose(honest, *images, THREAT)
    assert {d.n_examples for d in found} == {20}
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(12345)
    assert diagnose(honest, *images, THREAT) == found


def test_a_model_in_training_mode_is_refused(images: Images) -> None:
    model = build_model("smallcnn", (1, 8, 8), 10).train()
    with pytest.raises(RuntimeError, match="training mode"):
        diagnose(model, *images, THREAT)


@pytest.mark.parametrize("size", [(14, 14), (32, 48)])
def test_a_question_whose_attack_is_not_defined_is_not_asked(quick, size: tuple[int, int]) -> None:
    """Square's under L2, on images where its start does not fit."""
    x, y = torch.rand(6, 1, *size), torch.zeros(6, dtype=torch.int64)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 3)).eval()
    y = model(x).argmax(1)
    found = {d.name: d for d in diagnose(model, x, y, ThreatModel("L2", "0.1"))}
    asked = found.pop("black-box")
    assert asked.p_value is None and f"{size[0]}×{size[1]}" in asked.note
    assert all(d.p_value is not None for name, d in found.items() if name != "transfer")
