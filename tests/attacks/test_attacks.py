"""Attacks by name, and a stranger's attack among them."""

from __future__ import annotations

import re

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from regmix_bench.attacks import ATTACKS, attack_components, attack_labels, load_attack
from regmix_bench.attacks.protocol import Attack
from regmix_bench.data import EvalData
from regmix_bench.errors import UserError
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.evaluate import evaluate_threat
from regmix_bench.grid.plan import plan
from regmix_bench.specs import Scoring
from regmix_bench.types import NORMS, Frozen, ThreatModel

LINF = ThreatModel("Linf", "1/2")


class Black(Attack):
    """Turns images black, as far as it may."""

    name = "black"
    version = 3
    norms = ("Linf",)

    class Config(Frozen):
        """How many times ε it goes."""

        reach: float = Field(1.0, gt=0)

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int
    ) -> Tensor:
        return (x - self.config.reach * float(threat.epsilon)).clamp(0, 1)


@pytest.fixture
def black(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ATTACKS, "registered", {})
    ATTACKS.register("black", Black)


class Brightness(nn.Module):
    """Of class 1 where the mean of an image is above 0.4."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1)
        return torch.stack([0.4 - mean, mean - 0.4], 1)


def score(*attacks: str):
    x = torch.linspace(0.41, 1, 12).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    test = EvalData(x, torch.ones(12, dtype=torch.int64), torch.arange(12), "d" * 64, 2)
    scoring = Scoring(autoattack_version="custom", attacks=attack_labels(attacks))
    return evaluate_threat(AttackedModel(Brightness().eval()), test, LINF, scoring)


def test_a_strangers_attack_is_scored_like_any_other(black: None) -> None:
    result, table, _ = score("black", "square")
    broken = table["label"].eq(1) & torch.linspace(0.41, 1, 12).lt(0.9).numpy()
    assert table["black_broke"].tolist() == broken.tolist()
    assert (table["broken_by"] == "black").tolist() == broken.tolist()
    assert table["black_norm"].max() == pytest.approx(0.5, abs=1e-6)
    assert list(result.after_attack) == ["black", "square"]
    assert table["square_broke"].isna().tolist() == broken.tolist()


def test_an_attack_beyond_the_threat_has_failed(black: None) -> None:
    result, table, _ = score("fgsm", "black[reach=1.5]")
    (said,) = result.failed_attacks.values()
    assert re.fullmatch(r"the attack leaves the threat model Linf 1/2 on \d+ images", said)
    assert result.autoattack_acc is None and list(result.after_attack) == ["fgsm"]
    assert not any(column.startswith("black") for column in table)


def test_what_every_image_goes_through_counts_where_it_is_named() -> None:
    result, table, _ = score("clean", "pgd-20", "fgsm")
    assert list(result.after_attack) == ["clean", "pgd", "fgsm"]
    assert result.after_attack["clean"] == result.clean_acc == 1
    assert result.after_attack["pgd"] == result.pgd_acc < 1
    assert (table["broken_by"] == "pgd").tolist() == table["pgd_broke"].tolist()


def test_its_version_and_parameters_enter_the_identity(black: None, monkeypatch) -> None:
    def run_id(*attacks: str) -> str:
        scoring = {"autoattack_version": "custom", "attacks": attacks}
        (spec,) = plan([{"methods": ["trades"], "eps": ["8/255"], "scoring": scoring}])
        return spec.run_id

    first = run_id("black")
    assert first != run_id("black[reach=2]")
    monkeypatch.setattr(Black, "version", 4)
    assert first != run_id("black")
    assert run_id("pgd-20", "fgsm") == run_id("pgd", "fgsm") == run_id("pgd[steps=20]", "fgsm")


def test_built_in_attacks_add_nothing_to_the_identity() -> None:
    assert attack_components(attack_labels(["square", "pgd-50"])) == ()


def test_an_attack_is_refused_where_it_is_not_defined(black: None) -> None:
    scoring = {"autoattack_version": "custom", "attacks": ["black"]}
    with pytest.raises(UserError, match="'black' is defined for Linf, not for L2"):
        plan([{"methods": ["trades"], "eps": ["1"], "norm": "L2", "scoring": scoring}])


@pytest.mark.parametrize("text", ["pgd-50", "pgd[steps=50,start=image]", "square[n_queries=7]"])
def test_a_label_names_its_attack(text: str) -> None:
    attack = load_attack(text)
    assert load_attack(attack.label).config == attack.config


@pytest.mark.parametrize(
    ("text", "said"),
    [("pdg", "did you mean 'pgd'"), ("square-3", "square"), ("pgd[steps=0]", "pgd.steps = 0")],
)
def test_what_is_no_attack_is_one_line(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        load_attack(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [n for n in ATTACKS.names() if n not in ("clean", "square")])
@pytest.mark.parametrize("norm", NORMS.names())
def test_attacks_stay_inside_and_repeat_themselves(trained_model, name: str, norm: str) -> None:
    quick = {"n_iter": 3, "n_queries": 5, "steps": 3}
    fields = ATTACKS[name].Config.model_fields
    attack = ATTACKS[name].of(**{key: value for key, value in quick.items() if key in fields})
    threat = ThreatModel(norm, "1/4")
    x, y = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(6)
    before = x.clone()
    with torch.no_grad(), torch.random.fork_rng([]):
        first, again = (attack.perturb(trained_model, x, y, threat, seed=3) for _ in range(2))
    assert torch.equal(x, before) and torch.equal(first, again)
    assert first.shape == x.shape and first.dtype == x.dtype
    assert (NORMS[norm].length(first - x) <= 0.25 * (1 + 1e-5)).all()
    assert first.min() >= 0 and first.max() <= 1


@pytest.fixture(scope="module")
def trained_model() -> nn.Module:
    from regmix_bench.models import build_model

    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return build_model("smallcnn", (1, 8, 8), 10).eval().requires_grad_(False)
