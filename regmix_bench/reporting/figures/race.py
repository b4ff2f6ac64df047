"""Robust validation accuracy over what a training has cost, and the cost of a target."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

from regmix_bench.analysis.cohorts import Cohort
from regmix_bench.analysis.targets import Race, Target
from regmix_bench.records.effort import efforts, epoch_that_holds
from regmix_bench.reporting.figures.captions import ends, extreme, grey_words, protocol
from regmix_bench.reporting.figures.looks import GREY, Look
from regmix_bench.reporting.figures.panels import Rim, panels
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import column_of, fitted, high, names_of, tip
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
            looks = contents.looks_in(cohort)
            names = {label: look.name for label, look in looks.items()}
            races = {g.label: Race.of(g.runs, target) for g in cohort.groups}
            kind = _known(frame)[0]
            costs = {label: race.costs(attrgetter(kind)) for label, race in races.items()}
            medians = {
                label: middle / _COSTS[kind][1]
                for label, each in costs.items()
                if each and (middle := statistics.median(each)) < math.inf
            }
            said = extreme(
                medians,
                contents.looks,
                contents.standings_in(cohort),
                f"is the cheapest to hold {fixed(100 * target.accuracy)} %, in {_COSTS[kind][0]}:",
                "{:.3g}".format,
                least=True,
            )
            caption = (
                f"{said or 'None holds the target'}; {ends(cohort)}. "
                f"Above, validation accuracy"
                " under PGD-10 over what training has cost until then, mean over seeds. Below, the"
                f" cost up to the first epoch that holds the target, {fixed(100 * target.accuracy)}"
                f" % ({target.words_for(names)}; dotted): median over seeds, and a"
                " line from the least to the largest of those that hold it."
                f"{grey_words(looks.values())}"
            )
            yield cls(
                subject=cohort.stem,
                frame=frame,
                caption=caption,
                protocol=protocol(cohort),
                looks=looks,
                target=target.accuracy,
                races=races,
            )

    def draw(self, style: Style) -> Figure:
        """Return a figure with a column of two panels per kind of cost."""
        shown = _known(self.frame)
        labels = [str(label) for label in self.frame["label"].unique()]
        names = names_of(self.looks, labels, style)
        wide, row = column_of(names, style)
        way = 1.5 if style.narrow else 2.0
        ends = row * len(labels) + 0.1
        rim = Rim(left=max(wide + 0.1, 0.5), right=0.15, top=0.05)
        room = (style.width - rim.left - rim.right - 0.25 * (len(shown) - 1)) / len(shown)
        room += rim.left - rim.right if len(shown) == 1 else 0.0
        words = [fitted(_COSTS[name][0], room, style.size, lines=3) for name in shown]
        rim = replace(rim, bottom=0.24 + max(high(text, style.size) for text in words))
        figure, (ways, rows) = panels(
            style,
            (2, len(shown)),
            way + ends,
            rim,
            self.protocol,
            between=(0.25, 0.08),
            heights=(way, ends),
            share=("col", "row"),
        )
        for above, below, name, label in zip(ways, rows, shown, words, strict=True):
            below.set_xlabel(label)
            self._draw_way(above, name, labels)
            self._draw_ends(below, name, labels, style)
            _log_axis(below, 2 if room < 1.3 else 3)
        ways[0].set_ylabel("PGD-10 on validation (%)")
        ways[0].set_ylim(bottom=0)
        rows[0].set_yticks(range(len(labels)), names)
        rows[0].set_ylim(len(labels) - 0.4, -0.6)
        rows[0].tick_params(axis="y", length=0)
        for tick, label in zip(rows[0].get_yticklabels(), labels, strict=True):
            tick.set_color(self.looks[label].ink)
        return figure

    def _draw_way(self, axis: Axes, name: str, labels: list[str]) -> None:
        axis.axhline(100 * self.target, color=GREY, linewidth=0.8, linestyle=":")
        for label in labels:
            rows, look = self.frame[self.frame["label"] == label], self.looks[label]
            mean = rows.groupby("epoch")[[name, "val_pgd_acc"]].mean().dropna()
            (line,) = axis.plot(
                mean[name] / _COSTS[name][1],
                100 * mean["val_pgd_acc"],
                look.line,
                color=look.colour,
                linewidth=0.6 if look.quiet else 1.2,
                zorder=2 if look.quiet else 2.5,
            )
            tip(line, look.name)

    def _draw_ends(self, axis: Axes, name: str, labels: list[str], style: Style) -> None:
        """A row for each label: median and range, or that it never holds the target."""
        unit = _COSTS[name][1]
        words: dict[str, Any] = {"textcoords": "offset points", "va": "center", "color": GREY}
        words["fontsize"] = style.small
        for place, label in enumerate(labels):
            costs, look = self.races[label].costs(attrgetter(name)), self.looks[label]
            reached = [cost / unit for cost in costs if cost < math.inf]
            middle = statistics.median(costs) / unit if costs else math.inf
            if reached:
                axis.plot([reached[0], reached[-1]], [place, place], color=look.colour)
            if middle < math.inf:
                (mark,) = axis.plot(middle, place, linestyle="", zorder=3, **look.marks)
                tip(mark, f"{look.name}: {middle:.3g} {_COSTS[name][0]}")
            elif reached:
                axis.annotate(
                    f"{len(reached)} of {len(costs)}",
                    (reached[0], place),
                    (-3, 0),
                    ha="right",
                    **words,
                )
            elif costs:
                axis.annotate(
                    "never",
                    (0.99, place),
                    (0, 0),
                    ha="right",
                    **words | {"xycoords": axis.get_yaxis_transform()},
                )


def _log_axis(axis: Axes, few: int) -> None:
    """Give an axis a logarithmic scale of half a decade or more, with about as few ticks."""
    axis.set(xscale="log")
    low, high = axis.get_xlim()
    short = max(0.0, 0.5 - math.log10(high / low)) / 2
    low, high = low / 10**short, high * 10**short
    axis.set_xlim(low, high)
    steps = (1, 2, 5) if high < 30 * low else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**power for power in powers for step in steps]
    ticks = [tick for tick in ticks if low <= tick <= high]
    axis.xaxis.set_major_locator(FixedLocator(ticks[:: max(1, round(len(ticks) / few))]))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


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
