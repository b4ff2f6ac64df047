"""Files that a command reads on its way to a score, damaged as in ``test_damaged_files.py``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from support.damage import HOW, damage
from support.harness import Answer, Grid, cli, recorded

from regmix_bench.models import build_model
from regmix_bench.models.weights import save_checkpoint

Tell = Callable[[Answer, str], None]


@HOW
def test_a_batch_of_a_scoring(begun: Grid, finished: Grid, tell: Tell, how: str) -> None:
    with patch("regmix_bench.runs.runner.save_record", side_effect=KeyboardInterrupt):
        assert cli(*begun.run).status == 130
    for path in sorted(begun.results.rglob("scoring-*/*.safetensors"))[::2]:
        damage(path, how)
    found = cli(*begun.run)
    assert found.status == 0, found
    assert recorded(begun.results) == recorded(finished.results)
    tell(found, "every batch that is whole; the others are measured again, to the same numbers")


@HOW
def test_a_lock(begun: Grid, finished: Grid, tell: Tell, how: str) -> None:
    (lock,) = (
        path / "lock"
        for path in (begun.results / "artifacts").iterdir()
        if not list((begun.results / "digits").rglob(f"*-{path.name}.json"))
    )
    lock.write_bytes(b"process 1 on \x1b[2Jnode\n" * 100)
    damage(lock, how)
    found = cli(*begun.run)
    assert found.status == 0 and "\x1b" not in found.out, found
    assert recorded(begun.results) == recorded(finished.results)
    tell(found, "all: what counts is who holds the lock, not what its file says")


@pytest.fixture(scope="module")
def scored(finished: Grid, tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """The grid with adversarial images, a transfer and an evaluation. Not to be changed."""
    shutil.copytree(finished.folder, folder := tmp_path_factory.mktemp("scored") / "grid")
    grid = Grid(folder)
    assert cli(*grid.run, "--force", "--save-adversarial").status == 0
    runs = [path.stem for path in (grid.results / "artifacts").iterdir()]
    where = ("--results", grid.results, "--device", "cpu")
    assert cli("transfer", *runs, *where).status == 0
    again = ("--eps", "96/255", "--attacks", "apgd-ce", *where)
    assert cli("eval", runs[0], *again).status == 0
    return grid


@HOW
@pytest.mark.parametrize("kind", ["transfer/*.json", "transfer/*.parquet", "evaluated/*.json"])
def test_a_file_of_an_evaluation(
    scored: Grid, tmp_path: Path, tell: Tell, kind: str, how: str
) -> None:
    shutil.copytree(scored.folder, tmp_path / "grid")
    grid = Grid(tmp_path / "grid")
    path = grid.one(kind)
    damage(path, how)
    found = cli(*grid.report, "--format", "csv")
    # A flipped bit of a number is another number: records are believed, `audit` is who does not.
    believed = how == "flipped" and path.suffix == ".json" and found.status == 0
    assert (found.status == 2 and path.name in found.errors) or believed, found
    tell(found, "the report of before, and every other record")


@HOW
def test_outcomes_of_an_evaluation(scored: Grid, tmp_path: Path, tell: Tell, how: str) -> None:
    shutil.copytree(scored.folder, tmp_path / "grid")
    grid = Grid(tmp_path / "grid")
    path = grid.one("evaluated/*.parquet")
    damage(path, how)
    both = grid.one("fgsm-rs-*[0-9a-f].json"), grid.one("evaluated/*.json")
    found = cli("compare", *both, "--results", grid.results)
    assert found.status == 2 and path.name in found.errors, found
    tell(found, "all records; the two are not compared")


@HOW
def test_adversarial_images(scored: Grid, tmp_path: Path, tell: Tell, how: str) -> None:
    shutil.copytree(scored.folder, tmp_path / "grid")
    grid = Grid(tmp_path / "grid")
    path = grid.one("fgsm-rs-*[0-9a-f].json")
    images = grid.results / "artifacts" / path.stem.rpartition("-")[2]
    damage(images / "adversarial-selected.parquet", how)
    before = path.read_bytes()
    found = cli("audit", path, "--results", grid.results, "--device", "cpu")
    assert found.status in (1, 2), found
    assert "adversarial-selected.parquet" in found.out + found.errors, found
    assert path.read_bytes() == before
    tell(found, "all records; the audit says that the file is another")


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 8, 8), np.uint8)


@HOW
def test_arrays_of_a_data_set(grid: Grid, tmp_path: Path, tell: Tell, how: str) -> None:
    path = tmp_path / "data.npz"
    labels = np.arange(24) % 2
    parts = {"train_images": images(), "train_labels": labels}
    np.savez(path, **parts, test_images=images(), test_labels=labels)
    damage(path, how)
    found = cli("run", "--methods", "standard", "--datasets", f"npz:{path}", "--results",
                grid.results, "--dry-run")  # fmt: skip
    assert found.status == 2 and "data.npz" in found.errors, found
    tell(found, "all records")


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images, and a cache of its own for what is decoded."""
    monkeypatch.setenv("REGMIX_BENCH_CACHE", str(tmp_path / "cache"))
    for number, image in enumerate(images()):
        for split in ("train", "test"):
            folder = tmp_path / "tree" / split / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{number}.png")
    return tmp_path / "tree"


def small_run(tree: Path, results: Path) -> tuple[object, ...]:
    return (
        *("run", "--methods", "standard", "--datasets", f"folder:{tree}", "--archs", "smallcnn"),
        *(
            "--set",
            "recipe.epochs=1",
            "--attacks",
            "apgd-ce",
            "--results",
            results,
            "--device",
            "cpu",
        ),
    )


@HOW
def test_an_image(pictures: Path, grid: Grid, tell: Tell, how: str) -> None:
    before = recorded(grid.results)
    damage(pictures / "train" / "a" / "0.png", how)
    found = cli(*small_run(pictures, grid.results))
    assert found.status == 2 and "0.png" in found.errors, found
    assert recorded(grid.results) == before
    tell(found, "all records")


@HOW
@pytest.mark.parametrize("kind", ["datasets/*.npz", "datasets/*.json", "sources/*"])
def test_a_file_of_the_cache(
    pictures: Path, tmp_path: Path, tell: Tell, kind: str, how: str
) -> None:
    assert cli(*small_run(pictures, tmp_path / "before")).status == 0
    (path,) = (tmp_path / "cache").glob(kind)
    damage(path, how)
    found = cli(*small_run(pictures, tmp_path / "after"))
    if found.status:
        assert found.status == 2 and "was damaged" in found.errors, found
        assert cli(*small_run(pictures, tmp_path / "after")).status == 0
    assert recorded(tmp_path / "after") == recorded(tmp_path / "before")
    tell(found, "all: the images are decoded anew, at once or by the same command once more")


@HOW
@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_weights(grid: Grid, tmp_path: Path, tell: Tell, kind: str, how: str) -> None:
    before = {path: path.read_bytes() for path in grid.results.rglob("*.json")}
    path = tmp_path / f"weights.{kind}"
    model = build_model("smallcnn", (1, 8, 8), 10)
    if kind == "pt":
        torch.save(model.state_dict(), path)
    else:
        save_checkpoint(path, model, "smallcnn", (1, 8, 8), 10)
    damage(path, how)
    found = cli("eval", path, "--arch", "smallcnn", "--dataset", "digits", "--eps", "96/255",
                "--eval-examples", 20, "--attacks", "apgd-ce",
                "--results", grid.results, "--device", "cpu")  # fmt: skip
    # A flipped bit is another number, and the record names the file by its SHA-256.
    assert (found.status == 2 and path.name in found.errors) or how == "flipped", found
    assert all(path.read_bytes() == content for path, content in before.items())
    tell(found, "all records")


def test_every_kind_is_here(scored: Grid) -> None:
    """Of what lies in a results folder; a new kind of file wants its scenarios."""
    kinds = {
        ".".join(path.name.split(".")[1:]) or path.name
        for path in scored.results.rglob("*")
        if path.is_file() and not os.path.basename(path).startswith("state-")
    }
    assert kinds == {
        *("json", "selected.outcomes.parquet", "last.outcomes.parquet", "outputs.parquet"),
        "views.safetensors",
        *("given.outcomes.parquet", "outcomes.parquet"),
        *("safetensors", "parquet", "jsonl", "lock"),
    }
