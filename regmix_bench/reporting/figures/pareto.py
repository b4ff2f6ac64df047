"""Robust accuracy over what a training costs, and the rows that nothing cheaper beats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, StrMethodFormatter

from regmix_bench.analysis.blocks import Block
from regmix_bench.records.accuracies import attack_words, robust_metric
from regmix_bench.reporting.figures.captions import protocol_of, quantity, sentence_of
from regmix_bench.reporting.figures.labels import Spot, name_spots
from regmix_bench.reporting.figures.limits import Floats, fitted_limits
from regmix_bench.reporting.figures.looks import GREY, MOST_COLOURED, QUIET, Look
from regmix_bench.reporting.figures.panels import Rim, panels
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import fitted, tip
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import fixed, short

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

#: Points between the markers of rows that cost the same.
_ASIDE = 5.0
#: By how much, as a logarithm, rows stand side by side whose costs differ by less.
_ALIKE = 0.03


@dataclass(frozen=True, kw_only=True, eq=False)
class CostPareto(ReportFigure):
    """Robust accuracy over the passes of a training, with the line that nothing cheaper is above.

    A picture per cohort, a point per label. There is none where all rows cost the same.
    """

    name = "pareto"

    looks: Mapping[str, Look]
    attack: str

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for block in contents.main_blocks:
            reference = contents.standings[block.stem].reference
            frame = pareto_frame(block, reference)
            if frame.empty or frame["passes"].nunique() < 2:
                continue
            attack = attack_words(block.cohort.setting.scoring)
            yield cls(
                subject=block.cohort.stem,
                frame=frame,
                caption=_caption(frame, contents.looks, attack, block),
                protocol=protocol_of(block, frame["seeds"]),
                looks={label: contents.looks[label] for label in frame["label"]},
                attack=attack,
            )

    def draw(self, style: Style) -> Figure:
        """Return one panel; rows on the line and the reference are named, others where it fits."""
        height = 2.3 if style.narrow else 3.2
        figure, ((axis,),) = panels(
            style, (1, 1), height, Rim(left=0.5, right=0.12, bottom=0.42, top=0.06), self.protocol
        )
        limits = _limits(self.frame)
        axis.set(xscale="log", xlim=_span(self.frame["passes"]), ylim=limits)
        axis.xaxis.set_major_locator(FixedLocator([k * 10**e for e in range(6) for k in (1, 2, 5)]))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.yaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 2.5, 5, 10)))
        axis.set_xlabel("passes per training image and epoch")
        axis.set_ylabel(fitted(f"{self.attack} accuracy (%)", height, style.size))
        line = _line(self.frame, axis.get_xlim()[1])
        axis.plot(*line.T, color=GREY, linewidth=0.9, zorder=1.5)
        spots = self._draw_points(axis, limits)
        steps = [(*one, *two) for one, two in pairwise(line.tolist())]
        name_spots(axis, spots, style, quiet=True, avoid=steps)
        return figure

    def _draw_points(self, axis: Axes, limits: tuple[float, float]) -> list[Spot]:
        """Draw points and intervals; a point beyond the axis is an arrow at the rim."""
        looks = _emphasised(self.frame, self.looks)
        spots = []
        for row, x in zip(self.frame.to_dict("records"), _aside(axis, self.frame), strict=True):
            look, value = looks[row["label"]], 100 * row["mean"]
            words = _said(row, look)
            order = 2.0 if look.quiet else 3.0
            marks = dict(look.marks)
            y = float(np.clip(value, *limits))
            if y == value:
                ends = [100 * row["low"], 100 * row["high"]]
                width = 0.6 if look.quiet else 1.0
                axis.plot(
                    [x, x],
                    ends,
                    color=look.colour,
                    linewidth=width,
                    alpha=0.5 if look.quiet else 1.0,
                    zorder=order,
                )
            else:
                marks |= {"marker": "v" if value < y else "^", "fillstyle": "full"}
                look = replace(look, name=f"{look.name}, {fixed(value)} %")
            (mark,) = axis.plot(x, y, linestyle="", clip_on=False, zorder=order + 0.5, **marks)
            tip(mark, words)
            spots.append(Spot(x, y, look))
        return sorted(spots, key=lambda spot: -spot.y)


def pareto_frame(block: Block, reference: str | None) -> pd.DataFrame:
    """Tabulate passes and robust accuracy (0 to 1) with its 95 % interval, the cheapest first.

    ``front`` is true of a row unless another has as high a mean or a higher one at fewer passes, or
    a higher one at as many.
    """
    robust = robust_metric(block.cohort.setting.scoring)
    rows = [
        {
            **block.csv_columns,
            "method": row.group.method,
            "label": row.label,
            "passes": spent.mean,
            "seeds": stat.n,
            "mean": stat.mean,
            "low": stat.low,
            "high": stat.high,
            "reference": row.label == reference,
        }
        for row in block.rows
        if (stat := row.metrics.get(robust)) and (spent := row.metrics.get("passes")) and spent.mean
    ]
    frame = pd.DataFrame(rows)
    if rows:
        frame = frame.sort_values("mean", ascending=False, kind="stable")
        frame = frame.sort_values("passes", kind="stable", ignore_index=True)
        cost, mean = frame["passes"].to_numpy(), frame["mean"].to_numpy()
        beaten = (cost < cost[:, None]) & (mean >= mean[:, None])
        beaten |= (cost <= cost[:, None]) & (mean > mean[:, None])
        frame["front"] = [not any(row) for row in beaten]
    return frame


def _caption(frame: pd.DataFrame, looks: Mapping[str, Look], attack: str, block: Block) -> str:
    rows = frame.to_dict("records")
    front = [_said(row, looks[row["label"]]) for row in rows if row["front"]]
    beside = [_said(row, looks[row["label"]]) for row in rows if row["reference"]]
    words = (
        f"{len(front)} of {quantity(len(frame), 'row')} {'is' if len(front) == 1 else 'are'} on the"
        f" line, above which none of them lies that costs as much or less: {sentence_of(front)}."
        f"{f' The reference is {beside[0]}.' if beside else ''} {attack} accuracy over the passes"
        " of a training, forwards and backwards, per image and epoch on a logarithmic scale;"
        f" {protocol_of(block, frame['seeds'])}. Upright lines are 95 % intervals of the mean over"
        " seeds; the line of steps joins means, and only verdicts say whether a step is more than"
        " chance. Rows of one cost stand side by side."
    )
    if len(frame) > MOST_COLOURED:
        words += " Rows off the line are grey, but for the reference"
        words += "".join(f" and {looks[k].name}" for k in frame["label"] if looks[k].featured) + "."
    low, high = _limits(frame)
    outside = [row for row in rows if not low <= 100 * row["mean"] <= high]
    if outside:
        names = sentence_of([short(looks[row["label"]].name) for row in outside])
        words += f" Beyond the axis, where an arrow points: {names}."
    return words


def _said(row: Mapping[Any, Any], look: Look) -> str:
    cost = f"{row['passes']:.3g}"
    return f"{short(look.name)} ({cost} passes, {fixed(100 * row['mean'])} %)"


def _emphasised(frame: pd.DataFrame, looks: Mapping[str, Look]) -> dict[str, Look]:
    """The looks of the rows: where there are many, those off the line are quiet.

    Not so the reference, and what is featured.
    """
    featured = frame["label"].map(lambda label: looks[label].featured)
    loud = frame["front"] | frame["reference"] | featured | (len(frame) <= MOST_COLOURED)
    return {
        label: looks[label] if kept else replace(looks[label], colour=QUIET, quiet=True)
        for label, kept in zip(frame["label"], loud, strict=True)
    }


def _line(frame: pd.DataFrame, end: float) -> Floats:
    """Return the corners of the line, (corners, 2): level to the next row's cost, then up to it."""
    corners: list[tuple[float, float]] = []
    for row in frame[frame["front"]].to_dict("records"):
        here = row["passes"], 100 * row["mean"]
        corners += [(here[0], corners[-1][1]), here] if corners else [here]
    return np.array([*corners, (end, corners[-1][1])])


def _aside(axis: Axes, frame: pd.DataFrame) -> list[float]:
    """Return the places of rows on the axis: of about one cost, all but the first move aside."""
    low, high = np.log(axis.get_xlim())
    points = axis.get_window_extent().width * 72 / axis.figure.dpi
    passes = np.log(frame["passes"].to_numpy(float))
    starts = np.flatnonzero(np.diff(passes, prepend=-np.inf) > _ALIKE)
    most = (high - low) / points * _ASIDE
    places = []
    for first, after in pairwise([*starts, len(passes)]):
        near = [abs(passes[other] - passes[first]) for other in starts if other != first]
        step = min(most, 0.8 * min(near, default=np.inf) / (after - first))
        for number, cost in enumerate(passes[first:after]):
            aside = (number + 1) // 2 * (1 if number % 2 else -1)
            places.append(float(np.exp(cost + step * aside)))
    return places


def _span(passes: pd.Series) -> tuple[float, float]:
    """Limits of the axis of costs."""
    return 0.7 * float(passes.min()), 1.25 * float(passes.max())


def _limits(frame: pd.DataFrame) -> tuple[float, float]:
    """Limits of the axis of accuracies, in percent."""
    return fitted_limits(100 * frame["low"].to_numpy(float), 100 * frame["high"].to_numpy(float))
