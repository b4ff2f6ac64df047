"""The pictures of a report: which are drawn, and in which of its folders their files lie."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property

from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.site.pictures import FOLDER, SitePictures

#: The folder of the site.
SITE = "site/"

#: The files of one picture by their suffixes.
Files = dict[str, bytes]


@dataclass(frozen=True)
class ReportPictures:
    """The ``figures`` of a report's own folder, and those of its ``site``.

    ``drawn`` has the files of those that are drawn already, by stem.
    """

    figures: tuple[ReportFigure, ...]
    site: SitePictures
    style: Style
    drawn: Mapping[str, Files] = field(default_factory=dict)

    @classmethod
    def of(cls, contents: Contents, formats: Collection[str]) -> ReportPictures:
        """Return those of the ``formats`` that are written."""
        if not {"figures", "html"}.intersection(formats):
            return cls((), SitePictures(), contents.style)
        return cls(
            contents.gallery.pictures if "figures" in formats else (),
            SitePictures.of(contents) if "html" in formats else SitePictures(),
            contents.style,
            contents.gallery.drawn,
        )

    @cached_property
    def all(self) -> tuple[ReportFigure, ...]:
        """Every picture once."""
        return tuple({each.stem: each for each in (*self.figures, *self.site.all)}.values())

    def names(self, picture: ReportFigure) -> list[dict[str, str]]:
        """Return the names of a picture's files by suffix, in each folder where they lie."""
        return [
            {end: f"{folder}{picture.stem}{end}" for end in picture.suffixes}
            for folder, stems in self._stems.items()
            if picture.stem in stems
        ]

    def named(self, picture: ReportFigure, files: Files) -> dict[str, bytes]:
        """Return what is written of a picture by name, of its files by suffix."""
        return {name: files[end] for names in self.names(picture) for end, name in names.items()}

    def marks(self, picture: ReportFigure, named: Mapping[str, bytes]) -> dict[str, str]:
        """Return the marks that the manifest has of a picture's files, by name."""
        from regmix_bench.reporting.figures.kept import mark

        made_of = self._fingerprints[picture.stem]
        return {name: mark(made_of, data) for name, data in named.items()}

    def kept(
        self, marks: Mapping[str, str], read: Callable[[str], bytes]
    ) -> dict[str, dict[str, bytes]]:
        """Return the files of the pictures that need not be drawn again, by stem and suffix.

        ``marks`` are those of an earlier report, of which ``read`` gives a file by its name.
        """
        kept = {}
        for picture in self.all:
            from regmix_bench.reporting.figures.kept import kept_files

            for names in self.names(picture):
                made_of = self._fingerprints[picture.stem]
                if (found := kept_files(names, made_of, marks, read)) is not None:
                    kept[picture.stem] = found
        return kept

    def drawing(
        self, kept: Mapping[str, Files], say: Callable[[str], None]
    ) -> AbstractContextManager[Iterator[Files]]:
        """Draw the pictures, as :meth:`Gallery.drawing` does."""
        if not self.all:
            return nullcontext(iter(()))
        from regmix_bench.reporting.figures.gallery import Gallery  # it loads plotting libraries

        return Gallery(self.all, self.style, self.drawn).drawing(kept, say)

    @cached_property
    def _fingerprints(self) -> dict[str, str | None]:
        from regmix_bench.reporting.figures.kept import drawn_from

        return {picture.stem: drawn_from(picture, self.style) for picture in self.all}

    @cached_property
    def _stems(self) -> dict[str, set[str]]:
        found = {"": self.figures, f"{SITE}{FOLDER}": self.site.all}
        return {folder: {each.stem for each in pictures} for folder, pictures in found.items()}
