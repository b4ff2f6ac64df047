"""Only regular files are read, and nothing waits for what is none."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from regmix_bench.data.trees import decode_images
from regmix_bench.errors import UserError
from regmix_bench.loading.sources import load_any_model
from regmix_bench.models.weights import read_weights
from regmix_bench.records.adversarial import read_adversarial
from regmix_bench.records.paths import PUBLISHED
from regmix_bench.records.store import load_record
from regmix_bench.records.views import read_views
from regmix_bench.reporting.figures.embedding import Points
from regmix_bench.reporting.published import load_published
from regmix_bench.system import reading
from regmix_bench.system.files import copy_file
from regmix_bench.system.reading import open_regular, open_tensors, read_bytes, read_text


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


KINDS = pytest.mark.parametrize("make", [fifo, device, unix_socket, Path.mkdir])


@KINDS
@pytest.mark.parametrize(
    "read",
    [open_regular, read_bytes, read_text, lambda path: open_tensors(path, "numpy").__enter__()],
)
def test_what_is_no_regular_file(
    tmp_path: Path, make: Callable[[Path], None], read: Callable[[Path], object]
) -> None:
    make(tmp_path / "x")
    with pytest.raises(OSError) as caught:
        read(tmp_path / "x")
    assert caught.value.filename == os.fspath(tmp_path / "x")


def test_regular_files_and_links_to_them(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("ε")
    (tmp_path / "b").symlink_to("a")
    assert read_text(tmp_path / "b") == "ε"
    copy_file(tmp_path / "b", tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == "ε".encode()
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "missing")


def test_a_text_beyond_the_limit(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as stream:
        stream.truncate(reading.LARGEST_TEXT + 1)  # a sparse file, which has no blocks
    with pytest.raises(OSError, match="File too large"):
        read_bytes(tmp_path / "x")


def published(path: Path) -> object:
    return load_published(path.parent)


def model(path: Path) -> object:
    return load_any_model(
        str(path), results=path.parent, dataset="digits", norm="Linf",
        image_shape=(1, 8, 8), num_classes=10,
    )  # fmt: skip


@KINDS
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("x.json", load_record),
        (PUBLISHED, published),
        ("x.safetensors", read_weights),
        ("x.pt", read_weights),
        ("x.pt2", model),
        ("x.png", lambda path: decode_images([path])),
        ("x.parquet", lambda path: list(read_adversarial(path))),
        ("x.outputs.parquet", lambda path: Points.read(path, "probs")),
        ("x.views.safetensors", lambda path: read_views(path, "0" * 64)),
    ],
)
def test_every_reader_says_it_in_a_line(
    tmp_path: Path, make: Callable[[Path], None], name: str, read: Callable[[Path], object]
) -> None:
    make(tmp_path / name)
    with pytest.raises(UserError, match=str(tmp_path)) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)
