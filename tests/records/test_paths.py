"""Where files lie, and the results folder that a path implies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.synthetic import make_record, make_spec, write_run

from regmix_bench.errors import UserError
from regmix_bench.records import paths, store
from regmix_bench.specs import MethodSpec


def test_a_record_lies_two_folders_below_its_results(tmp_path: Path) -> None:
    path = write_run(tmp_path, make_spec(), outcomes=False)
    assert paths.results_of(path) == tmp_path
    assert paths.run_id_of(path) == make_spec().run_id


@pytest.mark.parametrize("path", ["/r.json", "/digits/r.json"])
def test_a_path_without_a_results_folder_is_one_line(path: str) -> None:
    with pytest.raises(UserError, match=f"^{path} lies in no results folder"):
        paths.results_of(Path(path))


def test_a_record_keeps_its_file_under_another_label(tmp_path: Path) -> None:
    path = store.save_record(tmp_path, make_record(make_spec(), status="error", error="x"))
    named = MethodSpec(name="trades", version=1, params={"beta": 6.0}, label="trades[new=true]")
    spec = make_spec(method=named)
    assert spec.run_id == make_spec().run_id and spec.stem != path.stem
    assert paths.record_path(tmp_path, spec) == path
    assert store.save_record(tmp_path, make_record(spec)) == path
    assert store.record_files(tmp_path) == [path]


def test_a_saved_record_keeps_the_label_that_it_bore_first(tmp_path: Path) -> None:
    method = MethodSpec(
        name="trades", version=1, params={}, label="trades[new=true]", recorded_label="trades"
    )
    path = store.save_record(tmp_path, make_record(make_spec(method=method)))
    assert path.name.startswith("trades-Linf")
    assert json.loads(path.read_text())["spec"]["method"]["label"] == "trades"
