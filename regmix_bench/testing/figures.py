"""The contract of figures, tried on the records of a results folder."""

from __future__ import annotations

import pickle
import re
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from regmix_bench.registry import FILE_NAME
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures.gallery import rendered
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.testing.contract import Broken, Rule, Subject, it_says_what_it_is, require


def a_report_has_pictures_of_it(subject: Subject) -> None:
    """Ask for its pictures of the records, and look at what they carry."""
    for picture in _pictures(subject):
        is_one = isinstance(picture, ReportFigure)
        require(is_one, f"it yields a {type(picture).__name__}, not a ReportFigure")
        fits = re.fullmatch(FILE_NAME, picture.stem) is not None
        require(fits, f"{picture.stem!r} cannot be the name of a file")
        has_frame = isinstance(picture.frame, pd.DataFrame) and not picture.frame.empty
        require(has_frame, f"{picture.stem} has no frame of the numbers that it shows")
        require(bool(picture.caption.strip()), f"{picture.stem} has no caption")


def pictures_differ_in_their_names(subject: Subject) -> None:
    """Look for two pictures that would be one file."""
    stems = [picture.stem for picture in _pictures(subject)]
    twice = [stem for place, stem in enumerate(stems) if stem in stems[:place]]
    require(not twice, f"two pictures are called {twice[:1]}")


def another_process_can_draw_it(subject: Subject) -> None:
    """Pickle a picture, and draw what comes back."""
    picture = _pictures(subject)[0]
    require(rendered(pickle.loads(pickle.dumps(picture))) == rendered(picture), "it differs there")


def the_same_numbers_give_the_same_picture(subject: Subject) -> None:
    """Collect and draw a picture twice."""
    first, second = (rendered(_pictures(subject)[0]) for _ in range(2))
    for suffix, content in first.items():
        require(second.get(suffix) == content, f"drawn a second time, its {suffix} differs")


def it_draws_the_files_that_it_declares(subject: Subject) -> None:
    """Compare the files with ``suffixes``."""
    drawn, said = set(rendered(_pictures(subject)[0])), set(subject.cls.suffixes)
    require(drawn == said, f"it draws {sorted(drawn)} and declares {sorted(said)}")


RULES: tuple[Rule, ...] = (
    it_says_what_it_is,
    a_report_has_pictures_of_it,
    pictures_differ_in_their_names,
    another_process_can_draw_it,
    the_same_numbers_give_the_same_picture,
    it_draws_the_files_that_it_declares,
)


def _pictures(subject: Subject) -> list[Any]:
    """Return the pictures of the records in the results folder, of which there has to be one."""
    found = list(subject.cls.of(_contents(subject.results)))
    if not found:
        raise Broken(f"it has no picture of the records in {subject.results}: give others")
    return found


@cache
def _contents(results: Path) -> Contents:
    return Contents.of(results, with_published=False, reference=None)
