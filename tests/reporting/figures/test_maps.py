from __future__ import annotations

import numpy as np
import pytest
from support.figures import drawn, least_size, overlaps, pictures_of

from regmix_bench.data.sources import class_names
from regmix_bench.errors import UserError
from regmix_bench.records import paths, store
from regmix_bench.reporting.figures.gallery import rendered
from regmix_bench.reporting.figures.map_panels import MapPanel, draw_maps
from regmix_bench.reporting.figures.style import applied
from regmix_bench.reporting.figures.venues import PLAIN, style_for


def test_every_seed_of_outputs_is_measured_the_lowest_drawn_and_smoothing_said(record, save):
    records = [record(name, seed=s) for name in ("trades", "regmix") for s in (2, 1)]
    (picture,) = pictures_of("tsne", save(*records, outputs=True))
    frame = picture.frame.set_index(["label", "seed"])
    assert list(frame[frame["drawn"]].index) == [("trades", 1), ("regmix", 1)]
    for label in ("trades", "regmix"):
        seeds = frame.loc[label]
        assert seeds["distance_mean"].to_list() == pytest.approx([seeds["distance"].mean()] * 2)
    assert picture.table is not None
    signs = {row[0].value: row[0].signs for row in picture.table.rows}
    assert signs == {"trades": "", "regmix": "*"}
    assert "smoothed labels" in picture.table.notes[0]


@pytest.mark.parametrize(("figure", "recorded"), [("tsne", "outputs"), ("features", "features")])
def test_a_run_without_outputs_is_named_and_without_any_there_is_no_picture(
    record, save, figure, recorded
):
    results = save(record("mart"))
    assert pictures_of(figure, results) == []
    save(record("trades"), outputs=True)
    (picture,) = pictures_of(figure, results)
    assert f"No {recorded} are recorded of MART." in picture.caption


@pytest.mark.parametrize("figure", ["tsne", "features"])
def test_a_foreign_parquet_file_is_refused(record, save, figure):
    results = save(record())
    (path,) = store.record_files(results)
    paths.outputs_path(path).write_bytes(b"not parquet")
    with pytest.raises(UserError, match="does not hold recorded outputs"):
        pictures_of(figure, results)


def test_every_seed_of_features_is_measured_and_the_lowest_drawn(record, save):
    records = [record(name, seed=s) for name in ("trades", "regmix") for s in (2, 1)]
    (picture,) = pictures_of("features", save(*records, outputs=True))
    frame = picture.frame.set_index(["label", "seed"])
    assert list(frame[frame["drawn"]].index) == [("trades", 1), ("regmix", 1)]
    assert set(frame["n_features"]) == {4}
    # The features written are the same under attack.
    assert set(frame["displacement"]) == {0.0}
    figure, points = drawn(picture), picture.points()
    assert [axis.get_title() for axis in figure.axes] == ["TRADES", "RegMix"]
    (under,) = {axis.get_xlabel().splitlines()[0] for axis in figure.axes}
    assert under == "displacement 0.00"
    n = 2 * frame["n_images"].iloc[0]  # each image clean and attacked
    assert points.groupby("label").size().to_dict() == {"trades": n, "regmix": n}
    assert list(points.columns) == ["label", "kind", "class", "x", "y"]
    assert points[["x", "y"]].abs().max().max() == 1.0
    assert [entry.get_text() for entry in figure.legends[0].get_texts()] == ["clean", "PGD-20"]


@pytest.mark.parametrize("figure", ["tsne", "features"])
def test_no_text_of_a_column_s_width_is_small_or_on_another(record, save, figure):
    narrow = style_for(width="3.25in")
    results = save(*(record(name) for name in ("trades", "regmix")), outputs=True)
    (picture,) = pictures_of(figure, results, narrow)
    assert least_size(rendered(picture, narrow)[".pdf"]) >= 7
    assert overlaps(drawn(picture, narrow)) == []


def test_what_comes_of_drawing_is_written_beside_the_picture(record, save):
    (picture,) = pictures_of("tsne", save(record(), outputs=True))
    files = rendered(picture)
    assert set(files) == set(picture.suffixes) == {".png", ".pdf", ".points.csv"}
    n = 2 * picture.frame["n_images"].iloc[0] + 10  # clean, attacked, and the truth
    assert files[".points.csv"].decode().count("\n") == n + 1


def test_named_classes_stand_below_the_maps_and_numbers_on_them_apart_from_each_other():
    panel = MapPanel("trades", "", np.arange(10), np.zeros((10, 2)), np.zeros((10, 2)))
    with applied():
        named = draw_maps(["TRADES"], [panel], "PGD-20", class_names("cifar10"), PLAIN)
        numbered = draw_maps(["TRADES"], [panel], "PGD-20", (), PLAIN)
    words = [entry.get_text() for entry in named.legends[0].get_texts()]
    assert words[:4] == ["clean", "PGD-20", "airplane", "automobile"]
    assert len(numbered.legends[0].get_texts()) == 2
    assert overlaps(numbered) == []
    on_maps = [[text.get_text() for text in figure.axes[0].texts] for figure in (named, numbered)]
    assert on_maps == [[], [str(k) for k in range(10)]]
