"""The pictures of a report: collected from every figure, and drawn."""

from __future__ import annotations

import io
import logging
import os
import re
import signal
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import joblib
import pandas as pd

from regmix_bench.errors import UserError, reason
from regmix_bench.registry import FILE_NAME
from regmix_bench.reporting.figures import FIGURES, figure_names
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import applied
from regmix_bench.reporting.figures.venues import PLAIN, Style
from regmix_bench.reporting.formats.cells import csv
from regmix_bench.system.children import end_with_parent, shelter_children
from regmix_bench.system.text import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from regmix_bench.reporting.contents import Contents

_log = logging.getLogger(__name__)

#: The files of one picture by their suffixes.
Files = dict[str, bytes]


@dataclass(frozen=True)
class Gallery:
    """The pictures of a report in order, and the files of those that are drawn already, by stem.

    ``missing`` says of those that there are too few numbers for why they are not drawn.
    """

    pictures: tuple[ReportFigure, ...]
    style: Style
    drawn: Mapping[str, Files]
    missing: tuple[str, ...] = ()

    @contextmanager
    def drawing(
        self, kept: Mapping[str, Files], say: Callable[[str], None]
    ) -> Iterator[Iterator[Files]]:
        """Draw the pictures: gives the files of each, in their order.

        Those that are ``kept``, by stem, are not drawn. Where there are many others, several
        processes draw while the block runs; few are drawn here, each when it is asked for.
        """
        ready = {**kept, **self.drawn}
        waiting = [picture for picture in self.pictures if picture.stem not in ready]
        count, of = len(waiting), len(self.pictures)
        say(f"drawing {count} of {of} pictures; {len(kept)} are as they were")

        def each(files: Iterator[Files]) -> Iterator[Files]:
            count = 0
            for picture in self.pictures:
                if picture.stem in ready:
                    yield ready[picture.stem]
                    continue
                found = next(files)
                count += 1
                say(f"[{count}/{len(waiting)}] {picture.stem}")
                yield found

        with closing(render_all(waiting, self.style)) as files:
            yield each(files)


def collect(contents: Contents) -> Gallery:
    """Return the pictures of every figure that there is.

    A name that cannot be loaded, or that two packages offer, is left out with one line as a
    warning, and so is a stranger's figure that fails; it has to draw, too, before it counts. Raises
    :class:`UserError` as our own figures do.
    """
    pictures: list[ReportFigure] = []
    drawn: dict[str, Files] = {}
    missing: list[str] = []
    contents.say("collecting what figures show")
    for name in figure_names():
        try:
            figure = FIGURES[name]
        except UserError as error:
            _log.warning("%s", error)
            continue
        if FIGURES.is_builtin(name):
            pictures += figure.of(contents)
            missing += figure.missing(contents)
            continue
        try:
            found = list(figure.of(contents))
            _check(name, found, {picture.stem for picture in pictures})
            files = {picture.stem: rendered(picture, contents.style) for picture in found}
            if any(files[picture.stem].keys() != set(picture.suffixes) for picture in found):
                raise UserError("its suffixes are not those of the files that it draws")
        except (Exception, SystemExit) as error:  # a stranger's figure may raise anything
            said = str(error) if isinstance(error, UserError) else reason(error)
            _log.warning("figure %r is left out: %s", name, one_line(said))
            continue
        pictures += found
        drawn |= files
    for line in missing:
        contents.say(line)
    return Gallery(tuple(pictures), contents.style, drawn, tuple(missing))


def rendered(picture: ReportFigure, style: Style = PLAIN) -> Files:
    """Draw a picture: ``.png`` (200 dpi) and ``.pdf``, without dates or versions in them."""
    files: Files = {}
    with applied(style):
        figure = laid_out(picture, style)
        if (points := picture.points()) is not None:
            files[".points.csv"] = csv(points).encode()
        for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
            stream = io.BytesIO()
            figure.savefig(stream, format=suffix[1:], dpi=200, metadata=metadata)
            files[suffix] = stream.getvalue()
    return files


def laid_out(picture: ReportFigure, style: Style) -> Figure:
    """Draw a picture and lay it out, once for all files that it is saved as."""
    figure = picture.draw(style)
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        engine.execute(figure)  # panels of a fixed shape have their size only now
        figure.set_layout_engine(None)
    return figure


def render_all(
    pictures: Sequence[ReportFigure], style: Style = PLAIN
) -> Generator[Files, None, None]:
    """Draw pictures in their order, many of them in several processes."""
    # A process takes as long to start as a few pictures to draw.
    processes = max(1, min(joblib.cpu_count(), len(pictures) // 4))
    shelter_children()
    # Where a report ends in an error, pictures that nobody will see are no matter.
    warnings.filterwarnings("ignore", r"\d+ tasks which were still being processed", UserWarning)
    with joblib.parallel_config("loky", initializer=_begin, initargs=(os.getpid(),)):
        parallel = joblib.Parallel(n_jobs=processes, return_as="generator")
    files: Generator[Files, None, None] = parallel(
        joblib.delayed(rendered)(picture, style) for picture in pictures
    )
    return files


def _begin(parent: int) -> None:
    """Begin a process that draws: Ctrl-C is its parent's, with which it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(parent)


def _check(name: str, pictures: Sequence[ReportFigure], taken: set[str]) -> None:
    """Raise :class:`UserError` for pictures of a stranger that a report cannot hold."""
    for picture in pictures:
        if picture.stem in taken:
            raise UserError(f"there is a picture {picture.stem} already")
        taken.add(picture.stem)
        if picture.name != name:
            raise UserError(f"its class calls itself {picture.name!r}")
        if not re.fullmatch(FILE_NAME, picture.stem):
            raise UserError(f"subject {picture.subject!r} cannot be part of a file name")
        if not isinstance(picture.frame, pd.DataFrame) or not isinstance(picture.caption, str):
            raise UserError("a picture has a frame, which is a DataFrame, and a caption")
        csv(picture.frame)
