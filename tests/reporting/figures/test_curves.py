from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import FillBetweenPolyCollection, LineCollection
from matplotlib.figure import Figure
from support.checkpoints import write_checkpoints
from support.figures import drawn, overlaps, pictures_of
from support.hostile import method
from support.rankings import write_ranking
from support.reports import trained_record
from support.synthetic import make_spec, write_run

from regmix_bench.reporting.figures import style
from regmix_bench.reporting.figures.curves import MOST_LINES, TrainingCurves
from regmix_bench.reporting.figures.looks import Look
from regmix_bench.reporting.figures.venues import PLAIN, style_for

LOOK = Look("TRADES", "#000000", "o", "-")


def curves(seeds):
    """Three epochs a seed; seed k has a clean accuracy of k/100 throughout."""
    rows = [
        {"label": "trades", "seed": k, "epoch": epoch, "selected": epoch == 3, "onset": False}
        | {"val_clean_acc": k / 100, "val_fgsm_acc": 0.5, "val_pgd_acc": 0.0}
        for k in range(seeds)
        for epoch in (1, 2, 3)
    ]
    frame = pd.DataFrame(rows)
    means = {"val_clean_acc_mean": (seeds - 1) / 200, "val_fgsm_acc_mean": 0.5}
    raw = dict.fromkeys(("raw_val_fgsm_acc", "raw_val_pgd_acc"), np.nan)
    return frame.assign(**means, val_pgd_acc_mean=0.0, **raw)


def picture_of(frame):
    looks = {label: replace(LOOK, name=label) for label in frame["label"]}
    return TrainingCurves(
        subject="digits", frame=frame, caption="", looks=looks, shown=tuple(looks)
    )


def test_a_dozen_seeds_have_a_line_each_and_more_the_band_they_lie_in():
    lines = drawn(picture_of(curves(MOST_LINES))).axes[0].collections
    assert all(isinstance(line, LineCollection) for line in lines)
    clean = lines[0].get_segments()
    assert [segment[0, 1] for segment in clean] == pytest.approx(range(MOST_LINES))
    assert clean[5].tolist() == [[1, 5], [2, 5], [3, 5]]

    bands = drawn(picture_of(curves(MOST_LINES + 1))).axes[0].collections
    assert all(isinstance(band, FillBetweenPolyCollection) for band in bands)
    heights = bands[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0, MOST_LINES)


def test_a_narrow_figure_of_many_rows_fits_a_page_and_says_what_it_leaves_out(tmp_path):
    results, narrow = write_ranking(tmp_path, 13), style_for(width="3.25in")
    (wide,), (picture,) = (pictures_of("curves", results, s) for s in (PLAIN, narrow))
    figure = drawn(picture, narrow)
    assert figure.get_figheight() < 9 and overlaps(figure) == []
    titles = [axis.get_title() for axis in figure.axes]
    assert {"PGD-AT", "RegMix"} < set(titles) and len(titles) < 13
    assert f" Of 13 rows {len(titles)} are shown: the reference," in picture.caption
    assert picture.frame.equals(wide.frame) and picture.frame["label"].nunique() == 13
    assert len(drawn(wide).axes) == 13 and "are shown" not in wide.caption


@pytest.mark.parametrize(("width", "most"), [("3.25in", 12), ("5.5in", 24)])
def test_rows_that_nothing_is_said_of_fit_a_page_too(tmp_path, width, most):
    for beta in range(1, 27):  # of one seed each, which has no verdicts
        record = trained_record("trades", pgd=0.03 * beta)
        spec = make_spec(method=method("trades", f"trades[beta={beta}]", beta=float(beta)))
        write_run(tmp_path, spec, history=record.history, selected_epoch=3)
    asked = style_for(width=width)
    (picture,) = pictures_of("curves", tmp_path, asked)
    figure = drawn(picture, asked)
    assert figure.get_figheight() < 9 and overlaps(figure) == []
    assert len(figure.axes) == most
    assert f" Of 26 rows {most} are shown: those with the highest" in picture.caption
    assert picture.shown[-1] == "trades[beta=26]" and "trades[beta=1]" not in picture.shown


def test_the_onset_is_marked_and_the_single_step_shown_where_there_is_one():
    caught = curves(2).assign(label="caught")
    caught["onset"] = (caught["seed"] == 1) & (caught["epoch"] == 2)
    figure = drawn(picture_of(pd.concat([curves(2), caught])))
    never, panel = figure.axes
    dotted = [line for line in panel.lines if line.get_linestyle() == ":"]
    assert [line.get_ydata().tolist() for line in dotted] == [[50, 50, 50]]
    (cross,) = (line for line in panel.lines if line.get_marker() == "x")
    assert cross.get_xydata().tolist() == [[2, 0]]
    assert not [line for line in never.lines if line.get_linestyle() == ":"]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["clean", "PGD-10", "selected epoch", "FGSM", "onset"]


def test_raw_weights_have_a_line_beside_their_average(tmp_path):
    one, average = {"selected": (0, 1)}, {"ema_decay": 0.9, "ema_start": 2}
    write_checkpoints(tmp_path, one, (0.4, 0.5, 0.6), (None, 0.3, 0.1), label="trades", **average)
    write_checkpoints(tmp_path, one, (0.4, 0.5, 0.6))
    (picture,) = pictures_of("curves", tmp_path)
    assert "dash-dotted: PGD-10 of the raw weights" in picture.caption
    figure = drawn(picture)
    plain, averaged = figure.axes
    dashed = [line for line in averaged.lines if line.get_linestyle() == "-."]
    assert [line.get_ydata().tolist() for line in dashed] == [[40, 30, 10]]
    assert not [line for line in plain.lines if line.get_linestyle() == "-."]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["clean", "PGD-10", "PGD-10, raw weights", "selected epoch"]


def test_overfitting_is_marked_on_the_raw_weights_that_overfitted():
    caught = curves(1).assign(raw_val_fgsm_acc=0.9, raw_val_fgsm_acc_mean=0.9)
    caught = caught.assign(raw_val_pgd_acc=0.1, raw_val_pgd_acc_mean=0.1)
    caught["onset"] = caught["epoch"] == 2
    (panel,) = drawn(picture_of(caught)).axes
    (dotted,) = (line for line in panel.lines if line.get_linestyle() == ":")
    (cross,) = (line for line in panel.lines if line.get_marker() == "x")
    assert dotted.get_ydata().tolist() == pytest.approx([90, 90, 90])
    assert cross.get_xydata().tolist() == [[2, 10]]


@pytest.mark.parametrize("panels", [1, 2, 7])
def test_nothing_reaches_over_the_rim(panels):
    names = [f"method {k}{' of a long name' * k * k}" for k in range(panels)]
    curve = pd.concat([curves(2).assign(label=name) for name in names])
    assert_inside(drawn(picture_of(curve)))


def assert_inside(figure: Figure):
    with style.applied():
        figure.draw_without_rendering()
        figure.draw_without_rendering()  # panels of a fixed shape have their size only now
    (left, bottom), (right, top) = figure.get_tightbbox().get_points()
    width, height = figure.get_size_inches()
    assert np.greater_equal((left, bottom, width - right, height - top), -0.01).all()


def test_labels_are_text_and_not_mathematics():
    figure = drawn(picture_of(curves(1).assign(label="a$b_1$c$")))
    assert_inside(figure)
    assert figure.axes[0].get_title() == "a$b_1$c$"
    assert not figure.axes[0].title.get_parse_math()
