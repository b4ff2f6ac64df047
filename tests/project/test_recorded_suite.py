"""What the recorded digits suites must show, read from ``results/shipped/`` as they are."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from regmix_bench.analysis import verdicts
from regmix_bench.analysis.blocks import blocks_of
from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
from regmix_bench.analysis.methods import LEVEL
from regmix_bench.analysis.pairs import compare_methods
from regmix_bench.data import canonical_name
from regmix_bench.grid.plan import plan
from regmix_bench.grid.suite_files import load_suite
from regmix_bench.methods import METHODS
from regmix_bench.reporting.tables.comparison import comparison_table

RESULTS = Path(__file__).parents[2] / "results" / "shipped"
EPSILONS = ("32/255", "48/255")
#: Methods of the project, without those of plug-ins that happen to be installed.
OURS = [name for name in METHODS.names() if METHODS.origin(name).startswith("regmix-bench")]


def tables_of(*suites, across=()):
    """The table of suites at each ε."""
    specs = [s for name in suites for s in plan(load_suite(name), canonical_name=canonical_name)]
    runs = {run.record.run_id: run for run in load_runs(RESULTS)}
    found = {}
    for cohort in sort_into_cohorts([runs[spec.run_id] for spec in specs], across):
        for block in blocks_of(cohort):
            if block.eval_threat == cohort.train_threat and block.checkpoint == "selected":
                assert found.setdefault(str(block.eval_threat.epsilon), block) is block
    return found


@pytest.fixture(scope="module")
def blocks():
    """The table of the digits suite at each ε."""
    found = tables_of("digits", "digits-reference", across=("tricks",))
    assert set(found) == set(EPSILONS)
    return found


def test_with_equal_tricks_every_registered_method_stands_in_one_table():
    found = tables_of("matched-digits")
    assert set(found) == set(EPSILONS)
    for epsilon, seeds in zip(EPSILONS, (6, 3), strict=True):
        rows = {row.label: row for row in found[epsilon].rows}
        assert {row.group.method for row in rows.values()} == {*OURS}
        assert all(len(row.scores) >= seeds for row in rows.values())
        judged = verdicts.judge_blocks([found[epsilon]], None)[found[epsilon].stem]
        assert judged.reference == "pgd-at" and judged.verdicts.keys() == rows.keys() - {"pgd-at"}


def test_tricks_are_ablated_for_four_methods_without_with_each_and_with_all():
    (block,) = tables_of("ablation-tricks", across=("tricks",)).values()
    rows = [(row.group.method, str(row.group.tricks)) for row in block.rows]
    methods = ("pgd-at", "trades", "fgsm-pgi", "regmix")
    tricks = ("none", "mass 0.6", "EMA 0.98", "AWP 0.005", "mass 0.6, EMA 0.98, AWP 0.005")
    assert sorted(rows) == sorted((method, each) for method in methods for each in tricks)
    assert {len(row.scores) for row in block.rows} == {3}


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_standard_training_is_worse_than_pgd_at(blocks, epsilon):
    block = blocks[epsilon]
    found = verdicts.judge_blocks([block], "pgd-at")[block.stem].verdicts["standard"]
    assert found.relation == "worse"
    assert found.interval is not None and found.interval[1] < -0.2


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_a_method_is_seldom_called_different_from_itself(blocks, epsilon):
    seeds = verdicts.read(blocks[epsilon]).rights["pgd-at"]
    assert len(seeds) >= 6, "three seeds against three others need six"
    rng = np.random.default_rng(0)
    called = 0
    for _ in range(200):
        order = rng.permutation(len(seeds))
        pair = [seeds[order[:3]], seeds[order[3:6]]]
        called += compare_methods(pair).p_values()[0, 1] < LEVEL
    assert called <= 20


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_the_rate_of_seed_pairs_is_printed(blocks, epsilon):
    block = blocks[epsilon]
    of = different = 0
    for flags in verdicts.read(block).rights.values():
        for one, two in combinations(flags, 2):
            discordant = [int((one & ~two).sum()), int((two & ~one).sum())]
            of += 1
            different += stats.binomtest(discordant[0], max(sum(discordant), 1)).pvalue < 0.05
    assert of >= 39
    table = comparison_table(block, verdicts.judge_blocks([block], None)[block.stem])
    assert f"calls {different} of {of} seed pairs" in "\n".join(table.notes)
