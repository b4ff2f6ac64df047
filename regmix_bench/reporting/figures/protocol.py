"""The protocol of figures: a ``name``, the pictures ``of`` a report, and how to ``draw`` one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import pandas as pd

from regmix_bench.reporting.values import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from regmix_bench.reporting.contents import Contents
    from regmix_bench.reporting.figures.venues import Style


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportFigure(ABC):
    """A figure of reports: the class is the kind, an instance is one picture.

    :meth:`of` takes from a report what a picture shows; :meth:`draw` is called only when pixels are
    wanted, and may be called in another process. So an instance holds its numbers and little else:
    a subclass adds fields for what it draws beyond ``frame``, as a dataclass of the same kind, and
    each can be pickled. The first line of its docstring describes it in listings.

    ``subject`` says what of the report is shown: the stem of a setting or of a cohort, beside whose
    tables the picture then stands, or else words of a file name. ``frame`` holds the numbers shown
    and is written beside the picture as CSV. ``caption`` stands under the picture, and ``table``
    under the caption. ``protocol`` is what stands small in the picture: data set, architecture, and
    norm and ε where all that it shows shares them.
    """

    name: ClassVar[str]
    #: The files that come of drawing.
    suffixes: ClassVar[tuple[str, ...]] = (".png", ".pdf")

    subject: str
    frame: pd.DataFrame
    caption: str
    table: Table | None = None
    protocol: str = ""

    @classmethod
    @abstractmethod
    def of(cls, contents: Contents) -> Iterable[Self]:
        """Return the pictures that a report has numbers for."""

    @classmethod
    def missing(cls, contents: Contents) -> Iterable[str]:
        """Say of pictures that a report has too few numbers for why they are not drawn."""
        return ()

    @abstractmethod
    def draw(self, style: Style) -> Figure:
        """Return the picture, ``style.width`` inches wide, its text 7 points high or more.

        It is called inside :func:`~regmix_bench.reporting.figures.style.applied`, which sets the
        font, its sizes, and the width of a ``Figure`` that names none. The same numbers give the
        same picture.
        """

    def points(self) -> pd.DataFrame | None:
        """Return the numbers that come of drawing, if any; they depend on the machine.

        A class that returns some has ``".points.csv"`` among its ``suffixes``.
        """
        return None

    @property
    def stem(self) -> str:
        """The name of its files without their endings."""
        return f"{self.name}-{self.subject}"

    @property
    def beside(self) -> str:
        """The stem of the table in a chapter under which it stands, its own if there is one."""
        return self.stem
