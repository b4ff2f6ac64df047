"""What a stranger's package brings, small enough to train in a second.

Registered in this process, they are found by name as those of an installed package are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field
from torch import nn

from regmix_bench.data import DATASETS, Dataset
from regmix_bench.data.protocol import DataSource
from regmix_bench.models import ARCHS
from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.models.protocol import Architecture
from regmix_bench.types import Frozen

#: A method of a user's own, ``Plain`` in a file.
METHOD_FILE = """
from typing import Annotated

from pydantic import Field
from regmix_bench import Method, StepOutput
from regmix_bench.losses import cross_entropy
from regmix_bench.types import Frozen, Search

class Plain(Method):
    "CE on clean images."
    name = "plain"

    class Config(Frozen):
        scale: Annotated[float, Search(0.1, 10, log=True)] = Field(1.0, gt=0)

    def step(self, model, batch, threat, generator):
        loss = cross_entropy(model(batch.x), batch.y, 1.0, "mean")
        return StepOutput(self.config.scale * loss, batch.x)
"""


class Stripes(DataSource):
    """Bars at the place that is their class's, 1x6x6."""

    name = "stripes"
    arch = "one-layer"
    recipe = {"augmentation": "none", "epochs": 2}
    classes = ("top", "middle", "bottom")

    class Config(Frozen):
        size: int = Field(60, ge=6)

    def load(self, data_dir: Path, download: bool) -> Dataset:
        rng = np.random.default_rng(0)
        labels = np.arange(2 * self.config.size) % 3
        images = rng.uniform(0, 0.2, (len(labels), 1, 6, 6)).astype(np.float32)
        for image, label in zip(images, labels, strict=True):
            image[0, 2 * label : 2 * label + 2] += 0.7
        half = self.config.size
        return Dataset(
            self.name, images[:half], labels[:half], images[half:], labels[half:], self.classes
        )


class OneLayer(Architecture):
    """One hidden layer."""

    name = "one-layer"

    class Config(Frozen):
        width: int = Field(16, ge=1)

    def build(self, image_shape, num_classes, mean, std) -> ImageClassifier:
        width, pixels = self.config.width, int(np.prod(image_shape))
        trunk = nn.Sequential(nn.Flatten(), nn.Linear(pixels, width), nn.ReLU())
        return ImageClassifier(trunk, width, image_shape[0], num_classes, mean, std)


def write_stripes(path: Path) -> Path:
    """Write the images of :class:`Stripes` as an array file, which any process can read."""
    found = Stripes(Stripes.Config()).load(path.parent, download=False)
    np.savez(
        path,
        train_images=(255 * found.train_images).astype(np.uint8).transpose(0, 2, 3, 1),
        train_labels=found.train_labels,
        test_images=(255 * found.test_images).astype(np.uint8).transpose(0, 2, 3, 1),
        test_labels=found.test_labels,
    )
    return path


def register() -> None:
    """Make the two known to this process."""
    DATASETS.register(Stripes.name, Stripes)
    ARCHS.register(OneLayer.name, OneLayer)
