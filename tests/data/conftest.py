"""Small datasets made for one test, and a cache of its own for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("REGMIX_BENCH_CACHE", str(folder))
    monkeypatch.setenv("REGMIX_BENCH_DATA", str(tmp_path / "data"))
    return folder


@pytest.fixture
def make_tree() -> Callable[..., Path]:
    """Writes a class-folder tree of random PNG images."""

    def make(
        root: Path,
        classes: tuple[str, ...] = ("cat", "dog"),
        n_train: int = 4,
        n_test: int = 2,
        size: tuple[int, int] = (8, 8),
        mode: str = "RGB",
    ) -> Path:
        rng = np.random.default_rng(3)
        channels = {"RGB": (3,), "L": ()}[mode]
        for split, n in (("train", n_train), ("test", n_test)):
            for name in classes:
                folder = root / split / name
                folder.mkdir(parents=True)
                for number in range(n):
                    pixels = rng.integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
                    Image.fromarray(pixels).save(folder / f"{number}.png")
        return root

    return make


@pytest.fixture
def arrays() -> dict[str, np.ndarray[Any, Any]]:
    """The content of a valid array file: 3 classes, 30 + 6 images of 6x5 colour pixels."""
    rng = np.random.default_rng(4)
    return {
        "train_images": rng.integers(0, 256, (30, 6, 5, 3), dtype=np.uint8),
        "train_labels": np.arange(30).reshape(-1, 1) % 3,
        "test_images": rng.integers(0, 256, (6, 6, 5, 3), dtype=np.uint8),
        "test_labels": np.arange(6).reshape(-1, 1) % 3,
    }
