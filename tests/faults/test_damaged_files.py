"""Files cut short, with a bit flipped, or zeroed, as a disk or a broken copy leaves them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.damage import HOW, damage
from support.harness import PAGES, Answer, Grid, cli, recorded

Tell = Callable[[Answer, str], None]


@HOW
@pytest.mark.parametrize(
    "kind", ["state-0003-*.pt", "selected-*.safetensors", "last-*.safetensors", "train.jsonl"]
)
def test_a_file_of_a_training(begun: Grid, finished: Grid, tell: Tell, kind: str, how: str) -> None:
    (run_id,) = {path.parent.name for path in begun.results.rglob("state-*")} - {
        path.stem.rpartition("-")[2] for path in (begun.results / "digits").rglob("*.json")
    }
    (path,) = (begun.results / "artifacts" / run_id).glob(kind)
    damage(path, how)
    found = cli(*begun.run)
    assert found.status == 0, found
    assert ("going back one state" in found.out) == (kind != "train.jsonl")
    assert recorded(begun.results) == recorded(finished.results)
    tell(found, "all: the run went back an epoch where it had to, and ends with the same numbers")


@HOW
@pytest.mark.parametrize(
    "kind",
    [
        "fgsm-rs-*[0-9a-f].json",
        "*.selected.outcomes.parquet",
        "*.last.outcomes.parquet",
        "*.outputs.parquet",
        "*.views.safetensors",
    ],
)
def test_a_file_of_a_record(
    grid: Grid, finished: Grid, tell: Tell, recwarn: pytest.WarningsRecorder, kind: str, how: str
) -> None:
    path = next(p for p in sorted(grid.results.rglob(kind)) if "artifacts" not in p.parts)
    damage(path, how)
    found = cli(*grid.report)
    others = {k: v for k, v in recorded_or_less(grid).items() if k != name(grid, path)}
    whole = recorded(finished.results)
    assert all(whole[key] == value for key, value in others.items())
    # A bit of a word or of a digit can leave another record, of which nothing tells.
    another = found.status == 0 and (path.suffix, how) == (".json", "flipped")
    assert another or (found.status == 2 and path.name in found.errors), found
    assert [str(each.message) for each in recwarn] == []  # which would stand before that line
    again = cli("report", "--check", "--results", grid.results, "--out", grid.reports)
    # What was reported of another record is true of it; whatever was refused is refused again.
    assert again.status == 0 if another else again.status in (1, 2), again
    tell(found, "the report of before, and every other record")


@HOW
def test_a_checkpoint_that_is_scored_again(grid: Grid, tell: Tell, how: str) -> None:
    path = grid.one("selected-*.safetensors")
    damage(path, how)
    before = recorded(grid.results)
    found = cli("eval", path.parent.name, "--eps", "64/255", "--attacks", "apgd-ce",
                "--results", grid.results, "--device", "cpu")  # fmt: skip
    assert found.status == 2 and "SHA-256 differs" in found.errors, found
    assert recorded(grid.results) == before
    tell(found, "all records; the damaged weights are not scored")


@pytest.mark.parametrize("how", ["cut", "zeroed"])
def test_the_leaderboard(grid: Grid, tell: Tell, how: str) -> None:
    path, before = grid.results / "leaderboard.json", recorded(grid.results)
    damage(path, how)
    found = cli("check", "--results", grid.results, "--reference", path)
    assert found.status == 2 and "leaderboard.json" in found.errors, found
    assert recorded(grid.results) == before
    tell(found, "all records")


def test_a_number_of_the_leaderboard(grid: Grid, tell: Tell) -> None:
    path = grid.results / "leaderboard.json"
    content = json.loads(path.read_text())
    content["runs"][0]["evaluations"][0]["clean_acc"] += 0.05  # one image of twenty
    path.write_text(json.dumps(content))
    found = cli("check", "--results", grid.results, "--reference", path)
    assert found.status in (1, 2), found
    tell(found, "all records")


@HOW
def test_the_manifest_of_a_report(grid: Grid, tell: Tell, how: str) -> None:
    damage(grid.reports / "manifest.csv", how)
    found = cli("report", "--check", "--results", grid.results, "--out", grid.reports)
    # A digit of what a picture was drawn from is not looked at: it costs a drawing.
    assert found.status in (1, 2) or how == "flipped", found
    mended = cli(*grid.report, *PAGES)
    if mended.status:  # a foreign file is not overwritten
        assert "manifest.csv" in mended.errors, mended
        (grid.reports / "manifest.csv").unlink()
        mended = cli(*grid.report, *PAGES)
    assert mended.status == 0, mended
    tell(found, "all records; the next report is whole")


@HOW
def test_a_suite(grid: Grid, tell: Tell, how: str) -> None:
    before = recorded(grid.results)
    damage(grid.suite, how)
    found = cli(*grid.run, "--dry-run")
    assert found.status == 2 or how == "flipped", found
    assert recorded(grid.results) == before
    tell(found, "all records")


def name(grid: Grid, path: Path) -> str:
    return path.relative_to(grid.results).as_posix()


def recorded_or_less(grid: Grid) -> dict[str, object]:
    """The records that can be read: the damaged one may not."""
    try:
        return recorded(grid.results)
    except (ValueError, KeyError):
        return {}
