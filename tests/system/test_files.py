"""Names that come out of files, held to their folder, and files that lie elsewhere too."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from regmix_bench.errors import UserError
from regmix_bench.system.files import (
    CannotWrite,
    atomic_write,
    below,
    held_below,
    require_apart,
    require_sole,
    write_together,
)

NO_NAMES = {
    "nothing": "",
    "parent": "..",
    "parent of a folder": "a/../../harm",
    "this folder": "./a",
    "absolute": "/tmp/harm",
    "twice a slash": "a//b",
    "backslash": "..\\harm",
    "drive": "C:harm",
    "NUL": "a\0.json",
    "line": "a\nb",
    "too long": "a" * 256,
    "too many bytes": "é" * 128,
    "surrogate": "\ud800",
}


@pytest.mark.parametrize("name", NO_NAMES.values(), ids=NO_NAMES.keys())
@pytest.mark.parametrize("place", [below, held_below])
def test_what_is_no_name_is_one_line(tmp_path: Path, place, name: str) -> None:
    with pytest.raises(UserError, match=r"is no name of a file in") as caught:
        place(tmp_path, name)
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["a.json", "site/runs/a.html", "...", "é [x=1].png", "a" * 255])
def test_a_name_is_that_of_a_file_there_or_not_yet(tmp_path: Path, name: str) -> None:
    assert held_below(tmp_path, name) == below(tmp_path, name) == tmp_path / name


def test_a_link_may_not_lead_out(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "secret").touch()
    (folder / "file").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path, target_is_directory=True)
    (folder / "circle").symlink_to("circle")
    (folder / "inside").symlink_to("deep")
    (tmp_path / "alias").symlink_to(folder)
    for name in ("file", "up/secret", "circle/x"):
        with pytest.raises(UserError, match="leads out of"):
            held_below(folder, name)
        assert below(folder, name) == folder / name
    assert held_below(folder, "inside/x") == folder / "inside" / "x"
    assert held_below(tmp_path / "alias", "deep/x") == tmp_path / "alias" / "deep" / "x"


def test_a_file_that_lies_elsewhere_too_is_not_written_into(tmp_path: Path) -> None:
    target, folder = tmp_path / "target", tmp_path / "folder"
    target.touch()
    (tmp_path / "hard").hardlink_to(target)
    (tmp_path / "soft").symlink_to(target)
    folder.mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("hard", "soft", "folder", "pipe"):
        with pytest.raises(UserError, match="is a link, has another name too, or is no file"):
            require_sole(tmp_path / name)
    for name in ("new", "missing/new"):
        assert require_sole(tmp_path / name) == tmp_path / name


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/full")


@pytest.mark.parametrize("make", [fifo, link_to_a_device, Path.mkdir])
def test_only_a_file_is_replaced(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A privileged process could put its file in the place of /dev/stdout."""
    path = tmp_path / "check.xml"
    make(path)
    before = path.lstat()
    with pytest.raises(CannotWrite, match=r"check\.xml: it is no regular file"), atomic_write(path):
        pass
    assert path.lstat().st_ino == before.st_ino
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fault", ["a folder", "below a file"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_files_that_belong_together_are_all_written_or_none(
    tmp_path: Path, fault: str, place: int
) -> None:
    files = {tmp_path / name: name.encode() for name in ("a", "b", "new/c")}
    (tmp_path / "a").write_text("before")
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    paths = list(files)
    paths[place] = tmp_path / "file/x" if fault == "below a file" else tmp_path
    with pytest.raises(CannotWrite, match="cannot write"):
        write_together(dict(zip(paths, files.values(), strict=True)))
    assert (tmp_path / "a").read_text() == "before"
    assert [path for path in sorted(tmp_path.rglob("*")) if path.is_file()] == [
        path for path in before if path.is_file()
    ]
    write_together(files)
    assert {path: path.read_bytes() for path in files} == files
    assert not list(tmp_path.rglob(".tmp-*"))


def test_nothing_is_written_over_what_is_read_or_over_one_another(tmp_path: Path) -> None:
    read, other = tmp_path / "read", tmp_path / "other"
    read.touch()
    (tmp_path / "link").symlink_to(read)
    (tmp_path / "folder").symlink_to(tmp_path)
    for path in (read, tmp_path / "link", tmp_path / "folder/read", tmp_path / "x/../read"):
        with pytest.raises(UserError, match=r"^--json would write over .*read, which is read"):
            require_apart({"--json": path}, [read])
    for path in (other, tmp_path / "folder/other"):
        with pytest.raises(UserError, match=r"^--sarif would write over .*other of --json: name"):
            require_apart({"--json": other, "--sarif": path}, [read])
    require_apart({"--json": other, "--sarif": tmp_path / "third"}, [read])
