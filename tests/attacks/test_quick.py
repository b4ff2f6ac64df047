"""The cheap look: APGD twice, each on what is left."""

from __future__ import annotations

import pytest
import torch

from regmix_bench.attacks import load_attack
from regmix_bench.attacks.protocol import AttackedData
from regmix_bench.attacks.quick import QuickAPGD
from regmix_bench.errors import UserError
from regmix_bench.models import build_model
from regmix_bench.models.predictions import PassCounter, correct
from regmix_bench.records.accuracies import attack_words
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel

LINF = ThreatModel("Linf", "4/255")


def test_each_image_is_that_of_the_first_of_both_that_finds_one() -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        model = build_model("smallcnn", (3, 10, 10), 10).eval().requires_grad_(False)
    x = torch.rand(40, 3, 10, 10, generator=torch.Generator().manual_seed(2))
    quick = QuickAPGD.of(first_steps=3, n_iter=4)
    with torch.no_grad(), torch.random.fork_rng([]):
        y = model(x).argmax(1)
        with PassCounter(model) as passes:
            found = quick.perturb(model, x, y, LINF, seed=5)
        first = load_attack("apgd-ce[n_restarts=1,n_iter=3]").perturb(model, x, y, LINF, seed=5)
        held = correct(model, first, y)
        second = load_attack("apgd-t[n_iter=4,n_target_classes=3]")
        later = second.perturb(model, x[held], y[held], LINF, seed=5)
    assert 0 < held.sum() < len(x)
    assert torch.equal(found[~held], first[~held]) and torch.equal(found[held], later)
    # What the first run finds is spared the second, 4 steps towards each of 3 classes.
    assert passes.backward_images < 4 * len(x) + 5 * 3 * int(held.sum())


def test_it_is_never_called_autoattack() -> None:
    scoring = Scoring(autoattack_version="custom", attacks=("quick-apgd",))
    assert attack_words(scoring) == "quick-apgd"


@pytest.mark.parametrize(("targets", "classes"), [(1, 3), (3, 3), (9, 9)])
def test_it_is_refused_where_there_are_too_few_classes(targets: int, classes: int) -> None:
    attack = QuickAPGD.of(n_target_classes=targets)
    attack.require(LINF, AttackedData(num_classes=classes + 1))
    with pytest.raises(UserError, match=f"needs {classes + 1} classes, and there are {classes}"):
        attack.require(LINF, AttackedData(num_classes=classes))
