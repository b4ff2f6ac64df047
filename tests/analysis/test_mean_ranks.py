from __future__ import annotations

import numpy as np
import pytest

from regmix_bench.analysis.mean_ranks import MeanRanks, shared_methods


@pytest.mark.parametrize(
    ("methods", "critical"),
    [(3, 2.343), (5, 2.728), (10, 3.164)],  # Demšar 2006, table 5 (a), at 5 %
)
def test_the_critical_difference_is_that_of_the_paper_s_table(methods, critical):
    accuracies = {f"m{k}": [k + 0.1 * n for n in range(14)] for k in range(methods)}
    found = MeanRanks.of(accuracies)
    expected = critical * np.sqrt(methods * (methods + 1) / (6 * 14))
    assert found.critical_difference == pytest.approx(expected, rel=2e-3)


def test_the_paper_s_example_is_reproduced():
    # Demšar 2006, table 6: C4.5 with and without pruning and a choice of leaves, 14 data sets.
    # Two that it prints as 0.975 it ranks by digits that it does not print.
    table = """
        0.763 0.768 0.771 0.798
        0.599 0.591 0.590 0.569
        0.954 0.971 0.968 0.967
        0.628 0.661 0.654 0.657
        0.882 0.888 0.886 0.898
        0.936 0.931 0.916 0.931
        0.661 0.668 0.609 0.685
        0.583 0.583 0.563 0.625
        0.775 0.838 0.866 0.875
        1.000 1.000 1.000 1.000
        0.940 0.962 0.965 0.962
        0.619 0.666 0.614 0.669
        0.972 0.981 0.9751 0.9749
        0.957 0.978 0.946 0.970
    """
    columns = np.array(table.split(), float).reshape(14, 4).T
    names = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
    found = MeanRanks.of(dict(zip(names, columns.tolist(), strict=True)))
    ranks = dict(zip(found.labels, found.ranks, strict=True))
    assert ranks == pytest.approx(
        {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}, abs=1e-3
    )
    assert found.critical_difference == pytest.approx(1.25, abs=0.01)  # 2.569 · √(4·5/(6·14))
    # Its F is 3.69 without a correction for ties, which makes the test a little sharper.
    assert 0.01 < found.p_value < 0.02
    # As the paper says, Nemenyi's test is not powerful enough to find any difference here.
    assert found.groups == (("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"),)


def test_groups_are_the_largest_in_which_no_two_differ():
    found = MeanRanks(("a", "b", "c", "d"), (1.0, 2.0, 3.0, 5.5), 10, 0.001, 1.5)
    assert found.groups == (("a", "b"), ("b", "c"))
    assert found.differ("a", "c") and not found.differ("a", "b")
    unsure = MeanRanks(("a", "b", "c"), (1.0, 2.0, 3.0), 10, 0.2, 0.5)
    assert unsure.groups == (("a", "b", "c"),) and not unsure.differ("a", "c")


def test_equal_accuracies_share_ranks_and_differ_in_nothing():
    found = MeanRanks.of({name: [0.5] * 6 for name in "abc"})
    assert (found.ranks, found.p_value) == ((2.0, 2.0, 2.0), 1.0)
    sure = MeanRanks.of({name: [value] * 6 for name, value in zip("abc", (1, 2, 3), strict=True)})
    assert (sure.labels, sure.p_value) == (("c", "b", "a"), 0.0)


def test_what_comparisons_share_is_chosen_by_the_most_accuracies():
    wide = dict.fromkeys("abcdef", 0.5)
    narrow = dict.fromkeys("abc", 0.5)
    assert shared_methods([wide] * 6 + [narrow]) == (list("abcdef"), [0, 1, 2, 3, 4, 5])
    assert shared_methods([narrow] + [wide] * 6 + [narrow] * 9)[0] == list("abc")
    odd = dict.fromkeys("axyzw", 0.5)  # of more methods than the narrow ones, and unlike all
    assert shared_methods([wide, odd, wide, *[narrow] * 4]) == (list("abc"), [0, 2, 3, 4, 5, 6])
    assert shared_methods([odd] * 5 + [narrow] * 5) == ([], [])
    assert shared_methods([wide] * 5) == ([], [])
    assert shared_methods([{"a": 1.0, "b": 0.5}] * 9) == ([], [])
