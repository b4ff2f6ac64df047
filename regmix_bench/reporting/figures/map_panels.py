"""Panels of maps of points: one panel for each model, classes by colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import matplotlib.colors
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regmix_bench.reporting.figures.embedding import Floats, Labels
from regmix_bench.reporting.figures.labels import number_spots
from regmix_bench.reporting.figures.looks import GREY
from regmix_bench.reporting.figures.panels import Rim, titled_grid
from regmix_bench.reporting.figures.style import fitted, high, legend_below, legend_inches
from regmix_bench.reporting.figures.venues import Style

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
    classes: Sequence[str],
    style: Style,
    protocol: str = "",
    footnote: str = "",
) -> Figure:
    """Return maps in a grid; the points of ``attack`` have a marker of their own.

    A class has its number on the map, or its name in a legend below the maps.
    """
    markers = {"o": "clean", "x": attack}
    if any(panel.vertices is not None for panel in panels):
        markers["*"] = "one-hot truth"
    handles = [
        Line2D([], [], linestyle="", marker=m, ms=4.5, color=GREY, label=name, mfc="none")
        for m, name in markers.items()
    ]
    if 0 < len(classes) <= _NAMED_CLASSES:
        handles += [
            Line2D([], [], linestyle="", marker="s", color=colour, label=name)
            for name, colour in zip(classes, _colours(len(classes)), strict=True)
        ]
    note = fitted(footnote, style.width - 0.1, style.small, lines=4) if footnote else ""
    noted = high(note, style.small) + 0.08 * bool(note)
    legend = legend_inches(handles, style)
    said = max(high(panel.numbers, style.small) for panel in panels) + 0.06
    rim = Rim(left=0.05, right=0.05, bottom=said + legend + noted + 0.04)
    columns = max(2, int(style.width / 1.3))
    columns = -(-len(panels) // -(-len(panels) // columns))
    side = min((style.width - 0.1 - 0.1 * (columns - 1)) / columns, 2.6)
    figure, axes = titled_grid(
        style, titles, columns, side, rim, protocol, between=(0.1, said + 0.06)
    )
    for axis, panel in zip(axes, panels, strict=True):
        _draw_map(axis, panel, style, numbered=not classes)
        axis.set_xlabel(panel.numbers, fontsize=style.small)
    legend_below(figure, handles, style, bbox_to_anchor=(0.5, noted / figure.get_figheight()))
    if note:
        figure.text(
            *(0.05 / style.width, 0.04 / figure.get_figheight()),
            note,
            fontsize=style.small,
            va="bottom",
        )
    return figure


def _draw_map(axis: Axes, panel: MapPanel, style: Style, numbered: bool) -> None:
    truth = panel.vertices
    colours = _colours(int(panel.labels.max()) + 1 if truth is None else len(truth))
    own = [tuple(colour) for colour in colours[panel.labels]]
    layers: list[tuple[Floats, dict[str, Any]]] = [
        (panel.clean, {"s": 4, "marker": "o", "facecolors": "none", "edgecolors": own}),
        (panel.adversarial, {"s": 4, "marker": "x", "c": own}),
    ]
    if truth is not None:
        star = {"s": 60, "marker": "*", "c": colours, "edgecolors": "black", "zorder": 3}
        layers.append((truth, star))
    for points, marks in layers:
        axis.scatter(points[:, 0], points[:, 1], linewidths=0.4, **marks)
    axis.set(xticks=[], yticks=[], xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), box_aspect=1)
    axis.apply_aspect()
    if numbered and len(colours) <= _NAMED_CLASSES:
        _number_classes(axis, panel, style)
    axis.grid(visible=False)
    axis.spines[:].set_visible(True)
    axis.spines[:].set_color("#bbbbbb")


def _number_classes(axis: Axes, panel: MapPanel, style: Style) -> None:
    """A class has its number at its vertex, or else in the middle of its clean images."""
    if panel.vertices is not None:
        spots = {str(label): place for label, place in enumerate(panel.vertices)}
    else:
        spots = {
            str(label): np.median(panel.clean[panel.labels == label], axis=0)
            for label in np.unique(panel.labels)
        }
    places = {word: (float(x), float(y)) for word, (x, y) in spots.items()}
    number_spots(axis, places, style, beside=panel.vertices is not None)


def _colours(classes: int) -> Floats:
    if classes <= _NAMED_CLASSES:
        return matplotlib.colors.to_rgba_array(_PETROFF[:classes])
    return np.asarray(matplotlib.colormaps["turbo"](np.linspace(0, 1, classes)))
