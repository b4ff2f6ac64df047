"""Rows whose tricks differ are in no comparison, unless that is asked for."""

from __future__ import annotations

import re

import pandas as pd
import pytest
import yaml
from support.checkpoints import write_checkpoints
from support.harness import cli
from support.synthetic import make_eval_spec, make_record, make_spec, write_run
from support.tables import bold, column, headers

from regmix_bench.analysis import comparisons, verdicts
from regmix_bench.analysis.blocks import blocks_of
from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan
from regmix_bench.records.tricks import trained_with, tricks_of
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.tables.comparison import comparison_table
from regmix_bench.specs import MethodSpec, Recipe
from regmix_bench.specs.tricks import NONE, Tricks

#: Changes of a run that are tricks, with the words for them.
TRICKS = [
    ({"ema_decay": 0.98}, "EMA 0.98"),
    ({"gradient_clip": 10.0}, "clip 10"),
    ({"ema_decay": 0.9995, "gradient_clip": 0.5}, "EMA 0.9995, clip 0.5"),
    ({"awp_gamma": 0.005}, "AWP 0.005"),
    ({"awp_gamma": 0.005, "awp_warmup": 10}, "AWP 0.005 after 10"),
    ({"ema_decay": 0.98, "ema_start": 20}, "EMA 0.98 from epoch 20"),
    ({"ema_decay": 0.98, "ema_buffers": "live"}, "EMA 0.98 of weights alone"),
    ({"true_class_mass": 0.6}, "mass 0.6"),
]


def with_tricks(label="trades", seed=0, **recipe):
    return make_spec(label, seed=seed, recipe=Recipe(epochs=50, **recipe))


@pytest.fixture
def plain(tmp_path):
    """Three seeds of pgd-at without tricks."""
    for seed, right in enumerate((300, 302, 301)):
        write_run(tmp_path, with_tricks("pgd-at", seed), autoattack=right)
    return tmp_path


@pytest.mark.parametrize(("recipe", "words"), TRICKS)
def test_tricks_of_a_recipe_are_said_in_a_few_words(recipe, words):
    found = tricks_of(with_tricks(**recipe))
    assert str(found) == words and found != NONE
    assert found.suffix == " + " + words.replace(", ", " + ")
    assert (str(NONE), NONE.suffix) == ("none", "")


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("pgd-at", Tricks()),
        ("fgsm-pgi", Tricks(true_class_mass=0.6)),
        ("fgsm-pgk", Tricks(true_class_mass=0.5, average="fgsm-pgk")),
        ("gone", Tricks()),
    ],
)
def test_what_a_method_brings_is_a_trick_too(method, expected):
    spec = make_spec(method=MethodSpec(name=method, version=1, params={}, label=method))
    assert tricks_of(spec) == expected


def test_a_record_says_the_tricks_of_a_method_that_is_gone():
    spec = make_spec(method=MethodSpec(name="gone", version=1, params={}, label="gone"))
    said = Tricks(true_class_mass=0.7, average="gone")
    assert trained_with(make_record(spec, tricks=said)) == said
    assert trained_with(make_record(spec)) == NONE


@pytest.mark.parametrize(("recipe", "words"), TRICKS)
def test_a_row_of_other_tricks_stands_in_a_table_of_its_own(plain, recipe, words):
    write_run(plain, with_tricks("trades", **recipe))
    cohorts = sort_into_cohorts(load_runs(plain))
    assert [[group.label for group in cohort.groups] for cohort in cohorts] == [
        ["pgd-at"],
        ["trades"],
    ]
    assert [str(cohort.setting.tricks) for cohort in cohorts] == ["none", words]
    assert len({cohort.stem for cohort in cohorts}) == 2
    contents = Contents.of(plain)
    for table, said in zip(contents.comparisons.values(), ("none", words), strict=True):
        assert table.caption.endswith(f" Tricks: {said}.")
        # A row that has nobody to compare with is not the best of anything.
        assert not bold(table) and "Tricks" not in headers(table)


@pytest.mark.parametrize(("recipe", "words"), TRICKS)
def test_across_tricks_they_are_one_comparison_and_a_column_says_them(plain, recipe, words):
    for seed in range(3):
        write_run(plain, with_tricks("trades", seed, **recipe), autoattack=250 + seed)
    (cohort,) = sort_into_cohorts(load_runs(plain), across=("tricks",))
    (block,) = blocks_of(cohort)
    judgement = verdicts.judge_blocks([block], "pgd-at")[block.stem]
    assert judgement.verdicts["trades"].relation == "worse"
    table = comparison_table(block, judgement)
    assert column(table, "Tricks") == {"pgd-at": "none", "trades": words}


def test_rows_of_one_method_are_told_apart_by_their_tricks(plain):
    for recipe, _ in TRICKS:
        write_run(plain, with_tricks("pgd-at", **recipe))
    (cohort,) = sort_into_cohorts(load_runs(plain), across=("tricks",))
    assert [group.label for group in cohort.groups] == [
        "pgd-at",
        *sorted("pgd-at + " + words.replace(", ", " + ") for _, words in TRICKS),
    ]


@pytest.mark.parametrize(("recipe", "words"), TRICKS)
def test_a_reference_of_other_tricks_is_refused_and_it_is_said(plain, recipe, words):
    write_run(plain, with_tricks("trades", **recipe))
    blocks = [b for cohort in sort_into_cohorts(load_runs(plain)) for b in blocks_of(cohort)]
    (_, apart) = verdicts.judge_blocks(blocks, "pgd-at").values()
    assert apart.reference is None and not apart.verdicts
    assert apart.notes == (
        f"No verdicts: there is no row pgd-at here, where tricks are {words}: it had none;"
        " `--across tricks` lets rows differ in them.",
    )


@pytest.mark.parametrize(("recipe", "words"), TRICKS)
def test_two_models_of_other_tricks_are_no_pair(plain, recipe, words):
    one = write_run(plain, with_tricks("pgd-at", seed=9))
    two = write_run(plain, with_tricks("trades", **recipe))
    with pytest.raises(UserError, match=rf"other tricks \(none; {words}\): `--across tricks`"):
        comparisons.compare_records([one, two])
    assert comparisons.compare_records([one, two], across=("tricks",))
    refused = cli("compare", one, two)
    assert refused.status == 2 and refused.errors.count("\n") == 1
    assert cli("compare", one, two, "--across", "tricks").status == 0


def test_a_report_of_one_suite_shows_its_runs_alone(tmp_path):
    written = {"methods": ["pgd-at", "trades"], "eps": ["8/255"], "recipe": {"epochs": 50}}
    suite = tmp_path / "suite.yaml"
    suite.write_text(yaml.safe_dump(written))
    results = tmp_path / "results"
    for spec in plan([written], device="cpu"):
        write_run(results, spec)
    write_run(results, make_spec("mart"))
    given = ("--results", results, "--format", "csv", "--out", tmp_path / "out")
    assert cli("report", *given, "--suite", suite).status == 0
    assert set(pd.read_csv(tmp_path / "out" / "models.csv")["label"]) == {"pgd-at", "trades"}
    refused = cli("report", *given, "--suite", "smoke")
    assert refused.status == 2 and "none of the 2 runs asked for is recorded" in refused.errors
    assert cli("report", *given, "--suite", "smoke2").status == 2


def test_an_average_is_no_trick_of_the_raw_weights_beside_it(tmp_path):
    found = Tricks(true_class_mass=0.6, average=0.98, average_start=5, average_buffers="live")
    assert found.of_raw_weights == Tricks(true_class_mass=0.6)
    right = {"selected": range(12), "raw-selected": range(10)}
    seen = {"robust": ("selected", "raw-selected"), "true_class_mass": 0.6, "ema_decay": 0.9}
    write_checkpoints(tmp_path, right, (0.3, 0.6), (0.6, 0.5), **seen)
    captions = [table.caption for table in Contents.of(tmp_path).comparisons.values()]
    assert [caption.rpartition("Tricks: ")[2] for caption in captions] == [
        "mass 0.6, EMA 0.9.",
        "mass 0.6.",
    ]
    columns = Contents.of(tmp_path, across=("tricks",)).comparisons.values()
    assert [column(table, "Tricks")["pgd-at"] for table in columns] == [
        "mass 0.6, EMA 0.9",
        "mass 0.6",
    ]


def test_the_tricks_of_a_given_model_are_not_known(plain):
    one = write_run(plain, with_tricks(ema_decay=0.98))
    two = write_run(plain, make_eval_spec(), checkpoint="given")
    assert comparisons.compare_records([one, two])


@pytest.mark.parametrize("command", ["report", "serve", "power"])
def test_an_unknown_axis_is_one_line(plain, command):
    arguments = ["power", "1"] if command == "power" else [command]
    refused = cli(*arguments, "--results", plain, "--across", "trick")
    assert refused.status == 2
    assert refused.errors == "error: unknown --across 'trick': did you mean 'tricks'?\n"


def test_rows_that_saw_other_labels_are_joined_only_where_that_is_asked(plain):
    recipe, words = Recipe(epochs=50, unlabelled="rst"), "10% of labels + RST"
    full = write_run(plain, with_tricks("pgd-at", 3), autoattack=303)
    for seed, right in enumerate((280, 282, 281)):
        spec = make_spec("pgd-at", seed=seed, recipe=recipe, labelled=0.1)
        few = write_run(plain, spec, autoattack=right)
    alone, joined = Contents.of(plain), Contents.of(plain, across=("labels",))
    settings = [cohort.setting for cohort in alone.cohorts]
    assert [s.words for s in settings] == ["digits, smallcnn", f"digits ({words}), smallcnn"]
    assert settings[0].stem != settings[1].stem and settings[0].recipe == settings[1].recipe
    assert "Labels" not in headers(next(iter(alone.comparisons.values())))
    assert "`--across labels` joins them" in alone.apart
    (table,) = joined.comparisons.values()
    assert column(table, "Labels") == {"pgd-at": "all labels", f"pgd-at ({words})": words}
    with pytest.raises(UserError, match=re.escape(f"saw other labels (all labels; {words})")):
        comparisons.compare_records([full, few])
    assert comparisons.compare_records([full, few], across=("labels",))


def test_a_reference_of_other_labels_is_pointed_to(plain, tmp_path_factory):
    few = Recipe(epochs=50, unlabelled="rst")
    write_run(plain, make_spec("trades", recipe=few, labelled=0.1))
    said = "there is no row pgd-at here, where rows saw 10% of labels + RST: it saw"
    assert reference_note(plain) == (
        f"No verdicts: {said} all labels; `--across labels` lets rows differ in them."
    )
    several = tmp_path_factory.mktemp("several")
    write_run(several, make_spec("trades", recipe=few, labelled=0.1))
    for labelled in (0.2, 0.5):
        write_run(several, make_spec("pgd-at", recipe=few, labelled=labelled))
    assert reference_note(several) == (
        f"No verdicts: {said} 20% of labels + RST or 50% of labels + RST; `--across labels"
        " --reference 'pgd-at (20% of labels + RST)'` lets rows differ in them."
    )


def reference_note(results):
    """What is said of the table of trades where pgd-at is to be the reference."""
    blocks = [b for cohort in sort_into_cohorts(load_runs(results)) for b in blocks_of(cohort)]
    judged = verdicts.judge_blocks(blocks, "pgd-at")
    (note,) = (judged[b.stem].notes for b in blocks if b.rows[0].label == "trades")
    return note[0]
