"""The places of test images in some space: numbers that need no map, and t-SNE maps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from regmix_bench.records.outputs import read_outputs

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

NEIGHBOURS = 10
#: Of t-SNE, half of scikit-learn's default: on recorded outputs its divergence ends at most 6 %
#: higher, and a report takes half the time.
_ITERATIONS = 500


@dataclass(frozen=True)
class Points:
    """The places where N test images lie in some space (N, D), clean and attacked; labels (N,)."""

    labels: Labels
    clean: Floats
    adversarial: Floats

    @classmethod
    def read(cls, path: Path, quantity: Literal["probs", "features"]) -> Self:
        """Read softmax outputs or penultimate features from ``<stem>.outputs.parquet``.

        Raises :class:`UserError` where it is not such a file.
        """
        return cls(*read_outputs(path, quantity))


def distance_to_truth(points: Points) -> float:
    """Return the mean L2 distance of attacked outputs to their one-hot labels: 0 to √2."""
    truth = np.eye(points.adversarial.shape[1])[points.labels]
    return float(np.linalg.norm(points.adversarial - truth, axis=1).mean())


def displacement(points: Points) -> float:
    """Return how far the attack moves an image: the mean L2 distance from clean to attacked.

    In units of the mean distance between two clean images, so that 1 is as far as from one image to
    the next at random. Not a number where all clean images coincide.
    """
    from scipy.spatial.distance import pdist

    moved = float(np.linalg.norm(points.adversarial - points.clean, axis=1).mean())
    apart = float(pdist(points.clean).mean()) if len(points.labels) > 1 else 0.0
    return moved / apart if apart else math.nan


def neighbourhood(points: Floats, labels: Labels) -> dict[str, float]:
    """Return the purity of nearest neighbours and the silhouette of points (N, D), Euclidean."""
    from scipy.spatial.distance import pdist, squareform

    distances = squareform(pdist(points), checks=False)
    separable = 2 <= len(np.unique(labels)) < len(labels)
    return {
        "purity": knn_purity(distances, labels),
        "silhouette": silhouette(distances, labels) if separable else math.nan,
    }


def silhouette(distances: Floats, labels: Labels) -> float:
    """Return the mean silhouette (Rousseeuw 1987) by distances (N, N): −1 to 1.

    There must be two classes. As scikit-learn's, which takes far longer; a report asks for it twice
    a run.
    """
    _, own, count = np.unique(labels, return_inverse=True, return_counts=True)
    # Not by a product of matrices, for which BLAS would wake all cores each time.
    in_classes, starts = np.argsort(own, kind="stable"), np.cumsum(count) - count
    sums = np.add.reduceat(distances[in_classes], starts, axis=0).T
    rows = np.arange(len(labels))
    within = sums[rows, own] / np.maximum(count[own] - 1, 1)
    means = sums / count
    means[rows, own] = np.inf
    nearest = means.min(axis=1)
    widest = np.maximum(within, nearest)
    # A point that is alone in its class, and points that all coincide, are worth nothing.
    counts = (count[own] > 1) & (widest > 0)
    return float(((nearest - within) / np.where(counts, widest, 1.0) * counts).mean())


def knn_purity(distances: Floats, labels: Labels) -> float:
    """Return the mean share of an image's nearest others, ten, that have its label: 0 to 1.

    Saturated outputs coincide by the dozen. Those tied at the k-th distance share the places left
    in equal parts, so that the order of the images plays no role. Not a number for a single image.
    """
    if len(labels) < 2:
        return math.nan
    distances = np.round(distances, 9)
    np.fill_diagonal(distances, np.inf)
    k = min(NEIGHBOURS, len(labels) - 1)
    reach = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
    nearer, tied = distances < reach, distances == reach
    same = labels[:, None] == labels[None, :]
    places = k - nearer.sum(axis=1)
    hits = (nearer & same).sum(axis=1) + places * (tied & same).sum(axis=1) / tied.sum(axis=1)
    return float((hits / k).mean())


def embed(*parts: Floats) -> list[Floats]:
    """Return one t-SNE map (seed 0) of all points: each part (N, D) as (N, 2), within ±1."""
    from sklearn.manifold import TSNE

    points = np.concatenate(parts)
    perplexity = min(30.0, (len(points) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", max_iter=_ITERATIONS, random_state=0)
    mapped = tsne.fit_transform(points)
    mapped -= mapped.mean(axis=0)
    scaled = mapped / np.abs(mapped).max()
    return np.split(scaled, np.cumsum([len(part) for part in parts])[:-1])
