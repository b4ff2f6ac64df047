"""Further images without labels, and what of them is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from regmix_bench.data import cache, prepare
from regmix_bench.data.extra import canonical_extra, load_extra
from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan
from regmix_bench.grid.settings import file_digests
from regmix_bench.specs import RunSpec

CPU = torch.device("cpu")


def write(path: Path, n: int = 6, shape: tuple[int, ...] = (8, 8), key: str = "images") -> str:
    images = np.random.default_rng(n).random((n, *shape)).astype(np.float32)
    np.savez(path, **{key: images})
    return f"npz:{path}"


def spec_with(extra: str, **data: object) -> RunSpec:
    grid = {
        "methods": ["trades"],
        "eps": ["32/255"],
        "data": {"extra": extra, "train_examples": 60, "eval_examples": 10, **data},
        "recipe": {"unlabelled": "rst"},
    }
    return plan([grid], digests=file_digests(None))[0]


@pytest.mark.parametrize("key", ["images", "train_images"])
def test_an_array_file_is_named_by_its_content_and_needs_no_path_any_more(
    tmp_path: Path, key: str
) -> None:
    typed = write(tmp_path / "more.npz", key=key)
    name = canonical_extra(typed)
    assert name.startswith("extra-npz-") and canonical_extra(name) == name
    (tmp_path / "more.npz").unlink()
    assert load_extra(name).shape == (6, 1, 8, 8)
    other = canonical_extra(write(tmp_path / "others.npz", 5))
    assert spec_with(name).run_id != spec_with(other).run_id


def test_a_folder_holds_images_at_any_depth(tmp_path: Path, make_tree) -> None:
    folder = make_tree(tmp_path / "tree", n_train=4, n_test=2, mode="L")
    name = canonical_extra(f"folder:{folder}")
    assert load_extra(name).shape == (12, 1, 8, 8) and load_extra(name).dtype == np.uint8
    shutil.rmtree(folder)
    assert load_extra(name).shape == (12, 1, 8, 8)


def test_they_come_after_the_labelled_ones_and_lengthen_no_epoch(tmp_path: Path) -> None:
    spec = spec_with(canonical_extra(write(tmp_path / "more.npz", 7)))
    data = prepare(spec, CPU)
    train = data.train
    assert (train.size, train.labelled, train.length, len(data.hidden)) == (50 + 7, 50, 50, 0)
    both = prepare(spec.model_copy(update={"labelled": 30}), CPU)
    assert (both.train.size, both.train.labelled, both.train.length) == (20 + 30 + 7, 20, 50)
    assert len(both.hidden) == 30 and len(both.validation[1]) == 10


@pytest.mark.parametrize("shape", [(9, 8), (8, 8, 3)])
def test_images_of_another_shape_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    spec = spec_with(canonical_extra(write(tmp_path / "more.npz", shape=shape)))
    with pytest.raises(UserError, match=r"its images are \(., ., .\) \(C, H, W\), and those of"):
        prepare(spec, CPU)


def test_test_images_are_refused_among_them(tmp_path: Path) -> None:
    spec = spec_with(canonical_extra(write(tmp_path / "more.npz")))
    tested = prepare(spec, CPU).test.x[:3, 0]
    np.savez(tmp_path / "more.npz", images=tested.numpy())
    spec = spec_with(canonical_extra(f"npz:{tmp_path / 'more.npz'}"))
    with pytest.raises(UserError, match="3 of its images are test images of digits"):
        prepare(spec, CPU)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("more.npz", "write it like npz:PATH or folder:PATH"),
        ("tar:more", "write it like npz:PATH or folder:PATH"),
        ("npz:", "write it like npz:PATH or folder:PATH"),
        ("npz:nowhere.npz", "there is no nowhere.npz, neither here nor in "),
        ("folder:nowhere", "there is no nowhere, neither here nor in "),
        ("extra-npz-0123456789ab", "is not in the cache"),
    ],
)
def test_what_names_no_images_is_refused(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        canonical_extra(text)


def test_files_without_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="it holds no images"):
        canonical_extra(f"folder:{tmp_path / 'empty'}")
    with pytest.raises(UserError, match="has no 'images': it holds test_images"):
        canonical_extra(write(tmp_path / "other.npz", key="test_images"))
    with pytest.raises(UserError, match="hold 0 to 1 alone, and 255 is white"):
        np.savez(tmp_path / "dark.npz", images=np.ones((3, 8, 8), np.uint8))
        canonical_extra(f"npz:{tmp_path / 'dark.npz'}")
    assert not (cache.folder() / "datasets").exists()
