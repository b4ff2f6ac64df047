"""Transfer matrices in a report: names, order, numbers, and a picture that can be read."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from support.transfers import Side, make_transfer, sides

from regmix_bench.analysis.statistics import wilson_interval
from regmix_bench.reporting.formats import cells
from regmix_bench.reporting.tables import transfer


def test_rows_are_in_the_order_of_the_tables_and_keep_their_numbers() -> None:
    record = make_transfer(*sides("regmix", "standard", "trades"))
    found = transfer.matrix(record)
    assert list(found.columns) == ["standard", "trades", "regmix"]
    assert list(found.index) == ["no attack", "standard", "trades", "regmix"]
    assert found.loc["no attack"].tolist() == [0.905, 0.91, 0.9]
    assert found.loc["standard", "regmix"] == record.accuracy[1][0]
    assert found.loc["regmix", "trades"] == record.accuracy[0][2]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([("pgd-at", 0, "a"), ("mart", 1, "b")], ["pgd-at", "mart"]),
        ([("pgd-at", 0, "a"), ("pgd-at", 1, "a"), ("mart", 1, "a")], ["pgd-at s0", "pgd-at s1"]),
        ([("pgd-at", 0, "a"), ("pgd-at", 0, "b")], ["pgd-at a", "pgd-at b"]),
        ([("pgd-at", 0, "a"), ("pgd-at", 0, "a")], ["pgd-at #0000", "pgd-at #1111"]),
    ],
)
def test_a_name_says_what_tells_runs_apart(given: Sequence[Side], names: Sequence[str]) -> None:
    columns = list(transfer.matrix(make_transfer(*given)).columns)
    assert columns[: len(names)] == names
    assert len(set(columns)) == len(columns)


def test_the_table_numbers_its_targets() -> None:
    table = transfer.transfer_table(make_transfer(*sides("mart", "fgsm-pgi[lambda_=1]")))
    text = cells.markdown(table)
    assert "| Source | 1 | 2 |" in text
    assert "| no attack | 90.0 | 90.5 |" in text
    assert "| 2 FGSM-PGI (λ = 1) | 5.5 | 6.0 |" in text
    assert "PGD-20 under L∞ 8/255" in table.caption
    assert "200 test images" in table.notes[0]
    assert "Each model is that of seed 0." in table.notes[0]


def test_the_numbers_name_the_runs_and_have_intervals() -> None:
    rows = transfer.transfer_accuracies(make_transfer(*sides("mart", "regmix"))).set_index(
        ["source", "target"]
    )
    assert len(rows) == 6
    row = rows.loc[("regmix", "mart")]
    assert (row["source_run"], row["target_run"]) == ("1" * 12, "0" * 12)
    assert row["accuracy"] == 11 / 200
    assert (row["low"], row["high"]) == wilson_interval(11, 200)
    assert rows.loc[("no attack", "mart"), "source_run"] == ""


def test_transfers_come_by_rising_epsilon_with_a_stem_of_its_own() -> None:
    pair = sides("mart", "regmix")
    records = [
        make_transfer(*pair, epsilon="16/255", run_id="0" * 12),
        make_transfer(*pair, run_id="2" * 12),
        make_transfer(*pair, run_id="1" * 12),
    ]
    found = transfer.in_order(records)
    assert [transfer.stem(record) for record in found] == [
        "transfer-digits-Linf-8-255-111111111111",
        "transfer-digits-Linf-8-255-222222222222",
        "transfer-digits-Linf-16-255-000000000000",
    ]
    assert transfer.in_order([]) == ()
