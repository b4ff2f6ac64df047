"""Simulated tables: images that methods get right, as they vary by method, seed and image.

An image is right where its ease, in common to all methods, the method's own ease with it, the
seed's deviation and noise add up to more than 0, all normal. Every method has an accuracy of 80 %
in expectation over images and seeds, moved by what the truth says. The latent deviations from seed
to seed are given in points of accuracy, alike in all methods or unlike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from regmix_bench.analysis.methods import SplitPlot

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

IMAGES = 360
ACCURACY = 0.8
#: Standard deviations of the latent ease of an image, and of a method's own ease with it.
EASE, OWN = 3.0, 0.6
#: Compared methods; the reference comes on top.
COMPARISONS = (1, 2, 5, 12, 25)
#: Of each method, and of the reference.
SEEDS = ((3, 3), (6, 6), (6, 12))
#: Deviations from seed to seed, in points: of the methods in turn, and of the reference.
DEVIATIONS: dict[str, tuple[tuple[float, ...], float]] = {
    "0": ((0.0,), 0.0),
    "1.5": ((1.5,), 1.5),
    "2.5": ((2.5,), 2.5),
    "5": ((5.0,), 5.0),
    "5 and 0": ((5.0, 0.0), 0.0),
    "0.5 to 5": ((0.5, 1.5, 2.5, 5.0), 1.5),
    "one of 5, others 1.5": ((5.0, *(1.5,) * (max(COMPARISONS) - 1)), 1.5),
    "5, reference 0": ((5.0,), 0.0),
    "0, reference 5": ((0.0,), 5.0),
}
#: Tables of one call, which has its own random numbers, and at a time, for memory.
CHUNK, BATCH = 250, 50


def first_rows(tables: SplitPlot, comparisons: int) -> SplitPlot:
    """Leave all but the first rows of each table away, and keep the reference."""
    kept = [*range(comparisons), -1]
    return SplitPlot(
        tables.means[:, kept],
        tables.covariances[:, kept][:, :, kept],
        tables.seed_means[:, kept],
        tables.residuals[:, kept],
        tables.seeds[kept],
        tables.n_images,
    )


def simulate(name: str, tables: int, start: int) -> dict[tuple[int, int], SplitPlot]:
    """Simulate tables of the most rows, by the numbers of seeds of a method and the reference."""
    rng = np.random.default_rng([start, list(DEVIATIONS).index(name)])
    turns, reference = DEVIATIONS[name]
    rows = max(COMPARISONS)
    deviations = np.array([*(turns[row % len(turns)] for row in range(rows)), reference]) / 100
    counts = [max(own for own, _ in SEEDS)] * rows + [max(most for _, most in SEEDS)]
    found: dict[tuple[int, int], list[SplitPlot]] = {pair: [] for pair in SEEDS}
    for first in range(0, tables, BATCH):
        batch = min(BATCH, tables - first)
        ease = EASE * rng.standard_normal((batch, 1, IMAGES), dtype=np.float32)
        flags = [
            draw(rng, ease, seeds, deviation)
            for seeds, deviation in zip(counts, deviations, strict=True)
        ]
        for own, most in SEEDS:
            found[own, most].append(statistics(flags, np.array([own] * rows + [most])))
    return {pair: joined(parts) for pair, parts in found.items()}


def draw(
    rng: np.random.Generator,
    ease: NDArray[np.float32],
    seeds: int,
    deviation: float,
    accuracy: float = ACCURACY,
) -> Flags:
    """Draw the flags (tables, seeds, images) of one method of so much expected accuracy."""
    quantile = float(special.ndtri(accuracy))
    spread = np.sqrt(EASE**2 + OWN**2 + 1)
    # In units of the noise: what moves accuracy by so much, and what keeps its mean.
    latent = deviation * spread / (np.exp(-(quantile**2) / 2) / np.sqrt(2 * np.pi))
    middle = quantile * np.sqrt(spread**2 + latent**2)
    own = OWN * rng.standard_normal(ease.shape, dtype=np.float32)
    shifts = latent * rng.standard_normal((len(ease), seeds, 1))
    easy = ease + own + (middle + shifts).astype(np.float32)
    flags: Flags = rng.standard_normal(easy.shape, dtype=np.float32) < easy
    return flags


def statistics(flags: list[Flags], seeds: NDArray[np.int64]) -> SplitPlot:
    """Take from the first ``seeds`` of each method what the package takes, many tables at once."""
    means, seed_means, residuals = [], [], []
    for one, n in zip(flags, seeds, strict=True):
        some = one[:, :n]
        accuracies = np.count_nonzero(some, axis=2) / IMAGES
        mean = np.count_nonzero(some, axis=1) / n
        single = (accuracies * (1 - accuracies)).mean(axis=1) * IMAGES / (IMAGES - 1)
        means.append(mean)
        seed_means.append(accuracies.var(axis=1, ddof=1))
        residuals.append((single - mean.var(axis=1, ddof=1)) * n / (n - 1) / IMAGES)
    by_image = np.stack(means, axis=1)
    centred = by_image - by_image.mean(axis=2, keepdims=True)
    return SplitPlot(
        by_image.mean(axis=2),
        centred @ centred.swapaxes(1, 2) / (IMAGES - 1) / IMAGES,
        np.stack(seed_means, axis=1),
        np.stack(residuals, axis=1),
        seeds,
        IMAGES,
    )


def joined(parts: list[SplitPlot]) -> SplitPlot:
    """Put tables of one kind one after another."""
    return SplitPlot(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("means", "covariances", "seed_means", "residuals")
        ),
        parts[0].seeds,
        parts[0].n_images,
    )


def one_of(tables: SplitPlot, place: int) -> SplitPlot:
    """Return one table of several."""
    return SplitPlot(
        tables.means[place],
        tables.covariances[place],
        tables.seed_means[place],
        tables.residuals[place],
        tables.seeds,
        tables.n_images,
    )
