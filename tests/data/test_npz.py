from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from support.synthetic import make_spec

from regmix_bench.data import canonical_name, load_data, load_dataset, prepare, prepare_eval
from regmix_bench.data.sources import data_names
from regmix_bench.data.tensors import with_classes
from regmix_bench.errors import UserError
from regmix_bench.specs import DataNames
from regmix_bench.system import archives


class Bomb:
    """Unpickling it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def save(folder: Path, arrays: dict, **changes: object) -> str:
    content = {**arrays, **changes}
    np.savez(folder / "a.npz", **{k: v for k, v in content.items() if v is not None})
    return f"npz:{folder / 'a.npz'}"


def refused(name: str) -> str:
    with pytest.raises(UserError) as caught:
        canonical_name(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_colour_images_become_channels_first_and_scaled(tmp_path, arrays):
    images, labels = load_data(save(tmp_path, arrays), "train")
    assert images.shape == (30, 3, 6, 5)
    expected = arrays["train_images"][7, 2, 3, 1] / np.float32(255)
    assert images[7, 1, 2, 3].item() == pytest.approx(expected)
    assert labels.tolist() == [number % 3 for number in range(30)]


def test_grey_float_images_and_flat_labels(tmp_path, arrays):
    grey = {key: arrays[key][..., 0] / 255 for key in ("train_images", "test_images")}
    flat = {key: arrays[key][:, 0] for key in ("train_labels", "test_labels")}
    dataset = load_dataset(save(tmp_path, grey | flat))
    assert dataset.image_shape == (1, 6, 5)
    assert dataset.train_images.dtype == np.float32
    np.testing.assert_allclose(dataset.test_images[:, 0], grey["test_images"], rtol=1e-6)


def test_validation_part_is_kept(tmp_path, arrays):
    images = arrays["test_images"][:3]
    name = save(tmp_path, arrays, val_images=images, val_labels=np.array([2, 0, 1]))
    validation = load_dataset(name).validation
    assert validation is not None
    np.testing.assert_array_equal(validation[0], images.transpose(0, 3, 1, 2))
    assert validation[1].tolist() == [2, 0, 1]


def test_canonical_name_loads_after_the_file_is_gone(tmp_path, arrays):
    name = canonical_name(save(tmp_path, arrays))
    (tmp_path / "a.npz").unlink()
    assert canonical_name(name) == name
    dataset = load_dataset(name)
    assert name == dataset.name == f"npz-{dataset.digest[:12]}"
    np.testing.assert_array_equal(dataset.train_labels, arrays["train_labels"][:, 0])


def test_name_follows_the_content_and_nothing_else(tmp_path, arrays):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    first = canonical_name(save(here, arrays))
    assert canonical_name(save(there, arrays)) == first
    images = arrays["train_images"].copy()
    images[0, 0, 0, 0] ^= 1
    assert canonical_name(save(here, arrays, train_images=images)) != first
    relabelled = (arrays["train_labels"] + 1) % 3
    assert canonical_name(save(here, arrays, train_labels=relabelled)) != first


def test_relative_path_is_also_sought_in_the_data_folder(tmp_path, arrays):
    typed = save(tmp_path, arrays)
    assert canonical_name("npz:a.npz", tmp_path) == canonical_name(typed)


@pytest.mark.parametrize("key", ["train_images", "train_labels", "test_images", "test_labels"])
def test_missing_key_is_named(tmp_path, arrays, key):
    assert f"has no '{key}'" in refused(save(tmp_path, arrays, **{key: None}))


def test_validation_images_without_labels(tmp_path, arrays):
    assert "has no 'val_labels'" in refused(
        save(tmp_path, arrays, val_images=arrays["test_images"])
    )


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("train_labels", np.arange(30) % 3 - 1, "train_labels holds -1"),
        ("train_labels", np.where(np.arange(30) % 3 == 1, np.nan, 0), "train_labels holds nan"),
        ("train_labels", np.arange(30) / 2, "train_labels holds 0.5"),
        ("train_labels", np.full(30, 10**12), "train_labels holds 1000000000000"),
        ("train_labels", np.array(["cat"] * 30), "expected integers"),
        ("train_labels", np.zeros((30, 2), dtype=int), "shape (30, 2)"),
        ("train_labels", np.eye(3)[np.arange(30) % 3], "looks one-hot: save its argmax(1)"),
        ("test_labels", np.full(6, 10**5), "holds 100000: expected integers from 0 to 99999"),
        ("train_images", np.zeros((30, 28, 28, 28), dtype=np.uint8), "volumes of 28 slices are"),
        ("test_images", np.zeros((6, 64, 64, 16)), "volumes of 16 slices are"),
        ("train_labels", np.arange(29) % 3, "30 images and train_labels 29 labels"),
        ("train_images", np.full((30, 6, 5, 3), np.nan), "train_images holds values from nan"),
        ("train_images", np.full((30, 6, 5, 3), np.inf), "to inf"),
        ("train_images", np.full((30, 6, 5, 3), 1.01), "must lie in [0, 1]"),
        ("train_images", np.full((30, 6, 5, 3), -0.01), "must lie in [0, 1]"),
        ("train_images", np.zeros((30, 6, 5, 3), dtype=np.int64), "is int64: expected uint8"),
        ("train_images", np.zeros((30, 3, 6, 5), dtype=np.uint8), "channels first"),
        ("train_images", np.zeros((30, 30), dtype=np.uint8), "shape (30, 30)"),
        ("train_images", np.zeros((0, 6, 5, 3), dtype=np.uint8), "shape (0, 6, 5, 3)"),
        ("test_images", np.zeros((6, 6, 6, 3), dtype=np.uint8), "test_images are (3, 6, 6)"),
    ],
)
def test_unusable_arrays(tmp_path, arrays, cache_dir, key, value, reason):
    assert reason in refused(save(tmp_path, arrays, **{key: value}))
    assert not cache_dir.exists()


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_of_no_images_is_as_good_as_none(tmp_path, arrays, split):
    nothing = {f"{split}_images": arrays["test_images"][:0], f"{split}_labels": np.zeros(0)}
    test = {key: value for key, value in arrays.items() if "test" in key}
    assert load_dataset(save(tmp_path, test, **nothing)).digest == (
        load_dataset(save(tmp_path, test)).digest
    )
    assert "has no test images" in refused(
        save(tmp_path, {}, val_images=np.zeros((0, 6, 5)), val_labels=np.zeros(0))
    )


@pytest.mark.parametrize("levels", [2, 17])
def test_uint8_images_of_other_units_are_refused(tmp_path, arrays, cache_dir, levels):
    """Black and white as 0 and 1, and scikit-learn's digits as 0 to 16, would all be black."""
    dark = {key: value % levels for key, value in arrays.items() if "images" in key}
    assert f"hold 0 to {levels - 1} alone, and 255 is white in uint8" in refused(
        save(tmp_path, arrays, **dark)
    )
    assert not cache_dir.exists()
    dark["test_images"] = arrays["test_images"]
    load_dataset(save(tmp_path, arrays, **dark))
    mixed = {"train_images": arrays["train_images"] / 255, "test_images": dark["train_images"][:6]}
    assert "is white in uint8" in refused(save(tmp_path, arrays, **mixed))
    scaled = {key: (value % levels / (levels - 1)) for key, value in dark.items()}
    load_dataset(save(tmp_path, arrays, **scaled))


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_test_set_alone_is_for_scoring(tmp_path, arrays, split):
    images, labels = arrays["test_images"], arrays["test_labels"]
    np.savez(tmp_path / "a.npz", **{f"{split}_images": images, f"{split}_labels": labels})
    name = canonical_name(f"npz:{tmp_path / 'a.npz'}")
    test = prepare_eval(name, None, torch.device("cpu"))
    assert torch.equal(test.x, torch.from_numpy(images.transpose(0, 3, 1, 2)) / 255)
    assert test.y.tolist() == labels[:, 0].tolist()
    # The labels are all that is known of the classes, and a model may know more.
    assert (test.num_classes, with_classes(test, 10).num_classes) == (3, 10)
    with pytest.raises(UserError, match="no training images: a run needs them, and eval scores"):
        prepare(make_spec(dataset=name), torch.device("cpu"))
    with pytest.raises(UserError, match="no training images"):
        load_data(name, "train")


@pytest.mark.parametrize("lacking", [1, 2])
def test_a_class_without_training_images_is_scored_and_not_trained(tmp_path, arrays, lacking):
    chosen = arrays["train_labels"][:, 0] != lacking
    kept = {key: arrays[key][chosen] for key in ("train_images", "train_labels")}
    name = canonical_name(save(tmp_path, arrays, **kept))
    test = prepare_eval(name, None, torch.device("cpu"))
    assert (test.num_classes, with_classes(test, 10).num_classes) == (3, 3)
    with pytest.raises(UserError, match=f"class '{lacking}' of .* has no training image"):
        prepare(make_spec(dataset=name), torch.device("cpu"))


def test_object_arrays_are_refused_and_never_unpickled(tmp_path, arrays):
    trace = tmp_path / "unpickled"
    bombs = np.array([Bomb(trace)] * 30, dtype=object)
    message = refused(save(tmp_path, arrays, train_labels=bombs))
    assert "train_labels" in message
    assert "Object arrays cannot be loaded" in message
    assert not trace.exists()


def test_a_bomb_is_not_unpacked(tmp_path, arrays, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_DENSE", 100_000)
    zeros = np.zeros((2000, 6, 5, 3), np.uint8)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, **(arrays | {"train_images": zeros}))
    said = refused(f"npz:{path}")
    assert "train_images.npy" in said
    assert "bytes that unpack to 180,128 may be a decompression bomb" in said
    noise = np.random.default_rng(0).integers(0, 256, zeros.shape, np.uint8)
    labels = np.arange(len(noise)) % 3
    dense = arrays | {"train_images": noise, "train_labels": labels}
    np.savez_compressed(path, **dense)
    assert load_dataset(f"npz:{path}").train_images.shape == (2000, 3, 6, 5)
    np.savez(path, **(dense | {"train_images": zeros}))
    assert load_dataset(f"npz:{path}").train_images.shape == (2000, 3, 6, 5)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ("(True, 8, 8)", "cannot read"),
        (f"({10**30}, 8, 8)", "cannot read"),
        ("(4294967296, 4294967296)", "cannot read"),
        ("(-1, 8, 8)", "cannot read"),
        ("(3, 8, 8)", "more than an array"),
    ],
)
def test_shapes_that_no_array_has(tmp_path, arrays, shape, reason):
    name = save(tmp_path, arrays, train_images=None)
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    content = b"\x93NUMPY\x01\x00\x76\x00" + header.ljust(117) + b"\n" + bytes(256)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("train_images.npy", content)
    said = refused(name)
    assert reason in said and "train_images" in said


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_damage_of_every_compression_is_one_line(tmp_path, arrays, method):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        for key, value in arrays.items():
            with archive.open(f"{key}.npy", "w") as member:
                np.save(member, value)
    assert load_dataset(f"npz:{path}").train_images.shape == (30, 3, 6, 5)
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(content)
    assert str(path) in refused(f"npz:{path}")


def test_files_that_are_no_npz(tmp_path, arrays):
    path = tmp_path / "other.npz"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "unpickled")))
    assert str(path) in refused(f"npz:{path}")
    assert not (tmp_path / "unpickled").exists()
    path.write_bytes(b"")
    assert str(path) in refused(f"npz:{path}")
    with path.open("wb") as stream:
        np.save(stream, arrays["train_images"])
    assert "not an .npz file" in refused(f"npz:{path}")
    save(tmp_path, arrays)
    path.write_bytes((tmp_path / "a.npz").read_bytes()[:-200])
    assert "is truncated" in refused(f"npz:{path}")


def test_damaged_member_is_named(tmp_path, arrays):
    name = save(tmp_path, arrays)
    path = tmp_path / "a.npz"
    content = bytearray(path.read_bytes())
    content[1000] ^= 0xFF  # inside the pixels of train_images
    path.write_bytes(content)
    assert "train_images" in refused(name)


def test_paths_that_are_no_file(tmp_path):
    assert "there is no nowhere.npz" in refused("npz:nowhere.npz")
    assert "names no path" in refused("npz:")
    assert "give folder:" in refused(f"npz:{tmp_path}")


def test_what_data_are_called_follows_the_file_and_renames_nothing(tmp_path, arrays):
    name = canonical_name(save(tmp_path, arrays))
    assert data_names(name) == DataNames(title="a")
    called = save(tmp_path, arrays, class_names=np.array(["cat", "dog", "hen"]))
    assert canonical_name(called) == name  # no number follows from it
    assert data_names(name) == DataNames(title="a", classes=("cat", "dog", "hen"))
    (tmp_path / "a.npz").rename(tmp_path / "lung scans (2024).npz")
    assert canonical_name(f"npz:{tmp_path}/lung scans (2024).npz") == name
    assert data_names(name) == DataNames(title="lung scans (2024)", classes=("cat", "dog", "hen"))
    assert data_names(name, "Scans").title == "Scans"
    (tmp_path / f"cache/datasets/{name}.json").write_text('{"title": "\\u001b[31m"}')
    assert data_names(name) is None


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (np.array(["cat", "dog"]), "names 2 classes, and labels go up to 2"),
        (np.array([1, 2, 3]), "class_names is int64"),
        (np.array([b"cat", b"dog", b"hen"]), "class_names is |S3 (3,): expected texts"),
        (np.array([["cat", "dog", "hen"]]), "expected texts"),
        (np.array(["cat", "dog", "hen"], object), "save them as numpy.array(names, dtype=str)"),
    ],
)
def test_class_names_that_are_none(tmp_path, arrays, names, said):
    assert said in refused(save(tmp_path, arrays, class_names=names))


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["cat", "cat", "hen"], ("cat (0)", "cat (1)", "hen")),
        (["a$", "a%", ""], ("a (0)", "a (1)", "unnamed")),
        (["x" * 99, "x" * 98, "y"], ("x" * 70 + " (0)", "x" * 70 + " (1)", "y")),
    ],
)
def test_classes_that_would_be_called_the_same_have_their_number(tmp_path, arrays, names, shown):
    name = canonical_name(save(tmp_path, arrays, class_names=np.array(names)))
    assert data_names(name).classes == shown


@pytest.mark.parametrize("title", ["", "a\nb", "\x1b[31m", "<b>", "$x$", "x" * 81, " a"])
def test_a_title_that_is_none(tmp_path, arrays, title):
    name = canonical_name(save(tmp_path, arrays))
    with pytest.raises(UserError, match=r"^data\.name ") as caught:
        data_names(name, title)
    assert "\n" not in str(caught.value)


def test_data_with_a_name_of_their_own_keep_it():
    assert data_names("digits") is None
    with pytest.raises(UserError, match="digits has its name"):
        data_names("digits", "Ziffern")
