from __future__ import annotations

import math

import numpy as np
import pytest

from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
from regmix_bench.errors import UserError
from regmix_bench.records import paths, store
from regmix_bench.reporting.figures import tsne
from regmix_bench.reporting.figures.maps import Points


def test_distance_to_truth_at_its_ends():
    labels = np.array([0, 1])
    assert tsne.distance_to_truth(np.eye(2), labels) == 0.0
    assert tsne.distance_to_truth(np.eye(2), 1 - labels) == pytest.approx(math.sqrt(2))
    assert tsne.distance_to_truth(np.full((2, 2), 0.5), labels) == pytest.approx(math.sqrt(0.5))


def test_measures_of_perfect_outputs():
    labels = np.repeat(np.arange(4), 12)
    perfect = Points(labels, np.eye(4)[labels], np.eye(4)[labels])
    assert tsne.measures(perfect) == {"distance": 0.0, "purity": 1.0, "silhouette": 1.0}


def test_every_seed_is_measured_the_lowest_is_drawn_and_smoothing_is_said(record, save):
    records = [record(name, seed=s) for name in ("trades", "regmix") for s in (2, 1)]
    (cohort,) = sort_into_cohorts(load_runs(save(*records, outputs=True)))
    (picture,) = tsne.pictures([cohort])
    frame = picture.frame.set_index(["label", "seed"])
    assert list(frame[frame["drawn"]].index) == [("trades", 1), ("regmix", 1)]
    for label in ("trades", "regmix"):
        seeds = frame.loc[label]
        assert seeds["distance_mean"].to_list() == pytest.approx([seeds["distance"].mean()] * 2)
    assert picture.table is not None
    signs = {row[0].value: row[0].signs for row in picture.table.rows}
    assert signs == {"trades": "", "regmix": "*"}
    assert "smoothed labels" in picture.table.notes[0]


def test_a_run_without_outputs_is_named(record, save):
    save(record("mart"))
    results = save(record("trades"), outputs=True)
    (picture,) = tsne.pictures(sort_into_cohorts(load_runs(results)))
    assert "No outputs are recorded of mart." in picture.caption


def test_a_foreign_parquet_file_is_refused(record, save):
    results = save(record())
    (path,) = store.record_files(results)
    paths.outputs_path(path).write_bytes(b"not parquet")
    with pytest.raises(UserError, match="does not hold recorded outputs"):
        tsne.pictures(sort_into_cohorts(load_runs(results)))
