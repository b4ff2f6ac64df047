"""The pictures of the front page: those of the comparison that leads, drawn into the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from regmix_bench.analysis.blocks import Block
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures import FIGURES
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import csv

#: The figures in their order: the differences to the reference, and accuracy over cost.
LEADING = ("forest", "pareto")
#: So wide that two of them stand beside each other in a window of 1,280 pixels.
STYLE = Style(width=6.3)


@dataclass(frozen=True)
class PagePicture:
    """A picture as an ``<svg>`` element, with its caption.

    ``files`` are the same to take away, by their suffixes.
    """

    stem: str
    svg: Markup
    files: dict[str, bytes]
    caption: str


def leading_pictures(contents: Contents, block: Block) -> Iterator[PagePicture]:
    """Draw the pictures of a block, if it is the one that figures show of its cohort."""
    if block not in contents.main_blocks:
        return
    # They load matplotlib, which a folder of failed runs does without.
    from regmix_bench.reporting.figures.gallery import rendered
    from regmix_bench.reporting.figures.svg import svg

    for name in LEADING:
        for picture in FIGURES[name].of(contents):
            if picture.subject == block.cohort.stem:
                files = {".csv": csv(picture.frame).encode(), **rendered(picture, STYLE)}
                # matplotlib escapes what it writes, and the style sheet is taken out.
                yield PagePicture(picture.stem, Markup(svg(picture, STYLE)), files, picture.caption)
