"""Accuracy under each common corruption, of several models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from matplotlib.figure import Figure

from regmix_bench.reporting.figures.captions import in_percent
from regmix_bench.reporting.figures.looks import GREY, Look, given_looks
from regmix_bench.reporting.figures.panels import Rim, panels
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import (
    column_of,
    fitted_axis,
    legend_below,
    legend_handles,
    legend_inches,
    tip,
)
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import fixed
from regmix_bench.reporting.tables.corruptions import corruption_accuracies, shown
from regmix_bench.specs.corruptions import CORRUPTIONS

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

#: The row above those of single corruptions.
MEAN = "mean of all"
#: Inches of a row.
_ROW = 0.17


@dataclass(frozen=True, kw_only=True, eq=False)
class CorruptionDots(ReportFigure):
    """Accuracy under each common corruption, a dot a model.

    A picture per table of models on one set of corrupted images.
    """

    name = "corruptions"

    looks: Mapping[str, Look]

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for panel in contents.corrupted:
            best, record = panel.rows[0]
            # What a label names in comparisons has its colour here, too.
            own = {k: v for k, v in contents.looks.items() if k in dict(panel.rows)}
            looks = given_looks(label for label, _ in panel.rows) | own
            yield cls(
                subject=panel.terms.stem.removeprefix(f"{cls.name}-"),
                frame=corruption_accuracies([panel]),
                caption=(
                    f"{looks[best].name} holds most, {in_percent(record.mean_accuracy)} in the mean"
                    f" over all; {panel.heading}. Accuracy under each corruption, mean over its"
                    " severities; a dotted line is that of a model without one."
                ),
                protocol=panel.heading,
                looks=looks,
            )

    def draw(self, style: Style) -> Figure:
        """Return one panel: a row a corruption, a mark a model."""
        means = self.frame.groupby(["label", "corruption"], sort=False)["accuracy"].mean()
        labels = list(dict.fromkeys(self.frame["label"]))
        names = [MEAN, *map(shown, CORRUPTIONS)]
        wide, _ = column_of(names, style)
        handles = legend_handles({label: self.looks[label] for label in labels}, lines=False)
        rim = Rim(left=wide + 0.1, right=0.12, bottom=0.42 + legend_inches(handles, style), top=0.1)
        height = _ROW * (len(names) + 0.5)
        figure, ((axis,),) = panels(style, (1, 1), height, rim, self.protocol)
        corrupted = self.frame[self.frame["severity"] > 0]
        overall = corrupted.groupby("label")["accuracy"].mean()
        for label in labels:
            look = self.looks[label]
            shares = [overall[label], *(means[label, name] for name in CORRUPTIONS)]
            marks = {**look.marks, "linestyle": "", "clip_on": False}
            for place, share in enumerate(shares):
                (mark,) = axis.plot(100 * share, place, **marks)
                tip(mark, f"{look.name}, {names[place]}: {fixed(100 * share)} %")
            axis.axvline(100 * means[label, ""], color=look.colour, linestyle=":", linewidth=0.8)
        axis.axhline(0.5, color=GREY, linewidth=0.6)
        axis.set(ylim=(len(names) - 0.5, -0.5), xlabel="accuracy (%)")
        axis.set_xlim(fitted_axis(100 * means, 20.0))
        axis.set_yticks(range(len(names)), names)
        axis.tick_params(axis="y", length=0)
        legend_below(figure, handles, style)
        return figure
