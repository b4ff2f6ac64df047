"""Two models on the same corrupted images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from support.harness import cli
from support.synthetic import make_spec, write_corrupted, write_run

from regmix_bench import check, compare
from regmix_bench.analysis.drops import Verdict
from regmix_bench.analysis.statistics import PairedT
from regmix_bench.errors import UserError
from regmix_bench.records import paths
from regmix_bench.specs import ModelSource, Recipe


def test_the_paired_test_is_students() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.random((2, 40))
    found, theirs = PairedT.of((two - one).tolist(), 1 / 75), stats.ttest_rel(two, one)
    assert found.p_value() == pytest.approx(theirs.pvalue)
    assert found.interval == pytest.approx(tuple(theirs.confidence_interval()))
    for side in ("greater", "less"):
        assert found.p_value(side) == pytest.approx(stats.ttest_rel(two, one, alternative=side)[1])
    assert PairedT.of([0.0] * 9, 1.0).p_value() == 1
    # Pairs that are all alike are not certain: their error is that of one version of one image.
    assert PairedT.of([0.5, 0.5], 0.5).p_value() > 0.2


def test_images_are_the_pairs_and_not_their_versions(tmp_path: Path) -> None:
    one = write_corrupted(tmp_path, "one", 90)
    two = write_corrupted(tmp_path, "two", 94, arch="other")
    (pair,) = compare(str(one), str(two), results=tmp_path)
    assert pair.accuracy == pytest.approx((0.77, 0.81)) and pair.n_examples == 100
    assert pair.difference == pytest.approx(0.04) and pair.relation == "better than"
    assert pair.interval[0] > 0 and pair.p_value < 0.05
    (back,) = compare(str(two), str(one), results=tmp_path)
    assert back.relation == "worse than" and back.difference == pytest.approx(-pair.difference)
    # As many versions right, of other images.
    three = write_corrupted(tmp_path, "three", 90, fixed=5, arch="third")
    (pair,) = compare(str(one), str(three), results=tmp_path)
    assert pair.difference == pytest.approx(0) and pair.relation == "not distinguishable from"
    assert pair.interval[0] < -0.01 < 0.01 < pair.interval[1]
    said = cli("compare", str(one), str(two)).out
    assert "ImageNet's severities, 100 images" in said and "77.0%" in said
    assert "+4.0 points [" in said
    said = json.loads(cli("compare", str(one), str(two), "--json").out)["result"]
    assert said[0]["relation"] == "better than"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"corruptions": "cifar10c"}, "was asked of .* of CIFAR-10-C, seed 0: no pair"),
        ({"seed": 1}, "seed 1: no pair"),
        ({}, "nothing to compare"),
    ],
)
def test_what_is_no_pair_is_refused(tmp_path: Path, other: dict, said: str) -> None:
    files = [str(write_corrupted(tmp_path, **each)) for each in ({}, other)]
    with pytest.raises(UserError, match=said):
        compare(*files, results=tmp_path)


def test_attacks_and_lost_outcomes_are_refused(tmp_path: Path) -> None:
    one, two = (write_corrupted(tmp_path, arch=arch) for arch in ("one", "two"))
    run = write_run(tmp_path, make_spec())
    for pair in ((one, run), (run, one)):
        with pytest.raises(UserError, match="records corrupted images"):
            compare(*map(str, pair), results=tmp_path)
    with pytest.raises(UserError, match="--eps is of attacks"):
        compare(str(one), str(two), eps="8/255", results=tmp_path)
    content = json.loads(two.read_text())
    content["accuracy"]["fog"][0] = 0.5
    two.write_text(json.dumps(content))
    with pytest.raises(UserError, match="disagrees with its record"):
        compare(str(one), str(two), results=tmp_path)
    paths.own_outcomes_path(two).unlink()
    with pytest.raises(UserError, match="is missing, the outcomes of corruptions"):
        compare(str(one), str(two), results=tmp_path)


def trained(results: Path, seed: int, epsilon: str = "8/255", epochs: int = 50) -> Path:
    """Save a run with its model's test on corrupted images; returns the record of that."""
    recipe = Recipe(epochs=epochs)
    spec = make_spec("pgd-at", epsilon, dataset="cifar10", seed=seed, recipe=recipe)
    write_run(results, spec)
    sha256 = f"{seed:02x}{epochs:02x}" * 16
    source = ModelSource(kind="run", name=f"{spec.run_id}:selected", sha256=sha256)
    return write_corrupted(results, "pgd-at", source=source)


def forget(record: Path) -> None:
    record.unlink()
    paths.own_outcomes_path(record).unlink()


def of_corruptions(results: Path, board: Path | None = None) -> list[Verdict]:
    found = check(results=results, reference=board, only="*/corrupted/*").verdicts
    return [verdict for verdict in found if verdict.metric == "corruption_acc"]


def test_another_seed_s_model_is_not_taken_for_a_reference_s(tmp_path: Path) -> None:
    first, *_ = (trained(tmp_path, seed) for seed in (0, 1))
    check(results=tmp_path, update=True)
    assert {(v.seed, v.verdict) for v in of_corruptions(tmp_path)} == {(0, "ok"), (1, "ok")}
    said = cli("check", "--results", tmp_path, "-v", "--only", "*/corrupted/*").out
    assert "PGD-AT · seed 0" in said and "PGD-AT · seed 1" in said
    forget(first)
    assert {(v.seed, v.verdict) for v in of_corruptions(tmp_path)} == {(0, "missing"), (1, "ok")}
    # Nor does one that is not yet a reference, of another seed or threat.
    trained(tmp_path, 2)
    trained(tmp_path, 0, "4/255")
    assert {(v.seed, v.verdict) for v in of_corruptions(tmp_path)} == {(0, "missing"), (1, "ok")}
    trained(tmp_path, 0, epochs=60)
    assert {v.verdict for v in of_corruptions(tmp_path)} == {"ok"}


def test_references_may_be_of_corruptions_alone(tmp_path: Path) -> None:
    record = write_corrupted(tmp_path)
    assert check(results=tmp_path, update=True).renewed == 1
    assert [verdict.verdict for verdict in check(results=tmp_path).verdicts] == ["ok", "ok"]
    forget(record)
    assert check(results=tmp_path).failed


def test_where_several_records_may_be_meant_none_is_taken(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    board = old / paths.LEADERBOARD
    trained(old, 0)
    check(results=old, update=True)
    for epochs in (60, 70):
        trained(new, 0, epochs=epochs)
    (verdict,) = of_corruptions(new, board)
    assert verdict.failed and "each of these may be its record" in verdict.note
    # Nor is one record that of two references.
    forget(trained(new, 0, epochs=70))
    assert [v.verdict for v in of_corruptions(new, board)] == ["ok"]
    trained(old, 0, epochs=80)
    check(results=old, update=True)
    found = of_corruptions(new, board)
    assert len(found) == 2 and all("of each of" in v.note and v.failed for v in found)


@pytest.mark.parametrize("paired", [True, False])
def test_references_hold_the_mean_under_corruptions(tmp_path: Path, paired: bool) -> None:
    board = tmp_path / "held" / paths.LEADERBOARD
    for folder in ("held", "now"):
        write_run(tmp_path / folder, make_spec())
    one = write_corrupted(tmp_path / "held", "net", 90)
    assert check(results=tmp_path / "held", update=True).renewed == 2
    own = check(results=tmp_path / "held")
    assert not own.failed and [v.metric for v in own.verdicts].count("corruption_acc") == 1

    def now(**changes: Any) -> dict[str, Verdict]:
        for old in (tmp_path / "now").glob("*/corrupted/*"):
            old.unlink()
        if changes:
            write_corrupted(tmp_path / "now", "net", sha256="b" * 64, **changes)
        found = check(results=tmp_path / "now", reference=board).verdicts
        return {v.metric: v for v in found if v.threat == "made"}

    if not paired:
        paths.own_outcomes_path(one).unlink()
    lost = now(clean=70)
    assert {v.verdict for v in lost.values()} == {"regressed"}
    assert lost["corruption_acc"].difference == pytest.approx(-0.2)
    assert lost["corruption_acc"].note.startswith("paired" if paired else "unpaired")
    # A loss of 4 points is found over pairs alone.
    few = now(clean=86)["corruption_acc"]
    assert few.verdict == ("regressed" if paired else "ok") and few.tolerance is not None
    assert now(clean=94)["corruption_acc"].verdict == ("improved" if paired else "ok")
    assert now()["corruption_acc"].verdict == "missing"
    moved = now(seed=1)["corruption_acc"]
    assert (moved.verdict, moved.note) == ("not comparable", "seed 0 → 1")
    assert "corrupted" in cli("check", "--results", tmp_path / "now", "--reference", board).out
