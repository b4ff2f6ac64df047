"""Where softmax outputs lie relative to the truth: t-SNE maps, and numbers that need no map.

A t-SNE map keeps neighbourhoods and not distances, so what is claimed about nearness is measured in
the space of the probabilities and printed under each map.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib
import matplotlib.colors
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regmix_bench import store
from regmix_bench.errors import UserError
from regmix_bench.reporting.blocks import Stat
from regmix_bench.reporting.cells import Cell, Table
from regmix_bench.reporting.cohorts import Cohort, Group, Run
from regmix_bench.reporting.figures import grid
from regmix_bench.reporting.style import GREY, Picture, applied
from regmix_bench.reporting.tables import Column, describe, number, threat_words

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

NEIGHBOURS = 10
_SMOOTHED = "*"
_FOOTNOTE = (
    f"{_SMOOTHED} trained towards smoothed labels, which hold its outputs away from the one-hot"
    " truth: its distance is not comparable"
)
# Beyond this many classes neither colours nor names can be told apart.
_NAMED_CLASSES = 10
# Petroff (2021): ten colours chosen to be told apart with any colour vision.
_PETROFF = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)


@dataclass(frozen=True)
class Outputs:
    """Softmax outputs (N, K) of a run on N test images, clean and attacked; labels (N,)."""

    labels: Labels
    clean: Floats
    adversarial: Floats

    @property
    def truth(self) -> Floats:
        """The K one-hot vertices of the simplex, (K, K)."""
        return np.eye(self.clean.shape[1])


def read_outputs(path: Path) -> Outputs:
    """Read ``<stem>.outputs.parquet``; raises :class:`UserError` where it is not such a file."""
    try:
        frame = pd.read_parquet(path, columns=["label", "probs_clean", "probs_adv"])
        clean, adversarial = (
            np.stack(frame[name].to_list()).astype(np.float64)
            for name in ("probs_clean", "probs_adv")
        )
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} does not hold recorded outputs: {reason}") from error
    return Outputs(frame["label"].to_numpy(np.int64), clean, adversarial)


def distance_to_truth(probabilities: Floats, labels: Labels) -> float:
    """Mean L2 distance from each output (N, K) to the one-hot vector of its label: 0 to √2."""
    truth = np.eye(probabilities.shape[1])[labels]
    return float(np.linalg.norm(probabilities - truth, axis=1).mean())


def knn_purity(distances: Floats, labels: Labels, k: int = NEIGHBOURS) -> float:
    """Mean share of an image's ``k`` nearest others that have its label: 0 to 1.

    Saturated outputs coincide by the dozen. Those tied at the k-th distance share the places left
    in equal parts, so that the order of the images plays no role. Not a number for a single image.
    """
    if len(labels) < 2:
        return math.nan
    distances = np.round(distances, 9)
    np.fill_diagonal(distances, np.inf)
    k = min(k, len(labels) - 1)
    reach = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
    nearer, tied = distances < reach, distances == reach
    same = labels[:, None] == labels[None, :]
    places = k - nearer.sum(axis=1)
    hits = (nearer & same).sum(axis=1) + places * (tied & same).sum(axis=1) / tied.sum(axis=1)
    return float((hits / k).mean())


def measures(outputs: Outputs) -> dict[str, float]:
    """The numbers under a map, all of the adversarial outputs in probability space."""
    from scipy.spatial.distance import cdist
    from sklearn.metrics import silhouette_score

    distances = cdist(outputs.adversarial, outputs.adversarial)
    classes = len(np.unique(outputs.labels))
    separable = 2 <= classes < len(outputs.labels)
    return {
        "distance": distance_to_truth(outputs.adversarial, outputs.labels),
        "purity": knn_purity(distances, outputs.labels),
        "silhouette": float(silhouette_score(distances, outputs.labels, metric="precomputed"))
        if separable
        else math.nan,
    }


def embed(outputs: Outputs) -> tuple[Floats, Floats, Floats]:
    """One t-SNE map (seed 0) of clean outputs (N, 2), adversarial (N, 2) and vertices (K, 2)."""
    from sklearn.manifold import TSNE

    points = np.concatenate([outputs.clean, outputs.adversarial, outputs.truth])
    perplexity = min(30.0, (len(points) - 1) / 3)
    mapped = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(points)
    mapped -= mapped.mean(axis=0)
    n = len(outputs.labels)
    scaled = mapped / np.abs(mapped).max()
    return scaled[:n], scaled[n : 2 * n], scaled[2 * n :]


def pictures(cohorts: Sequence[Cohort]) -> list[Picture]:
    """A picture per cohort that has recorded outputs."""
    found = []
    for cohort in cohorts:
        drawn = {g.label: runs[0] for g in cohort.groups if (runs := _with_outputs(g))}
        if not drawn:
            continue
        frame = tsne_frame(cohort)
        absent = ", ".join(g.label for g in cohort.groups if g.label not in drawn)
        caption = (
            f"t-SNE of softmax outputs on clean and PGD-{cohort.setting.scoring.pgd_steps} test"
            f" images together with the one-hot truth, trained and attacked under"
            f" {threat_words(cohort.train_threat)}, lowest seed. Colours are the true classes."
            + (f" No outputs are recorded of {absent}." if absent else "")
        )
        picture = partial(draw, frame, drawn)
        found.append(Picture(f"tsne-{cohort.stem}", frame, picture, caption, _table(frame)))
    return found


def tsne_frame(cohort: Cohort) -> pd.DataFrame:
    """One row per label and seed: the measures, their means over seeds, and which seed is drawn."""
    rows = []
    for group in cohort.groups:
        runs = _with_outputs(group)
        for run in runs:
            outputs = read_outputs(store.outputs_path(run.path))
            mass = run.spec.method.params.get("true_class_mass", 1.0)
            rows.append(
                {
                    **describe(cohort),
                    "method": group.method,
                    "label": group.label,
                    "seed": run.spec.seed,
                    "drawn": run is runs[0],
                    "n_images": len(outputs.labels),
                    "true_class_mass": mass,
                    **{name: round(value, 6) for name, value in measures(outputs).items()},
                }
            )
    frame = pd.DataFrame(rows)
    if not frame.empty:
        for name in ("distance", "purity", "silhouette"):
            frame[f"{name}_mean"] = frame.groupby("label")[name].transform("mean")
    return frame


def draw(frame: pd.DataFrame, runs: Mapping[str, Run]) -> Figure:
    """One map per label, with the measures of the seed drawn under it."""
    attack = f"PGD-{next(iter(runs.values())).spec.scoring.pgd_steps}"
    drawn = frame[frame["drawn"]]
    smoothed = bool((drawn["true_class_mass"] < 1).any())
    with applied():
        figure, axes = grid(len(drawn), height=2.35, shared=False)
        for axis, row in zip(axes, drawn.to_dict("records"), strict=True):
            _draw_map(axis, read_outputs(store.outputs_path(runs[row["label"]].path)))
            star = _SMOOTHED if row["true_class_mass"] < 1 else ""
            axis.set_title(row["label"])
            axis.set_xlabel(
                f"distance to truth {row['distance']:.2f}{star}\n"
                f"{NEIGHBOURS}-NN purity {row['purity']:.2f}\nsilhouette {row['silhouette']:.2f}",
                fontsize=7,
            )
        figure.legend(
            handles=[
                Line2D(
                    [], [], linestyle="", marker=m, color=GREY, label=name, markerfacecolor="none"
                )
                for m, name in (("o", "clean"), ("x", attack), ("*", "one-hot truth"))
            ],
            title="\n".join(wrap(_FOOTNOTE, int(15 * figure.get_figwidth()))) if smoothed else None,
            title_fontsize=7,
            loc="outside lower center",
            ncols=3,
        )
    return figure


def _draw_map(axis: Axes, outputs: Outputs) -> None:
    clean, adversarial, truth = embed(outputs)
    colours = _colours(len(truth))
    own = [tuple(colour) for colour in colours[outputs.labels]]
    layers: tuple[tuple[Floats, dict[str, Any]], ...] = (
        (clean, {"s": 7, "marker": "o", "facecolors": "none", "edgecolors": own}),
        (adversarial, {"s": 7, "marker": "x", "c": own}),
        (truth, {"s": 90, "marker": "*", "c": colours, "edgecolors": "black", "zorder": 3}),
    )
    for points, style in layers:
        axis.scatter(points[:, 0], points[:, 1], linewidths=0.5, **style)
    if len(truth) <= _NAMED_CLASSES:
        for name, position in enumerate(truth):
            axis.annotate(
                str(name), position, (4, 4), textcoords="offset points", fontsize=6, zorder=4
            )
    axis.set(xticks=[], yticks=[], xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), box_aspect=1)
    axis.grid(visible=False)
    axis.spines[:].set_visible(True)
    axis.spines[:].set_color("#bbbbbb")


def _colours(classes: int) -> Floats:
    if classes <= _NAMED_CLASSES:
        return matplotlib.colors.to_rgba_array(_PETROFF[:classes])
    return np.asarray(matplotlib.colormaps["turbo"](np.linspace(0, 1, classes)))


def _with_outputs(group: Group) -> list[Run]:
    return [run for run in group.runs if store.outputs_path(run.path).is_file()]


def _table(frame: pd.DataFrame) -> Table:
    columns = (
        Column("distance", "Distance to truth", 1.0, decimals=3),
        Column("purity", f"{NEIGHBOURS}-NN purity", 1.0, decimals=3),
        Column("silhouette", "Silhouette", 1.0, decimals=3),
    )
    rows = []
    for label, seeds in frame.groupby("label", sort=False):
        star = _SMOOTHED if (seeds["true_class_mass"] < 1).any() else ""
        cells = [number(Stat.of(seeds[c.metric].dropna()), c) for c in columns]
        rows.append((Cell(str(label), signs=star), *cells, Cell(str(len(seeds)))))
    header = ("Method", *(column.header for column in columns), "Seeds")
    notes = (f"{_FOOTNOTE}.",) if (frame["true_class_mass"] < 1).any() else ()
    return Table(
        "Adversarial outputs in probability space, mean over seeds.", header, tuple(rows), notes
    )
