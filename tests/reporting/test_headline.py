"""The first sentence of a report, of records made up for each case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.histories import planted_history
from support.synthetic import make_spec, write_run

from regmix_bench.records.schema import Cost
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.headline import Headline, headline
from regmix_bench.specs import MethodSpec, Recipe
from regmix_bench.types import ThreatModel

IMAGES = 1000
LINF = ThreatModel("Linf", "32/255")


def write(
    results: Path,
    name: str,
    right: int,
    passes: int,
    seeds: int = 6,
    threats: Sequence[ThreatModel] = (LINF,),
    **kept: Any,
) -> None:
    """Runs of a method with so many of 360 images right under AutoAttack, by seed one more."""
    params = {"clip_start": False} if name == "regmix" else {}  # today's default
    for seed in range(seeds):
        write_run(
            results,
            make_spec(
                method=MethodSpec(name=name, version=1, params=params, label=name),
                seed=seed,
                eval_threats=tuple(threats),
                recipe=Recipe(epochs=1, true_class_mass=1.0),
            ),
            autoattack=right + seed % 2,
            n_train=IMAGES,
            history=planted_history([0.5]),
            training_cost=Cost(
                seconds=1.0, forward_images=passes * IMAGES - IMAGES, backward_images=IMAGES
            ),
            **{"reference": "pgd-at"} | kept,
        )


def said(results: Path) -> Headline:
    contents = Contents.of(results)
    (block,) = contents.blocks
    return headline(block, contents.standings[block.stem], contents.looks)


@pytest.mark.parametrize(
    ("right", "passes", "claim"),
    [
        (283, 7, "not distinguishable from PGD-AT under AutoAttack at a third of its passes"),
        (283, 11, "not distinguishable from PGD-AT under AutoAttack at half its passes"),
        (330, 22, "better than PGD-AT under AutoAttack at the same number of passes"),
        (180, 4, "worse than PGD-AT under AutoAttack at 18 % of its passes"),
        (330, 44, "better than PGD-AT under AutoAttack at 2.0 times its passes"),
    ],
)
def test_the_verdict_on_regmix_comes_with_its_passes(
    tmp_path: Path, right: int, passes: int, claim: str
) -> None:
    write(tmp_path, "pgd-at", 280, 22)
    write(tmp_path, "regmix", right, passes)
    write(tmp_path, "trades", 100, 25)
    write(tmp_path, "mart", 335, 25, seeds=2)
    found = said(tmp_path)
    assert found.sentence == f"RegMix is {claim}"
    assert found.beside.startswith(f"The difference is {'+' if right > 280 else '−'}")
    assert found.beside.endswith("Of the 2 others, against PGD-AT: 1 worse, 1 too few seeds.")


def test_without_regmix_the_highest_row_is_the_subject(tmp_path: Path) -> None:
    write(tmp_path, "pgd-at", 280, 22)
    write(tmp_path, "trades", 330, 25)
    write(tmp_path, "mart", 200, 25)
    claim = "TRADES is better than PGD-AT under AutoAttack"
    assert said(tmp_path).sentence == f"{claim} at 1.1 times its passes"


def test_of_too_few_seeds_it_claims_nothing(tmp_path: Path) -> None:
    write(tmp_path, "pgd-at", 280, 22, seeds=1)
    write(tmp_path, "regmix", 330, 7, seeds=1)
    found = said(tmp_path)
    assert found.sentence == "RegMix keeps 91.7 % under AutoAttack, PGD-AT keeps 77.8 %"
    assert found.beside == "No verdict: that takes 3 seeds of each with outcomes per image."


def test_without_a_reference_it_claims_nothing(tmp_path: Path) -> None:
    write(tmp_path, "pgd-at", 280, 22, reference=None)
    write(tmp_path, "regmix", 270, 7, reference=None)
    found = said(tmp_path)
    assert found.sentence == "PGD-AT keeps 77.9 % under AutoAttack, the most of 2 methods"
    assert found.beside == "No verdict says whether that is more than chance."


def test_of_one_method_it_says_the_number(tmp_path: Path) -> None:
    write(tmp_path, "regmix", 280, 7)
    assert said(tmp_path).sentence == "RegMix keeps 77.9 % under AutoAttack"


def test_of_a_row_without_autoattack_it_says_so(tmp_path: Path) -> None:
    write(tmp_path, "regmix", 280, 7, scored={"autoattack_acc": None})
    assert said(tmp_path).sentence == "Nothing is scored by AutoAttack yet"


def test_a_threat_that_none_was_trained_under_is_named(tmp_path: Path) -> None:
    threats = (LINF, ThreatModel("L2", "0.5"))
    for method, right, passes in (("pgd-at", 280, 22), ("regmix", 283, 7)):
        write(tmp_path, method, right, passes, threats=threats)
    contents = Contents.of(tmp_path)
    sentences = {
        headline(block, contents.standings[block.stem], contents.looks).sentence
        for block in contents.blocks
    }
    claim = "RegMix is not distinguishable from PGD-AT under AutoAttack"
    passes = "a third of its passes"
    assert sentences == {
        f"{claim} at {passes}",
        f"{claim} at {passes}, attacked under L2 0.5",
        f"{claim} at {passes}, attacked under all of L∞ 32/255, L2 0.5",
    }
