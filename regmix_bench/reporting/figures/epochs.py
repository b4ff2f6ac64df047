"""Robust validation accuracy by epoch, all methods laid over each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import fmean, median_low
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from regmix_bench.analysis.cohorts import Cohort, Group
from regmix_bench.records.overfitting import CATASTROPHIC_GAP, Overfitting
from regmix_bench.reporting.figures.captions import ends, grey_words, quantity, sentence_of
from regmix_bench.reporting.figures.curves import BEGINNING
from regmix_bench.reporting.figures.labels import Spot, ends_inches, name_ends
from regmix_bench.reporting.figures.limits import fitted_limits
from regmix_bench.reporting.figures.looks import GREY, MOST_COLOURED, Look
from regmix_bench.reporting.figures.panels import Rim, panels
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import fitted, legend_below, legend_inches, tip
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import fixed, short

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

#: What is marked on a line: the column that counts its seeds, its marker, and its words.
_MARKS = {
    "selected": ("o", "selected epoch"),
    "catastrophic": ("x", "catastrophic overfitting sets in"),
    "falling": ("v", "robust overfitting sets in"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class RobustByEpoch(ReportFigure):
    """Robust validation accuracy by epoch, mean over seeds, all methods laid over each other.

    A picture per cohort, a line per label, on which the selected epoch is marked and where
    overfitting sets in.
    """

    name = "epochs"

    looks: Mapping[str, Look]

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for cohort in contents.cohorts:
            frame = epochs_frame(cohort)
            if frame.empty:
                continue
            looks = contents.looks_in(cohort)
            said = ends(cohort)
            yield cls(
                subject=cohort.stem,
                frame=frame,
                caption=_caption(frame, looks, said),
                protocol=said,
                looks=looks,
            )

    def draw(self, style: Style) -> Figure:
        """Return one panel; names stand at the ends of lines."""
        labels = list(dict.fromkeys(self.frame["label"]))
        looks = {
            label: replace(look, name=fitted(look.name, 0.3 * style.width, style.small))
            for label, look in self.looks.items()
            if label in labels
        }
        handles = _legend(self.frame, sum(look.quiet for look in looks.values()))
        height = 2.1 if style.narrow else 3.0
        right = ends_inches(list(looks.values()), style) + 0.06
        figure, ((axis,),) = panels(
            style,
            (1, 1),
            height,
            Rim(left=0.5, right=right, bottom=0.42 + legend_inches(handles, style), top=0.06),
            self.protocol,
        )
        limits = _limits(self.frame)
        last = int(self.frame["epoch"].max())
        axis.set(xlim=(0, max(2, last) + 0.5), ylim=limits, xlabel="epoch")
        axis.set_ylabel("PGD-10 on validation (%)")
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=(1, 2, 2.5, 5, 10)))
        axis.yaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 2.5, 5, 10)))
        spots = []
        for label in labels:
            line = self.frame[self.frame["label"] == label]
            _draw_line(axis, line, looks[label])
            end = 100 * float(line["mean"].iloc[-1])
            if limits[0] <= end <= limits[1]:
                spots.append(Spot(float(line["epoch"].iloc[-1]), end, looks[label]))
        name_ends(axis, spots, style)
        legend_below(figure, handles, style)
        return figure


def epochs_frame(cohort: Cohort) -> pd.DataFrame:
    """Tabulate validation accuracy under PGD-10 (0 to 1) by label and epoch, over seeds.

    ``mean``, ``low`` and ``high`` are the mean, the least and the largest of ``seeds``, of averaged
    weights where there are some, as it is they that are selected. ``selected`` counts the seeds
    whose selected epoch it is, ``catastrophic`` and ``falling`` those in which catastrophic
    overfitting, and robust overfitting after this best epoch, set in.
    """
    rows = [
        {**cohort.csv_columns, "method": group.method, "label": group.label, **row}
        for group in cohort.groups
        for row in _epochs(group)
    ]
    return pd.DataFrame(rows)


def _epochs(group: Group) -> Iterator[dict[str, float]]:
    records = [run.record for run in group.runs]
    found = [Overfitting.of(record.history, record.n_validation) for record in records]
    onsets = [one.onset for one in found if one]
    turns = [one.best.epoch for one in found if one and one.robust]
    for epoch in sorted({log.epoch for record in records for log in record.history}):
        values = [
            log.val_pgd_acc for record in records for log in record.history if log.epoch == epoch
        ]
        yield {
            "epoch": epoch,
            "mean": fmean(values),
            "low": min(values),
            "high": max(values),
            "seeds": len(values),
            "selected": sum(record.selected_epoch == epoch for record in records),
            "catastrophic": onsets.count(epoch),
            "falling": turns.count(epoch),
        }


def _caption(frame: pd.DataFrame, looks: Mapping[str, Look], protocol: str) -> str:
    last = frame.groupby("label")["mean"].last()
    best, least = str(last.idxmax()), str(last.idxmin())
    worst = f"{short(looks[least].name)} the least, {fixed(100 * float(last.min()))} %"
    words = (
        f"{short(looks[best].name)} has the most after the last epoch,"
        f" {fixed(100 * float(last.max()))} % of validation images right under PGD-10"
        f"{f', and {worst}' if best != least else ''}; {protocol}."
        f" {_overfitted(frame, looks)} Lines are means over seeds, with the band that these lie in;"
        " a circle is at the selected epoch, a median over seeds."
    )
    if quiet := grey_words(looks[str(label)] for label in last.index):
        words += f"{quiet} Grey lines have no band."
    low, high = _limits(frame)
    if outside := [str(label) for label in last.index if not low <= 100 * last[label] <= high]:
        names = sentence_of([short(looks[label].name) for label in outside])
        words += f" Beyond the axis at the end: {names}."
    return words


def _overfitted(frame: pd.DataFrame, looks: Mapping[str, Look]) -> str:
    said = []
    for column, start in (
        (
            "catastrophic",
            "A cross is where catastrophic overfitting sets in, where FGSM leaves more than"
            f" {100 * CATASTROPHIC_GAP:g} points above PGD-10",
        ),
        ("falling", "A triangle is where robust accuracy is highest, to fall significantly after"),
    ):
        if found := _counts(frame, column):
            named = [f"{short(looks[k].name)} in {n} of {of}" for k, (n, of) in found.items()]
            where = sentence_of(named)
            if len(named) > MOST_COLOURED:
                where = (
                    f"{quantity(len(named), 'row')}, in"
                    f" {sum(n for n, _ in found.values())} of"
                    f" {sum(of for _, of in found.values())} seeds"
                )
            said.append(f"{start}: {where}{'' if len(named) > MOST_COLOURED else ' seeds'}.")
    if not said:
        return "Nothing overfits, neither catastrophically nor by a significant fall."
    return " ".join([*said, "Both are read off raw weights."])


def _counts(frame: pd.DataFrame, column: str) -> dict[str, tuple[int, int]]:
    """Return of each label that has some how many seeds ``column`` counts, and of how many."""
    rows = frame.groupby("label", sort=False)
    found = zip(rows[column].sum().items(), rows["seeds"].max(), strict=True)
    return {str(label): (int(count), int(of)) for (label, count), of in found if count}


def _legend(frame: pd.DataFrame, quiet: int) -> list[Line2D]:
    handles = [
        Line2D([], [], color=GREY, marker=marker, markersize=4, linestyle="", label=words)
        for column, (marker, words) in _MARKS.items()
        if frame[column].any()
    ]
    if quiet:
        handles.append(Line2D([], [], color=GREY, linewidth=0.6, label=f"{quiet} others"))
    return handles


def _draw_line(axis: Axes, line: pd.DataFrame, look: Look) -> None:
    epochs, mean = line["epoch"].to_numpy(), 100 * line["mean"].to_numpy(float)
    if look.quiet:
        axis.plot(epochs, mean, color=look.colour, linewidth=0.6, alpha=0.7, zorder=1.5)
    else:
        low, high = (100 * line[end].to_numpy(float) for end in ("low", "high"))
        axis.fill_between(epochs, low, high, color=look.colour, alpha=0.12, linewidth=0, zorder=1.8)
        (drawn,) = axis.plot(epochs, mean, look.line, color=look.colour, linewidth=1.2, zorder=2)
        tip(drawn, f"{look.name}: {fixed(mean[-1])} % after epoch {epochs[-1]}")
    size = 3.0 if look.quiet else 4.5
    for column, (marker, _) in _MARKS.items():
        marked = np.repeat(epochs, line[column].to_numpy(int))
        if len(marked) == 0:
            continue
        where = int(median_low(marked.tolist()))
        edge: dict[str, Any] = {} if marker == "x" else {"markeredgecolor": "white"}
        axis.plot(
            where,
            mean[epochs == where],
            marker,
            color=look.colour,
            markersize=size,
            zorder=2.2 if look.quiet else 3,
            **edge,
        )


def _limits(frame: pd.DataFrame) -> tuple[float, float]:
    """Limits in percent of what lines have after their beginning, and at most one in four lacks."""
    late = frame[frame["epoch"] > BEGINNING * frame["epoch"].max()]
    lines = 100 * late.groupby("label")["mean"].agg(["min", "max"])
    return fitted_limits(lines["min"].to_numpy(float), lines["max"].to_numpy(float))
