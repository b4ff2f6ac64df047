"""Robust accuracy seed by seed: what a mean stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regmix_bench.analysis.blocks import Block
from regmix_bench.records.accuracies import ACCURACIES, attack_words, robust_metric
from regmix_bench.reporting.figures.captions import grey_words, protocol_of, quantity, sentence_of
from regmix_bench.reporting.figures.limits import fitted_limits
from regmix_bench.reporting.figures.looks import GREY, Look
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.row_panel import PanelRow, draw_beyond, row_panel
from regmix_bench.reporting.figures.style import names_of, tip
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import fixed, short

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

#: Inches by which dots of neighbouring seeds stand above one another.
_ASIDE = 0.022


@dataclass(frozen=True, kw_only=True, eq=False)
class SeedStrip(ReportFigure):
    """Robust accuracy of each seed, a dot, with the mean of a row and its interval.

    A picture per cohort with a row per label, the highest mean first. There is none where every row
    has a single seed.
    """

    name = "strip"

    looks: Mapping[str, Look]
    attack: str

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for block in contents.main_blocks:
            frame = strip_frame(block)
            if frame.empty or frame["seeds"].max() < 2:
                continue
            attack = attack_words(block.cohort.setting.scoring)
            rows, looks = _rows(frame), contents.looks_in(block.cohort)
            yield cls(
                subject=block.cohort.stem,
                frame=frame,
                caption=_caption(rows, looks, attack, block) + grey_words(looks.values()),
                protocol=protocol_of(block, rows["seeds"]),
                looks=looks,
                attack=attack,
            )

    def draw(self, style: Style) -> Figure:
        """Return one panel: names at the left, means and their intervals at the right."""
        found = _rows(self.frame)
        names = names_of(self.looks, found["label"], style)
        rows = [
            PanelRow(name, _numbers(row), not self.looks[row["label"]].quiet)
            for name, row in zip(names, found.to_dict("records"), strict=True)
        ]
        marks: dict[str, Any] = {"color": GREY, "linestyle": ""}
        handles = [
            Line2D([], [], marker="o", markersize=3.5, alpha=0.7, label="one seed", **marks),
            Line2D([], [], marker="|", markersize=8, label="mean, 95 % interval", **marks),
        ]
        limits = _limits(found)
        figure, axis, places = row_panel(
            style, rows, limits, f"{self.attack} accuracy (%)", self.protocol, handles
        )
        for row, place in zip(found.to_dict("records"), places, strict=True):
            seeds = self.frame[self.frame["label"] == row["label"]]
            _draw_row(axis, place, row, seeds, self.looks[row["label"]])
        return figure


def strip_frame(block: Block) -> pd.DataFrame:
    """Tabulate the robust accuracy (0 to 1) of each seed, of the row of the highest mean first.

    ``mean``, ``low``, ``high`` and ``seeds`` are its row's, with the 95 % interval of the mean.
    """
    robust = robust_metric(block.cohort.setting.scoring)
    read = next(accuracy.read for accuracy in ACCURACIES if accuracy.id == robust)
    ranked = sorted(
        ((row, stat) for row in block.rows if (stat := row.metrics.get(robust)) is not None),
        key=lambda found: -found[1].mean,
    )
    return pd.DataFrame(
        [
            {
                **block.csv_columns,
                "method": row.group.method,
                "label": row.label,
                "seed": run.spec.seed,
                "accuracy": value,
                "mean": stat.mean,
                "low": stat.low,
                "high": stat.high,
                "seeds": stat.n,
            }
            for row, stat in ranked
            for run, score in row.scores
            if (value := read(score)) is not None
        ]
    )


def _rows(frame: pd.DataFrame) -> pd.DataFrame:
    """One line for each row, with the least and the largest of its seeds."""
    seeds = frame.groupby("label")["accuracy"]
    rows = frame.assign(least=seeds.transform("min"), largest=seeds.transform("max"))
    return rows.drop_duplicates("label", ignore_index=True)


def _caption(rows: pd.DataFrame, looks: Mapping[str, Look], attack: str, block: Block) -> str:
    several = rows[rows["seeds"] > 1]
    widths = 100 * (several["largest"] - several["least"])
    widest = max(several.to_dict("records"), key=lambda row: row["largest"] - row["least"])
    words = (
        f"Between the least and the largest seed of a row lie {fixed(float(widths.median()))}"
        f" points of {attack} accuracy in the median of {quantity(len(several), 'row')}, and at"
        f" most {fixed(float(widths.max()))}, of {short(looks[widest['label']].name)}"
        f" ({fixed(100 * widest['least'])} to {fixed(100 * widest['largest'])} %);"
        f" {protocol_of(block, rows['seeds'])}. A dot is a seed, an upright line the mean of a row,"
        " a level one its 95 % interval over seeds."
    )
    if len(several) < len(rows):
        words += " The interval of a single seed is Wilson's, over images."
    low, high = _limits(rows)
    outside = rows.loc[~(100 * rows["mean"]).between(low, high), "label"]
    if len(outside):
        names = sentence_of([short(looks[str(label)].name) for label in outside])
        words += f" Beyond the axis, where an arrow points: {names}."
    return words


def _numbers(row: Mapping[Any, Any]) -> str:
    ends = ", ".join(fixed(100 * row[end]) for end in ("low", "high"))
    return f"{fixed(100 * row['mean'])} [{ends}]"


def _draw_row(
    axis: Axes, place: float, row: Mapping[Any, Any], seeds: pd.DataFrame, look: Look
) -> None:
    low, high = axis.get_xlim()
    mean = 100 * row["mean"]
    if not low <= mean <= high:
        tip(draw_beyond(axis, place, mean > high, look.colour), f"{look.name}: {_numbers(row)} %")
        return
    ends = [100 * row["low"], 100 * row["high"]]
    axis.plot(ends, [place, place], color=look.colour, linewidth=0.9, zorder=2)
    axis.plot(mean, place, "|", color=look.colour, markersize=9, markeredgewidth=1.2, zorder=2.5)
    ranked = seeds.sort_values("accuracy", kind="stable").to_dict("records")
    for number, seed in enumerate(ranked):
        value = 100 * seed["accuracy"]
        aside = _ASIDE * (number % 3 - 1) if len(ranked) > 1 else 0.0
        dots: dict[str, Any] = {"color": look.colour, "markeredgecolor": "white"}
        (mark,) = axis.plot(
            value, place + aside, "o", markersize=3.5, markeredgewidth=0.3, zorder=3, **dots
        )
        tip(mark, f"{look.name}, seed {seed['seed']}: {fixed(value)} %")


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Limits of the axis, in percent, that hold seeds and intervals."""
    low = 100 * rows[["low", "least"]].min(axis=1).to_numpy(float)
    high = 100 * rows[["high", "largest"]].max(axis=1).to_numpy(float)
    return fitted_limits(low, high)
