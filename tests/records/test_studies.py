"""The files of studies."""

from __future__ import annotations

from pathlib import Path

from regmix_bench.records.studies import study_path


def test_labels_that_begin_alike_have_files_of_their_own() -> None:
    folder, long = Path("tuning"), "regmix" + ", alpha=0.123456789" * 6
    one, other = study_path(folder, f"{long}, beta=1"), study_path(folder, f"{long}, beta=2")
    assert one != other and one.parent == other.parent == folder
    assert max(len(path.stem) for path in (one, other)) <= 80
    assert study_path(folder, "regmix").name == "regmix.json"
