"""Files that `verify` makes numbers anew from, and sheets, as they should not be: one line each."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from support.damage import HOW, damage
from support.harness import Answer, cli
from support.sheets import clean_content, record_runs
from support.synthetic import make_spec

from regmix_bench.records import paths, store
from regmix_bench.records.outcomes import read_images
from regmix_bench.system.files import file_digest

Tell = Callable[[Answer, str], None]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    record_runs(folder)
    return folder


def record_at(results: Path, seed: int = 1) -> Path:
    return paths.record_path(results, make_spec(seed=seed))


def outcomes_at(results: Path, seed: int = 1) -> Path:
    return paths.outcomes_path(record_at(results, seed), "selected")


def change_record(results: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(record_at(results).read_text())
    change(content)
    record_at(results).write_text(json.dumps(content))


def forget_digest(content: dict[str, Any]) -> None:
    content["evaluations"][0]["outcomes_digest"] = None


def broken(results: Path) -> tuple[Answer, str]:
    """Verify a folder that breaks a rule for one file of one seed; returns what is said of it."""
    found = cli("verify", results)
    assert (found.status, found.errors) == (1, ""), found
    (line,) = [line for line in found.out.splitlines() if "· trades: seed 1: " in line]
    rule = "numbers-without-file" if "there are no outcomes" in line else "number-not-borne-out"
    assert f"{rule}: " in found.out
    return found, line.partition("seed 1: ")[2]


def refused(*arguments: object) -> Answer:
    found = cli("verify", *arguments)
    assert (found.status, found.out, found.errors.count("\n")) == (2, "", 1), found
    return found


@pytest.mark.parametrize(
    ("how", "known"),
    # Without a digest nothing tells one bit of a file that can still be read.
    [("cut", True), ("flipped", True), ("zeroed", True), ("cut", False), ("zeroed", False)],
)
def test_outcomes_that_are_counted_anew(results: Path, tell: Tell, how: str, known: bool) -> None:
    if not known:
        change_record(results, forget_digest)
    damage(outcomes_at(results), how)
    found, said = broken(results)
    assert outcomes_at(results).name in said
    assert "its SHA-256 differs" in said or "is not an outcomes file" in said
    tell(found, "every other number is made anew")


@pytest.mark.parametrize("what", ["nothing", "a folder", "a dangling link", "a pipe"])
@pytest.mark.parametrize("known", [True, False], ids=["of a digest", "of none"])
def test_no_outcomes_but(results: Path, tell: Tell, what: str, known: bool) -> None:
    if not known:
        change_record(results, forget_digest)
    file = outcomes_at(results)
    file.unlink()
    makers: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "a folder": file.mkdir,
        "a dangling link": lambda: file.symlink_to("elsewhere"),
        "a pipe": lambda: os.mkfifo(file),
    }
    makers[what]()
    found, said = broken(results)
    assert "is missing, the outcomes that" in said if known else "there are no outcomes" in said
    tell(found, "every other number is made anew")


def broken_by_square(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(broken_by="square")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(broken_by_square, id="other outcomes"),
        pytest.param(lambda frame: frame.iloc[:-1], id="an image less"),
        pytest.param(lambda frame: frame.assign(index=0), id="one image many times"),
        pytest.param(lambda frame: frame.assign(epsilon="8/255"), id="another threat"),
        pytest.param(lambda frame: frame.drop(columns="broken_by"), id="a column less"),
    ],
)
@pytest.mark.parametrize("known", [True, False], ids=["of its digest", "of none"])
def test_outcomes_that_disagree_with_their_record(
    results: Path, tell: Tell, spoil: Callable[[pd.DataFrame], pd.DataFrame], known: bool
) -> None:
    file = outcomes_at(results)
    store.write_parquet(file, spoil(pd.read_parquet(file)))
    change_record(
        results,
        lambda content: content["evaluations"][0].update(
            outcomes_digest=file_digest(file) if known else None
        ),
    )
    found, said = broken(results)
    assert "does not hold the outcomes that its record counts" in said or (
        "is not an outcomes file" in said
    )
    tell(found, "every other number is made anew")


@pytest.mark.parametrize("metric", ["clean_acc", "pgd_acc", "autoattack_acc"])
def test_a_record_that_disagrees_with_its_outcomes(results: Path, tell: Tell, metric: str) -> None:
    change_record(
        results,
        lambda content: content["evaluations"][0].update(
            {metric: content["evaluations"][0][metric] - 1 / 360}
        ),
    )
    found, said = broken(results)
    assert "does not hold the outcomes that its record counts" in said
    tell(found, "every other number is made anew")


@pytest.mark.parametrize("known", [True, False], ids=["of a digest", "of none"])
def test_outcomes_that_vanish_while_they_are_read(results: Path, known: bool) -> None:
    """Between the listing of a folder and the reading of a file in it, somebody removes it."""
    record = store.load_run(record_at(results))
    score = record.evaluations[0]
    if not known:
        score = score.model_copy(update={"outcomes_digest": None})
    file = outcomes_at(results)
    file.unlink()
    with pytest.raises(store.UserError, match="No such file or directory") as error:
        read_images(file, score)
    assert "\n" not in str(error.value)


@HOW
def test_a_record_that_is_verified(results: Path, tell: Tell, how: str) -> None:
    damage(record_at(results), how)
    found = cli("verify", results)
    assert found.status == 2 or how == "flipped", found
    assert found.status != 2 or found.errors.count("\n") == 1
    tell(found, "every file")


@pytest.mark.parametrize("what", ["a dangling link", "a folder"])
def test_in_the_place_of_a_record(results: Path, tell: Tell, what: str) -> None:
    record_at(results).unlink()
    if what == "a folder":
        record_at(results, 1).mkdir()
    else:
        (results / "digits/smallcnn" / f"{make_spec(seed=1).stem}.json").symlink_to("elsewhere")
    found = refused(results)
    assert "cannot read record" in found.errors
    tell(found, "every file")


@pytest.mark.parametrize("what", ["no folder", "empty", "empty below", "a file", "no scores"])
def test_a_folder_to_verify(tmp_path: Path, results: Path, tell: Tell, what: str) -> None:
    folder = tmp_path / "folder"
    if what == "empty":
        folder.mkdir()
    elif what == "empty below":
        (folder / "digits/smallcnn").mkdir(parents=True)
    elif what == "a file":
        folder.touch()
    elif what == "no scores":
        shutil.copytree(results, folder)
        for path in store.record_files(folder):
            if store.load_run(path).status == "success":
                path.unlink()
    found = refused(folder)
    assert any(
        said in found.errors for said in ("no records", "cannot read", "a sheet is", "scored")
    )
    sheet = tmp_path / "sheet.yaml"
    content = clean_content()
    content["tables"]["cifar10"]["rows"][0]["runs"][0]["record"] = "0123456789ab"
    sheet.write_text(yaml.safe_dump(content))
    also = refused(sheet, "--results", folder)
    assert any(said in also.errors for said in ("no records", "is not a folder", "is scored"))
    tell(found, "nothing was there")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(bytes(range(256)), id="bytes"),
        pytest.param(b"PAR1" + bytes(100) + b"PAR1", id="parquet"),
        pytest.param("title: é".encode("latin-1"), id="latin-1"),
        pytest.param("title: x".encode("utf-16"), id="utf-16"),
        pytest.param(b"\x1f\x8b\x08\x00", id="gzip"),
        pytest.param(b"", id="empty"),
        pytest.param(b"title: a\0b\ntables: {}", id="NUL"),
        pytest.param(b"[" * 100_000, id="depth"),
    ],
)
@pytest.mark.parametrize("place", ["sheet", "notes"])
def test_a_sheet_that_is_no_text(
    results: Path, tell: Tell, tmp_path: Path, content: bytes, place: str
) -> None:
    path = tmp_path / "sheet.yaml" if place == "sheet" else results / "notes.yaml"
    path.write_bytes(content)
    found = refused(path if place == "sheet" else results)
    assert path.name in found.errors and len(found.errors) < 1000
    tell(found, "every file")


@pytest.mark.parametrize("what", ["a folder", "a dangling link", "a pipe"])
def test_notes_that_are(results: Path, tell: Tell, what: str) -> None:
    path = results / "notes.yaml"
    if what == "a folder":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("elsewhere")
    found = refused(results)
    assert f"cannot read sheet {path}" in found.errors
    tell(found, "every file")
