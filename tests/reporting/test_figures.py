from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import FillBetweenPolyCollection, LineCollection
from matplotlib.figure import Figure
from support.synthetic import make_spec, write_run

from regmix_bench.analysis.blocks import blocks_of
from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
from regmix_bench.records import store
from regmix_bench.reporting.figures import curves as figures
from regmix_bench.reporting.figures import style
from regmix_bench.reporting.figures.style import Look, Picture
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel

LOOKS = {"trades": Look("#000000", "o", "-")}


def curves(seeds):
    """Three epochs a seed; seed k has a clean accuracy of k/100 throughout."""
    rows = [
        {"label": "trades", "seed": k, "epoch": epoch, "selected": epoch == 3, "alarm": ""}
        | {"val_clean_acc": k / 100, "val_pgd_acc": 0.0}
        for k in range(seeds)
        for epoch in (1, 2, 3)
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(val_clean_acc_mean=(seeds - 1) / 200, val_pgd_acc_mean=0.0)


def test_a_dozen_seeds_have_a_line_each_and_more_the_band_they_lie_in():
    lines = figures.draw_curves(curves(figures.MOST_LINES), LOOKS).axes[0].collections
    assert all(isinstance(drawn, LineCollection) for drawn in lines)
    clean = lines[0].get_segments()
    assert [segment[0, 1] for segment in clean] == pytest.approx(range(figures.MOST_LINES))
    assert clean[5].tolist() == [[1, 5], [2, 5], [3, 5]]

    bands = figures.draw_curves(curves(figures.MOST_LINES + 1), LOOKS).axes[0].collections
    assert all(isinstance(drawn, FillBetweenPolyCollection) for drawn in bands)
    heights = bands[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0, figures.MOST_LINES)


@pytest.mark.parametrize("panels", [1, 2, 7])
def test_nothing_reaches_over_the_rim(tmp_path, panels):
    names = [f"method {k}{' of a long name' * k * k}" for k in range(panels)]
    looks = dict.fromkeys(names, LOOKS["trades"])
    curve = pd.concat([curves(2).assign(label=name) for name in names])
    assert_inside(figures.draw_curves(curve, looks), tmp_path)
    with style.applied():
        maps, axes = figures.grid(names, height=2.35, shared=False)
        for axis in axes:
            axis.set(box_aspect=1, xlabel="one\ntwo\nthree", xticks=[], yticks=[])
        axes[0].plot([], label="a mark")
        maps.legend(title="a\nb", loc="outside lower center")
    assert_inside(maps, tmp_path)


def assert_inside(figure: Figure, folder):
    style.rendered(lambda: figure)
    (left, bottom), (right, top) = figure.get_tightbbox().get_points()
    width, height = figure.get_size_inches()
    assert np.greater_equal((left, bottom, width - right, height - top), -0.01).all()


@pytest.mark.parametrize("label", ["a" * 10_000, "of $many\\words " * 500, "two\nlines", "$x^2$"])
def test_no_label_is_wider_than_its_figure_has_room(label):
    lines = style.brief(label).split("\n")
    assert len(lines) <= 2
    assert max(map(len, lines)) <= 28
    assert lines[0].startswith(label[:3])
    assert lines[-1].endswith("…") == (len(label) > 100)
    assert style.widest([style.brief(label), "ab"]) <= 28


def test_labels_are_text_and_not_mathematics(tmp_path):
    figure = figures.draw_curves(curves(1).assign(label="a$b_1$c$"), {"a$b_1$c$": LOOKS["trades"]})
    assert_inside(figure, tmp_path)
    assert figure.axes[0].get_title() == "a$b_1$c$"
    assert not figure.axes[0].title.get_parse_math()


def test_a_screened_accuracy_is_drawn_under_its_own_name(tmp_path):
    score = {"autoattack_acc": None, "screened_acc": 300 / 360}
    write_run(tmp_path, make_spec(scoring=Scoring(screen=True)), scored=score)
    cohorts = sort_into_cohorts(load_runs(tmp_path))
    looks = style.looks(cohorts[0].groups)
    (picture,) = figures.pictures(cohorts, blocks_of(cohorts[0]), looks)
    assert picture.caption.startswith("PGD → AutoAttack accuracy")
    assert picture.frame.set_index("eval_epsilon")["mean"].to_dict() == pytest.approx(
        {"0": 340 / 360, "32/255": 300 / 360}
    )
    assert picture.draw().axes[0].get_ylabel() == "PGD → AutoAttack accuracy (%)"


def test_budgets_that_pgd_alone_was_asked_at_are_drawn_as_pgd(tmp_path):
    more = ThreatModel("Linf", "48/255")
    for label in ("trades", "regmix"):
        path = write_run(tmp_path, make_spec(label, pgd_threats=(more,)))
        record = store.load_record(path)
        (score,) = record.evaluations
        alone = {"threat": more, "pgd_acc": 0.5, "autoattack_acc": None, "outcomes_digest": None}
        both = (score, score.model_copy(update=alone))
        store.save_record(tmp_path, record.model_copy(update={"evaluations": both}))
    cohorts = sort_into_cohorts(load_runs(tmp_path))
    looks = style.looks(cohorts[0].groups)
    (picture,) = figures.pictures(cohorts, blocks_of(cohorts[0]), looks)
    drawn = picture.frame[picture.frame["label"] == "regmix"].set_index(["attack", "eval_epsilon"])
    assert drawn["mean"].to_dict() == pytest.approx(
        {
            ("AutoAttack", "0"): 340 / 360,
            ("AutoAttack", "32/255"): 300 / 360,
            ("PGD-20", "0"): 340 / 360,
            ("PGD-20", "32/255"): 310 / 360,
            ("PGD-20", "48/255"): 0.5,
        }
    )
    axes = picture.draw().axes
    titles = [axis.get_title().split("attacked by ")[1] for axis in axes]
    assert titles == ["AutoAttack", "PGD-20"]
    assert [axis.get_ylabel() for axis in axes] == ["accuracy (%)", ""]
    assert picture.caption.startswith("AutoAttack and PGD-20 accuracy")


@pytest.mark.parametrize(("panels", "shape"), [(3, (1, 3)), (6, (2, 3)), (13, (3, 5))])
def test_rows_of_panels_are_about_equally_long(panels, shape):
    _, axes = figures.grid([f"m{k}" for k in range(panels)], height=1.0, shared=True)
    assert axes[0].get_gridspec().get_geometry() == shape and len(axes) == panels


@pytest.mark.parametrize("pictures", [1, 8])
def test_pictures_drawn_by_processes_are_those_drawn_here_in_their_order(monkeypatch, pictures):
    monkeypatch.setattr(style.joblib, "cpu_count", lambda: 2)
    looks = {"trades": LOOKS["trades"]}
    drawn = [
        Picture(f"p{k}", curves(k + 1), partial(figures.draw_curves, curves(k + 1), looks), "")
        for k in range(pictures)
    ]
    assert list(style.render_all(drawn)) == [style.rendered(picture.draw) for picture in drawn]
