"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), in torchvision's layout or as class-folder trees."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from regmix_bench.data.dataset import Dataset
from regmix_bench.data.protocol import DataSource
from regmix_bench.data.trees import class_tree
from regmix_bench.errors import UserError, unknown

# In the order of the labels, which is that of the alphabet.
_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
    camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
    cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
    lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
    oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


class CIFAR(DataSource):
    """The part that both share.

    Looks for torchvision's layout, whose MD5 sums are checked, then for a class-folder tree in
    ``data_dir/<name>`` or ``data_dir`` itself.
    """

    image_shape = (3, 32, 32)
    #: The folder and the class that torchvision has for it.
    official: ClassVar[str]
    torchvision: ClassVar[str]

    def load(self, data_dir: Path, download: bool) -> Dataset:
        if not (data_dir / self.official).is_dir():
            for root in (data_dir / self.name, data_dir):
                if (root / "train").is_dir() or (root / "test").is_dir():
                    return self._from_tree(root)
            if not download:
                raise UserError(
                    f"{self.name} is not in {data_dir} (looked for {self.official}/,"
                    f" {self.name}/train/<class>/ and train/<class>/): point --data-dir to it,"
                    " or give --download"
                )
        return self._from_torchvision(data_dir, download)

    def _from_torchvision(self, data_dir: Path, download: bool) -> Dataset:
        from torchvision import datasets

        source = getattr(datasets, self.torchvision)
        try:
            train = source(str(data_dir), train=True, download=download)
            test = source(str(data_dir), train=False)
        # torchvision raises RuntimeError where an MD5 sum differs.
        except (OSError, RuntimeError) as error:
            what = "cannot download" if download else "cannot read"
            advice = (
                "check the network and the folder" if download else "--download fetches it again"
            )
            raise UserError(f"{what} {self.name} in {data_dir} ({error}): {advice}") from error
        return Dataset(
            name=self.name,
            train_images=np.ascontiguousarray(train.data.transpose(0, 3, 1, 2)),
            train_labels=np.array(train.targets, dtype=np.int64),
            test_images=np.ascontiguousarray(test.data.transpose(0, 3, 1, 2)),
            test_labels=np.array(test.targets, dtype=np.int64),
            classes=tuple(train.classes),
        )

    def _from_tree(self, root: Path) -> Dataset:
        tree = class_tree(root)
        if foreign := sorted(set(tree.classes) - set(self.classes)):
            raise UserError(
                f"{root} is not {self.name}: {unknown('class', foreign[0], self.classes)}"
            )
        if absent := sorted(set(self.classes) - set(tree.classes)):
            raise UserError(f"{root} is not {self.name}: it has no class {absent[0]!r}")
        dataset = tree.load(self.name)
        if dataset.image_shape != self.image_shape:
            raise UserError(
                f"{root} is not {self.name}: its images are {dataset.image_shape},"
                f" not {self.image_shape}"
            )
        return dataset


class CIFAR10(CIFAR):
    """60,000 photographs, 32x32 colour, 10 classes; --download or --data-dir."""

    name = "cifar10"
    official = "cifar-10-batches-py"
    torchvision = "CIFAR10"
    classes = tuple(_CIFAR10.split())


class CIFAR100(CIFAR):
    """60,000 photographs, 32x32 colour, 100 classes; --download or --data-dir."""

    name = "cifar100"
    official = "cifar-100-python"
    torchvision = "CIFAR100"
    classes = tuple(_CIFAR100.split())
