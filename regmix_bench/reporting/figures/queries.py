"""Accuracy against the queries that a black box may ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from regmix_bench.analysis.queries import QueryCurves
from regmix_bench.analysis.words import threat_words
from regmix_bench.reporting.figures.captions import extreme, grey_words, in_percent
from regmix_bench.reporting.figures.labels import Spot, ends_inches, name_ends
from regmix_bench.reporting.figures.looks import MOST_COLOURED, Look, given_looks
from regmix_bench.reporting.figures.panels import Rim, panels
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import (
    fitted_axis,
    legend_below,
    legend_handles,
    legend_inches,
    tip,
)
from regmix_bench.reporting.figures.venues import Style

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents


@dataclass(frozen=True, kw_only=True, eq=False)
class QueryCurve(ReportFigure):
    """Accuracy against the queries that a black box may ask for an image.

    A picture per comparison, and per table of given models, that such an attack alone scored.
    """

    name = "queries"

    looks: Mapping[str, Look]
    attack: str

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        cohorts = {cohort.stem: cohort for cohort in contents.cohorts}
        for curves in contents.query_curves:
            cohort = cohorts.get(curves.subject)
            looks = given_looks(curves.rows) if cohort is None else contents.looks_in(cohort)
            frame = queries_frame(curves)
            last = frame.groupby("label", sort=False)["accuracy"].last()
            attack, most = next(iter(curves.rows.values()))[0].attack, int(curves.queries[-1])
            said = extreme(
                {str(label): float(value) for label, value in last.items()},
                looks,
                None if cohort is None else contents.standings_in(cohort),
                f"holds most after {most:,} queries,",
                in_percent,
            )
            seeds = {len(seeds) for seeds in curves.rows.values()}
            yield cls(
                subject=curves.subject,
                frame=frame,
                caption=(
                    f"{said}; {curves.words}, {threat_words(curves.threat)}. The accuracy that is"
                    f" left where {attack}, which sees outputs alone, may ask for the output of"
                    " so many images to find one that fools"
                    f"{', mean over seeds' if max(seeds) > 1 else ''}. The last point is its score."
                    f"{grey_words(looks.values())}"
                ),
                protocol=f"{curves.words}, {threat_words(curves.threat)}",
                looks=looks,
                attack=attack,
            )

    def draw(self, style: Style) -> Figure:
        """Return one panel with a line per label, over the logarithm of the queries."""
        looks = {str(label): self.looks[str(label)] for label in self.frame["label"].unique()}
        named = sum(not look.quiet for look in looks.values()) <= MOST_COLOURED
        handles = [] if named else legend_handles(looks, lines=True)
        right = ends_inches(list(looks.values()), style) if named else 0.1
        rim = Rim(right=right, bottom=0.42 + legend_inches(handles, style), top=0.1)
        figure, ((axis,),) = panels(style, (1, 1), 2.0, rim, self.protocol)
        spots = []
        for label, line in self.frame.groupby("label", sort=False):
            look, y = looks[str(label)], 100 * line["accuracy"]
            (curve,) = axis.plot(
                line["queries"],
                y,
                look.line,
                color=look.colour,
                linewidth=0.6 if look.quiet else 1.3,
                zorder=2 if look.quiet else 3,
            )
            tip(curve, look.name)
            spots.append(Spot(float(line["queries"].iloc[-1]), float(y.iloc[-1]), look))
        axis.set(xscale="log", xlabel=f"queries of {self.attack} for an image")
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.set_ylabel("accuracy left (%)")
        axis.set_xlim(1, max(spot.x for spot in spots))
        axis.set_ylim(fitted_axis(100 * self.frame["accuracy"], 20.0))
        if named:
            name_ends(axis, spots, style)
        if handles:
            legend_below(figure, handles, style, handlelength=3.2)
        return figure


def queries_frame(curves: QueryCurves) -> pd.DataFrame:
    """Tabulate accuracy (0 to 1, mean over ``n`` seeds) by label and number of queries."""
    return pd.DataFrame(
        [
            {
                "table": curves.subject,
                "norm": curves.threat.norm,
                "epsilon": str(curves.threat.epsilon),
                "attack": seeds[0].attack,
                "label": label,
                "queries": queries,
                "accuracy": accuracy,
                "n": len(seeds),
            }
            for label, seeds in curves.rows.items()
            for queries, accuracy in zip(curves.queries, curves.accuracy(label), strict=True)
        ]
    )
