from __future__ import annotations

from pathlib import Path

import pytest
from support.checkpoints import write_checkpoints
from support.synthetic import forget_outcomes

from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
from regmix_bench.analysis.selection import (
    SelectionGain,
    Selections,
    selection_files,
    selections_of,
)
from regmix_bench.analysis.statistics import mcnemar, t_interval
from regmix_bench.errors import UserError


def found_in(results: Path) -> Selections:
    (cohort,) = sort_into_cohorts(load_runs(results))
    (found,) = selections_of(cohort)
    return found


def test_gains_of_either_weights_follow_from_the_planted_images(tmp_path: Path) -> None:
    right = {
        "selected": range(12),
        "last": range(2, 8),  # 6 lost by selecting none, 0 gained
        "raw-selected": range(10),
        "raw-last": range(7, 19),
    }
    write_checkpoints(tmp_path, right, (0.3, 0.6, 0.5), (0.6, 0.5, 0.2), ema_decay=0.9)
    ((group, by_weights),) = found_in(tmp_path).rows
    assert group.label == "pgd-at"
    (averaged,), (raw,) = by_weights["averaged"], by_weights["raw"]
    assert (averaged.epochs, raw.epochs) == ((2, 3), (1, 3))
    assert averaged.validation_gain == pytest.approx(0.1)
    assert averaged.test_gain == pytest.approx(6 / 20)
    assert averaged.optimism == pytest.approx(0.1 - 6 / 20)
    assert averaged.changed == (0, 6) and averaged.p_value == mcnemar(0, 6)
    assert raw.validation_gain == pytest.approx(0.4)
    assert raw.test_gain == pytest.approx(-2 / 20)
    assert raw.optimism == pytest.approx(0.5)
    assert raw.changed == (9, 7)
    assert len(selection_files([found_in(tmp_path)])) == 4


def test_seeds_are_averaged_with_their_interval_and_their_images_pooled(tmp_path: Path) -> None:
    for seed, last in enumerate((range(8), range(6), range(3, 11))):
        right = {"selected": range(10), "last": last}
        write_checkpoints(tmp_path, right, (0.7, 0.5 + 0.1 * seed), seed=seed)
    ((_, by_weights),) = found_in(tmp_path).rows
    assert by_weights["averaged"] == ()
    gain = SelectionGain.of(by_weights["raw"])
    tests = [0.1, 0.2, 0.1]
    assert gain.test and (gain.test.mean, gain.test.n) == (pytest.approx(sum(tests) / 3), 3)
    assert (gain.test.low, gain.test.high) == pytest.approx(t_interval(tests))
    assert gain.optimism
    assert (gain.optimism.low, gain.optimism.high) == pytest.approx(t_interval([0.1, -0.1, -0.1]))
    assert gain.p_value == mcnemar(1, 2 + 4 + 3)


def test_without_outcomes_of_one_seed_there_is_a_gain_and_no_test(tmp_path: Path) -> None:
    right = {"selected": range(10), "last": range(8)}
    write_checkpoints(tmp_path, right, (0.7, 0.5), seed=0)
    write_checkpoints(tmp_path, right, (0.7, 0.5), seed=1, outcomes=False)
    ((_, by_weights),) = found_in(tmp_path).rows
    gain = SelectionGain.of(by_weights["raw"])
    assert gain.test and gain.test.n == 2 and gain.p_value is None
    assert len(selection_files([found_in(tmp_path)])) == 2


@pytest.mark.parametrize("there", [("selected",), ("last",), ()])
def test_a_run_without_both_checkpoints_has_no_gain(tmp_path: Path, there: tuple[str, ...]) -> None:
    write_checkpoints(tmp_path, dict.fromkeys(there, (0,)), (0.5, 0.4))  # type: ignore[arg-type]
    (cohort,) = sort_into_cohorts(load_runs(tmp_path))
    assert selections_of(cohort) == ()


@pytest.mark.parametrize("checkpoint", ["selected", "last"])
def test_outcomes_that_disagree_with_their_record_are_refused(tmp_path: Path, checkpoint) -> None:
    path = write_checkpoints(tmp_path, {"selected": range(9), "last": range(8)}, (0.7, 0.5))
    other = write_checkpoints(tmp_path, {"selected": (0,), "last": (0,)}, (0.7, 0.5), seed=1)
    named = f".{checkpoint}.outcomes.parquet"
    path.with_name(path.stem + named).write_bytes(other.with_name(other.stem + named).read_bytes())
    with pytest.raises(UserError, match="is not the outcomes file of its record"):
        found_in(tmp_path)
    forget_outcomes(path, checkpoint)
    assert found_in(tmp_path).rows
