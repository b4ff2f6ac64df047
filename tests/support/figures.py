"""Pictures of a results folder, drawn as a report draws them."""

from __future__ import annotations

import pickle
import re
import zlib
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures import FIGURES
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import applied
from regmix_bench.reporting.figures.venues import PLAIN, Style


def pictures_of(name: str, results: Path, style: Style = PLAIN) -> list[ReportFigure]:
    """Return the pictures that the figure called ``name`` has of all methods that are recorded."""
    return list(FIGURES[name].of(Contents.of(results, across=("tricks",), style=style)))


def drawn(picture: ReportFigure, style: Style = PLAIN) -> Figure:
    """Draw a picture that has been sent to another process and back."""
    with applied(style):
        return pickle.loads(pickle.dumps(picture)).draw(style)


def written(figure: Figure) -> list[tuple[Text, Bbox]]:
    """Return every text that a figure shows, and where, in pixels."""
    drawn: list[Text] = []
    true = Text.draw

    def noted(text: Text, renderer: object) -> object:
        if text.get_text().strip() and text.get_visible():
            drawn.append(text)
        return true(text, renderer)

    Text.draw = noted
    try:
        figure.draw_without_rendering()
    finally:
        Text.draw = true
    return [(text, Text.get_window_extent(text)) for text in dict.fromkeys(drawn)]


def overlaps(figure: Figure) -> list[str]:
    """Say which texts of a figure lie on another, or reach beyond the figure.

    What stands aslant has a box that says little, and is left out.
    """
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [(t.get_text(), box, t.get_rotation() % 90 == 0) for t, box in written(figure)]
    found = []
    for place, (words, box, upright) in enumerate(boxes):
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1:
            found.append(f"{words!r} reaches beyond the figure")
        for others, other, straight in boxes[place + 1 :]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            along = min(box.y1, other.y1) - max(box.y0, other.y0)
            # A line of text is a pixel or two higher than its letters.
            if upright and straight and across > 1 and along > 1.5:
                found.append(f"{words!r} lies on {others!r}")
    return found


def least_size(pdf: bytes) -> float:
    """Return the points of the smallest text in a PDF."""
    sizes = []
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            content = zlib.decompress(stream)
        except zlib.error:
            continue
        sizes += [float(size) for size in re.findall(rb"/\S+ ([\d.]+) Tf", content)]
    return min(sizes)
