"""What the recorded digits suite must show, read from ``results/shipped/`` as it is."""

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
from regmix_bench.reporting.tables.comparison import comparison_table

RESULTS = Path(__file__).parents[2] / "results" / "shipped"
EPSILONS = ("32/255", "48/255")


@pytest.fixture(scope="module")
def blocks():
    """The table of the digits suite at each ε."""
    found = {}
    for cohort in sort_into_cohorts(load_runs(RESULTS), across=("tricks",)):
        if cohort.setting.dataset == "digits":
            for block in blocks_of(cohort):
                if block.eval_threat == cohort.train_threat and block.checkpoint == "selected":
                    found[str(block.eval_threat.epsilon)] = block
    assert set(found) == set(EPSILONS)
    return found


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
