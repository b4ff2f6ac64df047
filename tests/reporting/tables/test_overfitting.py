from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from support.histories import planted_history as planted
from support.tables import column, headers

from regmix_bench.analysis import verdicts
from regmix_bench.analysis.blocks import blocks_of
from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
from regmix_bench.reporting.report import write_report
from regmix_bench.reporting.tables.comparison import comparison_table
from regmix_bench.reporting.values import Table

HEALTHY = planted((0.2, 0.3, 0.40, 0.4), (0.3, 0.4, 0.5, 0.5))
CAUGHT = planted((0.3, 0.4, 0.02, 0.0), (0.4, 0.5, 0.7, 0.8))
LATE = planted((0.3, 0.4, 0.40, 0.0), (0.4, 0.5, 0.5, 0.8))
RECOVERED = planted((0.3, 0.0, 0.40, 0.4), (0.4, 0.8, 0.5, 0.5))
FELL = planted((0.4, 0.6, 0.50, 0.4), (0.5, 0.7, 0.6, 0.5))


def table_below(results: Path) -> Table:
    (cohort,) = sort_into_cohorts(load_runs(results))
    (block,) = blocks_of(cohort)
    return comparison_table(block, verdicts.judge_blocks([block], None)[block.stem])


def test_onset_and_drop_stand_in_the_table_and_their_kinds_in_its_footnotes(record, save):
    table = table_below(
        save(
            record("pgd-at", history=FELL),
            record("trades", history=HEALTHY),
            record("mart", history=()),
            record("fgsm-rs", seed=0, history=CAUGHT),
            record("fgsm-rs", seed=1, history=LATE),
            record("fgsm-rs", seed=2, history=HEALTHY),
            record("regmix-pgd", history=RECOVERED),
        )
    )
    assert column(table, "CO onset") == {
        "pgd-at": "never",
        "trades": "never",
        "mart": "–",
        "fgsm-rs": "3–4 (2 of 3)",
        "regmix-pgd": "2",
    }
    drops = column(table, "Val. drop")
    assert drops == {
        "pgd-at": "20.0",
        "trades": "0.0",
        "mart": "–",
        "fgsm-rs": "26.7 ± 23.1",
        "regmix-pgd": "0.0",
    }
    (said,) = (note for note in table.notes if note.startswith("‡"))
    assert said == (
        "‡ Overfitting: robust (pgd-at seed 0); catastrophic from epoch 3, to the last (fgsm-rs"
        " seed 0); catastrophic from epoch 4, to the last (fgsm-rs seed 1); catastrophic from epoch"
        " 2, recovered after 2 (regmix-pgd seed 0)."
    )
    assert any(note.startswith("Overfitting, by validation accuracy") for note in table.notes)


def test_where_no_run_overfits_one_sentence_says_so(record, save):
    table = table_below(save(record("pgd-at", history=HEALTHY), record("trades", history=HEALTHY)))
    assert not {"CO onset", "Val. drop"} & set(headers(table))
    assert any(note.startswith("No run overfitted, by validation") for note in table.notes)
    assert not any("‡" in note for note in table.notes)


@pytest.mark.parametrize("checkpoint", ["selected", "last"])
def test_selecting_a_checkpoint_hides_nothing(record, save, checkpoint):
    results = save(record("fgsm-rs", history=CAUGHT, evaluate=checkpoint))
    blocks = [b for c in sort_into_cohorts(load_runs(results)) for b in blocks_of(c)]
    for block in blocks:
        table = comparison_table(block, verdicts.judge_blocks([block], None)[block.stem])
        assert column(table, "CO onset") == {"fgsm-rs": "3"}
        assert column(table, "Val. drop") == {"fgsm-rs": "40.0"}
        assert ("PGD-20 last" in headers(table)) == (block.checkpoint == "selected")


def test_the_numbers_of_every_run_are_a_file(record, save, tmp_path):
    results = save(
        record("pgd-at", history=FELL),
        record("fgsm-rs", seed=1, history=CAUGHT),
        record("mart", history=()),
    )
    write_report(results, tmp_path / "out", ("csv",))
    frame = pd.read_csv(tmp_path / "out" / "overfitting.csv").set_index("label")
    assert list(frame.index) == ["pgd-at", "fgsm-rs"]
    assert frame.loc["fgsm-rs", "onset_epoch"] == 3 and frame.loc["fgsm-rs", "latest_epoch"] == 4
    assert frame.loc["fgsm-rs", "largest_gap"] == pytest.approx(0.8)
    assert frame["drop"].tolist() == pytest.approx([0.2, 0.4])
    assert frame["robust"].tolist() == [True, False]
    error = ((0.6 * 0.4 + 0.4 * 0.6) / 200) ** 0.5
    assert frame.loc["pgd-at", "standard_error"] == pytest.approx(error)
    averages = pd.read_csv(tmp_path / "out" / "tables.csv").set_index(["label", "metric"])
    assert averages.loc[("fgsm-rs", "onset_epoch"), "mean"] == 3
