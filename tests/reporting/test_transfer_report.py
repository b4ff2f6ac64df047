"""Transfer matrices in a report: names, order, numbers, and a picture that can be read."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from regmix_bench.analysis.statistics import wilson_interval
from regmix_bench.records.schema import TransferRecord, TransferSide
from regmix_bench.reporting.formats import cells
from regmix_bench.reporting.tables import transfer
from regmix_bench.types import ThreatModel

Side = tuple[str, int, str]


def make_record(*sides: Side, epsilon: str = "8/255", run_id: str = "ab" * 6) -> TransferRecord:
    """Of source i and target j the accuracy is (10·i + j + 1) / 2 %; clean it is (90 + j/2) %."""
    n = len(sides)
    return TransferRecord(
        run_id=run_id,
        dataset="digits",
        data_digest="d" * 64,
        eval_examples=None,
        n_examples=200,
        threat=ThreatModel("Linf", epsilon),
        attack="pgd-20",
        seed=0,
        runs=tuple(
            TransferSide(run_id=f"{i:x}" * 12, label=label, arch=arch, seed=seed, sha256="0" * 64)
            for i, (label, seed, arch) in enumerate(sides)
        ),
        clean_acc=tuple((180 + j) / 200 for j in range(n)),
        accuracy=tuple(tuple((10 * i + j + 1) / 200 for j in range(n)) for i in range(n)),
    )


def sides(*labels: str) -> list[Side]:
    return [(label, 0, "smallcnn") for label in labels]


def test_rows_are_in_the_order_of_the_tables_and_keep_their_numbers() -> None:
    record = make_record(*sides("regmix", "standard", "trades"))
    found = transfer.matrix(record)
    assert list(found.columns) == ["standard", "trades", "regmix"]
    assert list(found.index) == ["no attack", "standard", "trades", "regmix"]
    assert found.loc["no attack"].tolist() == [0.905, 0.91, 0.9]
    assert found.loc["standard", "regmix"] == record.accuracy[1][0]
    assert found.loc["regmix", "trades"] == record.accuracy[0][2]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([("pgd-at", 0, "a"), ("mart", 1, "b")], ["pgd-at", "mart"]),
        ([("pgd-at", 0, "a"), ("pgd-at", 1, "a"), ("mart", 1, "a")], ["pgd-at s0", "pgd-at s1"]),
        ([("pgd-at", 0, "a"), ("pgd-at", 0, "b")], ["pgd-at a", "pgd-at b"]),
        ([("pgd-at", 0, "a"), ("pgd-at", 0, "a")], ["pgd-at #0000", "pgd-at #1111"]),
    ],
)
def test_a_name_says_what_tells_runs_apart(given: Sequence[Side], names: Sequence[str]) -> None:
    columns = list(transfer.matrix(make_record(*given)).columns)
    assert columns[: len(names)] == names
    assert len(set(columns)) == len(columns)


def test_the_table_numbers_its_targets() -> None:
    (section,) = transfer.sections([make_record(*sides("mart", "fgsm-pgi[lambda_=1]"))])
    text = cells.markdown(section.table)
    assert "| Source | 1 | 2 |" in text
    assert "| no attack | 90.0 | 90.5 |" in text
    assert r"| 2 fgsm-pgi\[lambda\_=1\] | 5.5 | 6.0 |" in text
    assert "PGD-20 under L∞ 8/255" in section.table.caption
    assert "200 test images" in section.table.notes[0]
    assert "Each model is that of seed 0." in section.table.notes[0]


def test_the_numbers_name_the_runs_and_have_intervals() -> None:
    (section,) = transfer.sections([make_record(*sides("mart", "regmix"))])
    rows = section.picture.frame.set_index(["source", "target"])
    assert len(rows) == 6
    row = rows.loc[("regmix", "mart")]
    assert (row["source_run"], row["target_run"]) == ("1" * 12, "0" * 12)
    assert row["accuracy"] == 11 / 200
    assert (row["low"], row["high"]) == wilson_interval(11, 200)
    assert rows.loc[("no attack", "mart"), "source_run"] == ""


def test_a_section_per_record_by_rising_epsilon_with_a_stem_of_its_own() -> None:
    pair = sides("mart", "regmix")
    records = [
        make_record(*pair, epsilon="16/255", run_id="0" * 12),
        make_record(*pair, run_id="2" * 12),
        make_record(*pair, run_id="1" * 12),
    ]
    found = transfer.sections(records)
    assert [section.stem for section in found] == [
        "transfer-digits-Linf-8-255-111111111111",
        "transfer-digits-Linf-8-255-222222222222",
        "transfer-digits-Linf-16-255-000000000000",
    ]
    assert [section.picture.stem for section in found] == [section.stem for section in found]
    assert transfer.sections([]) == ()


@pytest.mark.parametrize("n", [2, 13])
def test_the_heat_map_is_legible(n: int) -> None:
    labels = [f"fgsm-pgi[lambda_={i}]" for i in range(n)]
    (section,) = transfer.sections([make_record(*sides(*labels))])
    figure = section.picture.draw()
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
