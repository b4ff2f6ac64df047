"""The share of each tuned parameter in the variance of a study's values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pandas as pd
from matplotlib.figure import Figure

from regmix_bench.methods.declarations import symbol_of
from regmix_bench.records.schema import StudyRecord
from regmix_bench.reporting.figures.captions import in_percent
from regmix_bench.reporting.figures.looks import Look, look_of
from regmix_bench.reporting.figures.row_panel import PanelRow, row_panel
from regmix_bench.reporting.figures.studies import StudyFigure
from regmix_bench.reporting.figures.style import fitted, tip
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.tables.tuning import tuning_words

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents


@dataclass(frozen=True, kw_only=True, eq=False)
class ParameterImportance(StudyFigure):
    """Importance of each tuned parameter, a bar, method by method.

    A picture per folder of studies, of those with several parameters and trials enough to tell.
    """

    name = "importance"

    looks: Mapping[str, Look]

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for name, studies in contents.studies.items():
            frame = importance_frame(studies)
            if frame.empty:
                continue
            looks = {study.label: look_of(study.spec.method) for study in studies}
            top = max(frame.to_dict("records"), key=lambda row: row["importance"])
            yield cls(
                subject=name,
                folder=name,
                frame=frame,
                caption=(
                    f"{symbol_of(top['parameter'])} matters most to"
                    f" {looks[top['label']].name}, with {in_percent(top['importance'])} of the"
                    f" variance of its trials; {tuning_words(studies)}. Shares are those of a"
                    " functional analysis of variance (Hutter et al., ICML 2014) of the complete"
                    " trials, and sum to one for each method. Of few trials they are rough."
                ),
                protocol=tuning_words(studies),
                looks=looks,
            )

    def draw(self, style: Style) -> Figure:
        """Return one panel: a bar for each parameter, its method before its name."""
        found = self.frame.to_dict("records")
        names = [
            fitted(
                f"{self.looks[row['label']].name}: {symbol_of(row['parameter'])}",
                0.4 * style.width,
                style.small,
            )
            for row in found
        ]
        rows = [
            PanelRow(name, in_percent(row["importance"]))
            for name, row in zip(names, found, strict=True)
        ]
        figure, axis, places = row_panel(
            style, rows, (0, 100), "share of the variance (%)", self.protocol
        )
        axis.set_axisbelow(True)
        for row, name, place in zip(found, names, places, strict=True):
            look = self.looks[row["label"]]
            (bar,) = axis.barh(place, 100 * row["importance"], height=0.1, color=look.colour)
            tip(bar, f"{name}: {in_percent(row['importance'])}")
        return figure


def importance_frame(studies: Sequence[StudyRecord]) -> pd.DataFrame:
    """Tabulate the importance, 0 to 1, of each parameter of each study that tells several apart."""
    rows = [
        {"label": study.label, "parameter": key, "importance": share}
        for study in studies
        if len(study.importance) > 1
        for key, share in sorted(study.importance.items(), key=lambda item: -item[1])
    ]
    return pd.DataFrame(rows)
