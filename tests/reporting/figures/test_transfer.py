from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from support.figures import drawn
from support.rankings import method_of
from support.synthetic import make_spec, write_run
from support.transfers import make_transfer, sides

from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures.transfer import TransferMap
from regmix_bench.reporting.narrowing import for_figures
from regmix_bench.reporting.tables import transfer


@pytest.mark.parametrize("n", [2, 13])
def test_the_heat_map_is_legible(n: int) -> None:
    labels = [f"fgsm-pgi[lambda_={i}]" for i in range(n)]
    record = make_transfer(*sides(*labels))
    (picture,) = TransferMap.of(Contents(Path(), {Path("t.json"): record}, (), None))
    assert picture.stem == transfer.stem(record)
    figure = drawn(picture)
    figure.savefig(io.BytesIO(), dpi=100)  # lays it out
    (axes,) = figure.axes
    numbers = [text for text in axes.texts if text.get_text()]
    assert len(numbers) == n * (n + 1)
    assert [label.get_text() for label in axes.get_xticklabels()] == labels
    assert [label.get_text() for label in axes.get_yticklabels()] == ["no attack", *labels]
    inside_the_page(figure)

    (image,) = axes.images
    assert isinstance(image, AxesImage)
    shades = image.to_rgba(image.get_array())[..., :3]
    for text in numbers:
        column, row = (round(place) for place in text.get_position())
        assert contrast(shades[row, column], np.array(to_rgb(text.get_color()))) >= 4.5
    frames = [patch.get_xy() for patch in axes.patches]
    assert [(round(x), round(y)) for x, y in frames] == [(i, i + 1) for i in range(n)]


def test_chosen_methods_narrow_the_map_and_go_by_their_names(tmp_path: Path) -> None:
    for label in ("pgd-at", "regmix", "trades"):
        write_run(tmp_path, make_spec(label, method=method_of(label)))
    path = tmp_path / "t.json"
    record = make_transfer(*sides("pgd-at", "regmix", "trades"))
    for methods, names in (
        (None, ["PGD-AT", "TRADES", "RegMix"]),
        (["regmix", "pgd-at"], ["PGD-AT", "RegMix"]),
        (["regmix"], None),
    ):
        contents = Contents.of(tmp_path, methods=methods)
        contents.records[path] = record
        pictures = list(TransferMap.of(for_figures(contents)))
        assert [list(picture.matrix) for picture in pictures] == ([names] if names else [])
        if methods and pictures:
            (picture,) = pictures
            assert picture.matrix.loc["RegMix", "PGD-AT"] == record.accuracy[1][0]
            assert picture.caption.startswith("Images crafted on PGD-AT leave")


def inside_the_page(figure: Figure) -> None:
    page = figure.bbox
    (axes,) = figure.axes
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        box = label.get_window_extent()
        assert box.x0 >= page.x0 and box.x1 <= page.x1
        assert box.y0 >= page.y0 and box.y1 <= page.y1


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """Contrast ratio of two sRGB colours by WCAG 2.1, 1 to 21; text needs 4.5."""

    def luminance(colour: np.ndarray) -> float:
        linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
        return float(linear @ np.array([0.2126, 0.7152, 0.0722]))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
