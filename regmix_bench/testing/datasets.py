"""The contract of data sets."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch

from regmix_bench.data.dataset import Dataset, Images, faults
from regmix_bench.data.sources import default_data_dir
from regmix_bench.errors import validated
from regmix_bench.models import ARCHS
from regmix_bench.specs import Recipe
from regmix_bench.specs.components import parse_component
from regmix_bench.testing.contract import (
    Rule,
    Subject,
    it_says_what_it_is,
    parameters_are_named_validated_and_written_down,
    require,
)

#: The share of test images that may stand among the training images: data of the field have some.
LARGEST_OVERLAP = 0.01


def its_recipe_and_architecture_exist(subject: Subject) -> None:
    """Hold what a run takes that names neither to what there is."""
    validated(Recipe, subject.cls.recipe, "recipe")
    parse_component("arch", ARCHS, subject.cls.arch)


def images_and_labels_are_what_a_run_takes(subject: Subject) -> None:
    """Look at shapes, dtypes and ranges of every split."""
    found = faults(_load(subject))
    require(not found, "; ".join(found))


def it_is_called_by_its_name(subject: Subject) -> None:
    """Hold the names that the data carry to those of their source."""
    dataset, classes = _load(subject), tuple(subject.cls.classes)
    require(dataset.name == subject.name, f"the data call themselves {dataset.name!r}")
    few = len(set(dataset.classes)) == len(dataset.classes) >= 2
    require(few, f"its classes are {dataset.classes[:9]}, not two or more different names")
    told = not classes or classes == dataset.classes
    require(told, f"its source says {classes[:9]}, and the data {dataset.classes[:9]}")


def every_class_can_be_trained_and_held_out(subject: Subject) -> None:
    """Count the training images of each class; without a validation part one is held out."""
    dataset = _load(subject)
    counts = np.bincount(dataset.train_labels, minlength=dataset.num_classes)
    needed = 2 if dataset.validation is None else 1
    fewest = int(counts.argmin())
    name = dataset.classes[fewest]
    enough = counts[fewest] >= needed
    require(enough, f"class {name!r} has {counts[fewest]} training images, not {needed} or more")


def it_is_the_same_at_every_load(subject: Subject) -> None:
    """Load it under two states of the global generators of Python, NumPy and torch."""
    digests = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        digests.append(_load(subject).digest)
    require(digests[0] == digests[1], "its digest differs from one load to the next")


def the_test_images_are_not_trained_on(subject: Subject) -> None:
    """Look for test images among those of training and validation, bit for bit."""
    dataset = _load(subject)
    seen = _digests(dataset.train_images)
    if dataset.validation is not None:
        seen |= _digests(dataset.validation[0])
    shared = sum(digest in seen for digest in map(_digest, dataset.test_images))
    count = len(dataset.test_images)
    few = shared <= LARGEST_OVERLAP * count
    require(few, f"{shared} of {count} test images stand among those of training")


RULES: tuple[Rule, ...] = (
    it_says_what_it_is,
    parameters_are_named_validated_and_written_down,
    its_recipe_and_architecture_exist,
    images_and_labels_are_what_a_run_takes,
    it_is_called_by_its_name,
    every_class_can_be_trained_and_held_out,
    it_is_the_same_at_every_load,
    the_test_images_are_not_trained_on,
)


def _load(subject: Subject) -> Dataset:
    folder = subject.data_dir or default_data_dir()
    dataset: Dataset = subject.create().load(folder, subject.download)
    return dataset


def _digests(images: Images) -> set[bytes]:
    return set(map(_digest, images))


def _digest(image: Images) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()
