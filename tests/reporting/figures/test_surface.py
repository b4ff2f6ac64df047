from __future__ import annotations

import numpy as np
import pytest
from support.figures import drawn, pictures_of
from support.saved_views import make_views, save_views
from support.tables import texts

from regmix_bench.analysis.statistics import t_interval
from regmix_bench.errors import UserError
from regmix_bench.records import store
from regmix_bench.reporting.formats.cells import MISSING
from regmix_bench.types import ThreatModel


def save_all(results, **changes):
    """Views beside every record, the higher the seed the more bent; by label and seed."""
    found = {}
    for path in store.record_files(results):
        spec = store.load_run(path).spec
        views = make_views(spec.train_threat, seed=spec.seed, bend=1.0 + spec.seed, **changes)
        save_views(path, views)
        found[spec.label, spec.seed] = views
    return found


def test_the_lowest_seed_is_drawn_and_every_seed_counts(record, save):
    results = save(*(record(name, seed=s) for name in ("trades", "regmix") for s in (2, 1)))
    views = save_all(results)
    (picture,) = pictures_of("surface", results)
    assert picture.stem == "surface-digits-smallcnn-412ab596-Linf-32-255"
    frame = picture.frame
    assert list(dict.fromkeys(zip(frame["label"], frame["seed"], strict=True))) == [
        ("trades", 1),
        ("regmix", 1),
    ]
    bends = [views["trades", seed].curvature.astype(float) for seed in (1, 2)]
    medians = [float(np.median(bent)) for bent in bends]
    first = frame.iloc[0]
    assert first["seeds"] == 2
    assert first["curvature"] == pytest.approx(np.mean(medians))
    assert first["curvature_mean"] == pytest.approx(np.mean(bends))
    assert (first["curvature_low"], first["curvature_high"]) == pytest.approx(t_interval(medians))
    # The loss rises by 2a² + a, however high it was at the image itself.
    trades = frame[frame["label"] == "trades"]
    steps = trades["adversarial"].to_numpy()
    assert trades["random -1.00"].to_numpy() == pytest.approx(2 * steps**2 + steps, abs=1e-5)

    assert picture.table is not None
    (cells,) = [row for row in texts(picture.table) if row[0] == "trades"]
    assert cells[1] == f"{np.mean(medians):.3f} ± {np.std(medians, ddof=1):.3f}"
    low, high = t_interval(medians)
    assert cells[2] == f"[{low:.3f}, {high:.3f}]".replace("-", "−")
    assert cells[-1] == "2"
    signs = {row[0].value: row[0].signs for row in picture.table.rows}
    assert signs == {"trades": "", "regmix": "*"} and "smoothed" in picture.table.notes[0]

    figure = drawn(picture)
    panels = {axis.get_title(): axis.get_xlabel() for axis in figure.axes if axis.get_title()}
    assert panels["TRADES"] == (f"curvature {np.mean(medians):.2f}\n[{low:.2f}, {high:.2f}]")
    assert ["*" in text for title, text in panels.items() if "RegMix" in title] == [True]


def test_one_seed_has_a_curvature_and_no_interval_and_it_is_said(record, save):
    results = save(record("trades"), record("mart", seed=0), record("mart", seed=1))
    views = save_all(results)
    (picture,) = pictures_of("surface", results)
    frame = picture.frame.drop_duplicates("label").set_index("label")
    assert frame["seeds"].to_dict() == {"trades": 1, "mart": 2}
    bends = views["trades", 0].curvature.astype(float)
    assert frame.loc["trades", "curvature"] == pytest.approx(np.median(bends))
    assert frame["curvature_low"].isna().to_dict() == {"trades": True, "mart": False}
    panels = {axis.get_title(): axis.get_xlabel() for axis in drawn(picture).axes}
    assert panels["TRADES"] == f"curvature {np.median(bends):.2f}\none seed"
    assert panels["MART"].endswith("]")
    assert "of one seed there is none" in picture.caption
    assert picture.table is not None
    assert [row[2] for row in texts(picture.table) if row[0] == "trades"] == [MISSING]


def test_images_without_a_gradient_have_no_curvature(record, save):
    results = save(record())
    (path,) = store.record_files(results)
    views = make_views()
    views.curvature[::2] = np.nan
    save_views(path, views)
    (picture,) = pictures_of("surface", results)
    first = picture.frame.iloc[0]
    assert first["n_images"] == 20
    assert first["curvature"] == pytest.approx(np.nanmedian(views.curvature.astype(float)))
    views.curvature[:] = np.nan
    save_views(path, views)
    (picture,) = pictures_of("surface", results)
    assert picture.frame["curvature"].isna().all()
    assert picture.table is not None and picture.table.rows[0][1].value is None
    assert drawn(picture).axes


def test_panels_share_one_threat_and_the_others_are_named(record, save):
    results = save(record("trades"), record("mart"), record("pgd-at"))
    for path in store.record_files(results):
        label = store.load_run(path).spec.label
        if label != "pgd-at":
            save_views(
                path, make_views(ThreatModel("Linf", "32/255" if label == "mart" else "1/2"))
            )
    (picture,) = pictures_of("surface", results)
    assert set(picture.frame["label"]) == {"mart"}
    assert "Nothing is recorded of PGD-AT, TRADES." in picture.caption


def test_no_picture_without_views(record, save):
    results = save(record("trades"), record("mart"))
    assert pictures_of("surface", results) == []
    save_views(store.record_files(results)[0], make_views()).unlink()
    with pytest.raises(UserError, match="is missing: `regmix-bench inspect` makes it anew"):
        pictures_of("surface", results)


def test_a_file_that_is_not_its_records_is_refused(record, save):
    results = save(record())
    (path,) = store.record_files(results)
    save_views(path, make_views()).write_bytes(b"other")
    with pytest.raises(UserError, match="not the views file of its record"):
        pictures_of("surface", results)
