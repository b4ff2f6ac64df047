"""Validation accuracy epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from regmix_bench.analysis.cohorts import Cohort
from regmix_bench.records.overfitting import CATASTROPHIC_GAP, Overfitting, beside_average
from regmix_bench.reporting.figures.captions import ends, extreme, grey_words, in_percent, protocol
from regmix_bench.reporting.figures.looks import GREY, MOST_COLOURED, Look
from regmix_bench.reporting.figures.panels import Rim, foot_labels, titled_grid
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import fitted_axis, legend_below, legend_inches
from regmix_bench.reporting.figures.venues import Style

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

_ACCURACIES = ("val_clean_acc", "val_fgsm_acc", "val_pgd_acc")
_RAW = ("raw_val_fgsm_acc", "raw_val_pgd_acc")
#: Seeds beyond which a method has the band they lie in instead of a line each.
MOST_LINES = 12
#: Panels that a narrow figure has at most, and rows of them that a wide one has: more than these
#: would be longer than a page.
MOST_PANELS, MOST_ROWS = 2 * MOST_COLOURED, 6
#: Points that the axis of accuracies shows at least.
LEAST_RANGE = 20.0
#: The share of the epochs in which curves may rise from below the axes.
BEGINNING = 0.2


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingCurves(ReportFigure):
    """Validation accuracy epoch by epoch, with the selected one and where overfitting sets in.

    A picture per cohort, a panel per label. One of more than fill a page has panels of the rows in
    colour alone; where all are, of those with the highest accuracy under PGD-10 in the last epoch.
    """

    name = "curves"

    looks: Mapping[str, Look]
    shown: tuple[str, ...]

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for cohort in contents.cohorts:
            frame = curves_frame(cohort)
            if frame.empty:
                continue
            looks = contents.looks_in(cohort)
            last = frame[frame["epoch"] == frame["epoch"].max()].drop_duplicates("label")
            means = dict(zip(last["label"], last["val_pgd_acc_mean"].astype(float), strict=True))
            labels = [str(label) for label in frame["label"].unique()]
            shown = _shown(labels, means, looks, contents.style)
            said = extreme(
                means,
                contents.looks,
                contents.standings_in(cohort),
                "is highest under PGD-10 in the last epoch,",
                in_percent,
            )
            caption = (
                f"{said}; {ends(cohort)}. "
                f"Validation accuracy,"
                " clean and under PGD-10, mean over seeds with the single seeds behind it"
                f"{_banded(frame)}.{_averaged(frame)}{_overfitted(frame)}"
                f"{_left_out(labels, shown, looks) or grey_words(looks.values())}"
            )
            yield cls(
                subject=cohort.stem,
                frame=frame,
                caption=caption,
                protocol=protocol(cohort),
                looks=looks,
                shown=shown,
            )

    def draw(self, style: Style) -> Figure:
        """Return a figure with one small panel per label, all on the same axes."""
        labels = self.shown
        handles = [
            Line2D([], [], color=GREY, linestyle="--", label="clean"),
            Line2D([], [], color=GREY, label="PGD-10"),
            Line2D([], [], color=GREY, marker="o", ms=4, linestyle="", label="selected epoch"),
        ]
        if self.frame["raw_val_pgd_acc"].notna().any():
            handles.insert(
                2, Line2D([], [], color=GREY, linestyle="-.", label="PGD-10, raw weights")
            )
        if self.frame["onset"].any():
            handles += [
                Line2D([], [], color=GREY, linestyle=":", label="FGSM"),
                Line2D([], [], color="black", marker="x", linestyle="", label="onset"),
            ]
        many = style.narrow and len(labels) > MOST_COLOURED
        columns = 3 if many else _columns(style)
        figure, axes = titled_grid(
            style,
            [self.looks[label].name for label in labels],
            columns,
            0.75 if many else 1.0,
            Rim(left=0.5, bottom=0.42 + legend_inches(handles, style)),
            self.protocol,
            share=True,
        )
        end = max(2, int(self.frame["epoch"].max())) + 0.5
        locator = MaxNLocator(3, integer=True, steps=(1, 2, 2.5, 5, 10))
        ticks = [tick for tick in locator.tick_values(0, end) if tick <= end]
        axes[0].set(xlim=(0, end), ylim=fitted_axis(_settled(self.frame), LEAST_RANGE))
        axes[0].yaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 2.5, 5, 10)))
        axes[0].set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
        for axis, label in zip(axes, labels, strict=True):
            _draw_curve(axis, self.frame[self.frame["label"] == label], self.looks[label].colour)
        foot_labels(axes, "epoch")
        figure.supylabel(
            "validation accuracy (%)", x=0.05 / style.width, va="center", fontsize=style.size
        )
        legend_below(figure, handles, style)
        return figure


def _settled(frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return accuracies in percent after :data:`BEGINNING`, when curves have left chance."""
    late = frame[frame["epoch"] > BEGINNING * frame["epoch"].max()]
    names = ["val_clean_acc", "val_pgd_acc", "raw_val_pgd_acc"]
    values: npt.NDArray[np.float64] = 100 * late[names].to_numpy(float).ravel()
    return values


def curves_frame(cohort: Cohort) -> pd.DataFrame:
    """Tabulate validation accuracies (0 to 1) by label, seed and epoch, and their means.

    ``val_…`` are of averaged weights where a run has an average, and ``raw_val_…`` of its raw ones
    then, NaN otherwise. ``onset`` is true at the first epoch of catastrophic overfitting.
    """
    rows = [
        {
            **cohort.csv_columns,
            "method": group.method,
            "label": group.label,
            "seed": run.spec.seed,
            "epoch": log.epoch,
            **{name: getattr(log, name) for name in _ACCURACIES},
            "raw_val_fgsm_acc": raw.fgsm if raw else np.nan,
            "raw_val_pgd_acc": raw.pgd if raw else np.nan,
            "selected": log.epoch == run.record.selected_epoch,
            "onset": found is not None and log.epoch == found.onset,
        }
        for group in cohort.groups
        for run in group.runs
        for found in (Overfitting.of(run.record.history, run.record.n_validation),)
        for log, raw in zip_longest(run.record.history, beside_average(run.record.history))
    ]
    frame = pd.DataFrame(rows)
    if not frame.empty:
        over_seeds = frame.groupby(["label", "epoch"])
        for name in (*_ACCURACIES, *_RAW):
            frame[f"{name}_mean"] = over_seeds[name].transform("mean")
    return frame


def _columns(style: Style) -> int:
    return max(2, int((style.width - 0.5) / 1.25))


def _shown(
    labels: Sequence[str], last: Mapping[str, float], looks: Mapping[str, Look], style: Style
) -> tuple[str, ...]:
    """Return the rows that have panels, in their order; ``last`` is what they end with."""
    most = MOST_PANELS if style.narrow else MOST_ROWS * _columns(style)
    if len(labels) <= most:
        return tuple(labels)
    if any(look.quiet for look in looks.values()):
        return tuple(label for label in labels if not looks[label].quiet)
    highest = sorted(labels, key=lambda label: -last.get(label, -1.0))[:most]
    return tuple(label for label in labels if label in highest)


def _left_out(labels: Sequence[str], shown: Sequence[str], looks: Mapping[str, Look]) -> str:
    if len(shown) == len(labels):
        return ""
    which = "those with the highest accuracy under PGD-10 in the last epoch"
    if any(look.quiet for look in looks.values()):
        which = (
            "the reference, what is featured and those that differ from the reference most,"
            " significantly"
        )
    return f" Of {len(labels)} rows {len(shown)} are shown: {which}."


def _banded(frame: pd.DataFrame) -> str:
    if frame.groupby("label")["seed"].nunique().max() <= MOST_LINES:
        return ""
    return f", or the band they lie in where there are more than {MOST_LINES}"


def _averaged(frame: pd.DataFrame) -> str:
    if frame["raw_val_pgd_acc"].isna().all():
        return ""
    return " Where weights are averaged, the average's; dash-dotted: PGD-10 of the raw weights."


def _overfitted(frame: pd.DataFrame) -> str:
    if not frame["onset"].any():
        return ""
    return (
        " Crosses mark where catastrophic overfitting sets in, the first epoch in which FGSM leaves"
        f" more than {100 * CATASTROPHIC_GAP:g} points above PGD-10 (dotted: FGSM, there alone)."
    )


def _draw_curve(axis: Axes, panel: pd.DataFrame, colour: str) -> None:
    mean = panel.drop_duplicates("epoch").sort_values("epoch")
    averaged = bool(panel["raw_val_pgd_acc"].notna().any())
    raw = "raw_" if averaged else ""
    lines = {"val_clean_acc": "--", "val_pgd_acc": "-"}
    for name, line in (lines | ({"raw_val_pgd_acc": "-."} if averaged else {})).items():
        seeds = 100 * panel.pivot(index="epoch", columns="seed", values=name)
        if seeds.shape[1] > MOST_LINES:
            low, high = seeds.min(axis=1), seeds.max(axis=1)
            axis.fill_between(seeds.index, low, high, color=colour, alpha=0.2, linewidth=0)
        else:
            single = list(np.stack(np.broadcast_arrays(seeds.index, seeds.to_numpy().T), axis=-1))
            axis.add_collection(
                LineCollection(single, colors=colour, linestyles=line, alpha=0.3, linewidths=0.6)
            )
        axis.plot(mean["epoch"], 100 * mean[f"{name}_mean"], line, color=colour)
    chosen = panel[panel["selected"]]
    axis.plot(chosen["epoch"], 100 * chosen["val_pgd_acc"], "o", color=colour, ms=3.5)
    onset = panel[panel["onset"]]
    if not onset.empty:
        axis.plot(mean["epoch"], 100 * mean[f"{raw}val_fgsm_acc_mean"], ":", color=colour)
        axis.plot(onset["epoch"], 100 * onset[f"{raw}val_pgd_acc"], "x", color="black", zorder=3)
