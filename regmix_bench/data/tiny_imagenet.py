"""Tiny-ImageNet (Le & Yang 2015), in its official layout."""

from __future__ import annotations

from pathlib import Path

from regmix_bench.data.dataset import Dataset
from regmix_bench.data.protocol import DataSource
from regmix_bench.data.trees import tiny_imagenet_tree
from regmix_bench.errors import UserError


class TinyImageNet(DataSource):
    """110,000 photographs, 64x64 colour, 200 classes; --data-dir."""

    name = "tiny-imagenet"
    image_shape = (3, 64, 64)
    num_classes = 200

    def load(self, data_dir: Path, download: bool) -> Dataset:
        for root in (data_dir / "tiny-imagenet-200", data_dir):
            if (root / "wnids.txt").is_file():
                return tiny_imagenet_tree(root).load(self.name)
        raise UserError(
            f"tiny-imagenet is not in {data_dir} (looked for tiny-imagenet-200/wnids.txt): unzip"
            " http://cs231n.stanford.edu/tiny-imagenet-200.zip there, or point --data-dir to it"
        )
