"""Mean ranks over several comparisons, and which methods differ there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.mean_ranks import (
    FEWEST_COMPARISONS,
    FEWEST_METHODS,
    MeanRanks,
    shared_methods,
)
from regmix_bench.analysis.methods import LEVEL
from regmix_bench.records.accuracies import robust_metric
from regmix_bench.reporting.figures.captions import plain, quantity, sentence_of
from regmix_bench.reporting.figures.looks import GREY, MOST_COLOURED, QUIET, Look
from regmix_bench.reporting.figures.panels import Rim, panels
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import fitted, inches, tip
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import short

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

#: Inches between bars, and of all that stands above the axis.
_BAR, _ABOVE = 0.075, 0.52


@dataclass(frozen=True, kw_only=True, eq=False)
class CriticalDifference(ReportFigure):
    """Mean ranks of methods over several comparisons, and which do not differ from each other.

    One picture of all comparisons that share methods. There is none of fewer than
    :data:`~regmix_bench.analysis.mean_ranks.FEWEST_COMPARISONS`.
    """

    name = "critical-difference"

    looks: Mapping[str, Look]
    ranks: MeanRanks

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        blocks = contents.main_blocks
        means = [_means(block) for block in blocks]
        labels, places = shared_methods(means)
        if not labels:
            return
        found = MeanRanks.of({k: [means[place][k] for place in places] for k in labels})
        shown = [blocks[place] for place in places]
        references = {contents.standings[block.stem].reference for block in shown}
        reference = references.pop() if len(references) == 1 else None
        looks = _emphasised(found, contents.looks, reference)
        yield cls(
            subject="all",
            frame=ranks_frame(shown, found),
            caption=_caption(found, shown, len(blocks), looks),
            protocol=f"{_sets(shown)}, {quantity(len(shown), 'comparison')}",
            looks=looks,
            ranks=found,
        )

    @classmethod
    def missing(cls, contents: Contents) -> Iterator[str]:
        blocks = contents.main_blocks
        if blocks and not shared_methods([_means(block) for block in blocks])[0]:
            yield (
                f"Mean ranks need {FEWEST_COMPARISONS} comparisons that share"
                f" {FEWEST_METHODS} methods: of {quantity(len(blocks), 'comparison')} no"
                f" {FEWEST_COMPARISONS} do."
            )

    def draw(self, style: Style) -> Figure:
        """Return a diagram: the axis of ranks above, bars that join what does not differ, names."""
        labels = self.ranks.labels
        half = (len(labels) + 1) // 2
        numbers = [f" {plain(rank)}" for rank in self.ranks.ranks]
        room = 0.34 * style.width - max(inches(number, style.small) for number in numbers)
        names = [
            fitted(self.looks[label].name, room, style.small) + number
            for label, number in zip(labels, numbers, strict=True)
        ]
        levels = _levels(self.ranks)
        step = 1.45 * style.small / 72
        below = 0.1 + _BAR * (max(levels, default=-1) + 1) + step / 2
        height = _ABOVE + below + step * half
        figure, ((axis,),) = panels(
            style, (1, 1), height, Rim(left=0.05, right=0.05, bottom=0.03, top=0.0), self.protocol
        )
        wide = style.width - 0.1
        axis.set(xlim=(0, wide), ylim=(height, 0))
        axis.set_axis_off()
        left, right = (
            max((inches(name, style.small) for name in side), default=0.0) + 0.12
            for side in (names[:half], names[half:])
        )

        def across(rank: float) -> float:
            return left + (rank - 1) / (len(labels) - 1) * (wide - left - right)

        self._draw_axis(axis, across(1), across(len(labels)), style)
        places = [across(rank) for rank in self.ranks.ranks]
        for (first, last), level in zip(_spans(self.ranks), levels, strict=True):
            y = _ABOVE + 0.1 + _BAR * level
            ends = [places[first] - 0.03, places[last] + 0.03]
            axis.plot(ends, [y, y], color="black", linewidth=2.2, solid_capstyle="butt", zorder=3)
        for place, (label, name) in enumerate(zip(labels, names, strict=True)):
            look, at_left = self.looks[label], place < half
            row = place if at_left else len(labels) - 1 - place
            y = _ABOVE + below + step * row
            edge, aside = (left - 0.06, -0.04) if at_left else (wide - right + 0.06, 0.04)
            (line,) = axis.plot(
                [places[place], places[place], edge],
                [_ABOVE, y, y],
                color=look.colour,
                linewidth=0.6 if look.quiet else 1.2,
                zorder=1.5 if look.quiet else 2,
            )
            tip(line, f"{look.name}: mean rank {plain(self.ranks.ranks[place])}")
            axis.text(
                edge + aside,
                y,
                name,
                ha="right" if at_left else "left",
                va="center_baseline",
                fontsize=style.small,
                color=look.ink,
            )
        return figure

    def _draw_axis(self, axis: Axes, start: float, end: float, style: Style) -> None:
        """Draw the axis of ranks with its ticks, and the critical difference above it."""
        most = len(self.ranks.labels)
        axis.plot([start, end], [_ABOVE, _ABOVE], color="black", linewidth=0.8)
        stride = next(k for k in (1, 2, 5, 10, 20, 50) if most / k <= 4 * (end - start))
        for rank in [1, *range(3 if stride == 2 else max(stride, 2), most + 1, stride)]:
            x = start + (rank - 1) / (most - 1) * (end - start)
            axis.plot([x, x], [_ABOVE, _ABOVE - 0.04], color="black", linewidth=0.6)
            axis.text(x, _ABOVE - 0.06, str(rank), ha="center", va="bottom", fontsize=style.small)
        reach = start + self.ranks.critical_difference / (most - 1) * (end - start)
        y = _ABOVE - 0.28
        axis.plot([start, reach], [y, y], color=GREY, linewidth=1.2)
        for x in (start, reach):
            axis.plot([x, x], [y - 0.03, y + 0.03], color=GREY, linewidth=0.8)
        words = f"critical difference {plain(self.ranks.critical_difference)}"
        axis.text(start, y - 0.05, words, va="bottom", fontsize=style.small)


def ranks_frame(blocks: Sequence[Block], found: MeanRanks) -> pd.DataFrame:
    """Tabulate each method in each comparison, the best mean rank first: accuracies are 0 to 1."""
    rows = [
        {
            **block.csv_columns,
            "label": label,
            "accuracy": means[label],
            "rank": rank,
            "mean_rank": mean,
            "critical_difference": found.critical_difference,
            "friedman_p_value": found.p_value,
        }
        for block in blocks
        for means in (_means(block),)
        for label, mean in zip(found.labels, found.ranks, strict=True)
        for rank in (_rank(means[label], [means[other] for other in found.labels]),)
    ]
    return pd.DataFrame(rows)


def _rank(value: float, others: Sequence[float]) -> float:
    """Return 1 for the highest; equal ones, itself among them, share the middle of their ranks."""
    above, equal = sum(o > value for o in others), sum(o == value for o in others)
    return above + (equal + 1) / 2


def _means(block: Block) -> dict[str, float]:
    robust = robust_metric(block.cohort.setting.scoring)
    return {row.label: row.metrics[robust].mean for row in block.rows if robust in row.metrics}


def _sets(blocks: Sequence[Block]) -> str:
    return sentence_of(list(dict.fromkeys(block.cohort.setting.words for block in blocks)))


def _caption(
    found: MeanRanks, blocks: Sequence[Block], whole: int, looks: Mapping[str, Look]
) -> str:
    names = [short(looks[label].name) for label in found.labels]
    said = [f"{names[place]} {plain(found.ranks[place])}" for place in (0, -1)]
    rejected = found.p_value < LEVEL
    level = f"{100 * LEVEL:.0f} %"
    p_value = f"p = {plain(found.p_value)}" if found.p_value >= 0.01 else "p < 0.01"
    sets = len({block.cohort.setting.dataset for block in blocks})
    words = (
        f"Mean ranks of {quantity(len(names), 'method')} by robust accuracy over"
        f" {quantity(len(blocks), 'comparison')} ({_sets(blocks)}; 1 is best): from {said[0]} to"
        f" {said[1]}. Friedman's test, as Iman and Davenport correct it, finds"
        f" {'a difference' if rejected else 'no difference, so that a bar joins all'}"
        f" ({p_value})."
    )
    if rejected:
        words += (
            f" A bar joins methods whose mean ranks are at most {plain(found.critical_difference)}"
            f" apart, the critical difference of Nemenyi's test at {level} (Demšar 2006)."
        )
    if sets < len(blocks):
        words += (
            f" The comparisons are on {quantity(sets, 'data set')}, and those on one are not"
            " independent of each other: fewer methods may differ than it seems."
        )
    if whole > len(blocks):
        left = quantity(whole - len(blocks), "comparison")
        words += f" Left out, for lack of these methods: {left}."
    return words


def _emphasised(
    found: MeanRanks, looks: Mapping[str, Look], reference: str | None
) -> dict[str, Look]:
    """The looks of the methods: of many, all are quiet but the reference and what differs from it.

    Without a reference the best is in its place.
    """
    one = reference if reference in found.labels else found.labels[0]
    featured = [label for label in found.labels if looks[label].featured]
    differ = [label for label in found.labels if found.differ(one, label)]
    loud = list(dict.fromkeys([one, *featured, *differ]))[:MOST_COLOURED]
    few = len(found.labels) <= MOST_COLOURED
    return {
        label: looks[label]
        if few or label in loud
        else replace(looks[label], colour=QUIET, quiet=True)
        for label in found.labels
    }


def _spans(found: MeanRanks) -> list[tuple[int, int]]:
    """The first and the last place of each group."""
    return [(found.labels.index(g[0]), found.labels.index(g[-1])) for g in found.groups]


def _levels(found: MeanRanks) -> list[int]:
    """The row of each group's bar, so that no two lie on each other."""
    free: list[int] = []
    levels = []
    for first, last in _spans(found):
        level = next((k for k, end in enumerate(free) if end < first), len(free))
        free[level : level + 1] = [last]
        levels.append(level)
    return levels
