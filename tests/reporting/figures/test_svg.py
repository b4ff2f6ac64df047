from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pandas as pd
from matplotlib.figure import Figure

from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import tip
from regmix_bench.reporting.figures.svg import svg
from regmix_bench.reporting.figures.venues import style_for

TITLE = 'ε of <b style="color: red" id="b">'
HALF = 'R&D <"half">'


class Points(ReportFigure):
    """Two points."""

    name = "points"

    @classmethod
    def of(cls, contents):
        return []

    def draw(self, style):
        figure = Figure(layout="constrained")
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], clip_on=True)
        tip(axis.plot(0.5, 0.5, "o")[0], HALF)
        tip(axis.plot(0.5, 0.2, "o")[0], 'it\'s "both"')
        axis.set_title(TITLE)
        return figure


def picture(subject="one"):
    return Points(subject=subject, frame=pd.DataFrame(), caption="")


def test_an_svg_has_text_and_hints_and_the_same_bytes_twice():
    text = svg(picture())
    assert svg(picture()) == text and "<dc:date>" not in text
    found = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    assert TITLE in [element.text for element in found.iter(f"{space}text")]
    assert [element.text for element in found.iter(f"{space}title")] == [HALF, 'it\'s "both"']
    assert not [e for e in found.iter() if e.get("style") or e.tag == f"{space}style"]


def test_two_on_a_page_share_no_id_and_have_none_that_nothing_refers_to():
    ids = []
    for subject in ("one", "two"):
        text = svg(picture(subject))
        mine = [e.get("id") for e in ElementTree.fromstring(text).iter() if e.get("id")]
        assert mine and all(f"#{one}" in text for one in mine)
        ids += mine
    assert len(ids) == len(set(ids))


def test_it_is_as_wide_as_the_style_says():
    found = ElementTree.fromstring(svg(picture(), style_for("icml")))
    assert found.get("width") == "234pt"
