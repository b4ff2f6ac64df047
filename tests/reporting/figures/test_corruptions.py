from __future__ import annotations

from pathlib import Path

import pytest
from support.figures import drawn, overlaps, pictures_of
from support.synthetic import write_corrupted

from regmix_bench.reporting.figures.venues import style_for
from regmix_bench.specs.corruptions import CORRUPTIONS


def test_each_model_has_a_mark_for_each_corruption(tmp_path: Path) -> None:
    for label, clean in (("first net", 92), ("second net", 84), ("third net", 77)):
        write_corrupted(tmp_path, label, clean)
    (picture,) = pictures_of("corruptions", tmp_path)
    assert picture.caption.startswith("first net holds most, 79.0 % in the mean over all; cifar10")
    assert len(picture.frame) == 3 * (1 + 15 * 5)
    figure = drawn(picture)
    (axis,) = figure.axes
    names = [text.get_text() for text in axis.get_yticklabels()]
    assert names == ["mean of all", *(name.replace("_", " ") for name in CORRUPTIONS)]
    marks = {
        line.get_gid(): float(line.get_xdata()[0])
        for line in axis.lines
        if line.get_gid() is not None
    }
    assert len(marks) == 3 * 16
    assert marks["tip:second net, fog: 69.0 %"] == pytest.approx(84 - 9 - 6)
    assert not overlaps(figure)


@pytest.mark.parametrize("models", [5, 13, 25])
def test_many_models_have_room_in_a_column(tmp_path: Path, models: int) -> None:
    for place in range(models):
        write_corrupted(tmp_path, f"network number {place}", 95 - place)
    style = style_for("icml")
    (picture,) = pictures_of("corruptions", tmp_path, style)
    figure = drawn(picture, style)
    assert not overlaps(figure) and figure.get_figwidth() == pytest.approx(style.width)
