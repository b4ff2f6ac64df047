"""Pictures of a results folder, drawn as a report draws them."""

from __future__ import annotations

import pickle
from pathlib import Path

from matplotlib.figure import Figure

from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures import FIGURES
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import applied
from regmix_bench.reporting.figures.venues import PLAIN, Style


def pictures_of(name: str, results: Path) -> list[ReportFigure]:
    """Return the pictures that the figure called ``name`` has of all methods that are recorded."""
    return list(FIGURES[name].of(Contents.of(results, across=("tricks",))))


def drawn(picture: ReportFigure, style: Style = PLAIN) -> Figure:
    """Draw a picture that has been sent to another process and back."""
    with applied(style):
        return pickle.loads(pickle.dumps(picture)).draw(style)
