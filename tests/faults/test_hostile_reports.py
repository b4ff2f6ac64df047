"""Labels full of markup, paths, formulas, or simply too long, in every file of a report."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image
from support.hostile import HOSTILE, fill

from regmix_bench.reporting.report import write_report

WIDEST_PIXELS = 2400  # 12 inches


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two reports, `a` and `b`, in `deep/er`, of the same records."""
    root = tmp_path_factory.mktemp("hostile")
    fill(root / "results")
    for name in ("a", "b"):
        write_report(root / "results", root / "deep" / "er" / name)
    return root


def test_nothing_lies_outside_of_the_report(root: Path) -> None:
    assert [path.name for path in sorted(root.iterdir())] == ["deep", "results"]
    assert [path.name for path in (root / "deep").iterdir()] == ["er"]
    assert sorted(path.name for path in (root / "deep" / "er").iterdir()) == ["a", "b"]


def test_the_same_records_give_the_same_bytes(root: Path) -> None:
    first, second = (root / "deep" / "er" / name for name in ("a", "b"))
    files = [path.relative_to(first) for path in sorted(first.rglob("*")) if path.is_file()]
    assert {".png", ".pdf", ".tex", ".csv", ".html"} <= {path.suffix for path in files}
    assert files == sorted(p.relative_to(second) for p in second.rglob("*") if p.is_file())
    assert [
        name for name in files if (first / name).read_bytes() != (second / name).read_bytes()
    ] == []


def test_no_cell_of_a_csv_is_a_formula(root: Path) -> None:
    found = set()
    for path in (root / "deep" / "er" / "a").rglob("*.csv"):
        with path.open(newline="") as stream:
            for row in csv.DictReader(stream):
                assert None not in row, path
                texts = set(row.values())
                found |= texts
                assert not any(text.startswith(("=", "+", "@", "\t")) for text in texts), path
    assert {f"'{text}" if text.startswith("=") else text for text in HOSTILE} <= found


def test_pictures_stay_of_a_size_to_look_at(root: Path) -> None:
    pictures = list((root / "deep" / "er" / "a").glob("*.png"))
    assert len(pictures) > 10
    for path in pictures:
        with Image.open(path) as picture:
            assert max(picture.size) <= WIDEST_PIXELS, path.name
