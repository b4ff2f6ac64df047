"""Files of a stranger who means harm: none runs code, none leaves its folder, each is one line."""

from __future__ import annotations

import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.harness import PAGES, Answer, Grid, cli, recorded
from support.published import ROW, put, without

Tell = Callable[[Answer, str], None]


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.mkdir, (self.path,)


@pytest.mark.parametrize("kind", ["tag of Python", "laughs", "endless alias", "no mapping"])
def test_yaml(grid: Grid, unharmed: Path, tell: Tell, kind: str) -> None:
    laughs = "\n".join(f"x{n + 1}: &x{n + 1} [{', '.join([f'*x{n}'] * 9)}]" for n in range(40))
    grid.suite.write_text(
        {
            "tag of Python": f"methods: !!python/object/apply:os.mkdir ['{unharmed}']\n",
            "laughs": f"x0: &x0 [a]\n{laughs}\nmethods: *x40\n",
            "endless alias": "methods: &m [*m]\n",
            "no mapping": "- 1\n- [2\n",
        }[kind]
    )
    found = cli(*grid.run)
    assert found.status == 2, found
    assert len(found.errors.splitlines()) == 1 and len(found.errors) < 1000
    tell(found, "all records")


@pytest.mark.parametrize(
    "kind", ["pickled objects", "a petabyte", "no arrays", "an escaping member"]
)
def test_npz(grid: Grid, unharmed: Path, tmp_path: Path, tell: Tell, kind: str) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        if kind == "pickled objects":
            header = (
                b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
            )
            content = header.ljust(127) + b"\n" + pickle.dumps(Trap(unharmed))
        elif kind == "a petabyte":
            header = b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (10"
            content = (header + b"00000000000, 32, 32), }").ljust(127) + b"\n"
        else:
            content = b"nothing"
        for split in ("train", "test"):
            for part in ("images", "labels"):
                archive.writestr(f"{split}_{part}.npy", content)
        if kind == "an escaping member":
            archive.writestr("../../harm", b"")
    found = cli(
        "run", "--methods", "standard", "--datasets", f"npz:{path}", "--results", grid.results
    )
    assert found.status == 2 and str(path) in found.errors, found
    tell(found, "all records")


@pytest.mark.parametrize("kind", ["bare pickle", "torch file", "program"])
def test_weights(grid: Grid, unharmed: Path, tmp_path: Path, tell: Tell, kind: str) -> None:
    path = tmp_path / "weights.pt"
    before = recorded(grid.results)
    if kind == "bare pickle":
        path.write_bytes(pickle.dumps(Trap(unharmed)))
    else:
        torch.save({"weight": Trap(unharmed)}, path)
    if kind == "program":
        trap, path = path.read_bytes(), tmp_path / "program.pt2"
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
        torch.export.save(torch.export.export(model, (torch.rand(2, 1, 8, 8),)), path)
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, trap if "sample_inputs" in name else content)
    found = cli("eval", path, "--arch", "smallcnn", "--dataset", "digits", "--eps", "32/255",
                "--results", grid.results, "--device", "cpu")  # fmt: skip
    assert found.status == 2 and path.name in found.errors, found
    assert recorded(grid.results) == before
    tell(found, "all records; nothing was loaded")


def test_a_state_with_code(begun: Grid, finished: Grid, unharmed: Path, tell: Tell) -> None:
    import hashlib
    import io

    buffer = io.BytesIO()
    torch.save({"run_id": "x", "model": Trap(unharmed)}, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:16]
    for folder in (begun.results / "artifacts").iterdir():
        (folder / f"state-0009-{digest}.pt").write_bytes(buffer.getvalue())
    found = cli(*begun.run)
    assert found.status == 0 and "is not a training state" in found.out, found
    assert recorded(begun.results) == recorded(finished.results)
    tell(found, "all: the state before it went on")


@pytest.mark.parametrize("place", ["run_id", "dataset", "weights", "label"])
def test_names_that_are_paths(grid: Grid, tmp_path: Path, tell: Tell, place: str) -> None:
    path = next(p for p in sorted((grid.results / "digits").rglob("fgsm-rs-*.json")))
    content = json.loads(path.read_text())
    name = "../../../../harm"
    if place == "run_id":
        content["run_id"] = name
    elif place == "dataset":
        content["spec"]["dataset"] = name
    elif place == "weights":
        content["checkpoints"]["selected"]["file"] = name
    else:
        content["spec"]["method"]["label"] = name
    path.write_text(json.dumps(content))
    outside = set(tmp_path.iterdir())
    found = cli(*grid.report, *PAGES)
    assert found.status == (0 if place == "label" else 2), found
    assert set(tmp_path.iterdir()) == outside and not list(tmp_path.rglob("*harm"))
    tell(found, "all: nothing lies outside of the report")


def test_an_image_bomb(grid: Grid, tmp_path: Path, tell: Tell) -> None:
    for split in ("train", "test"):
        for name in ("a", "b"):
            folder = tmp_path / "tree" / split / name
            folder.mkdir(parents=True)
            Image.new("1", (30_000, 30_000)).save(folder / "0.png")
    found = cli("run", "--methods", "standard", "--datasets", f"folder:{tmp_path / 'tree'}",
                "--results", grid.results)  # fmt: skip
    assert found.status == 2 and "decompression bomb" in found.errors, found
    tell(found, "all records")


def test_an_archive_is_left_packed(grid: Grid, tmp_path: Path, tell: Tell) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "harm").write_text("")
    with tarfile.open(data / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(data / "harm", "../harm")
    (data / "harm").unlink()
    found = cli("run", "--methods", "standard", "--datasets", "cifar10", "--data-dir", data,
                "--results", grid.results)  # fmt: skip
    assert found.status == 2 and "cifar10 is not in" in found.errors, found
    assert [p.name for p in data.iterdir()] == ["cifar-10-python.tar.gz"]
    assert not (tmp_path / "harm").exists()
    tell(found, "all records")


def test_parquet_of_another_shape(grid: Grid, tell: Tell) -> None:
    import pandas as pd

    path = grid.one("*.selected.outcomes.parquet")
    frame = pd.DataFrame({"index": np.arange(3), "label": ["<script>", "=cmd()", "../x"]})
    frame.to_parquet(path)
    found = cli(*grid.report, "--format", "csv")
    assert found.status == 2 and path.name in found.errors, found
    tell(found, "the report of before, and every record")


@pytest.mark.parametrize("name", ["../../harm", "{outside}/harm", "site/link/harm", "..\\harm"])
def test_a_manifest_that_names_foreign_files(
    grid: Grid, tmp_path: Path, tell: Tell, name: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "harm.csv").write_text("dear")
    (tmp_path / "harm.csv").write_text("dear")
    (grid.reports / "site" / "link").symlink_to(outside)
    manifest = grid.reports / "manifest.csv"
    row = f"output,{name.format(outside=outside)}.csv,figures,\n"
    manifest.write_text(manifest.read_text() + row)
    found = cli(*grid.report, *PAGES)
    assert found.status == 2 and "is not the manifest of a report" in found.errors, found
    assert (outside / "harm.csv").read_text() == (tmp_path / "harm.csv").read_text() == "dear"
    tell(found, "all: nothing that lies outside of the report is removed, and nothing is written")


@pytest.mark.parametrize("name", ["../../../harm", "/tmp/harm", "a/../../harm"])
def test_published_numbers_of_a_dataset_that_is_a_path(
    grid: Grid, tmp_path: Path, tell: Tell, name: str
) -> None:
    put(grid.results, ROW | {"dataset": name})
    found = cli(*grid.report, "--format", "latex", "--with-published")
    assert found.status == 2 and "dataset = " in found.errors, found
    assert not list(tmp_path.rglob("*harm*")) and not list(Path("/tmp").glob("*harm*.tex"))
    tell(found, "the report of before")


@pytest.mark.parametrize("key", ["source", "scored", "selection", "tricks"])
def test_a_published_row_without(grid: Grid, tmp_path: Path, tell: Tell, key: str) -> None:
    put(grid.results, ROW, without(key))
    out = tmp_path / "reports"
    found = cli("report", "--results", grid.results, "--out", out, "--with-published")
    assert found.status == 2 and f".{key}: field required" in found.errors, found
    assert found.errors.count("\n") == 1 and not out.exists()
    tell(found, "nothing was written")


@pytest.mark.parametrize("name", ["../../secret", "/etc/hostname", "link"])
def test_references_to_outcomes_elsewhere(
    grid: Grid, tmp_path: Path, tell: Tell, name: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    (grid.results / "link").symlink_to(tmp_path / "secret")
    path = grid.results / "leaderboard.json"
    content = json.loads(path.read_text())
    for run in content["runs"]:
        for outcomes in run["outcomes"].values():
            outcomes["file"] = name
    path.write_text(json.dumps(content))
    found = cli("check", "--results", grid.results, "--reference", path, "--verbose")
    assert found.status == 0 and "outcomes lie outside of" in found.out, found
    tell(found, "all records; the foreign file is not read")


@pytest.mark.parametrize("kind", ["weights", "a symbolic lock", "a hard lock"])
def test_a_link(grid: Grid, begun: Grid, tmp_path: Path, tell: Tell, kind: str) -> None:
    secret = tmp_path / "secret"
    if kind == "weights":
        weights = grid.one("selected-*.safetensors")
        weights.rename(secret)
        weights.symlink_to(secret)
        content = secret.read_bytes()
        found = cli("eval", weights.parent.name, "--eps", "64/255", "--attacks", "apgd-ce",
                    "--results", grid.results, "--device", "cpu")  # fmt: skip
        said = "leads out of"
    else:
        secret.write_text("dear")
        content = secret.read_bytes()
        for folder in (begun.results / "artifacts").iterdir():
            (folder / "lock").unlink(missing_ok=True)
            if "hard" in kind:
                (folder / "lock").hardlink_to(secret)
            else:
                (folder / "lock").symlink_to(secret)
        found = cli(*begun.run)
        said = "is a link, has another name too, or is no file: remove it"
    assert found.status == 2 and said in found.errors, found
    assert secret.read_bytes() == content
    tell(found, "all, and what the link leads to")
