from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from support.histories import planted_history
from support.synthetic import make_spec, write_run
from support.tables import bold, column, headers
from support.tables import table_of as plain_table

from regmix_bench.analysis import verdicts
from regmix_bench.analysis.blocks import blocks_of
from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
from regmix_bench.analysis.standings import AgainstBest, AgainstReference, Standing, Standings
from regmix_bench.analysis.statistics import wilson_interval
from regmix_bench.records.schema import Diagnosis, RunRecord
from regmix_bench.reporting.formats import cells
from regmix_bench.reporting.formats.cells import MISSING
from regmix_bench.reporting.formats.latex import latex
from regmix_bench.reporting.formats.layout import Layout
from regmix_bench.reporting.report import write_report
from regmix_bench.reporting.tables.comparison import comparison_table
from regmix_bench.reporting.tables.numbers import averages, failed_runs, run_accuracies
from regmix_bench.reporting.values import Cell
from regmix_bench.specs import Recipe, Scoring

GOLDEN = Path(__file__).parent / "golden"


def only_block(results):
    (cohort,) = sort_into_cohorts(load_runs(results))
    (block,) = blocks_of(cohort)
    return block


def table_of(results):
    block = only_block(results)
    return comparison_table(block, verdicts.judge_blocks([block], None)[block.stem])


def placed(block, *best, **found):
    """Verdicts against pgd-at: by row its difference, half its interval's width, verdict.

    Rows of ``best`` are the best group.
    """
    verdicts = {
        label: AgainstReference(3, value, half and (value - half, value + half), half and 0.5, word)
        for label, (value, half, word) in found.items()
    }
    rows = [
        Standing(
            row.label,
            1,
            row.metrics.get("autoattack_acc"),
            3,
            verdicts.get(row.label),
            AgainstBest(0.0, (-0.1, 0.1 if row.label in best else -0.01)),
        )
        for row in block.rows
    ]
    return Standings("pgd-at", tuple(rows), ("AutoAttack − pgd-at: points.",))


def suite(record):
    caught = planted_history((0.2, 0.4, 0.1, 0.0), (0.3, 0.5, 0.7, 0.8))
    return [
        record("pgd-at", seed=0, clean=0.96, pgd=0.82, autoattack=0.801, last_pgd=0.80),
        record("pgd-at", seed=1, clean=0.95, pgd=0.83, autoattack=0.809, last_pgd=0.79),
        record("trades", seed=0, clean=0.94, pgd=0.83, autoattack=0.815, checks=("flat 100%",)),
        record("trades", seed=1, clean=0.95, pgd=0.85, autoattack=0.825),
        record("fgsm-rs", seed=0, clean=0.97, pgd=0.5, autoattack=0.3, history=caught),
        record("regmix-pgd", label="regmix-pgd[alpha=3]", autoattack=None, last_pgd=0.75),
        record("mart", seed=0, error="non-finite loss in epoch 2: 50% of #3 & more\ntrace"),
    ]


def test_latex_is_the_golden_file(record, save):
    block = only_block(save(*suite(record)))
    table = comparison_table(block, placed(block, "trades", trades=(0.015, 0.0083, "better")))
    text = latex(table, "digits", Layout(table_columns=("all",)))
    assert text == (GOLDEN / "comparison.tex").read_text()


def test_both_syntaxes_show_the_same_numbers(record, save):
    block = only_block(save(*suite(record)))
    table = comparison_table(block, placed(block, "trades", "fgsm-rs"))
    text = latex(table, "t", Layout(columns=2))
    tex_rows = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    md_lines = cells.markdown(table).splitlines()
    md_rows = [line for line in md_lines if line.startswith("| ")][2:]
    numbers = re.compile(r"\d+\.\d")
    assert len(tex_rows) == len(table.rows) == 4
    for tex, md in zip(tex_rows, md_rows, strict=True):
        assert numbers.findall(tex) == numbers.findall(md)
        assert tex.count("bfseries") == md.count("**") / 2
    assert sum("**" in row for row in md_rows) == 2


def test_table_numbers_are_those_of_the_records(record, save):
    records = suite(record)
    frame = averages([only_block(save(*records))]).set_index(["label", "metric"])
    by_label: dict[str, list[float]] = {}
    for one in records:
        for found in one.evaluations:
            if found.checkpoint == "selected" and found.autoattack_acc is not None:
                by_label.setdefault(one.spec.method.label, []).append(found.autoattack_acc)
    expected = pd.Series(by_label).map(pd.Series)
    for label, values in expected.items():
        row = frame.loc[(label, "autoattack_acc")]
        assert row["mean"] == pytest.approx(values.mean())
        assert row["n"] == len(values)
        assert row["std"] == pytest.approx(values.std(ddof=1), nan_ok=True)
        assert row["low"] < row["mean"] < row["high"]
    shown = column(table_of(save(*records)), "AutoAttack")
    assert shown["pgd-at"] == "80.5 ± 0.6"
    assert shown["regmix-pgd[alpha=3]"] == MISSING


def test_a_row_selected_before_training_had_well_begun_says_what_it_became(record, save):
    early, late = (
        record(name, recipe=Recipe(epochs=40)).model_copy(update={"selected_epoch": epoch})
        for name, epoch in (("standard", 2), ("trades", 30))
    )
    (note,) = (note for note in table_of(save(early, late)).notes if "Selected after" in note)
    assert note == (
        "Selected after epoch 2 of 40: standard, which after the last has 90.0 clean and 65.0"
        " under PGD."
    )


def test_failed_runs_alone_have_no_empty_table(record, save):
    table = table_of(save(record("mart", error="out of memory")))
    text = cells.markdown(table)
    assert "- Failed: mart, seed 0: out of memory" in text and "|" not in text
    assert "tabular" not in latex(table, "t", Layout())


def test_bold_is_the_best_group_under_autoattack_and_nothing_else(tmp_path):
    counts = {"pgd-at": (300, 302, 301), "trades": (303, 301, 302), "standard": (310, 100, 99)}
    for label, numbers in (counts | {"mart": (320,)}).items():
        for seed, right in enumerate(numbers):
            write_run(tmp_path, make_spec(label, seed=seed), autoattack=right)
    table = table_of(tmp_path)
    # The highest of all is of one seed, and the other is as good as anything by chance.
    group = {"pgd-at", "trades", "standard"}
    assert bold(table) == {(label, "AutoAttack") for label in group}
    (note,) = (note for note in table.notes if note.startswith("Bold: the best group"))
    assert note.endswith("Not in it, for too few seeds: mart.")


def test_without_outcomes_of_two_rows_nothing_is_bold(record, save):
    table = table_of(save(record("pgd-at", autoattack=0.9), record("trades", autoattack=0.1)))
    assert not bold(table) and not any("Bold" in note for note in table.notes)
    assert not bold(table_of(save(record("mart"))))


def test_overfitting_checks_and_substitutions_are_footnotes(record, save):
    caught = planted_history((0.2, 0.4, 0.1, 0.0), (0.3, 0.5, 0.7, 0.8))
    swap = "apgd-t with 2 targets"
    results = save(
        record("pgd-at", substitutions=(swap,)),
        record("fgsm-rs", seed=0, history=caught, substitutions=(swap,)),
        record("fgsm-rs", seed=1, checks=("randomised defence",), substitutions=(swap,)),
    )
    table = table_of(results)
    assert [row[0].signs for row in table.rows] == ["§", "†‡§"]
    notes = "\n".join(table.notes)
    assert "‡ Overfitting: catastrophic from epoch 3, to the last (fgsm-rs seed 0)." in notes
    assert "† Raised in scoring: randomised defence (fgsm-rs seed 1)." in notes
    assert f"§ Attacks replaced: {swap} (all)." in notes


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_search_in_another_precision_is_a_table_of_its_own_that_says_so(tmp_path, precision):
    for scoring in (Scoring(), Scoring(search_precision=precision)):
        write_run(tmp_path, make_spec(scoring=scoring))
    blocks = [
        block for cohort in sort_into_cohorts(load_runs(tmp_path)) for block in blocks_of(cohort)
    ]
    judged = verdicts.judge_blocks(blocks, None)
    tables = [comparison_table(block, judged[block.stem]) for block in blocks]
    note = f"Attacks searched in {precision.upper()}; verdicts in exact float32."
    assert sorted(note in table.notes for table in tables) == [False, True]


def test_attacks_that_failed_are_a_footnote_and_no_robust_accuracy(record, save):
    def broken(whole: RunRecord, *attacks: str) -> RunRecord:
        changes = {"failed_attacks": dict.fromkeys(attacks, "no luck"), "autoattack_acc": None}
        changes["checks"] = ("failed-attack",)
        first, *others = whole.evaluations
        scores = (first.model_copy(update=changes), *others)
        return whole.model_copy(update={"evaluations": scores})

    table = table_of(
        save(broken(record("pgd-at"), "square"), broken(record("trades"), "fab-t", "square"))
    )
    assert [row[0].signs for row in table.rows] == ["†", "†"]
    names = [column.id for column in table.columns]
    robust = names.index("autoattack_acc")
    assert [row[robust].value for row in table.rows] == [None, None]
    assert any(
        "failed-attack square (pgd-at seed 0); failed-attack fab-t, square (trades seed 0)" in note
        for note in table.notes
    )
    latex(table, "t", Layout())


def test_a_suspected_masking_is_a_footnote_and_a_passed_audit_is_none(record, save):
    passed = Diagnosis(name="iterative", stronger=0.5, weaker=0.6, n_examples=90, p_value=0.4)
    caught = Diagnosis(name="black-box", stronger=0.6, weaker=0.4, n_examples=90, p_value=0.001)
    results = save(audited(record("pgd-at"), passed), audited(record("trades"), passed, caught))
    table = table_of(results)
    assert [row[0].signs for row in table.rows] == ["", "¶"]
    assert "¶ Gradient masking suspected: black-box (trades seed 0)." in table.notes
    assert r"trades\textsuperscript{\textparagraph{}}" in latex(table, "t", Layout())


def audited(record, *diagnoses):
    evaluations = [e.model_copy(update={"diagnoses": diagnoses}) for e in record.evaluations]
    return record.model_copy(update={"evaluations": tuple(evaluations)})


def test_the_interval_of_several_seeds_is_students_and_of_one_wilsons(record, save):
    results = save(
        record("pgd-at", seed=0, autoattack=0.50),
        record("pgd-at", seed=1, autoattack=0.52),
        record("pgd-at", seed=2, autoattack=0.54),
        record("trades", autoattack=0.5),
        record("mart", autoattack=None),
    )
    # Student's 97.5 % point with two degrees of freedom is 4.303, the standard error 2 / √3.
    assert column(table_of(results), "95 % interval") == {
        "pgd-at": "[47.0, 57.0]",
        "trades": "[44.9, 55.1]",
        "mart": MISSING,
    }
    assert wilson_interval(180, 360) == pytest.approx((0.449, 0.551), abs=5e-4)


def test_an_interval_of_accuracies_stays_between_0_and_100(record, save):
    results = save(record("pgd-at", seed=0, clean=0.9), record("pgd-at", seed=1, clean=1.0))
    frame = averages([only_block(results)]).set_index("metric")
    assert frame.loc["clean_acc", "high"] == 1.0
    assert frame.loc["clean_acc", "low"] == pytest.approx(0.95 - 12.706 * 0.05, abs=1e-4)


def test_differences_and_verdicts_stand_beside_the_interval(record, save):
    labels = ("standard", "pgd-at", "trades", "mart", "fgsm-rs", "regmix-pgd")
    block = only_block(save(*(record(label) for label in labels)))
    found = placed(
        block,
        trades=(0.05, 0.028, "better"),
        mart=(-0.0004, 0.0276, "not distinguishable"),
        standard=(0.0445, 0.0443, "better"),
        **{"regmix-pgd": (-0.05, None, "too few seeds")},
    )
    table = comparison_table(block, found)
    assert column(table, "AutoAttack − pgd-at") == {
        "pgd-at": "reference",
        "trades": "+5.0 [2.2, 7.8] better",
        "mart": "0.0 [−2.8, 2.7] n.d.",
        "regmix-pgd": "−5.0 too few seeds",
        "fgsm-rs": MISSING,
        "standard": "+4.45 [0.02, 8.88] better",  # not "[0.0, 8.9] better"
    }
    assert "AutoAttack − pgd-at: points." in table.notes


def test_without_verdicts_there_is_no_column_of_differences_but_a_note(record, save):
    table = table_of(save(record("pgd-at"), record("trades")))
    assert not [name for name in headers(table) if "−" in name]
    assert any(note.startswith("No verdicts: the runs name no reference;") for note in table.notes)


def test_other_attacks_are_named_in_the_header(record, save):
    one = record("pgd-at")
    scoring = Scoring(autoattack_version="custom", attacks=("apgd-ce", "square"))
    spec = one.spec.model_copy(update={"scoring": scoring})
    results = save(one.model_copy(update={"spec": spec, "run_id": spec.run_id}))
    assert "apgd-ce + square" in headers(table_of(results))


def test_files_of_numbers_name_the_attacks(tmp_path):
    quick = Scoring(autoattack_version="custom", attacks=("quick-apgd",))
    for scoring in (quick, Scoring()):
        write_run(tmp_path, make_spec("pgd-at", scoring=scoring))
    write_report(tmp_path, tmp_path / "out", ("csv",))
    for name in ("tables.csv", "models.csv"):
        found = pd.read_csv(tmp_path / "out" / name)
        robust = found[found["metric"] == "autoattack_acc"]
        assert sorted(robust["attacks"]) == ["AutoAttack", "quick-apgd"]


def test_a_screened_accuracy_has_its_own_table_column_interval_and_verdict(tmp_path):
    scoring = Scoring(screen=True)
    for label, right in (("pgd-at", 300), ("trades", 250)):
        for seed in (0, 1, 2):
            score = {"autoattack_acc": None, "screened_acc": (right + seed) / 360}
            spec = make_spec(label, seed=seed, scoring=scoring)
            write_run(tmp_path, spec, autoattack=right + seed, scored=score)
        write_run(tmp_path, make_spec(label), autoattack=200)
    out = tmp_path / "out"
    write_report(tmp_path, out, ("markdown", "csv"), reference="pgd-at")
    screened, plain = sorted(  # of the two tables
        (line for line in (out / "report.md").read_text().splitlines() if "PGD-20 |" in line),
        key=lambda line: "→" not in line,
    )
    assert "| PGD → AutoAttack | 95 % interval | PGD → AutoAttack − pgd-at |" in screened
    assert "| AutoAttack | 95 % interval |" in plain
    judged = pd.read_csv(out / "verdicts.csv")
    assert sorted(judged["label"]) == ["pgd-at", "trades", "trades"]
    assert set(judged["verdict"].dropna()) == {"worse", "too few seeds"}
    found = pd.read_csv(out / "tables.csv").groupby("table")["metric"].agg(set)
    assert sorted(("screened_acc" in s, "autoattack_acc" in s) for s in found) == [
        (False, True),
        (True, False),
    ]
    models = pd.read_csv(out / "models.csv").set_index("metric")
    assert sorted(models.loc["screened_acc", "accuracy"] * 360) == pytest.approx(
        [250, 251, 252, 300, 301, 302]
    )
    assert models.loc["autoattack_acc", "accuracy"].to_list() == pytest.approx([200 / 360] * 2)


def test_every_accuracy_of_every_run_has_its_interval(record, save):
    results = save(
        record("pgd-at", seed=0, evaluate="both", eval_eps=("32/255", "48/255")),
        record("trades", seed=3, autoattack=None),
    )
    frame = run_accuracies(sort_into_cohorts(load_runs(results)))
    # Clean and PGD of both checkpoints everywhere; AutoAttack at both ε and checkpoints of one.
    assert len(frame) == 2 * (2 * 2 + 2) + 2 * 2
    assert not frame.duplicated(["run_id", "checkpoint", "eval_epsilon", "metric"]).any()
    for row in frame.itertuples():
        expected = wilson_interval(round(row.accuracy * 360), 360)
        assert (row.low, row.high) == pytest.approx(expected)
        assert row.low < row.accuracy < row.high


def test_failed_runs_stand_under_the_table_and_in_csv(record, save):
    results = save(record("pgd-at"), record("mart", seed=4, error="loss is not finite\ntraceback"))
    (cohort,) = sort_into_cohorts(load_runs(results))
    table = table_of(results)
    assert "Failed: mart, seed 4: loss is not finite" in table.notes
    assert "Failed: mart, seed 4" in latex(table, "t", Layout())
    assert "Failed: mart, seed 4" in cells.markdown(table)
    assert list(failed_runs([cohort])["seed"]) == [4]


def test_latex_escapes_what_it_would_read_as_syntax():
    name = r"a_b%c&d#e[f]{g}$h~i^j\k<l>|m" + "\nλ\x1b"
    text = latex(plain_table((Cell(name), Cell(1, decimals=0))), "t", Layout())
    row = text.split("\\midrule\n")[1].splitlines()[0]
    assert row == (
        r"    a\_b\%c\&d\#e{[}f{]}\{g\}\$h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k"
        r"\textless{}l\textgreater{}\textbar{}m $\lambda$U+001B & 1 \\"
    )


def test_latex_braces_and_environments_balance(record, save):
    text = latex(table_of(save(*suite(record))), "t", Layout(standalone=True))
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    opened = []
    for side, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if side == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
