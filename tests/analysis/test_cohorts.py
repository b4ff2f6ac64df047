from __future__ import annotations

import statistics

import pytest
from support.synthetic import make_spec, write_run

from regmix_bench.analysis.blocks import Stat, blocks_of
from regmix_bench.analysis.cohorts import load_runs, row_order, sort_into_cohorts
from regmix_bench.errors import UserError
from regmix_bench.records import store
from regmix_bench.records.paths import SHIPPED
from regmix_bench.specs import Recipe


def cohorts_of(results):
    return sort_into_cohorts(load_runs(results))


def test_mean_and_sample_deviation_over_seeds(record, save):
    values = [0.5, 0.6, 0.8]
    results = save(*(record(seed=s, autoattack=v) for s, v in enumerate(values)))
    (cohort,) = cohorts_of(results)
    (block,) = blocks_of(cohort)
    (row,) = block.rows
    stat = row.metrics["autoattack_acc"]
    assert row.seeds == (0, 1, 2)
    assert stat.n == 3
    assert stat.mean == pytest.approx(sum(values) / 3)
    assert stat.std == pytest.approx(statistics.stdev(values))
    assert row.metrics["pgd_drop"].mean == pytest.approx(0.05)
    assert row.metrics["passes"].mean == pytest.approx(22.0)


def test_one_seed_has_no_deviation():
    assert Stat.of([0.5, None]) == Stat(0.5, None, 1)
    assert Stat.of([None]) is None


@pytest.mark.parametrize(
    "other",
    [
        {"recipe": Recipe(epochs=5, milestones=(0.5, 0.75), augmentation="crop")},
        {"eps": "48/255"},
        {"digest": "e" * 12},
        {"dataset": "cifar10"},
    ],
)
def test_what_is_not_comparable_stands_apart(record, save, other):
    cohorts = cohorts_of(save(record("pgd-at"), record("trades", **other)))
    assert [len(cohort.groups) for cohort in cohorts] == [1, 1]
    assert len({cohort.stem for cohort in cohorts}) == 2


def test_whole_data_sets_and_large_studies_stand_before_rehearsals(tmp_path):
    mild = Recipe(epochs=50, true_class_mass=0.6)
    for spec in (
        *(make_spec("trades", epsilon, arch="resnet8") for epsilon in ("48/255", "16/255")),
        *(
            make_spec(name, arch="resnet18", eval_examples=100)
            for name in ("pgd-at", "mart", "gat")
        ),
        *(make_spec(name, recipe=mild) for name in ("mart", "gat")),
        make_spec("mart"),
    ):
        write_run(tmp_path, spec)
    cohorts = cohorts_of(tmp_path)
    order = [(c.setting.arch, str(c.setting.tricks), str(c.train_threat.epsilon)) for c in cohorts]
    assert order == [
        ("smallcnn", "mass 0.6", "32/255"),
        ("smallcnn", "none", "32/255"),
        ("resnet8", "none", "16/255"),
        ("resnet8", "none", "48/255"),
        ("resnet18", "none", "32/255"),
    ]
    assert [bool(cohort.setting.rehearsal) for cohort in cohorts] == [False] * 4 + [True]


def test_the_same_budget_typed_differently_is_one_cohort(record, save):
    (cohort,) = cohorts_of(save(record("pgd-at", eps="12/255"), record("trades", eps="4/85")))
    assert [group.label for group in cohort.groups] == ["pgd-at", "trades"]


def test_groups_of_one_label_are_told_apart(record, save):
    (cohort,) = cohorts_of(save(record("trades"), record("trades", params={"beta": 3.0})))
    labels = [group.label for group in cohort.groups]
    assert len(set(labels)) == 2
    assert all(label.startswith("trades #") for label in labels)


def test_a_block_for_the_last_checkpoint_only_where_autoattack_ran(record, save):
    selected, both = record("pgd-at"), record("trades", evaluate="both")
    (cohort,) = cohorts_of(save(selected))
    assert [block.checkpoint for block in blocks_of(cohort)] == ["selected"]
    (cohort,) = cohorts_of(save(both))
    assert [block.stem.endswith("-last") for block in blocks_of(cohort)] == [False, True]


def test_failed_runs_join_their_cohort_without_a_data_digest(record, save):
    (cohort,) = cohorts_of(save(record("pgd-at"), record("mart", error="non-finite loss")))
    assert [run.spec.method.name for run in cohort.failures] == ["mart"]
    assert [group.label for group in cohort.groups] == ["pgd-at"]


def test_failures_alone_still_make_a_block(record, save):
    (cohort,) = cohorts_of(save(record("mart", error="non-finite loss")))
    (block,) = blocks_of(cohort)
    assert block.rows == ()
    assert len(cohort.failures) == 1


def test_rows_follow_the_known_order_and_numbers_by_value():
    labels = [("zeta", "zeta"), ("fgsm-pgi", "fgsm-pgi[lambda_=10]"), ("regmix", "regmix")]
    labels += [("fgsm-pgi", "fgsm-pgi[lambda_=3]"), ("standard", "standard")]
    ordered = [label for _, label in sorted(labels, key=lambda pair: row_order(*pair))]
    assert ordered == [
        "standard",
        "fgsm-pgi[lambda_=3]",
        "fgsm-pgi[lambda_=10]",
        "regmix",
        "zeta",
    ]


def test_no_records_says_what_to_run(tmp_path):
    with pytest.raises(UserError, match=r"regmix-bench run digits` makes some$"):
        load_runs(tmp_path)


def test_shipped_records_are_none_of_the_users_but_are_named(record, save):
    results = save(record())
    (path,) = store.record_files(results)
    shipped = results / SHIPPED / path.relative_to(results)
    shipped.parent.mkdir(parents=True)
    path.rename(shipped)
    with pytest.raises(UserError, match=f"and --results {results / SHIPPED} has others"):
        load_runs(results)
    assert len(load_runs(results / SHIPPED)) == 1


def test_a_run_recorded_twice_is_refused(record, save):
    results = save(record())
    (path,) = store.record_files(results)
    path.with_name("copy.json").write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="the same run"):
        load_runs(results)
