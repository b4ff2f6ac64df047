"""Scikit-learn's digits, which need no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from regmix_bench.data.dataset import Dataset
from regmix_bench.data.protocol import DataSource


class Digits(DataSource):
    """scikit-learn's 1,797 scanned digits, 8x8 grey, 10 classes; 360 of them for the test."""

    name = "digits"
    arch = "smallcnn"
    image_shape = (1, 8, 8)
    num_classes = 10
    #: Digits must not be mirrored, fill their 8×8 pixels to the rim, and are learnt in seconds.
    recipe = {"epochs": 30, "schedule": "cosine", "augmentation": "none"}

    def load(self, data_dir: Path, download: bool) -> Dataset:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        scans, labels = load_digits(return_X_y=True)
        images = (scans.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
        labels = labels.astype(np.int64)
        train, test = train_test_split(
            np.arange(len(labels)), test_size=360, random_state=0, stratify=labels
        )
        train.sort()
        test.sort()
        return Dataset(
            name=self.name,
            train_images=images[train],
            train_labels=labels[train],
            test_images=images[test],
            test_labels=labels[test],
            classes=tuple("0123456789"),
        )
