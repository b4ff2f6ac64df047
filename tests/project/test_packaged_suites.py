"""The suites for a CUDA machine run from the command line, reduced and on made-up images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.harness import cli

from regmix_bench.grid.plan import plan
from regmix_bench.grid.suite_files import load_suite
from regmix_bench.records import store

SIDE = 16  # the least at which channels lie together
REDUCED = (
    *("--archs", "resnet8", "--set", "data.train_examples=40", "--eval-examples", "10"),
    *(
        "--set",
        "recipe.epochs=1",
        "--attacks",
        "apgd-ce",
        "--device",
        "cpu",
        "--set",
        "recipe.precision=bf16",
    ),
)


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A class-folder tree of ten classes that differ in brightness."""
    monkeypatch.setenv("REGMIX_BENCH_CACHE", str(tmp_path / "cache"))
    draw = np.random.default_rng(0)
    for split, n in (("train", 4), ("test", 1)):
        for label in range(10):
            folder = tmp_path / "images" / split / f"class-{label}"
            folder.mkdir(parents=True)
            for number in range(n):
                pixels = draw.integers(20 * label, 20 * label + 60, (SIDE, SIDE, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "images"


def test_paper_cifar10_trains_all_and_scores_each_budget_as_planned(
    images: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    given = ("--datasets", f"folder:{images}", "--results", results)
    found = cli("run", "paper-cifar10", *given, *REDUCED)
    assert found.status == 0, found
    planned = plan(load_suite("paper-cifar10"))
    records = [store.load_run(path) for path in store.record_files(results)]
    assert {record.spec.label for record in records} == {spec.label for spec in planned}
    for record in records:
        assert record.status == "success", record.error
        assert record.spec.recipe.precision == "bf16"
        assert record.environment["training"]["channels_last"]
        selected = [e for e in record.evaluations if e.checkpoint == "selected"]
        attacked = [e.threat for e in selected if e.autoattack_acc is not None]
        by_pgd_alone = [e.threat for e in selected if e.autoattack_acc is None]
        assert attacked == [record.spec.train_threat]
        assert by_pgd_alone == list(planned[0].pgd_threats)


def test_cifar10_30_trains_in_full_batches(images: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    few = ("--methods", "regmix,fgsm-rs", "--set", "recipe.batch_size=16")
    given = ("--datasets", f"folder:{images}", "--results", results)
    refused = cli("run", "cifar10-30", *given, *REDUCED)
    assert refused.status == 2 and "do not fill a batch of 128" in refused.errors
    assert not results.exists()
    found = cli("run", "cifar10-30", *given, *few, *REDUCED)
    assert found.status == 0, found
    records = [store.load_run(path) for path in store.record_files(results)]
    assert {record.spec.label for record in records} == {"regmix", "fgsm-rs"}
    for record in records:
        assert record.status == "success" and record.n_train is not None, record.error
        assert record.spec.recipe.batches == "equal"
        passes = {"regmix": 3, "fgsm-rs": 2}[record.spec.label]
        assert record.training_cost.forward_images == passes * (record.n_train // 16 * 16)
