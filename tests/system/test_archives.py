"""What an archive may not hold, found before any of it is unpacked."""

from __future__ import annotations

import copy
import warnings
import zipfile
from pathlib import Path

import pytest

from regmix_bench.system import archives
from regmix_bench.system.archives import open_archive


def test_dense_members_are_counted_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LARGEST_DENSE", 500_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(6):
            archive.writestr(f"{number}", bytes(100_000))
    with pytest.raises(ValueError, match="unpack to 600,000 may be a decompression bomb"):
        open_archive(tmp_path / "a.zip").__enter__()
    monkeypatch.setattr(archives, "LARGEST_DENSE", 600_000)
    with open_archive(tmp_path / "a.zip") as opened:
        assert opened.read("5") == bytes(100_000)


def test_a_name_that_stands_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for content in (b"one", b"two"):
            archive.writestr("x", content)
    with pytest.raises(ValueError, match="'x' stands in it twice"):
        open_archive(tmp_path / "a.zip").__enter__()


def test_members_that_share_their_bytes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", bytes(range(256)) * 40)
        first = archive.infolist()[0]
        for number in range(40):
            other = copy.copy(first)
            other.filename = f"x{number}"
            archive.filelist.append(other)
    with pytest.raises(ValueError, match="share their bytes"):
        open_archive(tmp_path / "a.zip").__enter__()
