"""Pictures of tunings: each is of a folder of studies."""

from __future__ import annotations

from dataclasses import dataclass

from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.tables.tuning import tuning_stem


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyFigure(ReportFigure):
    """A picture of a folder of studies, which stands under the table of that folder."""

    folder: str

    @property
    def beside(self) -> str:
        return tuning_stem(self.folder)
