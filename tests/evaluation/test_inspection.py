"""Views of a run that was scored without them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.harness import cli
from support.synthetic import make_eval_spec, make_spec, write_run

from regmix_bench.errors import UserError
from regmix_bench.evaluation.inspection import measure_record
from regmix_bench.grid.plan import plan
from regmix_bench.records import paths, store
from regmix_bench.records.schema import RunRecord
from regmix_bench.records.views import read_views
from regmix_bench.runs import runner

#: AutoAttack is over at once where nothing holds: at half the range of a pixel.
GRID: dict[str, Any] = {
    "methods": ["standard"],
    "eps": ["128/255"],
    "train_examples": 100,
    "eval_examples": 10,
    "recipe": {"epochs": 1, "schedule": "cosine", "augmentation": "none", "precision": "fp32"},
}


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunRecord]:
    results = tmp_path_factory.mktemp("scored")
    return results, runner.run_spec(plan([GRID])[0], results, device="cpu")


@pytest.fixture
def earlier(scored: tuple[Path, RunRecord], tmp_path: Path) -> tuple[Path, RunRecord]:
    """The record as an earlier version left it, and what it was."""
    results, record = scored
    shutil.copytree(results, tmp_path / "results")
    (path,) = store.record_files(tmp_path / "results")
    paths.views_path(path).unlink()
    content = json.loads(path.read_text()) | {"schema_version": 2}
    del content["views_digest"]
    path.write_text(json.dumps(content))
    return path, record


def test_the_views_are_those_of_the_scoring_and_no_number_changes(earlier) -> None:
    path, record = earlier
    views = measure_record(path, device="cpu")
    assert store.load_run(path) == record
    found = read_views(paths.views_path(path), str(record.views_digest))
    assert np.array_equal(views.loss, found.loss)


def test_recorded_views_are_left_alone_unless_told(scored, tmp_path: Path) -> None:
    results, record = scored
    shutil.copytree(results, tmp_path / "results")
    (path,) = store.record_files(tmp_path / "results")
    (weights,) = (tmp_path / "results").glob("artifacts/*/selected-*")
    weights.rename(tmp_path / "weights")
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    views = measure_record(path, device="cpu")
    assert np.array_equal(views.loss, read_views(paths.views_path(path), record.views_digest).loss)
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before
    with pytest.raises(UserError, match="no checkpoint at"):
        measure_record(path, force=True, device="cpu")
    paths.views_path(path).write_bytes(b"damaged")
    (tmp_path / "weights").rename(weights)
    measure_record(path, device="cpu")
    assert paths.views_path(path).read_bytes() == before[paths.views_path(path)]


def test_the_command_takes_runs_and_says_their_curvature(earlier) -> None:
    path, record = earlier
    found = cli("inspect", record.run_id[:6], "--results", path.parents[2], "--device", "cpu")
    assert (found.status, found.errors) == (0, "")
    views = read_views(paths.views_path(path), str(record.views_digest))
    started, header, row = found.out.splitlines()
    assert started.endswith(": started") and header.split() == [
        "run",
        "run_id",
        "median",
        "curvature",
    ]
    assert row.split()[-2:] == [record.run_id[:8], f"{np.nanmedian(views.curvature):.3g}"]


def refused(path: Path, said: str) -> None:
    before = path.read_bytes()
    with pytest.raises(UserError, match=said):
        measure_record(path, device="cpu")
    assert path.read_bytes() == before and not paths.views_path(path).exists()


def test_other_weights_are_refused(earlier) -> None:
    path, record = earlier
    folder = paths.artifacts_dir(path.parents[2], record.run_id)
    weights = folder / record.checkpoints["selected"].file
    weights.write_bytes(weights.read_bytes() + b"x")
    refused(path, "SHA-256")
    weights.unlink()
    refused(path, weights.name)


def test_other_data_is_refused(earlier) -> None:
    path, record = earlier
    path.write_text(path.read_text().replace(str(record.data_digest), "0" * 64))
    refused(path, "dataset 'digits' here is not that of")


def test_what_has_no_checkpoint_is_refused(tmp_path: Path) -> None:
    refused(write_run(tmp_path, make_spec()), "no checkpoint 'selected'")
    refused(write_run(tmp_path, make_eval_spec(), checkpoint="given"), "not of a training")
