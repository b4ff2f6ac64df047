"""The flags of a whole evaluation are those of one bare call of the authors' package."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from pyautoattack import AutoAttack
from torch import Tensor, nn

from regmix_bench.data import EvalData, load_data
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.evaluate import evaluate_threat
from regmix_bench.evaluation.journal import Journal
from regmix_bench.evaluation.verdict import BatchOutcome
from regmix_bench.records.outcomes import held
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel

CUSTOM = ("square", "fab-t", "fab", "apgd-dlr")


def images(n: int) -> tuple[Tensor, Tensor]:
    x, y = load_data("digits", "test")
    return x[:n], y[:n]


def bare_flags(model: nn.Module, threat: ThreatModel, version: str, n: int = 100) -> list[bool]:
    named = {"attacks": list(CUSTOM)} if version == "custom" else {}
    attack = AutoAttack(
        model, norm=threat.norm, eps=float(threat.epsilon), seed=0, version=version, **named
    )
    x, y = images(n)
    tracer = sys.gettrace()
    try:
        with torch.random.fork_rng([]):
            _, y_adv = attack.run_standard_evaluation(x, y, batch_size=40)
    finally:
        sys.settrace(tracer)  # the authors' check of dynamic models ends any tracing
    return (y_adv == y).tolist()


def our_table(model: nn.Module, threat: ThreatModel, version: str, journal: Journal, n: int = 100):
    x, y = images(n)
    test = EvalData(x, y, torch.arange(len(y)), "d" * 64, 10)
    scoring = Scoring(
        autoattack_version=version,
        attacks=CUSTOM if version == "custom" else (),
        autoattack_batch_size=40,
    )
    return evaluate_threat(AttackedModel.of(model, x), test, threat, scoring, "given", journal)


@pytest.mark.parametrize("version", ["standard", "plus", "rand", "custom"])
def test_a_kill_in_each_stage_leaves_the_flags_of_a_bare_call(
    trained, quick_attacks, threat, version: str, tmp_path: Path, monkeypatch
) -> None:
    model, _, _ = trained(10)
    result, whole, _ = our_table(model, threat, version, Journal(tmp_path / "whole", {}))
    assert held(whole).tolist() == bare_flags(model, threat, version)
    assert 3 < held(whole).sum() < whole["clean_correct"].sum() - 3

    journal, write, killed = Journal(tmp_path / "killed", {}), Journal.write, []

    def dying(self: Journal, stage: str, number: int, outcome: BatchOutcome) -> None:
        if stage not in killed:
            killed.append(stage)
            raise KeyboardInterrupt
        write(self, stage, number, outcome)

    monkeypatch.setattr(Journal, "write", dying)
    for _ in range(2 + len(result.after_attack)):
        with pytest.raises(KeyboardInterrupt):
            our_table(model, threat, version, journal)
    again, table, _ = our_table(model, threat, version, journal)
    assert killed == ["clean", "pgd", *result.after_attack]
    assert again == result
    pd.testing.assert_frame_equal(table, whole)


def test_the_authors_attacks_at_their_full_cost_give_the_same_flags(trained) -> None:
    model, _, _ = trained(10)
    threat = ThreatModel("Linf", "24/255")
    _, table, _ = our_table(model, threat, "standard", None, 50)
    assert held(table).tolist() == bare_flags(model, threat, "standard", 50)
    assert 0 < held(table).sum() < 50
