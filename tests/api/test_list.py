"""What ``list`` says of what has been run."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.checkpoints import write_checkpoints
from support.synthetic import make_eval_spec, make_record, make_spec, write_run

from regmix_bench import UserError, list_entries
from regmix_bench.records.store import save_record


def test_a_run_is_listed_with_its_tricks_also_where_it_failed(tmp_path: Path) -> None:
    given = write_run(tmp_path, make_eval_spec(), checkpoint="given")
    failed = make_record(make_spec("fgsm-pgi"), status="error", error="x")
    recipe = {"ema_decay": 0.9, "awp_gamma": 0.005}
    paths = [
        write_checkpoints(tmp_path, {"selected": (0, 1)}, (0.4, 0.5)),
        write_checkpoints(tmp_path, {"selected": (0, 1)}, (0.4, 0.5), **recipe),
        save_record(tmp_path, failed),
        given,
    ]
    found = {entry["run_id"]: entry["tricks"] for entry in list_entries("runs", results=tmp_path)}
    said = [found[next(run_id for run_id in found if str(run_id) in path.name)] for path in paths]
    assert said == ["none", "EMA 0.9, AWP 0.005", "mass 0.6", ""]


@pytest.mark.parametrize("folder", ["none", "none/below"])
def test_a_folder_that_is_not_there_is_not_one_without_runs(tmp_path: Path, folder: str) -> None:
    assert list_entries("runs", results=tmp_path) == []
    with pytest.raises(UserError, match="there is no results folder"):
        list_entries("runs", results=tmp_path / folder)
