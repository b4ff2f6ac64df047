from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from support.synthetic import make_spec

from regmix_bench.data import (
    DATASETS,
    canonical_name,
    load_data,
    load_dataset,
    prepare,
    prepare_eval,
    trees,
)
from regmix_bench.data.protocol import PathSource
from regmix_bench.data.sources import class_name, class_names, data_names, default_arch, split_names
from regmix_bench.errors import UserError

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def refused(name: str, *arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        load_dataset(name, *arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_naming_a_dataset_needs_no_torch():
    code = (
        "import sys; from regmix_bench.data import DATASETS, canonical_name;"
        "canonical_name('digits'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_digits_are_scikit_learns_with_a_balanced_test_split():
    dataset = load_dataset("digits")
    assert dataset.train_images.shape == (1437, 1, 8, 8)
    assert dataset.test_images.shape == (360, 1, 8, 8)
    assert dataset.image_shape == (1, 8, 8)
    assert dataset.num_classes == 10
    everything = np.concatenate([dataset.train_images, dataset.test_images])
    assert everything.min() == 0
    assert everything.max() == 1
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    rows = sorted(map(tuple, everything.reshape(-1, 64) * 16))
    assert rows == sorted(map(tuple, scans))
    np.testing.assert_allclose(
        np.bincount(dataset.test_labels), np.bincount(labels) * 360 / 1797, atol=1
    )


def test_digits_split_never_changes():
    # Records of other machines are compared with ours image by image.
    assert load_dataset("digits").digest == load_dataset("digits").digest
    assert load_dataset("digits").digest.startswith("8fa5883c9059ac07")


def test_load_data_gives_scaled_tensors():
    images, labels = load_data("digits", "test")
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert images.shape == (360, 1, 8, 8)
    with pytest.raises(UserError, match="unknown split 'val'"):
        load_data("digits", "val")


def test_unknown_names():
    with pytest.raises(UserError, match=r"unknown dataset 'cifar11': did you mean 'cifar10'\?"):
        canonical_name("cifar11")
    with pytest.raises(UserError, match="npz:PATH"):
        canonical_name("../../etc/passwd")
    with pytest.raises(UserError, match="not in the cache"):
        canonical_name("npz-0123456789ab")
    named = [name for name in DATASETS.names() if not issubclass(DATASETS[name], PathSource)]
    assert {"digits", "cifar10", "cifar100", "tiny-imagenet"} <= set(named)
    assert all(canonical_name(name) == name for name in named)


# Class-folder trees


def test_tree_is_read_in_the_order_of_sorted_names(tmp_path, make_tree):
    root = make_tree(tmp_path / "pets", size=(8, 6))
    (root / "train/cat/.DS_Store").write_bytes(b"no image")
    (root / "README.txt").write_text("no class")
    dataset = load_dataset(f"folder:{root}")
    assert dataset.classes == ("cat", "dog")
    assert dataset.train_labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert dataset.test_labels.tolist() == [0, 0, 1, 1]
    assert dataset.train_images.shape == (8, 3, 6, 8)
    pixels = np.asarray(Image.open(root / "train/dog/2.png"))
    np.testing.assert_array_equal(dataset.train_images[6], pixels.transpose(2, 0, 1))


def test_grey_images_have_one_channel_unless_others_are_coloured(tmp_path, make_tree):
    grey = load_dataset(f"folder:{make_tree(tmp_path / 'grey', mode='L')}")
    assert grey.image_shape == (1, 8, 8)
    make_tree(tmp_path / "mixed", mode="L")
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "mixed/test/dog/1.png")
    mixed = load_dataset(f"folder:{tmp_path / 'mixed'}")
    assert mixed.image_shape == (3, 8, 8)
    np.testing.assert_array_equal(mixed.train_images[:, :1], grey.train_images)
    np.testing.assert_array_equal(mixed.train_images[:, 2:], grey.train_images)
    assert mixed.test_images[3, :, 0, 0].tolist() == [1, 2, 3]


def test_second_load_decodes_nothing(tmp_path, make_tree, monkeypatch):
    root = make_tree(tmp_path / "pets")
    name = canonical_name(f"folder:{root}")
    first = load_dataset(name)

    def fail(paths):
        raise AssertionError("decoded again")

    monkeypatch.setattr(trees, "decode_images", fail)
    assert canonical_name(f"folder:{root}") == name
    again = load_dataset(f"folder:{root}")
    assert again.digest == first.digest
    assert again.name == name
    assert again.classes == first.classes
    np.testing.assert_array_equal(again.test_images, first.test_images)


def test_changed_tree_gets_a_new_name(tmp_path, make_tree):
    root = make_tree(tmp_path / "pets")
    name = canonical_name(f"folder:{root}")
    (root / "train/cat/9.png").write_bytes((root / "train/cat/0.png").read_bytes())
    assert canonical_name(f"folder:{root}") != name
    (root / "train/cat/9.png").unlink()
    assert canonical_name(f"folder:{root}") == name


def test_file_replaced_with_the_same_size_and_time_is_seen(tmp_path, make_tree):
    root = make_tree(tmp_path / "pets")
    replaced = root / "train/cat/0.bmp"
    for value in (0, 9):
        Image.new("RGB", (8, 8), (value, value, value)).save(replaced)
        os.utime(replaced, ns=(10**18, 10**18))
        assert load_dataset(f"folder:{root}").train_images[0, 0, 0, 0] == value


@pytest.mark.parametrize("damage", ["flip a byte", "truncate", "empty"])
def test_damaged_cache_is_never_trusted(tmp_path, make_tree, cache_dir, damage):
    root = make_tree(tmp_path / "pets")
    first = load_dataset(f"folder:{root}")
    entry = cache_dir / "datasets" / f"{first.name}.npz"
    whole = entry.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 0xFF
    spoiled = {"flip a byte": flipped, "truncate": whole[:-300], "empty": b""}[damage]
    entry.write_bytes(spoiled)
    assert load_dataset(f"folder:{root}").digest == first.digest
    assert entry.read_bytes() == whole
    entry.write_bytes(spoiled)
    message = refused(first.name)
    assert first.name in message
    assert not entry.exists()


def test_cache_entry_of_other_content_is_refused(tmp_path, make_tree, cache_dir):
    first = canonical_name(f"folder:{make_tree(tmp_path / 'a')}")
    second = canonical_name(f"folder:{make_tree(tmp_path / 'b', n_train=5)}")
    entries = cache_dir / "datasets"
    (entries / f"{first}.npz").write_bytes((entries / f"{second}.npz").read_bytes())
    assert first in refused(first)


def test_missing_and_empty_folders(tmp_path, cache_dir):
    assert "there is no" in refused(f"folder:{tmp_path / 'nowhere'}")
    assert "names no path" in refused("folder:")
    root = tmp_path / "root"
    root.mkdir()
    message = f"{root} is not a class-folder tree: it has no folder test/, nor val/"
    assert message in refused(f"folder:{root}")
    (root / "train").mkdir()
    (root / "test").mkdir()
    assert f"{root / 'test'} has no images" in refused(f"folder:{root}")
    for folder in ("train/a", "train/b", "test/a", "test/b"):
        (root / folder).mkdir()
    assert f"{root / 'test'} has no images" in refused(f"folder:{root}")
    (root / "file").write_text("")
    assert "give npz:" in refused(f"folder:{root / 'file'}")
    assert not cache_dir.exists()


@pytest.mark.parametrize(("split", "counts"), [("train", [4, 4, 0]), ("test", [2, 2, 0])])
def test_a_class_in_one_split_only_is_a_class(tmp_path, make_tree, split, counts):
    root = make_tree(tmp_path / "pets", classes=("cat", "dog", "eel"))
    (root / split / "eel").rename(root / split / ".eel")
    dataset = load_dataset(f"folder:{root}")
    assert dataset.classes == ("cat", "dog", "eel")
    labels = {"train": dataset.train_labels, "test": dataset.test_labels}
    assert np.bincount(labels[split], minlength=3).tolist() == counts
    if split == "train":
        with pytest.raises(UserError, match=r"class 'eel' of .* has no training image"):
            prepare(make_spec(dataset=canonical_name(f"folder:{root}")), torch.device("cpu"))


@pytest.mark.parametrize("folder", ["test", "val", "validation"])
def test_a_tree_of_test_images_alone_is_for_scoring(tmp_path, make_tree, folder):
    whole = load_dataset(f"folder:{make_tree(tmp_path / 'whole')}")
    root = make_tree(tmp_path / "pets")
    (root / "test").rename(root / "kept")
    (root / "kept").rename(root / folder)
    assert load_dataset(f"folder:{root}").digest == whole.digest
    (root / "train").rename(root / "elsewhere")
    dataset = load_dataset(f"folder:{root}")
    assert dataset.classes == whole.classes and not len(dataset.train_labels)
    assert np.array_equal(dataset.test_images, whole.test_images)
    test = prepare_eval(canonical_name(f"folder:{root}"), None, torch.device("cpu"))
    assert (test.num_classes, test.classes_from_labels) == (2, False)
    with pytest.raises(UserError, match="has no training images: a run needs them"):
        canonical_name(f"folder:{root}", tmp_path, to_train=True)
    with pytest.raises(UserError, match="has no training images: a run needs them"):
        prepare(make_spec(dataset=canonical_name(f"folder:{root}")), torch.device("cpu"))


def test_what_is_not_named_as_an_image_is_left_out_and_counted(tmp_path, make_tree):
    before = load_dataset(f"folder:{make_tree(tmp_path / 'pets')}").digest
    root, said = tmp_path / "pets", []
    canonical_name(f"folder:{root}", say=said.append)
    assert said == []
    junk = ("train/cat/Thumbs.db", "train/dog/desktop.ini", "test/cat/.DS_Store", "test/dog/a.txt")
    for name in junk:
        (root / name).write_bytes(b"BM no image")
    (root / "train/dog/0.png").rename(root / "train/dog/0")  # an image without an ending
    name = canonical_name(f"folder:{root}", say=said.append)
    assert load_dataset(name).digest == before
    assert said == [f"4 files in {root} left out, not named as images: Thumbs.db, …"]
    (root / "train/cat/x.JPG").write_text("no image")
    assert f"cannot decode image {root}/train/cat/x.JPG" in refused(f"folder:{root}")


@pytest.mark.parametrize("white", [1, 3])
def test_images_of_other_units_are_refused_in_folders_too(tmp_path, make_tree, white):
    root = make_tree(tmp_path / "masks")
    for path in root.rglob("*.png"):
        Image.fromarray(np.eye(8, dtype=np.uint8) * white).save(path)
    assert f"hold 0 to {white} alone, and 255 is white" in refused(f"folder:{root}")
    for path in root.rglob("*.png"):
        Image.fromarray(np.eye(8, dtype=bool)).save(path)  # which says itself what is white
    assert load_dataset(f"folder:{root}").test_images.max() == 255


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("npz:{0}/a,b/x.npz", ["npz:{0}/a,b/x.npz"]),
        ("digits, npz:{0}/a,b/x.npz ,cifar10", ["digits", "npz:{0}/a,b/x.npz", "cifar10"]),
        ("npz:b/x, y.npz,folder:{0}/a,digits", ["npz:b/x, y.npz", "folder:{0}/a,digits"]),
        ("folder:{0}/b,digits", ["folder:{0}/b", "digits"]),
        ("npz:{0}/no,such.npz,npz-0123456789ab", ["npz:{0}/no,such.npz", "npz-0123456789ab"]),
        ("stripes[size=3,seed=4],digits", ["stripes[size=3,seed=4]", "digits"]),
    ],
)
def test_a_comma_may_stand_in_a_path(tmp_path, typed, names):
    for path in ("a,b/x.npz", "b/x, y.npz", "a,digits/test"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    expected = [name.format(tmp_path) for name in names]
    assert split_names("--datasets", typed.format(tmp_path), tmp_path) == expected
    assert split_names("--datasets", expected, tmp_path) == expected


@pytest.mark.parametrize("typed", ["digits,", "npz:a.npz,,digits", ""])
def test_an_empty_place_between_names_is_refused(typed):
    with pytest.raises(UserError, match="has an empty place"):
        split_names("--datasets", typed, None)


def test_single_class(tmp_path, make_tree):
    assert "one class 'cat'" in refused(f"folder:{make_tree(tmp_path / 'p', classes=('cat',))}")


def test_mixed_sizes_name_both_files(tmp_path, make_tree, cache_dir):
    root = make_tree(tmp_path / "pets")
    Image.new("RGB", (9, 8)).save(root / "test/dog/1.png")
    message = refused(f"folder:{root}")
    assert f"{root}/train/cat/0.png is 8x8, {root}/test/dog/1.png is 9x8" in message
    assert not cache_dir.exists()


@pytest.mark.parametrize("suffix", [".png", ".jpeg", ".webp", ".bmp", ".tiff"])
def test_truncated_image_is_named(tmp_path, make_tree, suffix):
    root = make_tree(tmp_path / "pets", size=(32, 32))
    victim = root / f"train/dog/x{suffix}"
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(victim)
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    assert f"cannot decode image {victim}" in refused(f"folder:{root}")


def test_files_that_are_no_usable_image_are_named(tmp_path, make_tree, monkeypatch):
    root = make_tree(tmp_path / "pets")
    victim = root / "train/dog/x.png"
    victim.write_text("no image")
    assert f"cannot decode image {victim}" in refused(f"folder:{root}")
    victim.unlink()
    victim.mkdir()
    assert f"cannot decode image {victim}" in refused(f"folder:{root}")
    victim.rmdir()
    victim.symlink_to(root / "nowhere")
    assert str(victim) in refused(f"folder:{root}")
    victim.unlink()
    Image.fromarray(np.full((8, 8), 40000, dtype=np.uint16)).save(victim)
    assert f"image {victim} has mode I;16" in refused(f"folder:{root}")
    Image.new("RGB", (40, 40)).save(victim)
    for limit in (1000, 100):  # Pillow warns above its limit and raises above twice that
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        message = refused(f"folder:{root}")
        assert str(victim) in message
        assert "decompression bomb" in message


# CIFAR


def test_cifar10_as_class_folders(tmp_path, make_tree):
    make_tree(tmp_path / "there/cifar10", CIFAR10, n_train=2, n_test=1, size=(32, 32))
    below = load_dataset("cifar10", tmp_path / "there")
    itself = load_dataset("cifar10", tmp_path / "there/cifar10")
    assert below.name == itself.name == "cifar10"
    assert below.classes == CIFAR10
    assert below.train_images.shape == (20, 3, 32, 32)
    assert below.digest == itself.digest


def test_tree_of_other_classes_or_size_is_no_cifar10(tmp_path, make_tree):
    make_tree(tmp_path / "a/cifar10", (*CIFAR10[:9], "lorry"), 1, 1, (32, 32))
    assert "unknown class 'lorry'" in refused("cifar10", tmp_path / "a")
    make_tree(tmp_path / "b/cifar10", CIFAR10[:9], 1, 1, (32, 32))
    assert "it has no class 'truck'" in refused("cifar10", tmp_path / "b")
    make_tree(tmp_path / "c/cifar10", CIFAR10, 1, 1, (8, 8))
    assert "not (3, 32, 32)" in refused("cifar10", tmp_path / "c")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_absent_cifar_says_what_helps(tmp_path, name):
    message = refused(name, tmp_path)
    assert f"{name} is not in {tmp_path}" in message
    assert "--data-dir" in message
    assert "--download" in message


def write_cifar10(root, monkeypatch):
    """Two training images and one test image in torchvision's layout, with the sums it checks."""
    from torchvision.datasets import CIFAR10 as Torchvision

    folder = root / Torchvision.base_folder
    folder.mkdir(parents=True)

    def write(name, content):
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return name, hashlib.md5(data).hexdigest()

    pixels = np.arange(2 * 3072, dtype=np.int64).reshape(2, 3072).astype(np.uint8)
    train = write("data_batch_1", {"data": pixels, "labels": [3, 9]})
    test = write("test_batch", {"data": pixels[:1], "labels": [5]})
    meta, sum_ = write("batches.meta", {"label_names": list(CIFAR10)})
    monkeypatch.setattr(Torchvision, "train_list", [train])
    monkeypatch.setattr(Torchvision, "test_list", [test])
    monkeypatch.setattr(Torchvision, "meta", {"filename": meta, "key": "label_names", "md5": sum_})
    return folder, pixels


def test_cifar10_in_torchvisions_layout(tmp_path, monkeypatch):
    folder, pixels = write_cifar10(tmp_path, monkeypatch)
    dataset = load_dataset("cifar10", tmp_path)
    assert dataset.train_labels.tolist() == [3, 9]
    assert dataset.test_labels.tolist() == [5]
    assert dataset.classes == CIFAR10
    np.testing.assert_array_equal(dataset.train_images, pixels.reshape(2, 3, 32, 32))
    assert load_dataset("cifar10", tmp_path, download=True).digest == dataset.digest
    (folder / "test_batch").write_bytes(b"other")
    assert "--download" in refused("cifar10", tmp_path)


def test_download_without_network(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10 as Torchvision

    monkeypatch.setattr(Torchvision, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    message = refused("cifar10", tmp_path / "new", True)
    assert "cannot download cifar10" in message
    assert "refused" in message


# Tiny-ImageNet


@pytest.fixture
def tiny(tmp_path):
    root = tmp_path / "tiny-imagenet-200"
    (root / "val/images").mkdir(parents=True)
    (root / "wnids.txt").write_text("n02\nn01\n")
    lines = []
    for label, wnid in enumerate(("n01", "n02")):
        images = root / "train" / wnid / "images"
        images.mkdir(parents=True)
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("no image")
        for number in range(3):
            colour = 100 * label + number
            Image.new("RGB", (64, 64), (colour,) * 3).save(images / f"{wnid}_{number}.JPEG")
    for number, wnid in enumerate(("n02", "n01", "n02")):
        Image.new("L", (64, 64), 50 * number).save(root / f"val/images/val_{number}.JPEG")
        lines.append(f"val_{number}.JPEG\t{wnid}\t0\t32\t44\t62\n")
    (root / "val/val_annotations.txt").write_text("".join(lines))
    return root


def test_tiny_imagenet_uses_val_as_test(tmp_path, tiny):
    dataset = load_dataset("tiny-imagenet", tmp_path)
    assert dataset.name == "tiny-imagenet"
    assert dataset.classes == ("n01", "n02")
    assert dataset.image_shape == (3, 64, 64)
    assert dataset.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.train_images[:, 0, 0, 0].tolist() == [0, 1, 2, 100, 101, 102]
    assert dataset.test_labels.tolist() == [1, 0, 1]
    assert dataset.test_images[:, 0, 0, 0].tolist() == [0, 50, 100]
    assert load_dataset("tiny-imagenet", tiny).digest == dataset.digest


def test_relabelled_tiny_imagenet_is_another_dataset(tmp_path, tiny):
    before = load_dataset("tiny-imagenet", tmp_path).digest
    annotations = tiny / "val/val_annotations.txt"
    annotations.write_text(annotations.read_text().replace("val_0.JPEG\tn02", "val_0.JPEG\tn01"))
    after = load_dataset("tiny-imagenet", tmp_path)
    assert after.test_labels.tolist() == [0, 0, 1]
    assert after.digest != before


def test_broken_tiny_imagenet(tmp_path, tiny):
    annotations = tiny / "val/val_annotations.txt"
    text = annotations.read_text()
    annotations.write_text(text.replace("val_1.JPEG\tn01", "val_1.JPEG\tn77"))
    assert "line 2: 'n77'" in refused("tiny-imagenet", tmp_path)
    annotations.write_text(text.replace("val_2", "val_9"))
    assert "val_9.JPEG" in refused("tiny-imagenet", tmp_path)
    annotations.unlink()
    assert "val_annotations.txt" in refused("tiny-imagenet", tmp_path)
    assert "unzip" in refused("tiny-imagenet", tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("dataset", "label", "name"),
    [("cifar10", 3, "cat"), ("cifar100", 99, "worm"), ("digits", 3, "3"), ("cifar10", 10, "10")],
)
def test_a_class_has_the_name_that_its_dataset_gives_it(dataset, label, name):
    assert class_name(class_names(dataset), label) == name


@pytest.mark.parametrize("folder", ["pets", "<b>pets</b> $x$", "\x1b[31m|pets|", "наши звери"])
def test_a_folder_is_called_by_its_name_and_classes_by_theirs(tmp_path, make_tree, folder):
    root = make_tree(tmp_path / folder.replace("/", "-"), classes=("a cat", "dog & <co>"))
    names = data_names(canonical_name(f"folder:{root}"))
    assert names is not None
    assert names.classes == ("a cat", "dog - -co")
    assert names.title in ("pets", "b-pets--b- -x", "31m-pets", "наши звери")


def test_images_choose_the_architecture_that_nobody_names(tmp_path, make_tree):
    found = {}
    for side in (8, 16, 17, 64, 65):
        root = make_tree(tmp_path / f"{side}", n_train=1, n_test=1, size=(side, 7))
        found[side] = default_arch(canonical_name(f"folder:{root}"))
    small, medium, large = "smallcnn", "preactresnet18", "timm-resnet18"
    assert found == {8: small, 16: small, 17: medium, 64: medium, 65: large}
    assert default_arch("cifar10") == medium
    assert default_arch("digits") == small
