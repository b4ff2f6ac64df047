"""Robust validation accuracy over what a training has cost, and the cost of a target."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Self

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from regmix_bench.analysis.cohorts import Cohort
from regmix_bench.analysis.targets import Race, Target
from regmix_bench.analysis.words import threat_words
from regmix_bench.records.effort import efforts, epoch_that_holds
from regmix_bench.reporting.figures.looks import GREY, Look
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import brief, widest
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import fixed

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

#: The kinds of cost: their axes, and what the numbers are divided by.
_COSTS = {
    "passes": ("passes per training image", 1.0),
    "seconds": ("minutes of training steps", 60.0),
    "energy": ("Wh of the devices", 3600.0),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class AccuracyRace(ReportFigure):
    """Robust validation accuracy over cost, and what the target costs each method.

    A picture per cohort, two panels per kind of cost: the way, and the cost at which the target is
    first held.
    """

    name = "race"

    looks: Mapping[str, Look]
    target: float
    races: Mapping[str, Race]

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for cohort in contents.cohorts:
            target = contents.targets.get(cohort.stem)
            frame = race_frame(cohort, target) if target else pd.DataFrame()
            if target is None or not _known(frame):
                continue
            caption = (
                f"Training under {threat_words(cohort.train_threat)}. Above, validation accuracy"
                " under PGD-10 over what training has cost until then, mean over seeds. Below, the"
                f" cost up to the first epoch that holds the target, {fixed(100 * target.accuracy)}"
                f" % ({target.words}; dotted): median over seeds, and a line from the least to the"
                " largest of those that hold it."
            )
            yield cls(
                subject=cohort.stem,
                frame=frame,
                caption=caption,
                looks=contents.looks,
                target=target.accuracy,
                races={g.label: Race.of(g.runs, target) for g in cohort.groups},
            )

    def draw(self, style: Style) -> Figure:
        """Return a figure with a column of two panels per kind of cost."""
        shown = _known(self.frame)
        labels = [str(label) for label in self.frame["label"].unique()]
        names = [brief(self.looks[label].name, lines=1) for label in labels]
        below = 0.16 * len(labels) + 0.1
        figure = Figure(
            figsize=(2.9 * len(shown) + 0.06 * widest(names) + 0.3, 2.2 + below + 0.5),
            layout="constrained",
        )
        grid = figure.subplots(
            2, len(shown), sharex="col", sharey="row", squeeze=False, height_ratios=(2.2, below)
        )
        for (way, ends), name in zip(grid.T, shown, strict=True):
            words, _ = _COSTS[name]
            ends.set(xscale="log", xlabel=words)
            ends.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            self._draw_way(way, name, labels)
            self._draw_ends(ends, name, labels)
        grid[0, 0].set_ylabel("PGD-10 on validation images (%)")
        grid[0, 0].set_ylim(bottom=0)
        grid[1, 0].set_yticks(range(len(labels)), names)
        grid[1, 0].set_ylim(len(labels) - 0.4, -0.6)
        return figure

    def _draw_way(self, axis: Axes, name: str, labels: list[str]) -> None:
        axis.axhline(100 * self.target, color=GREY, linewidth=0.8, linestyle=":")
        for label in labels:
            rows, look = self.frame[self.frame["label"] == label], self.looks[label]
            mean = rows.groupby("epoch")[[name, "val_pgd_acc"]].mean().dropna()
            accuracy = 100 * mean["val_pgd_acc"]
            axis.plot(
                mean[name] / _COSTS[name][1], accuracy, look.line, color=look.colour, linewidth=1.0
            )

    def _draw_ends(self, axis: Axes, name: str, labels: list[str]) -> None:
        """A row for each label: median and range, or that it never holds the target."""
        unit = _COSTS[name][1]
        for place, label in enumerate(labels):
            costs, look = self.races[label].costs(attrgetter(name)), self.looks[label]
            reached = [cost / unit for cost in costs if cost < math.inf]
            middle = statistics.median(costs) / unit if costs else math.inf
            if reached:
                axis.plot([reached[0], reached[-1]], [place, place], color=look.colour)
            if middle < math.inf:
                axis.plot(middle, place, linestyle="", zorder=3, **look.marks)
            elif costs:
                words = f"{len(reached)} of {len(costs)}" if reached else "never"
                axis.text(
                    0.99,
                    place,
                    words,
                    transform=axis.get_yaxis_transform(),
                    va="center",
                    ha="right",
                    fontsize=7,
                    color=GREY,
                )


def _known(frame: pd.DataFrame) -> list[str]:
    """The kinds of cost that any epoch has; of no time and no passes none has a logarithm."""
    return [name for name in _COSTS if name in frame and (frame[name] > 0).any()]


def race_frame(cohort: Cohort, target: Target) -> pd.DataFrame:
    """Tabulate accuracy (0 to 1) and cost by label, seed and epoch.

    ``first`` is true at the first epoch that holds the target.
    """
    rows = [
        {
            **cohort.csv_columns,
            "target": target.accuracy,
            "method": group.method,
            "label": group.label,
            "seed": run.spec.seed,
            "epoch": log.epoch,
            "val_pgd_acc": log.val_pgd_acc,
            **vars(effort),
            "first": log.epoch == first,
        }
        for group in cohort.groups
        for run in group.runs
        for first in (epoch_that_holds(run.record.history, target.accuracy),)
        for log, effort in zip(run.record.history, efforts(run.record), strict=True)
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(_COSTS, float)) if rows else pd.DataFrame()
