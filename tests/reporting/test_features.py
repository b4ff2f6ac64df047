from __future__ import annotations

import pickle

import numpy as np
import pytest

from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
from regmix_bench.errors import UserError
from regmix_bench.records import paths, store
from regmix_bench.reporting.figures import features
from regmix_bench.reporting.figures.maps import Points


def test_displacement_counts_in_distances_between_clean_images():
    clean = np.array([[0.0, 0.0], [4.0, 0.0]])
    points = Points(np.array([0, 1]), clean, clean + np.array([0.0, 1.0]))
    assert features.displacement(points) == pytest.approx(1 / 4)


def test_no_displacement_where_all_images_coincide():
    points = Points(np.array([0, 1]), np.ones((2, 3)), np.zeros((2, 3)))
    assert np.isnan(features.displacement(points))


def test_scaling_the_features_changes_no_measure():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 40)
    clean, moved = generator.normal(size=(2, 40, 5)) + labels[:, None]
    measured = features.measures(Points(labels, clean, moved))
    assert measured == pytest.approx(features.measures(Points(labels, 7 * clean, 7 * moved)))
    assert 0 < measured["purity"] < 1


def test_every_seed_is_measured_and_the_lowest_drawn(record, save):
    records = [record(name, seed=s) for name in ("trades", "regmix") for s in (2, 1)]
    (cohort,) = sort_into_cohorts(load_runs(save(*records, outputs=True)))
    (picture,) = features.pictures([cohort])
    frame = picture.frame.set_index(["label", "seed"])
    assert list(frame[frame["drawn"]].index) == [("trades", 1), ("regmix", 1)]
    assert set(frame["n_features"]) == {4}
    # The features written are the same under attack.
    assert set(frame["displacement"]) == {0.0}
    figure, points = pickle.loads(pickle.dumps(picture.draw))()
    assert [axis.get_title() for axis in figure.axes] == ["trades", "regmix"]
    (under,) = {axis.get_xlabel().splitlines()[0] for axis in figure.axes}
    assert under == "displacement 0.00"
    n = 2 * frame["n_images"].iloc[0]  # each image clean and attacked
    assert points.groupby("label").size().to_dict() == {"trades": n, "regmix": n}
    assert list(points.columns) == ["label", "kind", "class", "x", "y"]
    assert points[["x", "y"]].abs().max().max() == 1.0
    assert [entry.get_text() for entry in figure.legends[0].get_texts()] == ["clean", "PGD-20"]


def test_a_run_without_features_is_named_and_without_any_there_is_no_picture(record, save):
    results = save(record("mart"))
    assert features.pictures(sort_into_cohorts(load_runs(results))) == []
    save(record("trades"), outputs=True)
    (picture,) = features.pictures(sort_into_cohorts(load_runs(results)))
    assert "No features are recorded of mart." in picture.caption


def test_a_foreign_parquet_file_is_refused(record, save):
    results = save(record())
    (path,) = store.record_files(results)
    paths.outputs_path(path).write_bytes(b"not parquet")
    with pytest.raises(UserError, match="does not hold recorded outputs"):
        features.pictures(sort_into_cohorts(load_runs(results)))
