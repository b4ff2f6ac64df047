"""Training images that stay on the device, and are shuffled and augmented there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from regmix_bench.distributed.collectives import share
from regmix_bench.errors import UserError
from regmix_bench.specs.recipe import Augmentation, Division, Recipe
from regmix_bench.types import Batch


def as_float(images: Tensor) -> Tensor:
    """Return images as float32 in [0, 1]; uint8 is divided by 255."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


class Batches:
    """The training set in shuffled, augmented batches.

    ``images`` (N, C, H, W), uint8 or float32 in [0, 1], and ``labels`` (N,) int64 lie on the device
    and stay there in that dtype. ``augmentation`` is drawn for each image: "crop" pads by an eighth
    of the side with zeros (4 at 32, 1 at 8, 8 at 64) and crops to the old size, "crop-flip" also
    mirrors it left to right with probability one half, "none" leaves it as it is. ``division`` is
    that of the recipe's ``batches``.

    Images without a label come last, and their label is −1. Half of a batch is labelled then, and
    an epoch has as many batches as ``length`` images would make. Each half goes through its images
    in one random order after the other, and holds no image twice: where there are too few, the
    other half is the larger one, or the batch is smaller.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        batch_size: int,
        augmentation: Augmentation,
        division: Division = "even",
        length: int | None = None,
    ) -> None:
        self.size = len(images)
        #: The number of images with a label of the data set's own, which come first.
        self.labelled = int((labels >= 0).sum())
        self._images = images
        self._labels = labels
        self._batch_size = batch_size
        self._augmentation = augmentation
        self._division: Division = division
        #: The number of images that as many batches would hold whole.
        self.length = self.size if length is None else length
        #: Whether images come without a label, which they do until they get one.
        self.partly_labelled = self.labelled < self.size

    def __len__(self) -> int:
        """Return the number of batches in an epoch, none of which is of one image alone."""
        if self._division == "equal":
            return self.length // self._batch_size
        # Batch norm has no statistics of a single value.
        return max(1, min(math.ceil(self.length / self._batch_size), self.length // 2))

    @property
    def visited(self) -> int:
        """The number of images in an epoch, which counts one as often as it is visited."""
        return sum(map(sum, self._halves()))

    @property
    def batch_sizes(self) -> set[int]:
        """The sizes that batches have: one, or two that differ by one."""
        return set(map(sum, self._halves()))

    @property
    def once_an_epoch(self) -> bool:
        """True where every image has a label, and an epoch is of all of them."""
        return self.labelled == self.size == self.length

    def pseudo_label(self, labels: Tensor) -> None:
        """Give the images without a label ``labels`` (U,) int64, which they keep."""
        self._labels = torch.cat([self._labels[: self.labelled], labels.to(self._labels)])
        self.partly_labelled = False

    def labelled_alone(self) -> Batches:
        """Return as many batches of the labelled images alone."""
        return self._of(self._images[: self.labelled], self._labels[: self.labelled])

    def unlabelled_images(self) -> Tensor:
        """Return the images (U, C, H, W) without a label of the data set's own, as they lie."""
        return self._images[self.labelled :]

    def _of(self, images: Tensor, labels: Tensor) -> Batches:
        rest = self._batch_size, self._augmentation, self._division, self.length
        return Batches(images, labels, *rest)

    def _halves(self) -> list[tuple[int, int]]:
        """Return of each batch how many images are labelled, and how many are not."""
        visits = len(self) * self._batch_size if self._division == "equal" else self.length
        small, larger = divmod(visits, len(self))
        without = self.size - self.labelled
        found = []
        for number in range(len(self)):
            total = small + (number < larger)
            others = min(total - min(math.ceil(total / 2), self.labelled), without)
            found.append((min(total - others, self.labelled), others))
        return found

    def channel_statistics(self) -> tuple[list[float], list[float]]:
        """Return mean and standard deviation per channel, in [0, 1], before augmentation."""
        sums = torch.zeros(2, self._images.shape[1], dtype=torch.float64)
        for part in self._images.split(1000):  # in parts: all of them in float64 would not fit
            pixels = as_float(part).double()
            sums[0] += pixels.sum((0, 2, 3)).cpu()
            sums[1] += pixels.square().sum((0, 2, 3)).cpu()
        mean, square = sums / self._images[:, 0].numel()
        return mean.tolist(), (square - mean.square()).clamp_min(0).sqrt().tolist()

    def epoch(self, generator: torch.Generator, repeats: int = 1) -> Iterator[Batch]:
        """Yield every image once, in random order and augmentation, both drawn from ``generator``.

        Even batches have at most ``batch_size`` images, three where two would leave one alone, and
        differ in size by one at most; of equal ones, those are left out that come last in the
        order. ``generator`` lives on the images' device. In a group of processes each draws all,
        and gets its share of every batch.

        Of ``repeats`` above 1 each batch comes so often in a row, the last as often as is left: an
        epoch has as many batches as ever, and only its first images.
        """
        halves = self._halves()[: math.ceil(len(self) / repeats)]
        device = self._labels.device
        batches = _dealt(self.labelled, [known for known, _ in halves], generator, device)
        if self.labelled < self.size:
            others = _dealt(
                self.size - self.labelled, [other for _, other in halves], generator, device
            )
            pairs = zip(batches, others, strict=True)
            batches = [
                torch.cat([known, self.labelled + other])[
                    # In a group each process gets a part of the batch, with its share of both.
                    torch.randperm(len(known) + len(other), generator=generator, device=device)
                ]
                for known, other in pairs
            ]
        for start in range(0, len(self), repeats):
            index = batches[start // repeats]
            images = self._images[index]
            if self._augmentation != "none":
                images = random_crop(images, generator, flip=self._augmentation == "crop-flip")
            mine = share(len(index))
            batch = Batch(
                x=as_float(images[mine]),
                y=self._labels[index[mine]],
                index=index[mine],
                total=len(index),
                partly_labelled=self.partly_labelled,
            )
            yield from [batch] * min(repeats, len(self) - start)


def _dealt(
    size: int, numbers: Sequence[int], generator: torch.Generator, device: torch.device
) -> list[Tensor]:
    """Return positions below ``size`` in batches of ``numbers``, none of which holds one twice.

    All come in random order, and all again in another when each has come.
    """
    order, used, dealt = torch.arange(0, device=device), 0, []
    for number in numbers:
        if used + number > len(order):
            left = order[used:]
            following = torch.randperm(size, generator=generator, device=device)
            # Last come those that the batch at hand holds already; sorted, as the host waits for a
            # mask.
            last = torch.isin(following, left).int().argsort(stable=True)
            order, used = torch.cat([left, following[last]]), 0
        dealt.append(order[used : used + number])
        used += number
    return dealt


def check_batches(size: int, recipe: Recipe) -> None:
    """Raise :class:`UserError` unless ``size`` training images fill a batch that has to be full."""
    if recipe.batches == "equal" and size < recipe.batch_size:
        raise UserError(
            f"recipe.batches = 'equal': {size} training images do not fill a batch of"
            f" {recipe.batch_size}; use a smaller recipe.batch_size, or 'even'"
        )


def random_crop(images: Tensor, generator: torch.Generator, flip: bool) -> Tensor:
    """Shift each image (B, C, H, W) by its own random offset, and mirror half of them if ``flip``.

    The images are padded by an eighth of their sides with zeros and cropped to the old size. All
    draws come from ``generator``, on the images' device; dtype and shape stay.
    """

    def draw(high: int) -> Tensor:
        return torch.randint(high, (len(images), 1), generator=generator, device=images.device)

    height, width = images.shape[2:]
    top, left = height // 8, width // 8
    rows = torch.arange(height, device=images.device) + draw(2 * top + 1)
    columns = torch.arange(width, device=images.device) + draw(2 * left + 1)
    if flip:
        columns = torch.where(draw(2).bool(), columns.flip(1), columns)
    padded = functional.pad(images, (left, left, top, top))
    # Shift and mirror are one gather of pixels, by the same positions in every channel.
    positions = rows[:, :, None] * padded.shape[3] + columns[:, None, :]
    positions = positions.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return padded.flatten(2).gather(2, positions).view_as(images)
