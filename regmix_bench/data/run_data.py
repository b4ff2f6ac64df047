"""The data of one run: what it is trained, validated and tested on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regmix_bench.attacks.protocol import AttackedData
from regmix_bench.data.batches import Batches, as_float, check_batches
from regmix_bench.data.dataset import Dataset, Images, Labels, check_trainable
from regmix_bench.data.extra import load_extra
from regmix_bench.data.sources import load_dataset
from regmix_bench.data.splits import MAX_VALIDATION, balanced_sample, hold_out
from regmix_bench.errors import UserError
from regmix_bench.specs import Component, RunSpec
from regmix_bench.system.signatures import typed
from regmix_bench.types import NO_LABEL

__all__ = [
    "Batches",
    "EvalData",
    "RunData",
    "TrainingData",
    "load_data",
    "prepare",
    "prepare_eval",
    "prepare_training",
]


@dataclass(frozen=True, eq=False)
class EvalData:
    """Images ``x`` (N, C, H, W) float32 in [0, 1] and labels ``y`` (N,) int64 to score.

    ``index`` (N,) int64, in main memory, are their positions in ``load_data(name, "test")``;
    ``digest`` is that of the whole dataset. With ``classes_from_labels``, ``num_classes`` are those
    that the labels need, and a model may know more.
    """

    x: Tensor
    y: Tensor
    index: Tensor
    digest: str
    num_classes: int
    classes_from_labels: bool = False

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of every image."""
        channels, height, width = self.x.shape[1:]
        return channels, height, width

    @property
    def attacked_data(self) -> AttackedData:
        """The facts that attacks are asked about, before the first of them runs."""
        return AttackedData(self.image_shape, self.num_classes, len(self.y))

    def require(self, digest: str | None, dataset: str, owner: str) -> None:
        """Raise :class:`UserError` unless ``digest``, recorded by ``owner``, is that of the data.

        ``dataset`` is the data's name.
        """
        if self.digest != digest:
            raise UserError(
                f"dataset {dataset!r} here is not that of {owner}: its SHA-256 begins"
                f" {self.digest[:12]}, not {(digest or 'none')[:12]}"
            )


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The data that a model is trained and selected on, on their device.

    ``validation`` are images (N, C, H, W) float32 in [0, 1] and labels (N,) int64; every image has
    the shape ``image_shape`` (C, H, W). ``hidden`` (U,) are labels of the first images that are
    trained on without one, in main memory: what is learnt never asks them, and how good
    pseudo-labels are is told by them.
    """

    train: Batches
    validation: tuple[Tensor, Tensor]
    image_shape: tuple[int, int, int]
    num_classes: int
    hidden: Tensor


@dataclass(frozen=True, eq=False)
class RunData(TrainingData):
    """The data of one run, those that its model is scored on among them."""

    test: EvalData


@typed
def load_data(
    name: str, split: Literal["train", "test"], data_dir: str | Path | None = None
) -> tuple[Tensor, Tensor]:
    """Load images (N, C, H, W) float32 in [0, 1] and labels (N,) int64 of a whole split.

    ``name`` is anything ``--datasets`` takes, or a dataset's name in a record. Raises
    :class:`UserError` for an unknown name or split, and for data that is absent or unusable.
    """
    dataset = load_dataset(name, Path(data_dir) if data_dir is not None else None)
    if split == "train":
        check_trainable(dataset.name, dataset.train_labels, dataset.classes)
        return _scored(dataset.train_images, dataset.train_labels, torch.device("cpu"))
    return _scored(dataset.test_images, dataset.test_labels, torch.device("cpu"))


def prepare(
    spec: RunSpec, device: torch.device, data_dir: Path | None = None, download: bool = False
) -> RunData:
    """Load a run's dataset, split it, and put it on ``device``.

    The training part is that of :func:`prepare_training`. ``spec.eval_examples`` are sampled,
    class-balanced, from the test set. Raises :class:`UserError` where there are fewer images than
    asked for, too few for the classes or for an equal batch, or none to train on, and for extra
    images that do not fit, or are test images.
    """
    dataset = load_dataset(spec.dataset, data_dir, download, spec.component("dataset"))
    data = _training_data(dataset, spec, device)
    if spec.extra is not None:
        _check_apart(dataset, spec.extra)
    return RunData(**vars(data), test=_eval_data(dataset, spec.eval_examples, device))


def prepare_training(
    spec: RunSpec, device: torch.device, data_dir: Path | None = None, download: bool = False
) -> TrainingData:
    """Load what a run is trained and selected on, without a look at the test images.

    The same images for every method and seed: ``spec.train_examples`` are sampled, class-balanced,
    from the training set, ``spec.labelled`` of these likewise, and the validation part is held out
    from those (:func:`hold_out`), unless the dataset brings its own, of which at most 1,000 are
    used, and as small a share as of the training images are labelled. An epoch has as many batches
    as if every image had its label. Raises as :func:`prepare` does.
    """
    component = spec.component("dataset")
    dataset = load_dataset(spec.dataset, data_dir, download, component, tested=False)
    return _training_data(dataset, spec, device)


def _training_data(dataset: Dataset, spec: RunSpec, device: torch.device) -> TrainingData:
    check_trainable(dataset.name, dataset.train_labels, dataset.classes)
    drawn = _sampled(dataset.name, "train", dataset.train_labels, spec.train_examples)
    train = drawn[_labelled(dataset, dataset.train_labels[drawn], spec.labelled)]
    others, length = np.setdiff1d(drawn, train), len(drawn)
    if dataset.validation is None:
        _check_two_per_class(dataset, dataset.train_labels[train], spec)
        length = len(hold_out(dataset.train_labels[drawn])[0])
        kept, held_out = hold_out(dataset.train_labels[train])
        validation_images = dataset.train_images[train[held_out]]
        validation_labels = dataset.train_labels[train[held_out]]
        train = train[kept]
    else:
        images, labels = dataset.validation
        most = min(MAX_VALIDATION, len(labels)) * len(train) / len(drawn)
        chosen = balanced_sample(labels, max(len(np.unique(labels)), round(most)))
        validation_images, validation_labels = images[chosen], labels[chosen]
    if spec.recipe.unlabelled == "none":
        others = others[:0]
    parts = [dataset.train_images[np.concatenate([train, others])]]
    if spec.extra is not None:
        parts.append(_extra_images(dataset, spec.extra))
    pixels = _joined(parts)
    check_batches(len(pixels), spec.recipe)
    known = torch.full((len(pixels),), NO_LABEL)
    known[: len(train)] = torch.from_numpy(dataset.train_labels[train])
    return TrainingData(
        train=Batches(
            torch.from_numpy(pixels).to(device),
            known.to(device),
            spec.recipe.batch_size,
            spec.recipe.augmentation,
            spec.recipe.batches,
            length,
        ),
        validation=_scored(validation_images, validation_labels, device),
        image_shape=dataset.image_shape,
        num_classes=dataset.num_classes,
        hidden=torch.from_numpy(dataset.train_labels[others]),
    )


def prepare_eval(
    name: str,
    n: int | None,
    device: torch.device,
    data_dir: Path | None = None,
    download: bool = False,
    component: Component | None = None,
) -> EvalData:
    """Load the test images of a dataset, or a class-balanced sample of ``n``, onto ``device``.

    The same images as every run with ``eval_examples`` = ``n`` is scored on. ``component`` is the
    dataset's, where a specification has one. Raises as :func:`prepare` does.
    """
    return _eval_data(load_dataset(name, data_dir, download, component), n, device)


def _eval_data(dataset: Dataset, n: int | None, device: torch.device) -> EvalData:
    chosen = _sampled(dataset.name, "test", dataset.test_labels, n)
    x, y = _scored(dataset.test_images[chosen], dataset.test_labels[chosen], device)
    return EvalData(
        x,
        y,
        torch.from_numpy(chosen),
        dataset.digest,
        dataset.num_classes,
        classes_from_labels=not dataset.classes,
    )


def _sampled(name: str, split: Literal["train", "test"], labels: Labels, n: int | None) -> Labels:
    if n is None:
        return np.arange(len(labels))
    option = "train_examples" if split == "train" else "eval_examples"
    if n > len(labels):
        raise UserError(f"{option} {n}: {name} has {len(labels)} {split} images")
    if n < (classes := len(np.unique(labels))):
        raise UserError(
            f"{option} {n} is less than one for each of the {classes} classes of {name}:"
            f" choose {classes} to {len(labels)}"
        )
    return balanced_sample(labels, n)


def _labelled(dataset: Dataset, labels: Labels, asked: int | float | None) -> NDArray[np.int64]:
    """Return the positions of the training images, with ``labels`` (N,), that keep theirs."""
    if asked is None:
        return np.arange(len(labels))
    n = asked if isinstance(asked, int) else round(asked * len(labels))
    said = f"{asked}" if isinstance(asked, int) else f"{100 * asked:.12g}%, {n} images,"
    if n > len(labels):
        raise UserError(f"data.labelled = {said}: {dataset.name} has {len(labels)} training images")
    if n < (classes := len(np.unique(labels))):
        raise UserError(
            f"data.labelled = {said} is less than one for each of the {classes} classes of"
            f" {dataset.name}: choose {2 * classes} to {len(labels)}"
        )
    return balanced_sample(labels, n)


def _extra_images(dataset: Dataset, name: str) -> Images:
    """Load extra images; raises :class:`UserError` unless they are as those of ``dataset``."""
    images = load_extra(name)
    if images.shape[1:] != dataset.image_shape:
        raise UserError(
            f"data.extra {name}: its images are {images.shape[1:]} (C, H, W), and those of"
            f" {dataset.name} {dataset.image_shape}"
        )
    return images


def _check_apart(dataset: Dataset, name: str) -> None:
    """Raise :class:`UserError` where extra images are test images of ``dataset``."""
    tested = {image.tobytes() for image in _as_pixels(dataset.test_images)}
    if found := sum(image.tobytes() in tested for image in _as_pixels(load_extra(name))):
        raise UserError(
            f"data.extra {name}: {found} of its images are test images of {dataset.name}"
        )


def _as_pixels(images: Images) -> Iterator[Images]:
    """Yield each image with its values in 0 to 255, rounded where they were not stored so."""
    for image in images:
        yield image if image.dtype == np.uint8 else (image * 255).round().astype(np.uint8)


def _joined(parts: Sequence[Images]) -> Images:
    """Return all images in one array, as float32 in [0, 1] where not all have one type."""
    if len({part.dtype for part in parts}) == 1:
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
    return np.concatenate([as_float(torch.from_numpy(part)).numpy() for part in parts])


def _check_two_per_class(dataset: Dataset, labels: Labels, spec: RunSpec) -> None:
    counts = np.bincount(labels, minlength=dataset.num_classes)
    if counts.min() < 2:
        n, hidden = spec.train_examples, spec.labelled is not None
        asked = f" among the {n} of train_examples" if n is not None else ""
        asked = f" among the {len(labels)} that are labelled" if hidden else asked
        raise UserError(
            f"class {dataset.classes[counts.argmin()]!r} of {dataset.name} has one training image"
            f"{asked}: two are needed, as one is held out for validation"
        )


def _scored(images: Images, labels: Labels, device: torch.device) -> tuple[Tensor, Tensor]:
    return (
        as_float(torch.from_numpy(images).to(device)),
        torch.from_numpy(labels).to(device),
    )
