"""The best that so many trials are expected to find, for every method that was tuned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from regmix_bench.analysis.tuning import BestCurve, trial_values
from regmix_bench.records.schema import StudyRecord
from regmix_bench.reporting.figures.captions import in_percent
from regmix_bench.reporting.figures.looks import Look, look_of
from regmix_bench.reporting.figures.panels import Rim, panels
from regmix_bench.reporting.figures.studies import StudyFigure
from regmix_bench.reporting.figures.style import legend_below, legend_handles, legend_inches, tip
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.tables.tuning import effort_words, tuning_words

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents


@dataclass(frozen=True, kw_only=True, eq=False)
class BestOfTrials(StudyFigure):
    """Expected best accuracy of so many trials, with its interval, a line for each tuned method.

    A picture per folder of studies, of those that have two trials or more.
    """

    name = "tuning"

    looks: Mapping[str, Look]

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for name, studies in contents.studies.items():
            frame = best_frame(studies)
            if frame.empty:
                continue
            looks = {study.label: look_of(study.spec.method) for study in studies}
            yield cls(
                subject=name,
                folder=name,
                frame=frame,
                caption=_caption(frame, looks, studies),
                protocol=tuning_words(studies),
                looks={label: look for label, look in looks.items() if label in set(frame.label)},
            )

    def draw(self, style: Style) -> Figure:
        """Return one panel: accuracy over trials, each line with the band of its interval."""
        handles = legend_handles(self.looks, lines=True)
        figure, ((axis,),) = panels(
            style,
            (1, 1),
            1.9 if style.narrow else 2.4,
            Rim(left=0.5, right=0.1, bottom=0.42 + legend_inches(handles, style), top=0.06),
            self.protocol,
        )
        for label, look in self.looks.items():
            rows = self.frame[self.frame["label"] == label]
            axis.fill_between(
                rows["trials"], 100 * rows["low"], 100 * rows["high"], color=look.colour, alpha=0.15
            )
            (line,) = axis.plot(
                rows["trials"], 100 * rows["expected"], look.line, color=look.colour
            )
            axis.plot(rows["trials"].iloc[-1], 100 * rows["expected"].iloc[-1], **look.marks)
            tip(line, f"{look.name}: {100 * rows['expected'].iloc[-1]:.1f} %")
        # Of few trials the band goes far down, where there is nothing to see.
        last = self.frame.groupby("label")["low"].last()
        floor = 100 * min(self.frame["expected"].min(), last.min())
        top = 100 * self.frame["high"].max()
        room = max(0.05 * (top - floor), 0.1)
        axis.set(
            xlabel="trials spent", ylabel="best, held out (%)", ylim=(floor - room, top + room)
        )
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        legend_below(figure, handles, style)
        return figure


def best_frame(studies: Sequence[StudyRecord]) -> pd.DataFrame:
    """Tabulate the expected best of 1, 2, … trials and its interval, 0 to 1, by label."""
    parts = []
    for study in studies:
        values = trial_values(study)
        if len(values) < 2:
            continue
        curve = BestCurve.of(values)
        parts.append(
            pd.DataFrame(
                {
                    "label": study.label,
                    "trials": range(1, len(values) + 1),
                    "expected": curve.expected,
                    "low": curve.low,
                    "high": curve.high,
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _caption(frame: pd.DataFrame, looks: Mapping[str, Look], studies: Sequence[StudyRecord]) -> str:
    last = frame.groupby("label", sort=False)["expected"].last()
    best = str(last.idxmax())
    return (
        f"{looks[best].name} is expected to find the most with the trials that it had,"
        f" {in_percent(float(last.max()))}; {tuning_words(studies)}, {effort_words(studies)}."
        " Lines are the expected best of so many draws from a study's trials (Dodge et al., EMNLP"
        " 2019), bands its 95 % interval by a bootstrap of them. The accuracy is that on held-out"
        " training images, and the choice among trials makes it too high."
    )
