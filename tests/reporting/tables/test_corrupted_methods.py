"""Methods under common corruptions, judged over seeds and images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.synthetic import make_spec, write_corrupted, write_run

from regmix_bench.records.schema import CheckpointFile
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.page import page
from regmix_bench.reporting.inputs import input_digests
from regmix_bench.specs import ModelSource


def asked(
    results: Path, label: str, seed: int, clean: int, own: bool = True, **changes: Any
) -> None:
    """Save a run of CIFAR-10 whose selected weights were asked of corrupted images.

    If the record of that is not its ``own``, it is of other weights; ``changes`` are of its
    specification.
    """
    spec = make_spec(label, dataset="cifar10", seed=seed)
    digest = f"{seed:02x}{len(label):02x}" * 16
    file = CheckpointFile(epoch=1, file="selected-00000000.safetensors", sha256=digest)
    kept = {"checkpoints": {"selected": file}, "selected_epoch": 1}
    write_run(results, spec, reference="pgd-at", **kept)
    sha256 = digest if own else "0" * 64
    source = ModelSource(kind="run", name=f"{spec.run_id}:selected", sha256=sha256)
    write_corrupted(results, label, clean, source=source, **changes)


def test_methods_have_verdicts_over_seeds_on_the_shares_of_images(tmp_path: Path) -> None:
    for seed in range(3):
        asked(tmp_path, "pgd-at", seed, 60 + seed)
        asked(tmp_path, "trades", seed, 90 - seed)
    contents = Contents.of(tmp_path)
    (panel,) = contents.corrupted_methods
    (verdict,) = panel.standings.verdicts.values()
    # Places cost 7 points in the mean, severities 6.
    assert verdict.difference == pytest.approx(0.28) and verdict.relation == "better"
    low, high = verdict.interval or (0, 0)
    assert 0 < low < 0.28 < high
    assert set(panel.files) <= {tmp_path / name for name in input_digests(contents)}
    text = page(contents, with_figures=False)
    chapter = text[text.index("## Common corruptions") :]
    row = next(line for line in chapter.splitlines() if line.startswith("| TRADES"))
    assert "+28.0" in row and "better" in row and row.endswith("| 3 |")
    assert "| PGD-AT \\#" in chapter  # each model by itself, by the name of its method


def test_a_training_is_one_seed_however_its_images_were_asked_for(tmp_path: Path) -> None:
    for label, clean in (("pgd-at", 70), ("trades", 80)):
        for n in (None, 100):
            asked(tmp_path, label, 0, clean, eval_examples=n)
    (panel,) = Contents.of(tmp_path).corrupted_methods
    assert [(label, len(found)) for label, found in panel.rows] == [("pgd-at", 1), ("trades", 1)]
    (verdict,) = panel.standings.verdicts.values()
    assert verdict.relation == "too few seeds"


def test_a_record_of_other_weights_than_the_run_s_is_not_its_own(tmp_path: Path) -> None:
    for label in ("pgd-at", "trades"):
        asked(tmp_path, label, 0, 80, own=label == "trades")
    assert Contents.of(tmp_path).corrupted_methods == ()


def test_too_few_seeds_have_a_difference_and_no_interval(tmp_path: Path) -> None:
    for label, clean in (("pgd-at", 70), ("trades", 80)):
        asked(tmp_path, label, 0, clean)
    (panel,) = Contents.of(tmp_path).corrupted_methods
    (verdict,) = panel.standings.verdicts.values()
    assert (verdict.relation, verdict.interval) == ("too few seeds", None)


def test_another_reference_is_that_of_corruptions_too(tmp_path: Path) -> None:
    for label, clean in (("pgd-at", 70), ("trades", 80)):
        asked(tmp_path, label, 0, clean)
    (panel,) = Contents.of(tmp_path, reference="trades").corrupted_methods
    assert [*panel.standings.verdicts] == ["pgd-at"]


def test_a_reference_that_saw_no_corrupted_image_leaves_no_verdict(tmp_path: Path) -> None:
    for label, clean in (("mart", 70), ("trades", 80)):
        asked(tmp_path, label, 0, clean)
    write_run(tmp_path, make_spec("pgd-at", dataset="cifar10"), reference="pgd-at")
    for reference in (None, "pgd-at"):
        (panel,) = Contents.of(tmp_path, reference=reference).corrupted_methods
        assert panel.standings.verdicts == {}
