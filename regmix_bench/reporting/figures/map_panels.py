"""Panels of maps of points: one panel for each model, classes by colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import matplotlib
import matplotlib.colors
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from regmix_bench.data.sources import class_names
from regmix_bench.reporting.figures.embedding import Floats, Labels
from regmix_bench.reporting.figures.looks import GREY
from regmix_bench.reporting.figures.style import panel_grid

# Beyond this many classes neither colours nor names can be told apart.
_NAMED_CLASSES = 10
# Petroff (2021): ten colours chosen to be told apart with any colour vision.
_PETROFF = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)


@dataclass(frozen=True)
class MapPanel:
    """One map: points in the plane, each (N, 2), and what stands below them.

    ``vertices`` (K, 2) are those of the one-hot truth, where it is on the map.
    """

    label: str
    numbers: str
    labels: Labels
    clean: Floats
    adversarial: Floats
    vertices: Floats | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """Return one row per point, in the order of the recorded outputs."""
        parts = {"clean": self.clean, "adversarial": self.adversarial}
        labels = {"clean": self.labels, "adversarial": self.labels}
        if self.vertices is not None:
            parts["truth"], labels["truth"] = self.vertices, np.arange(len(self.vertices))
        return pd.concat(
            pd.DataFrame(
                {
                    "label": self.label,
                    "kind": kind,
                    "class": labels[kind],
                    "x": points[:, 0].astype(np.float64).round(4),
                    "y": points[:, 1].astype(np.float64).round(4),
                }
            )
            for kind, points in parts.items()
        )


def draw_maps(
    titles: Sequence[str],
    panels: Sequence[MapPanel],
    attack: str,
    dataset: str,
    footnote: str = "",
) -> Figure:
    """Return maps in a grid; the points of ``attack`` have a marker of their own.

    A class has its number on the map, or its name in a legend above the maps.
    """
    markers = {"o": "clean", "x": attack}
    names = class_names(dataset)
    figure, axes = panel_grid(titles, height=2.35, shared=False)
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
            Line2D([], [], linestyle="", marker=m, color=GREY, label=name, markerfacecolor="none")
            for m, name in markers.items()
        ],
        title="\n".join(wrap(footnote, int(15 * figure.get_figwidth()))) if footnote else None,
        title_fontsize=7,
        loc="outside lower center",
        ncols=3,
    )
    return figure


def _draw_map(axis: Axes, panel: MapPanel, numbered: bool) -> None:
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


def _number_classes(axis: Axes, panel: MapPanel) -> None:
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
