from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.figures import drawn, overlaps, pictures_of
from support.synthetic import make_eval_spec, make_spec, write_run

from regmix_bench.records import paths, store
from regmix_bench.reporting.figures.venues import style_for
from regmix_bench.specs import EvalSpec, RunSpec, Scoring

SQUARE = Scoring(autoattack_version="custom", attacks=("square",))


def attacked(results: Path, spec: RunSpec | EvalSpec, first: int) -> None:
    """A model of 340 right images, of which Square breaks 40, the first after ``first`` queries."""
    given = isinstance(spec, EvalSpec)
    checkpoint = "given" if given else "selected"
    scored = {"after_attack": {"square": 300 / 360}}
    path = write_run(results, spec, checkpoint=checkpoint, scored=scored)
    file = paths.outcomes_path(path, checkpoint)
    table = pd.read_parquet(file)
    table["broken_by"] = table["broken_by"].replace("apgd-ce", "square")
    broke = table["broken_by"] == "square"
    queries = np.where(broke, first * (1 + np.arange(360) - 300), 5001)
    right = table["clean_correct"]
    table["square_broke"] = broke.astype("boolean").where(right)
    table["square_queries"] = pd.Series(queries, dtype="Int64").where(right)
    digest = store.write_parquet(file, table)
    record = store.load_record(path)
    (score,) = record.evaluations
    score = score.model_copy(update={"outcomes_digest": digest})
    store.save_record(results, record.model_copy(update={"evaluations": (score,)}))


def test_a_curve_ends_at_the_score_of_the_attack(tmp_path: Path) -> None:
    attacked(tmp_path, make_eval_spec("easy", scoring=SQUARE), first=1)
    attacked(tmp_path, make_eval_spec("hard", scoring=SQUARE), first=100)
    for seed in (0, 1):
        attacked(tmp_path, make_spec("trades", seed=seed, scoring=SQUARE), first=10 + 90 * seed)
    write_run(tmp_path, make_eval_spec("by autoattack"), checkpoint="given")
    trained, given = pictures_of("queries", tmp_path)
    assert trained.subject == "digits-smallcnn" or trained.subject.startswith("digits-smallcnn-")
    lines = {
        label: line.set_index("queries")["accuracy"]
        for label, line in pd.concat([trained.frame, given.frame]).groupby("label")
    }
    for line in lines.values():
        assert line.index[-1] == 5001 and line.iloc[-1] == pytest.approx(300 / 360)
        assert (line.diff().dropna() <= 1e-12).all()
    assert lines["easy"].loc[1] == pytest.approx(339 / 360)
    assert lines["hard"].loc[1] == pytest.approx(340 / 360)
    # One seed has lost 1 of 10 after ten queries, the other none.
    assert lines["trades"].loc[10] == pytest.approx((340 - 0.5) / 360)
    for picture in (trained, given):
        figure = drawn(picture)
        assert figure.axes[0].get_xscale() == "log" and not overlaps(figure)


@pytest.mark.parametrize("models", [5, 13])
def test_many_models_have_room_in_a_column(tmp_path: Path, models: int) -> None:
    for place in range(models):
        attacked(tmp_path, make_eval_spec(f"network {place}", scoring=SQUARE), first=1 + 5 * place)
    style = style_for("icml")
    (picture,) = pictures_of("queries", tmp_path, style)
    figure = drawn(picture, style)
    assert not overlaps(figure) and figure.get_figwidth() == pytest.approx(style.width)
