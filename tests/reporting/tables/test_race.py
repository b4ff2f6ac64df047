from __future__ import annotations

import pytest
from support.histories import planted_history as planted
from support.tables import column, headers

from regmix_bench.analysis import verdicts
from regmix_bench.analysis.blocks import blocks_of
from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
from regmix_bench.analysis.targets import Target
from regmix_bench.records.schema import Work
from regmix_bench.reporting.formats import cells
from regmix_bench.reporting.formats.latex import latex
from regmix_bench.reporting.formats.layout import Layout
from regmix_bench.reporting.tables.comparison import comparison_table
from regmix_bench.reporting.values import Table

TARGET = Target(0.5, "the best epoch of pgd-at, mean over seeds, less one standard error")
MINUTES = (60.0, 120.0, 60.0, 60.0)


def table_below(results, target: Target | None = TARGET) -> Table:
    (cohort,) = sort_into_cohorts(load_runs(results))
    (block,) = blocks_of(cohort)
    return comparison_table(block, verdicts.judge_blocks([block], None)[block.stem], target)


def held_in(epoch: int, **extra):
    """Four epochs, of which this is the first to hold half of the images; the next loses it."""
    return planted([0.1 if each != epoch else 0.5 for each in range(1, 5)], **extra)


def test_a_planted_history_costs_exactly_this(record, save):
    """Its steps pass 22 images per training image and epoch."""
    table = table_below(save(record("pgd-at", history=held_in(3, seconds=MINUTES))))
    assert column(table, "Passes to target") == {"pgd-at": "66.0"}
    assert column(table, "Min to target") == {"pgd-at": "4.00"}
    assert "Wh to target" not in headers(table)
    (note,) = (note for note in table.notes if note.startswith("Target"))
    assert note.startswith(
        "Target: 50.0 % of validation images right under PGD-10 (the best epoch of pgd-at, mean"
        " over seeds, less one standard error)."
    )


def test_seeds_have_their_median_and_range_and_those_that_never_hold_it_count(record, save):
    def runs(label, *epochs):
        return [record(label, seed=n, history=held_in(e)) for n, e in enumerate(epochs)]

    table = table_below(
        save(
            *runs("pgd-at", 1, 2, 4),
            *runs("trades", 3, 0, 2),  # no epoch is 0
            *runs("mart", 3, 0, 0),
            *runs("standard", 0),
            *runs("fgsm-rs", 2),
            record("mart", label="mart[beta=1]", params={"beta": 1.0}, history=()),
        )
    )
    passes = column(table, "Passes to target")
    assert passes == {
        "pgd-at": "44.0 [22.0, 88.0]",
        "trades": "66.0 [44.0, 66.0] 2 of 3",
        "mart": "never (1 of 3)",
        "standard": "never",
        "fgsm-rs": "44.0",
        "mart[beta=1]": "–",
    }
    assert "66.0 \\[44.0, 66.0\\] 2 of 3" in cells.markdown(table)
    assert "never (1 of 3)" in latex(table, "t", Layout())


def test_energy_has_its_column_where_it_was_measured(record, save):
    work = [Work(images=1000, energy=1800.0)] * 4
    results = save(
        record("pgd-at", history=held_in(2, work=work)),
        record("trades", history=held_in(2)),
        record("mart", history=held_in(0, work=work)),
    )
    assert column(table_below(results), "Wh to target") == {
        "pgd-at": "1.00",
        "trades": "–",
        "mart": "never",
    }


@pytest.mark.parametrize("target", [None, Target(0.9, "as asked for")])
def test_without_a_target_or_anyone_who_holds_it_there_is_no_column(record, save, target):
    table = table_below(save(record("pgd-at", history=held_in(2))), target)
    assert not [name for name in headers(table) if "target" in name]
    assert any(note.startswith("Target: 90.0 %") for note in table.notes) == (target is not None)
