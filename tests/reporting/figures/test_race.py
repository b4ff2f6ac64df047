from __future__ import annotations

import pandas as pd
import pytest
from support.figures import drawn, pictures_of
from support.histories import planted_history as planted

from regmix_bench.records.schema import Work
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures.race import AccuracyRace
from regmix_bench.reporting.report import stale, write_report

HELD = planted([0.2, 0.5, 0.4, 0.4], seconds=[60.0, 60.0, 60.0, 60.0])
SOON = planted([0.6, 0.5, 0.4, 0.4], seconds=[30.0, 60.0, 60.0, 60.0])
NEVER = planted([0.2, 0.3, 0.3, 0.2])


def race_of(results, target: float | None = 0.5) -> AccuracyRace:
    (picture,) = AccuracyRace.of(Contents.of(results, target_accuracy=target))
    return picture


def marks(axis) -> dict[int, float]:
    """The medians of a panel by their row."""
    points = [line.get_xydata()[0] for line in axis.lines if len(line.get_xydata()) == 1]
    return {int(row): float(x) for x, row in points}


def test_each_method_has_its_way_and_the_median_of_what_the_target_cost(record, save):
    picture = race_of(
        save(
            record("pgd-at", seed=0, history=HELD),
            record("pgd-at", seed=1, history=SOON),
            record("trades", history=NEVER),
        )
    )
    frame = picture.frame.set_index(["label", "seed", "epoch"])
    assert frame["first"].sum() == 2
    assert frame.loc[("pgd-at", 0, 2), "first"] and frame.loc[("pgd-at", 1, 1), "first"]
    assert frame.loc[("pgd-at", 0)]["passes"].tolist() == [22, 44, 66, 88]
    assert frame.loc[("pgd-at", 1)]["seconds"].tolist() == [30, 90, 150, 210]

    way, minutes, ends, their_minutes = drawn(picture).axes
    assert marks(ends) == {0: pytest.approx(33)}  # of one and two epochs
    assert marks(their_minutes) == {0: pytest.approx(1.25)}
    assert [text.get_text() for text in ends.texts] == ["never"]
    assert [tick.get_text() for tick in ends.get_yticklabels()] == ["PGD-AT", "TRADES"]
    target, *ways = way.lines
    assert target.get_ydata() == [50, 50] and len(ways) == 2
    assert minutes.get_xscale() == "log"


def test_energy_is_a_panel_where_it_was_measured(record, save):
    work = [Work(images=1000, energy=3600.0)] * 4
    picture = race_of(save(record("pgd-at", history=planted([0.2, 0.5, 0.4, 0.4], work=work))))
    axes = drawn(picture).axes
    assert [axis.get_xlabel() for axis in axes[3:]][-1] == "Wh of the devices"
    assert marks(axes[-1]) == {0: pytest.approx(2)}


@pytest.mark.parametrize("history", [(), planted([0.0, 0.0, 0.0, 0.0])])
def test_without_a_history_or_a_target_there_is_no_picture(record, save, history):
    assert pictures_of("race", save(record("pgd-at", history=history))) == []


def test_another_target_is_another_report(record, save, tmp_path):
    results = save(record("pgd-at", history=HELD), record("trades", history=NEVER))
    out = tmp_path / "out"
    write_report(results, out, ("csv", "markdown"), target_accuracy=0.3)
    assert stale(results, out, target_accuracy=0.3) == []
    assert stale(results, out)
    text = (out / "report.md").read_text()
    assert "Target: 30.0 % of validation images right under PGD-10 (as asked for)." in text
    assert not pd.read_csv(out / "tables.csv").empty
