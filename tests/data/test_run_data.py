from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.synthetic import make_spec

from regmix_bench.data import canonical_name, load_data, load_dataset, prepare
from regmix_bench.data.splits import balanced_sample, hold_out
from regmix_bench.errors import UserError
from regmix_bench.specs import Recipe

CPU = torch.device("cpu")
#: A run of images as they are.
plain = partial(make_spec, recipe=Recipe(augmentation="none"))


labels_of_classes = st.lists(st.integers(2, 40), min_size=2, max_size=6).flatmap(
    lambda counts: st.permutations([c for c, n in enumerate(counts) for _ in range(n)])
)


@settings(deadline=None)
@given(labels=labels_of_classes, data=st.data())
def test_samples_are_as_balanced_as_the_classes_allow(labels, data):
    labels = np.array(labels)
    n = data.draw(st.integers(1, len(labels)))
    sample = balanced_sample(labels, n)
    assert len(sample) == n
    assert (np.diff(sample) > 0).all()
    available = np.bincount(labels)
    drawn = np.bincount(labels[sample], minlength=len(available))
    # A class behind the others by more than one has given all it has.
    behind = drawn < drawn.max() - 1
    assert (drawn[behind] == available[behind]).all()
    np.testing.assert_array_equal(sample, balanced_sample(labels, n))
    smaller = balanced_sample(labels, max(1, n // 2))
    assert set(smaller) <= set(sample)


@settings(deadline=None)
@given(labels=labels_of_classes)
def test_held_out_part_is_disjoint_and_leaves_half_of_every_class(labels):
    labels = np.array(labels)
    train, validation = hold_out(labels)
    assert sorted([*train, *validation]) == list(range(len(labels)))
    available = np.bincount(labels)
    held_out = np.bincount(labels[validation], minlength=len(available))
    assert held_out.min() >= 1
    assert (held_out <= np.maximum(1, available // 2)).all()
    assert len(validation) == max(len(available), len(labels) // 10)


def test_held_out_part_is_at_most_a_thousand():
    labels = np.arange(50_000) % 10
    _, validation = hold_out(labels)
    assert np.bincount(labels[validation]).tolist() == [100] * 10


def test_samples_are_random():
    labels = np.zeros(1000, dtype=int)
    sample = balanced_sample(labels, 500)
    # Mean of 500 of 0..999 without replacement: 499.5, standard deviation 9.
    assert abs(sample.mean() - 499.5) < 45
    assert len(set(np.diff(sample))) > 3


def train_images(data) -> torch.Tensor:
    batches = list(data.train.epoch(torch.Generator().manual_seed(0)))
    order = torch.cat([batch.index for batch in batches]).argsort()
    return torch.cat([batch.x for batch in batches])[order]


def test_digits_are_split_and_the_test_set_is_whole():
    data = prepare(plain(), CPU)
    assert data.train.size == 1437 - 143
    images, labels = data.validation
    assert images.shape == (143, 1, 8, 8)
    counts = torch.bincount(labels)
    assert counts.max() - counts.min() <= 1
    pool, _ = load_data("digits", "train")
    rows = [tuple(image.flatten().tolist()) for image in torch.cat([train_images(data), images])]
    assert sorted(rows) == sorted(tuple(image.flatten().tolist()) for image in pool)
    test_images, test_labels = load_data("digits", "test")
    assert torch.equal(data.test.x, test_images)
    assert torch.equal(data.test.y, test_labels)
    assert data.test.index.tolist() == list(range(360))
    assert data.test.digest == load_dataset("digits").digest
    assert (data.test.num_classes, data.test.image_shape) == (10, (1, 8, 8))


def test_every_run_of_a_comparison_shares_its_images():
    one = prepare(plain(train_examples=200, eval_examples=50, seed=1), CPU)
    two = prepare(plain(train_examples=200, eval_examples=50, seed=2), CPU)
    assert torch.equal(train_images(one), train_images(two))
    assert torch.equal(one.validation[0], two.validation[0])
    assert torch.equal(one.test.index, two.test.index)


def test_samples_of_the_asked_size():
    data = prepare(plain(train_examples=200, eval_examples=50), CPU)
    assert data.train.size == 180
    assert torch.bincount(data.validation[1]).tolist() == [2] * 10
    assert torch.bincount(data.test.y).tolist() == [5] * 10
    index = data.test.index
    assert bool((index[1:] > index[:-1]).all())
    images, labels = load_data("digits", "test")
    assert torch.equal(data.test.x, images[index])
    assert torch.equal(data.test.y, labels[index])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"train_examples": 1438}, "train_examples 1438: digits has 1437 train images"),
        ({"eval_examples": 361}, "eval_examples 361: digits has 360 test images"),
        ({"train_examples": 9}, "train_examples 9 is less than one for each of the 10 classes"),
        ({"eval_examples": 9}, "eval_examples 9 is less than one for each of the 10 classes"),
        ({"train_examples": 19}, "one training image among the 19 of train_examples"),
    ],
)
def test_impossible_samples_are_refused(asked, message):
    with pytest.raises(UserError, match=message):
        prepare(plain(**asked), CPU)


def test_own_validation_part_is_used_and_training_set_left_whole(tmp_path, arrays):
    validation = {"val_images": arrays["test_images"][::-1], "val_labels": np.arange(6) % 3}
    np.savez(tmp_path / "a.npz", **arrays, **validation)
    name = canonical_name(f"npz:{tmp_path / 'a.npz'}")
    data = prepare(plain(dataset=name), CPU)
    assert data.train.size == 30
    expected = torch.from_numpy(validation["val_images"].transpose(0, 3, 1, 2) / np.float32(255))
    assert torch.equal(data.validation[0], expected)
    assert data.test.image_shape == (3, 6, 5)


def test_class_of_one_image_cannot_be_held_out(tmp_path, arrays):
    arrays["train_labels"][:] = 0
    arrays["train_labels"][:3, 0] = (0, 1, 2)
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=r"class '1' of npz-[0-9a-f]{12} has one training image:"):
        prepare(plain(dataset=canonical_name(f"npz:{tmp_path / 'a.npz'}")), CPU)
