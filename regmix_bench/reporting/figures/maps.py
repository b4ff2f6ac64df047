"""t-SNE maps of what models make of test images, and numbers of neighbourhood that need no map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal, Self

import matplotlib
import matplotlib.colors
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from regmix_bench.analysis.cohorts import Group, Run
from regmix_bench.data.sources import class_names
from regmix_bench.errors import UserError
from regmix_bench.records import paths
from regmix_bench.reporting.figures.curves import grid
from regmix_bench.reporting.figures.style import GREY, Drawn, applied

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

NEIGHBOURS = 10
#: Of t-SNE, half of scikit-learn's default: on recorded outputs its divergence ends at most 6 %
#: higher, and a report takes half the time.
_ITERATIONS = 500
# Beyond this many classes neither colours nor names can be told apart.
_NAMED_CLASSES = 10
# Petroff (2021): ten colours chosen to be told apart with any colour vision.
_PETROFF = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)


@dataclass(frozen=True)
class Points:
    """Where N test images lie in some space (N, D), clean and attacked; labels (N,)."""

    labels: Labels
    clean: Floats
    adversarial: Floats

    @classmethod
    def read(cls, path: Path, quantity: Literal["probs", "features"]) -> Self:
        """Softmax outputs or penultimate features from ``<stem>.outputs.parquet``.

        Raises :class:`UserError` where it is not such a file.
        """
        columns = [f"{quantity}_clean", f"{quantity}_adv"]
        try:
            frame = pd.read_parquet(path, columns=["label", *columns])
            clean, adversarial = (
                np.stack(frame[name].to_list()).astype(np.float64) for name in columns
            )
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{path} does not hold recorded outputs: {reason}") from error
        return cls(frame["label"].to_numpy(np.int64), clean, adversarial)


@dataclass(frozen=True)
class Panel:
    """One map: points in the plane, each (N, 2), what stands above them and below.

    ``vertices`` (K, 2) are those of the one-hot truth, where it is on the map.
    """

    title: str
    numbers: str
    labels: Labels
    clean: Floats
    adversarial: Floats
    vertices: Floats | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """One row per point, in the order of the recorded outputs."""
        parts = {"clean": self.clean, "adversarial": self.adversarial}
        labels = {"clean": self.labels, "adversarial": self.labels}
        if self.vertices is not None:
            parts["truth"], labels["truth"] = self.vertices, np.arange(len(self.vertices))
        return pd.concat(
            pd.DataFrame(
                {
                    "label": self.title,
                    "kind": kind,
                    "class": labels[kind],
                    "x": points[:, 0].astype(np.float64).round(4),
                    "y": points[:, 1].astype(np.float64).round(4),
                }
            )
            for kind, points in parts.items()
        )


def with_outputs(group: Group) -> list[Run]:
    """The runs of a row whose outputs are recorded."""
    return [run for run in group.runs if paths.outputs_path(run.path).is_file()]


def neighbourhood(points: Floats, labels: Labels) -> dict[str, float]:
    """Purity of the nearest neighbours and silhouette of points (N, D), by Euclidean distance."""
    from scipy.spatial.distance import cdist
    from sklearn.metrics import silhouette_score

    distances = cdist(points, points)
    separable = 2 <= len(np.unique(labels)) < len(labels)
    return {
        "purity": knn_purity(distances, labels),
        "silhouette": float(silhouette_score(distances, labels, metric="precomputed"))
        if separable
        else math.nan,
    }


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


def embed(*parts: Floats) -> list[Floats]:
    """One t-SNE map (seed 0) of all the points: each part (N, D) as (N, 2), within ±1."""
    from sklearn.manifold import TSNE

    points = np.concatenate(parts)
    perplexity = min(30.0, (len(points) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", max_iter=_ITERATIONS, random_state=0)
    mapped = tsne.fit_transform(points)
    mapped -= mapped.mean(axis=0)
    scaled = mapped / np.abs(mapped).max()
    return np.split(scaled, np.cumsum([len(part) for part in parts])[:-1])


def draw_maps(panels: Sequence[Panel], attack: str, dataset: str, footnote: str = "") -> Drawn:
    """Maps in a grid; the points of ``attack`` have a marker of their own.

    A class has its number on the map, or its name in a legend above the maps.
    """
    markers = {"o": "clean", "x": attack}
    names = class_names(dataset)
    with applied():
        figure, axes = grid([panel.title for panel in panels], height=2.35, shared=False)
        for axis, panel in zip(axes, panels, strict=True):
            _draw_map(axis, panel, numbered=not names)
            if panel.vertices is not None:
                markers["*"] = "one-hot truth"
            axis.set_xlabel(panel.numbers, fontsize=7)
        if 0 < len(names) <= _NAMED_CLASSES:
            figure.set_figheight(figure.get_figheight() + 0.5)
            figure.legend(
                handles=[
                    Patch(color=colour, label=name)
                    for name, colour in zip(names, _colours(len(names)), strict=True)
                ],
                fontsize=7,
                handlelength=0.7,
                handleheight=0.7,
                loc="outside upper center",
                ncols=5,
            )
        figure.legend(
            handles=[
                Line2D(
                    [], [], linestyle="", marker=m, color=GREY, label=name, markerfacecolor="none"
                )
                for m, name in markers.items()
            ],
            title="\n".join(wrap(footnote, int(15 * figure.get_figwidth()))) if footnote else None,
            title_fontsize=7,
            loc="outside lower center",
            ncols=3,
        )
    return Drawn(figure, pd.concat((panel.frame for panel in panels), ignore_index=True))


def _draw_map(axis: Axes, panel: Panel, numbered: bool) -> None:
    truth = panel.vertices
    colours = _colours(int(panel.labels.max()) + 1 if truth is None else len(truth))
    own = [tuple(colour) for colour in colours[panel.labels]]
    layers: list[tuple[Floats, dict[str, Any]]] = [
        (panel.clean, {"s": 7, "marker": "o", "facecolors": "none", "edgecolors": own}),
        (panel.adversarial, {"s": 7, "marker": "x", "c": own}),
    ]
    if truth is not None:
        star = {"s": 90, "marker": "*", "c": colours, "edgecolors": "black", "zorder": 3}
        layers.append((truth, star))
    for points, style in layers:
        axis.scatter(points[:, 0], points[:, 1], linewidths=0.5, **style)
    if numbered and len(colours) <= _NAMED_CLASSES:
        _number_classes(axis, panel)
    axis.set(xticks=[], yticks=[], xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), box_aspect=1)
    axis.grid(visible=False)
    axis.spines[:].set_visible(True)
    axis.spines[:].set_color("#bbbbbb")


def _number_classes(axis: Axes, panel: Panel) -> None:
    """A class has its number at its vertex, or else in the middle of its clean images."""
    halo = [withStroke(linewidth=2, foreground="white")]
    if panel.vertices is not None:
        for label, position in enumerate(panel.vertices):
            axis.annotate(
                str(label),
                position,
                (4, 4),
                textcoords="offset points",
                fontsize=6,
                zorder=4,
                path_effects=halo,
            )
        return
    for label in np.unique(panel.labels):
        x, y = np.median(panel.clean[panel.labels == label], axis=0)
        axis.text(x, y, str(label), ha="center", va="center", fontsize=8, path_effects=halo)


def _colours(classes: int) -> Floats:
    if classes <= _NAMED_CLASSES:
        return matplotlib.colors.to_rgba_array(_PETROFF[:classes])
    return np.asarray(matplotlib.colormaps["turbo"](np.linspace(0, 1, classes)))
