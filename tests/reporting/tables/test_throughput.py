"""The columns of rates, memory and energy: recomputed from what records hold, and only then."""

from __future__ import annotations

import pytest
from support.hostile import history
from support.synthetic import make_spec, write_run
from support.tables import column, headers

from regmix_bench import load_results
from regmix_bench.analysis.blocks import blocks_of
from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
from regmix_bench.analysis.verdicts import judge_blocks
from regmix_bench.records.schema import Cost, MatrixProduct, Work
from regmix_bench.records.store import load_run
from regmix_bench.reporting.formats.cells import MISSING
from regmix_bench.reporting.site.facts import cost_facts
from regmix_bench.reporting.tables.comparison import comparison_table

RATES = ["Prep. min", "Images/s", "TFLOP/s", "MFU", "Mem. GiB", "Train Wh"]
#: Of epochs that took a second each.
WHOLE = Work(
    images=12_550,
    flop=12_550 * 11.1e9,
    product=MatrixProduct(precision="bf16", flop_per_second=798e12),
    peak_memory=5 * 2**30,
    energy=600.0,
)
BARE = Work(images=480, flop=480 * 2.3e6)


def table_of(results, *works: Work | None, **changes):
    """The comparison of one run for each of ``works``, of six epochs, in that order."""
    for label, work in zip(("pgd-at", "trades", "mart"), works, strict=False):
        logs = history(6, work)
        write_run(results, make_spec(label), history=logs, n_train=500, **changes)
    (cohort,) = sort_into_cohorts(load_runs(results))
    (block,) = blocks_of(cohort)
    return comparison_table(block, judge_blocks([block], None)[block.stem])


def shown(table, row: str) -> dict[str, str]:
    return {name: column(table, name)[row] for name in headers(table) if name in RATES}


def test_records_without_their_work_have_no_column_of_it(tmp_path) -> None:
    table = table_of(tmp_path, None, None)
    assert not set(RATES) & set(headers(table))
    assert not any("MFU" in note for note in table.notes)


def test_rates_are_derived_and_what_was_not_measured_is_a_dash(tmp_path) -> None:
    cost = Cost(seconds=6, compile_seconds=30, capture_seconds=15)
    table = table_of(tmp_path, WHOLE, BARE, None, training_cost=cost)
    assert shown(table, "pgd-at") == {
        "Prep. min": "0.750",
        "Images/s": "12550",
        "TFLOP/s": "139",
        "MFU": f"{100 * 12_550 * 11.1e9 / 798e12:.1f}",
        "Mem. GiB": "5.00",
        "Train Wh": "1.00",
    }
    slow = shown(table, "trades")
    assert (slow["Images/s"], slow["MFU"], slow["Mem. GiB"]) == ("480", MISSING, MISSING)
    assert set(shown(table, "mart").values()) == {MISSING}
    (note,) = (note for note in table.notes if "MFU" in note)
    assert "(bf16: 798 TFLOP/s)" in note and "whole devices" in note


def test_a_processor_shows_its_small_numbers_and_nothing_that_it_lacks(tmp_path) -> None:
    product = MatrixProduct(precision="fp32", flop_per_second=106e9)
    table = table_of(tmp_path, BARE.model_copy(update={"product": product}))
    rates = shown(table, "pgd-at")
    assert list(rates) == ["Images/s", "TFLOP/s", "MFU"]
    assert float(rates["TFLOP/s"]) == pytest.approx(480 * 2.3e6 / 1e12, rel=0.01)
    assert float(rates["MFU"]) == pytest.approx(100 * 480 * 2.3e6 / 106e9, rel=0.01)
    (note,) = (note for note in table.notes if "MFU" in note)
    assert "(fp32: 0.106 TFLOP/s)" in note and "Mem." not in note and "Wh" not in note


def test_the_page_of_a_run_and_load_results_have_them_too(tmp_path) -> None:
    cost = Cost(seconds=6, compile_seconds=30, capture_seconds=15)
    path = write_run(tmp_path, make_spec(), history=history(6, WHOLE), training_cost=cost)
    facts = dict(cost_facts(load_run(path)))
    assert facts["Throughput of training"] == "12,550 images/s, 139 TFLOP/s, MFU 17.5%"
    assert facts["Training cost before that"] == "30.0 s of compilation, 15.0 s of capture"
    assert facts["Peak memory of training"] == "5.00 GiB"
    assert facts["Energy of training"].startswith("1.00 Wh")
    (row,) = load_results(tmp_path).to_dict("records")
    assert (row["images_per_second"], row["energy"], row["peak_memory"]) == (12_550, 3600, 5 << 30)
    assert row["mfu"] == pytest.approx(12_550 * 11.1e9 / 798e12)
    assert row["preparation_seconds"] == 45


def test_the_page_of_an_older_run_says_what_it_said(tmp_path) -> None:
    path = write_run(tmp_path, make_spec(), history=history(6), training_cost=Cost(seconds=6))
    assert list(dict(cost_facts(load_run(path)))) == ["Training cost"]
