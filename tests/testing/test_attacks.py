"""The contract of attacks: those that keep it, and many that break one rule each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import Field
from torch import Tensor

from regmix_bench.attacks import ATTACKS
from regmix_bench.attacks.ball import project
from regmix_bench.attacks.pgd import input_gradient
from regmix_bench.attacks.protocol import Attack, Searched
from regmix_bench.errors import UserError
from regmix_bench.losses import cross_entropy
from regmix_bench.testing import check_attack
from regmix_bench.types import Frozen


class Shake(Attack):
    """Random signs, projected."""

    name = "shake"

    class Config(Frozen):
        scale: float = Field(1.0, gt=0, le=1)

    def perturb(self, model, x, y, threat, *, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        signs = torch.randint(2, x.shape, generator=generator) * 2.0 - 1
        return x + project(self.config.scale * float(threat.epsilon) * signs, x, threat)


class Outside(Shake):
    def perturb(self, model, x, *rest, seed: int) -> Tensor:
        return (2 * super().perturb(model, x, *rest, seed=seed) - x).clamp(0, 1)


class OutOfRange(Shake):
    def perturb(self, model, x, y, threat, *, seed: int) -> Tensor:
        return x + float(threat.epsilon) / 100


class Wide(Shake):
    def perturb(self, *arguments, seed: int) -> Tensor:
        return super().perturb(*arguments, seed=seed).double()


class InPlace(Shake):
    def perturb(self, model, x, *rest, seed: int) -> Tensor:
        return x.copy_(super().perturb(model, x, *rest, seed=seed))


class Training(Shake):
    def perturb(self, model, *rest, seed: int) -> Tensor:
        model.train()
        return super().perturb(model, *rest, seed=seed)


class Thawing(Shake):
    def perturb(self, model, *rest, seed: int) -> Tensor:
        model.requires_grad_()
        return super().perturb(model, *rest, seed=seed)


class Clocked(Shake):
    calls = 0

    def perturb(self, *arguments, seed: int) -> Tensor:
        Clocked.calls += 1
        return super().perturb(*arguments, seed=seed + Clocked.calls)


class Parting(Shake):
    def search(self, *arguments, seed: int) -> Searched:
        return super().search(*arguments, seed=seed + 1)


class Miscounting(Shake):
    def search(self, *arguments, seed: int) -> Searched:
        found = super().search(*arguments, seed=seed)
        return Searched(found.images, torch.zeros(len(found.images)))


class Global(Shake):
    def perturb(self, *arguments, seed: int) -> Tensor:
        return super().perturb(*arguments, seed=int(torch.randint(99, ())))


class Knowing(Shake):
    def perturb(self, model, *rest, seed: int) -> Tensor:
        assert model.classifier
        return super().perturb(model, *rest, seed=seed)


class Crowded(Shake):
    def perturb(self, model, x, *rest, seed: int) -> Tensor:
        assert len(x) > 1
        return super().perturb(model, x, *rest, seed=seed)


class Dividing(Shake):
    def perturb(self, model, x, y, threat, *, seed: int) -> Tensor:
        gradient = input_gradient(lambda z: cross_entropy(model(z), y, reduction="sum"), x)
        gradient = gradient / gradient.abs().amax((1, 2, 3), keepdim=True)
        return x + project(float(threat.epsilon) * gradient, x, threat)


class Unrecorded(Shake):
    def perturb(self, model, x, y, threat, *, seed: int) -> Tensor:
        x = x.clone().requires_grad_()
        cross_entropy(model(x), y).backward()
        return x


INSIDE = "images stay inside the threat model"
SEARCHES = "its search ends with the same images"
LEAVES = "it leaves images labels and model as they were"


@pytest.mark.parametrize(
    ("attack", "rule", "reason"),
    [
        (Outside, INSIDE, "an image has moved by"),
        (OutOfRange, INSIDE, "pixels span"),
        (Wide, INSIDE, "they are torch.float64, not torch.float32"),
        (InPlace, LEAVES, "the images were changed in place"),
        (Training, LEAVES, "a layer is left in training mode"),
        (Thawing, LEAVES, "a weight is left unfrozen"),
        (Clocked, "its seed fixes the images", "a second time under L"),
        (Parting, SEARCHES, "search finds other images than perturb"),
        (Miscounting, SEARCHES, "the queries are not an int64 for each image"),
        (Global, "the global generator changes nothing", "from another state under L"),
        (Knowing, "any network and any number of images will do", "AttributeError"),
        (Crowded, "any network and any number of images will do", "AssertionError"),
        (Dividing, "a model without gradients is no obstacle", "a pixel is not finite"),
        (Unrecorded, INSIDE, "RuntimeError"),
    ],
)
def test_an_attack_that_breaks_a_rule_is_told(attack: Any, rule: str, reason: str) -> None:
    ATTACKS.register("shake", attack)
    found = {failure.rule: failure.reason for failure in check_attack("shake")}
    assert reason in found.get(rule, ""), found


@pytest.mark.parametrize("name", ["clean", "fgsm", "pgd[steps=5]", "shake[scale=0.5]"])
def test_an_attack_that_keeps_the_contract_breaks_no_rule(name: str) -> None:
    ATTACKS.register("shake", Shake)
    assert check_attack(name) == []


def test_what_cannot_be_asked_for_is_no_broken_rule() -> None:
    with pytest.raises(UserError, match="unknown attack 'squares': did you mean 'square'"):
        check_attack("squares")
