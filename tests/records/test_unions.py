"""The union of threats is the minimum of each image's outcomes, in the record and everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from support.harness import cli
from torch import nn

from regmix_bench import evaluate
from regmix_bench.errors import UserError
from regmix_bench.records.schema import EvalRecord, UnionScore
from regmix_bench.records.store import load_record
from regmix_bench.records.unions import require_unions, union_of

THREATS = ["Linf:8/255", "L2:0.14", "L1:0.3"]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, EvalRecord, pd.DataFrame]:
    """A linear model that no threat alone breaks as much as all of them, and its files."""
    results = tmp_path_factory.mktemp("union") / "results"
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(60, 1, 5, 5, generator=generator)
    net = nn.Sequential(nn.Flatten(), nn.Linear(25, 3, bias=False)).eval()
    with torch.no_grad():
        weight = torch.randn(3, 25, generator=generator)
        weight[1] *= (torch.rand(25, generator=generator) < 0.2) * 2.5
        net[1].weight.copy_(weight * 2)
        y = net(x).argmax(1)
    found = evaluate(net, (x, y), THREATS, attacks="apgd-ce", results=results, device="cpu")
    (path,) = results.rglob("*.json")
    assert found.outcomes is not None
    return results, path, found.record, found.outcomes


def test_it_is_the_minimum_over_threats_of_each_image(scored) -> None:
    _, path, record, outcomes = scored
    (union,) = record.unions
    assert [f"{t.norm}:{t.epsilon}" for t in union.threats] == THREATS
    held = outcomes["clean_correct"] & (outcomes["broken_by"] == "")
    by_image = held.groupby(outcomes["index"]).min()
    assert union.robust_acc == union.autoattack_acc == by_image.mean()
    pgd = (outcomes["clean_correct"] & outcomes["pgd_correct"]).groupby(outcomes["index"]).min()
    assert union.pgd_acc == pgd.mean()
    each = [score.robust_acc for score in record.evaluations]
    assert 0 < union.robust_acc < min(each), "not the least of the rates, or nothing to see"
    assert load_record(path) == record
    require_unions(path, record)


def test_commands_show_it(scored) -> None:
    results, _, record, _ = scored
    (union,) = record.unions
    shown = cli("show", record.run_id, "--results", str(results)).out
    line = next(line for line in shown.splitlines() if "all of Linf 8/255, L2 0.14, L1 0.3" in line)
    assert f"{union.robust_acc:.1%}" in line
    assert f"apgd-ce {union.robust_acc:.1%}" in _repr_of(record)


def _repr_of(record: EvalRecord) -> str:
    from regmix_bench.cli.printing import score_lines

    return "\n".join(score_lines(record.evaluations, record.unions))


def test_one_that_the_outcomes_do_not_have_is_refused(scored) -> None:
    results, path, record, _ = scored
    (union,) = record.unions
    kept = path.read_bytes()
    content = json.loads(kept)
    try:
        content["unions"][0]["pgd_acc"] = union.pgd_acc - 1 / 60
        path.write_text(json.dumps(content))
        report = cli("report", "--results", str(results), "--out", str(results.parent / "out"))
        assert report.status == 2 and "another union of given" in report.errors
        # Nor is it made a reference, where there was none to compare with.
        board = results.parent / "board.json"
        renewed = cli("check", "--results", results, "--reference", board, "--update")
        assert renewed.status == 2 and "another union of given" in renewed.errors
        assert not board.exists()
        content["unions"][0]["pgd_acc"] = 1.0
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match="more images hold under all threats"):
            load_record(path)
    finally:
        path.write_bytes(kept)


@pytest.mark.parametrize("times", [0, 2])
def test_a_model_of_several_norms_has_one(scored, times: int) -> None:
    _, path, record, _ = scored
    with pytest.raises(UserError, match=rf"says {times} unions of given, and its threats have 1"):
        require_unions(path, record.model_copy(update={"unions": record.unions * times}))


def test_one_norm_has_none(scored) -> None:
    _, _, record, outcomes = scored
    first = record.evaluations[0]
    assert union_of([first], [outcomes[outcomes["norm"] == "Linf"]]) is None


def test_without_a_robust_accuracy_of_each_it_has_none(scored) -> None:
    _, _, record, outcomes = scored
    failed = record.evaluations[1].model_copy(update={"autoattack_acc": None})
    scores = [record.evaluations[0], failed, record.evaluations[2]]
    tables = [outcomes[outcomes["norm"] == score.threat.norm] for score in scores]
    union = union_of(scores, tables)
    assert isinstance(union, UnionScore) and union.robust_acc is None
    assert union.pgd_acc == record.unions[0].pgd_acc
