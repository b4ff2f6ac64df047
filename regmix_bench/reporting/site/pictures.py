"""The pictures of the site: which stand beside which comparison, and their files to take away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock

from markupsafe import Markup

from regmix_bench.records.accuracies import robust_metric
from regmix_bench.registry import docstring
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures import FIGURES
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.narrowing import for_figures, with_main

#: The figures that lead each comparison, drawn into its page: the differences to the reference, and
#: accuracy over cost.
LEADING = ("forest", "pareto")
#: So wide that two of them stand beside each other in a window of 1,280 pixels.
STYLE = Style(width=6.3)
#: Where the files of pictures and tables lie below the site.
FOLDER = "files/"

_TITLES = {".pdf": "PDF", ".png": "PNG", ".csv": "CSV", ".points.csv": "CSV of points"}


@dataclass(frozen=True)
class PagePicture:
    """A picture as a page shows it: drawn into it, or an image that is had when it is seen."""

    picture: ReportFigure
    leads: bool

    @property
    def stem(self) -> str:
        return self.picture.stem

    @property
    def title(self) -> str:
        """The first line of what its class says of itself."""
        return docstring(type(self.picture)).partition("\n")[0].rstrip(".")

    @cached_property
    def svg(self) -> Markup:
        """The picture as an ``<svg>`` element."""
        from regmix_bench.reporting.figures.svg import svg  # it loads plotting libraries

        # matplotlib escapes what it writes, and the style sheet is taken out.
        return Markup(svg(self.picture, STYLE))

    @property
    def image(self) -> str:
        """The file of its image below the site, if it has one."""
        return f"{FOLDER}{self.stem}.png" if ".png" in self.picture.suffixes else ""

    @property
    def formats(self) -> dict[str, str]:
        """The formats that it can be had as: the endings of its files by what they are called."""
        ends = (*self.picture.suffixes, ".csv")
        known = [end for end in _TITLES if end in ends]
        others = [end for end in ends if end not in _TITLES]
        return {_TITLES.get(end, end[1:].upper()): end[1:] for end in (*known, *others)}


@dataclass(frozen=True)
class SitePictures:
    """The pictures ``beside`` each comparison, by its stem, and the ``others`` of a report."""

    beside: Mapping[str, tuple[PagePicture, ...]] = field(default_factory=dict)
    others: tuple[PagePicture, ...] = ()

    @classmethod
    def of(cls, contents: Contents) -> SitePictures:
        """Return all of the report, and those that lead comparisons that figures do not show.

        What a report shows of a cohort stands beside its main block. Raises as
        :attr:`Contents.gallery` does.
        """
        shown = for_figures(contents)
        found = contents.gallery.pictures
        main = {block.stem for block in contents.main_blocks}
        beside, placed = {}, set()
        for block in contents.blocks:
            if block.stem in main:
                subjects = (block.cohort.stem, block.cohort.setting.stem)
                own = [picture for picture in found if picture.subject in subjects]
                placed |= {picture.stem for picture in own}
            else:
                own = list(_alone(shown, block.stem))
            named = [PagePicture(picture, picture.name in LEADING) for picture in own]
            beside[block.stem] = tuple(named)
        others = (picture for picture in found if picture.stem not in placed)
        return cls(beside, tuple(PagePicture(picture, leads=False) for picture in others))

    def preview(self, stem: str) -> str:
        """Return the image that stands for a comparison where it is linked to, if there is one."""
        return next((each.image for each in self.beside.get(stem, ()) if each.leads), "")

    @property
    def all(self) -> tuple[ReportFigure, ...]:
        """Every picture once."""
        shown = (*(each for found in self.beside.values() for each in found), *self.others)
        return tuple({each.stem: each.picture for each in shown}.values())


class PictureFiles(Mapping[str, bytes]):
    """The files of pictures by their paths below the site, each drawn when it is asked for."""

    def __init__(self, pictures: SitePictures, style: Style) -> None:
        self._style = style
        self._pictures = {picture.stem: picture for picture in pictures.all}
        self._names = {
            f"{FOLDER}{stem}{suffix}": (stem, suffix)
            for stem, picture in self._pictures.items()
            for suffix in picture.suffixes
        }
        self._drawn: dict[str, dict[str, bytes]] = {}
        self._lock = Lock()

    def __getitem__(self, name: str) -> bytes:
        from regmix_bench.reporting.figures.gallery import rendered  # it loads plotting libraries

        stem, suffix = self._names[name]
        with self._lock:
            if stem not in self._drawn:
                self._drawn[stem] = rendered(self._pictures[stem], self._style)
        return self._drawn[stem][suffix]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _leading(contents: Contents) -> Iterator[ReportFigure]:
    for name in LEADING:
        yield from FIGURES[name].of(contents)


def _alone(shown: Contents, stem: str) -> Iterator[ReportFigure]:
    """Return the leading pictures of a block that does not stand for its cohort in figures."""
    for block in shown.blocks:
        robust = robust_metric(block.cohort.setting.scoring)
        if block.stem == stem and any(robust in row.metrics for row in block.rows):
            for picture in _leading(with_main(shown, block)):
                yield replace(picture, subject=stem)
