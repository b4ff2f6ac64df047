"""Differences to the reference with their simultaneous intervals: who is better, and how sure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.methods import LEVEL, MARGIN, Relation
from regmix_bench.analysis.standings import Standings
from regmix_bench.records.accuracies import attack_words
from regmix_bench.reporting.figures.captions import protocol_of, seed_words, sentence_of
from regmix_bench.reporting.figures.limits import fitted_limits
from regmix_bench.reporting.figures.looks import Look
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.row_panel import PanelRow, draw_beyond, row_panel
from regmix_bench.reporting.figures.style import names_of, tip
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import fixed, short

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

#: The colour and the marker of each verdict, the colours those of pages.
VERDICTS: dict[Relation, tuple[str, str]] = {
    "better": ("#0a6b4b", ">"),
    "equivalent": ("#0b57a4", "s"),
    "not distinguishable": ("#6b6b6b", "o"),
    "worse": ("#a8420b", "<"),
    "too few seeds": ("#6b6b6b", "x"),
}
_SAID: dict[Relation, str] = {
    "better": "better",
    "equivalent": "equivalent",
    "not distinguishable": "not distinguishable",
    "worse": "worse",
    "too few seeds": "of too few seeds for a verdict",
}
#: What stands for the verdict of the row that others are compared with.
_REFERENCE = "reference"
#: What is said in black.
_LOUD = ("better", "equivalent", "worse", _REFERENCE)


@dataclass(frozen=True, kw_only=True, eq=False)
class DifferenceForest(ReportFigure):
    """Differences to the reference under AutoAttack with simultaneous intervals, and verdicts.

    A picture per cohort with a row per label, the highest difference first. There is none where no
    row has an interval.
    """

    name = "forest"

    looks: Mapping[str, Look]
    attack: str

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for block in contents.main_blocks:
            standings = contents.standings[block.stem]
            frame = forest_frame(block, standings)
            if frame.empty or frame["low"].isna().all():
                continue
            attack = attack_words(block.cohort.setting.scoring)
            yield cls(
                subject=block.cohort.stem,
                frame=frame,
                caption=_caption(frame, contents.looks, attack, block),
                protocol=protocol_of(block, frame["seeds"]),
                looks=contents.looks,
                attack=attack,
            )

    def draw(self, style: Style) -> Figure:
        """Return one panel: names at the left, differences in figures at the right."""
        found = self.frame.to_dict("records")
        names = names_of(self.looks, self.frame["label"], style)
        rows = [
            PanelRow(
                name, _value(row), row["verdict"] in _LOUD or self.looks[row["label"]].featured
            )
            for name, row in zip(names, found, strict=True)
        ]
        reference = short(self.looks[str(found[0]["reference"])].name, 40)
        label = f"{self.attack} − {reference}, points"
        limits = _limits(self.frame)
        figure, axis, places = row_panel(
            style, rows, limits, label, self.protocol, _legend(self.frame)
        )
        axis.axvline(0, color="black", linewidth=0.8)
        for row, words, place in zip(found, rows, places, strict=True):
            mark = _draw_row(axis, place, row, limits)
            tip(mark, f"{self.looks[row['label']].name}: {words.numbers}, {row['verdict']}")
        return figure


def forest_frame(block: Block, standings: Standings) -> pd.DataFrame:
    """Tabulate the reference of a block and all rows that have a verdict: differences, −1 to 1.

    The highest difference stands first. ``mean`` is the accuracy (0 to 1) over all scored seeds,
    ``seeds`` those that the difference rests on; ``low`` and ``high`` are None of too few.
    """
    methods = {row.label: row.group.method for row in block.rows}
    rows = []
    for row in standings.rows:
        found = row.verdict
        if row.label not in methods or (found is None and row.label != standings.reference):
            continue
        low, high = (found.interval if found else None) or (None, None)
        rows.append(
            {
                **block.csv_columns,
                "method": methods[row.label],
                "label": row.label,
                "reference": standings.reference,
                "seeds": row.seeds,
                "mean": row.mean.mean if row.mean else None,
                "difference": found.difference if found else 0.0,
                "low": low,
                "high": high,
                "p_value": found.p_value if found else None,
                "verdict": found.relation if found else _REFERENCE,
            }
        )
    if not rows:
        return pd.DataFrame()
    frame = pd.DataFrame(rows).astype(dict.fromkeys(("mean", "low", "high", "p_value"), float))
    return frame.sort_values("difference", ascending=False, kind="stable", ignore_index=True)


def _caption(frame: pd.DataFrame, looks: Mapping[str, Look], attack: str, block: Block) -> str:
    reference = short(looks[str(frame["reference"].iloc[0])].name)
    own = frame.loc[frame["verdict"] == _REFERENCE, "mean"]
    mean = f" ({fixed(100 * float(own.iloc[0]))} %)" if own.notna().any() else ""
    others = frame[frame["verdict"] != _REFERENCE]
    found = Counter(others["verdict"])
    verdicts = [
        f"{number} {'is' if number == 1 else 'are'} {words}"
        for verdict, words in _SAID.items()
        if (number := found[verdict])
    ]
    judged = others[others["low"].notna()].to_dict("records")
    ends = [judged[0], judged[-1]][: len(judged)]
    differences = [f"{_value(row)} of {short(looks[row['label']].name)}" for row in ends]
    of = f"of {len(others)} rows " if len(others) > 1 else "the one other row "
    if len(others) == 1:
        verdicts = [said.removeprefix("1 ") for said in verdicts]
    words = (
        f"Against {reference}{mean}, {of}{sentence_of(verdicts)}:"
        f" {attack} accuracy less that of the reference is"
        f" {'from ' * (len(ends) > 1)}{' to '.join(differences)}, in points;"
        f" {protocol_of(block, frame['seeds'])}."
        f" The {100 * (1 - LEVEL):.0f} % intervals over seeds and images hold together for all"
        " rows; better or worse is a row whose interval leaves out 0"
    )
    if found["equivalent"]:
        words += f", equivalent one whose interval lies within ±{100 * MARGIN:g} point"
    if outside := [short(looks[label].name) for label in _beyond(frame)]:
        words += f". Beyond the axis, where an arrow points: {sentence_of(outside)}"
    return f"{words}."


def _value(row: Mapping[Any, Any]) -> str:
    """Return a difference and its interval in points, as they stand beside its row."""
    if row["verdict"] == _REFERENCE:
        return f"0, {_REFERENCE}"
    value = fixed(100 * row["difference"])
    words = f"+{value}" if row["difference"] > 0 and value != fixed(0) else value
    if pd.isna(row["low"]):
        return f"{words}, {seed_words([row['seeds']])}"
    # An end that looks like 0 would not tell on which side of it the interval lies.
    ends = (row["low"], row["high"])
    digits = next((d for d in (1, 2) if all(round(100 * abs(end), d) for end in ends)), 3)
    return f"{words} [{', '.join(fixed(100 * end, digits) for end in ends)}]"


def _legend(frame: pd.DataFrame) -> list[Line2D]:
    found = Counter(frame["verdict"])
    return [
        Line2D([], [], color=colour, marker=marker, markersize=4.5, label=f"{verdict} ({count})")
        for verdict, (colour, marker) in VERDICTS.items()
        if (count := found[verdict])
    ]


def _draw_row(
    axis: Axes, place: float, row: Mapping[Any, Any], limits: tuple[float, float]
) -> Line2D:
    """Draw an interval and its middle; what lies beyond the axis is an arrow at the rim."""
    value = 100 * row["difference"]
    colour, marker = VERDICTS.get(row["verdict"], ("black", "D"))
    style: dict[str, Any] = {"color": colour, "linewidth": 1.2, "markersize": 4.5, "zorder": 3}
    if not limits[0] <= value <= limits[1]:
        return draw_beyond(axis, place, value > 0, colour)
    if pd.notna(row["low"]):
        axis.plot([100 * row["low"], 100 * row["high"]], [place, place], **style)
    (mark,) = axis.plot(value, place, marker=marker, linestyle="", clip_on=False, **style)
    return mark


def _beyond(frame: pd.DataFrame) -> list[str]:
    """The labels of rows whose difference lies beyond the axis."""
    low, high = _limits(frame)
    outside = ~(100 * frame["difference"]).between(low, high)
    return [str(label) for label in frame.loc[outside, "label"]]


def _limits(frame: pd.DataFrame) -> tuple[float, float]:
    """Limits in points that hold 0."""
    low, high = (
        100 * frame[end].fillna(frame["difference"]).to_numpy(float) for end in ("low", "high")
    )
    return fitted_limits(low, high, hold=0.0)
