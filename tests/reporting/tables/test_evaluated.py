from __future__ import annotations

import re

import pandas as pd
import pytest
from support.synthetic import make_eval_spec, write_run
from support.tables import headers, texts

from regmix_bench.analysis.statistics import wilson_interval
from regmix_bench.records import store
from regmix_bench.records.schema import Diagnosis, EvalRecord
from regmix_bench.reporting.formats.cells import markdown
from regmix_bench.reporting.formats.latex import latex
from regmix_bench.reporting.formats.layout import Layout
from regmix_bench.reporting.report import stale, write_report
from regmix_bench.reporting.tables import evaluated
from regmix_bench.specs import ModelSource, Scoring
from regmix_bench.types import ThreatModel

TEXT = ("latex", "markdown", "csv")
SQUARE = Scoring(autoattack_version="custom", attacks=("square",))


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def panels_of(results):
    records = [store.load_record(path) for path in store.record_files(results)]
    return evaluated.evaluated_panels(r for r in records if isinstance(r, EvalRecord))


def given(results, label="net", *, spec=None, **counts):
    return write_run(results, make_eval_spec(label, **spec or {}), checkpoint="given", **counts)


def test_a_row_says_what_was_measured_and_on_which_weights(results):
    source = ModelSource(kind="robustbench", name="Some_2020[x]", sha256="0123456789abcdef" * 4)
    given(results, "some net", spec={"model": source}, clean=340, pgd=310, autoattack=300)
    (panel,) = panels_of(results)
    table = evaluated.evaluated_table(panel)
    assert headers(table) == ["Model", "Arch", "Source", "Weights", "Clean", "PGD-20", "AutoAttack"]
    ((label, arch, where, weights, *accuracies),) = texts(table)
    assert (label, arch, where) == ("some net", "smallcnn", "robustbench Some_2020[x]")
    assert weights == "01234567"
    for shown, right in zip(accuracies, (340, 310, 300), strict=True):
        low, high = wilson_interval(right, 360)
        assert shown == f"{100 * right / 360:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    assert "360 test images" in table.notes[0]


@pytest.mark.parametrize(
    ("scoring", "header"),
    [
        (Scoring(autoattack_version="plus"), "AutoAttack plus"),
        (Scoring(autoattack_version="rand"), "AutoAttack rand"),
        (Scoring(screen=True), "PGD → AutoAttack"),
        (SQUARE, "square"),
        (
            Scoring(autoattack_version="custom", attacks=("apgd-ce", "square")),
            "apgd-ce + square",
        ),
    ],
)
def test_the_header_says_what_ran(results, scoring, header):
    given(results, spec={"scoring": scoring})
    (panel,) = panels_of(results)
    table = evaluated.evaluated_table(panel)
    assert headers(table)[-1] == header
    assert ("black-box" in table.notes[0]) == (header == "square")


def test_what_is_not_comparable_stands_in_tables_of_their_own(results):
    both = tuple(ThreatModel("Linf", text) for text in ("32/255", "16/255"))
    given(results, "a", spec={"eval_threats": both})
    given(results, "b")
    given(results, "c", spec={"scoring": SQUARE})
    given(results, "d", n=100, clean=90, pgd=80, autoattack=70)
    given(results, "e", data_digest="e" * 64)
    found = {tuple(sorted(row.label for row in panel.rows)) for panel in panels_of(results)}
    assert found == {("a",), ("a", "b"), ("c",), ("d",), ("e",)}
    stems = [panel.stem for panel in panels_of(results)]
    assert len(set(stems)) == 5
    assert re.fullmatch(r"evaluated-digits-[0-9a-f]{8}-Linf-16-255", stems[0])
    assert all(stem.endswith("-Linf-32-255") for stem in stems[1:])


def test_the_same_budget_typed_differently_is_one_table(results):
    given(results, "a")
    given(results, "b", spec={"epsilon": "64/510"})
    (panel,) = panels_of(results)
    assert len(panel.rows) == 2


def test_the_most_robust_comes_first_and_equal_labels_are_told_apart(results):
    given(results, "weak", autoattack=100)
    given(results, "strong", autoattack=300)
    other = ModelSource(kind="weights", name="weak.pt", sha256="f" * 64)
    given(results, "weak", spec={"model": other}, autoattack=200)
    (panel,) = panels_of(results)
    labels = [row.label for row in panel.rows]
    assert labels[0] == "strong" and len(set(labels)) == 3
    assert all(label.startswith("weak #") for label in labels[1:])
    assert [row.score.autoattack_acc for row in panel.rows] == [300 / 360, 200 / 360, 100 / 360]


def test_checks_and_replaced_attacks_are_footnotes(results):
    audit = {"n_examples": 360, "stronger": 0.9, "weaker": 0.2}
    asked = (
        Diagnosis(name="black-box", p_value=0.001, **audit),
        Diagnosis(name="iterative", p_value=0.5, **audit),
    )
    raised = {"checks": ("zero-gradients",), "substitutions": ("no fab-t",), "diagnoses": asked}
    given(results, "masked", scored=raised)
    given(results, "honest", autoattack=200)
    (panel,) = panels_of(results)
    table = evaluated.evaluated_table(panel)
    assert [row[0].signs for row in table.rows] == ["†¶§", ""]
    assert "† Raised in scoring: zero-gradients (masked)." in table.notes
    assert "¶ Gradient masking suspected: black-box (masked)." in table.notes
    assert "§ Attacks replaced: no fab-t (masked)." in table.notes
    assert "Asked, and no gradient masking suspected: iterative (masked)." in table.notes
    assert "masked†¶§" in markdown(table)
    assert r"\textdagger{}\textparagraph{}\textsection{}" in latex(table, "x", Layout())


def test_evaluations_alone_make_a_report(results, tmp_path):
    given(results, "one", scored={"checks": ("zero-gradients",)})
    given(results, "two", spec={"scoring": SQUARE}, autoattack=290)
    out = tmp_path / "reports"
    written = {path.name for path in write_report(results, out, TEXT)}
    assert len([name for name in written if name.startswith("table-evaluated-")]) == 2
    page = (out / "report.md").read_text()
    assert "## Evaluated models\n" in page and "| one† |" in page and "| two |" in page
    frame = pd.read_csv(out / "evaluated.csv").set_index(["label", "metric"])
    assert len(frame) == 6
    two = frame.loc["two", "autoattack_acc"]
    assert two["attacks"] == "square"
    assert two["accuracy"] == pytest.approx(290 / 360)
    assert (two["low"], two["high"]) == pytest.approx(wilson_interval(290, 360))
    assert frame.loc[("one", "clean_acc"), "checks"] == "zero-gradients"
    assert stale(results, out) == []

    changed = given(results, "one", autoattack=100)
    lines = stale(results, out)
    assert f"{changed}: changed since the report was made" in lines
    assert any("report.md:" in line for line in lines)
    for path in store.record_files(results):
        path.unlink()
    given(results, "three", autoattack=100)
    write_report(results, out, TEXT)
    assert len(list(out.glob("table-evaluated-*"))) == 1
    assert stale(results, out) == []


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_search_in_another_precision_is_a_table_of_its_own_that_says_so(results, precision):
    given(results, autoattack=200)
    given(results, spec={"scoring": Scoring(search_precision=precision)}, autoattack=201)
    note = f"Attacks searched in {precision.upper()}; verdicts in exact float32."
    tables = [evaluated.evaluated_table(panel) for panel in panels_of(results)]
    assert sorted(note in table.notes for table in tables) == [False, True]
