from __future__ import annotations

import pytest
from support.saved_views import make_views, save_views

from regmix_bench.records import store
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures import BUILT_IN, FIGURES
from regmix_bench.reporting.figures.kept import drawn_from
from regmix_bench.reporting.figures.venues import PLAIN, style_for


@pytest.fixture
def results(record, save):
    folder = save(record("trades"), record("mart"), outputs=True)
    for path in store.record_files(folder):
        save_views(path, make_views())
    return folder


def marks(results, style=PLAIN):
    contents = Contents.of(results)
    pictures = [p for name in BUILT_IN for p in FIGURES[name].of(contents)]
    return {picture.stem: drawn_from(picture, style) for picture in pictures}


def test_what_every_picture_is_drawn_from_is_known_and_the_same_twice(results):
    first = marks(results)
    assert first and None not in first.values() and len(set(first.values())) == len(first)
    assert marks(results) == first
    assert not set(marks(results, style_for("icml")).values()) & set(first.values())


def test_images_that_are_no_part_of_the_frame_count(results):
    first = marks(results)
    for path in store.record_files(results):
        views = make_views()
        views.image[:] = 0.25
        save_views(path, views)
    changed = {stem for stem, mark in marks(results).items() if mark != first[stem]}
    assert changed and {stem.partition("-")[0] for stem in changed} == {"examples"}
