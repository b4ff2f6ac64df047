from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest
from support.published import ROW, SOURCE, put
from support.tables import bold, column, headers, texts

from regmix_bench.errors import UserError
from regmix_bench.records.paths import PUBLISHED
from regmix_bench.reporting.formats.layout import Layout
from regmix_bench.reporting.published import PublishedTerms, load_published
from regmix_bench.reporting.report import stale, write_report
from regmix_bench.reporting.tables import published
from regmix_bench.reporting.values import Table
from regmix_bench.types import ThreatModel

TEXT = ("latex", "markdown", "csv", "json")
STEM = "published-digits-smallcnn-Linf-32-255-somebody"
OURS = "table-digits-smallcnn-412ab596-Linf-32-255"
MORE = ROW["tricks"] | {"extra_data": "1M images"}
BREAKS = {"no-deviation": "none is given"}


def tables(folder: Path, *rows: dict, **parts: dict) -> dict[str, Table]:
    put(folder, *rows, **parts)
    made = published.published_tables(load_published(folder))
    return {stem: table for found in made.values() for stem, table in found}


@pytest.fixture
def results(record, save):
    grid = ("16/255", "32/255")
    return save(record("trades", eval_eps=grid), record("fgsm-rs", autoattack=0.65, eval_eps=grid))


def test_published_rows_stand_in_a_table_of_their_own_beside_ours(results, tmp_path):
    put(results, ROW, ROW | {"label": "PGI", "robust": {"PGD-10": 55.26}, "clean": 81.71})
    out = tmp_path / "reports"
    write_report(results, out, TEXT, with_published=True, layout=Layout(notes="full"))
    page = (out / "report.md").read_text()
    ours = page.index("### Trained under L∞ 32/255, attacked under L∞ 32/255\n")
    theirs = page.index("#### Published, not measured here: Somebody: digits, SmallCNN, attacked")
    assert page.rindex("### Trained under", 0, theirs) == ours
    assert page.count("theirs") == page[theirs:].count("theirs")
    assert "\n## Published" not in page
    assert "| Method | Clean | AutoAttack | PGD-10 |\n" in page
    assert r"| AT \[theirs\] | 87.14 ± 0.30 | 44.04 ± 0.15 | – |" in page
    assert (out / f"table-{STEM}.tex").is_file()
    # A table of ours says where they stand, that under another threat does not.
    assert STEM in (out / f"{OURS}.tex").read_text().replace(r"\allowbreak{}", "")
    other = (out / f"{OURS}-at-Linf-16-255.tex").read_text().replace(r"\allowbreak{}", "")
    assert "published-" not in other and "theirs" not in (out / f"{OURS}.tex").read_text()
    saved = json.loads((out / "tables.json").read_text())["tables"][STEM]
    assert saved["rows"][0]["AutoAttack"] == {
        "value": pytest.approx(0.4404), "scale": "share", "spread": pytest.approx(0.0015)
    }  # fmt: skip
    frame = pd.read_csv(out / "published.csv")
    assert frame["percent"].to_list() == [87.14, 44.04, 81.71, 55.26]
    assert frame["deviation"].fillna(0).to_list() == [0.3, 0.15, 0, 0]
    assert set(frame["weights"]) == {"raw"} and set(frame["averaging"]) == {"none"}


def test_nothing_published_is_bold_nor_changes_what_is(results, tmp_path):
    write_report(results, tmp_path / "without", TEXT)
    best = ROW | {"label": "best", "robust": {"AutoAttack": 99.0}}
    put(results, ROW, best)
    write_report(results, tmp_path / "with", TEXT, with_published=True)
    page = (tmp_path / "with" / "report.md").read_text()
    for line in (tmp_path / "without" / "report.md").read_text().splitlines():
        assert line in page
    (table,) = tables(tmp_path, ROW, best, ROW | {"label": "last", "clean": 80}).values()
    assert not bold(table)


@pytest.mark.parametrize(
    ("other", "stem"),
    [
        ({"dataset": "cifar10"}, "cifar10-smallcnn-Linf-32-255"),
        ({"arch": "ResNet-18"}, "digits-resnet18-Linf-32-255"),
        ({"arch": "WRN-34-10"}, "digits-wrn3410-Linf-32-255"),
        ({"threat": {"norm": "Linf", "epsilon": "8/255"}}, "digits-smallcnn-Linf-8-255"),
        ({"threat": {"norm": "L2", "epsilon": "32/255"}}, "digits-smallcnn-L2-32-255"),
        ({"tricks": MORE}, "digits-smallcnn-Linf-32-255-extra-data"),
    ],
)
def test_what_fits_no_table_of_ours_stands_beside_none(results, tmp_path, other, stem):
    row = ROW | other
    put(results, row)
    out = tmp_path / "reports"
    write_report(results, out, TEXT, with_published=True)
    before, _, chapter = (
        (out / "report.md").read_text().partition("## Published, not measured here\n")
    )
    assert "theirs" not in before and "published-" not in before
    assert r"| AT \[theirs\] | 87.14 ± 0.30 |" in chapter
    assert "theirs" in (out / f"table-published-{stem}-somebody.tex").read_text()


def test_classes_of_architectures_share_a_table_and_budgets_do_not(tmp_path):
    base = ROW | {"dataset": "cifar10", "threat": {"norm": "Linf", "epsilon": "8/255"}}
    near = {"label": "c", "threat": {"norm": "Linf", "epsilon": "0.031"}, "arch": "resnet18"}
    preact = {"label": "b", "arch": "PreActResNet-18"}
    found = tables(tmp_path, base | {"arch": "ResNet-18"}, base | preact, base | near)
    wide, narrow = (
        found[f"published-cifar10-resnet18-Linf-{epsilon}-somebody"]
        for epsilon in ("8-255", "0.031")
    )
    assert column(wide, "Arch") == {"AT [theirs]": "ResNet-18", "b": "PreActResNet-18"}
    assert texts(narrow)[0][0] == "c"
    assert "ε is 0.031, which is 7.905/255 and not 8/255." in narrow.notes
    assert "Rows attacked under L∞ 0.031 stand in tables of their own." in wide.notes
    assert not any("and not" in note for note in wide.notes[1:])


def test_broken_rules_are_footnotes_with_their_rows_and_why(tmp_path):
    first = ROW | {"broken": {"no-autoattack": "PGD alone", **BREAKS}}
    second = ROW | {"label": "b", "broken": BREAKS}
    third = ROW | {"label": "c", "broken": {"no-deviation": "another reason"}}
    (table,) = tables(tmp_path, first, second, third, ROW | {"label": "d"}).values()
    assert column(table, "Breaks") == {"AT [theirs]": "1, 2", "b": "2", "c": "3", "d": "–"}
    assert table.notes[-3:] == (
        "Breaks 1, no-autoattack: PGD alone (AT [theirs]).",
        "Breaks 2, no-deviation: none is given (AT [theirs], b).",
        "Breaks 3, no-deviation: another reason (c).",
    )
    many = [ROW | {"label": str(n), "broken": BREAKS} for n in range(4)]
    (table,) = tables(tmp_path, *many, second | {"broken": {}}).values()
    assert table.notes[-1] == "Breaks 1, no-deviation: none is given (all but b)."
    (table,) = tables(tmp_path, *many).values()
    assert table.notes[-1] == "Breaks 1, no-deviation: none is given (all rows)."
    (table,) = tables(tmp_path, ROW).values()
    assert "Breaks" not in headers(table)


def test_each_source_has_a_table_of_its_own(tmp_path):
    other = ROW | {"source": "other", "robust": {"AutoAttack": 99}}
    sources = {"other": SOURCE | {"name": "Other & Co."}}
    pair = (ROW, ROW | {"label": "b", "robust": {"AutoAttack": 40}})
    found = tables(tmp_path, *pair, other, sources=sources)
    assert list(found) == [STEM, "published-digits-smallcnn-Linf-32-255-other-co"]
    assert [table.caption.partition(":")[0] for table in found.values()] == [
        "Somebody", "Other & Co."
    ]  # fmt: skip


def test_how_rows_were_scored_stands_in_columns_and_notes(tmp_path):
    tricks = {
        "true_class_mass": 0.64, "averaging": "EMA 0.9995", "awp": 0.005,
        "extra_data": "none", "other": "unknown",
    }  # fmt: skip
    row = ROW | {
        "tricks": tricks,
        "scored": {"weights": "averaged", "epoch": "selected"},
        "selection": "test",
        "attacks": {"AutoAttack": "standard, seed 0", "PGD-10": "not in this table"},
        "remark": "Its logs were edited",
    }
    (table,) = tables(tmp_path, row, ROW | {"label": "b", "seeds": "unknown"}).values()
    assert column(table, "Tricks") == {
        "AT [theirs]": "mass 0.64, EMA 0.9995, AWP 0.005; unknown: others", "b": "none"
    }  # fmt: skip
    assert column(table, "Weights") == {"AT [theirs]": "averaged, selected", "b": "raw, last"}
    assert column(table, "Selected on") == {"AT [theirs]": "test", "b": "none"}
    assert column(table, "Seeds") == {"AT [theirs]": "3", "b": "unknown"}
    cited = "Somebody 2018, table 1, https://example.org/1. Test images 10,000"
    assert table.notes[1:] == (
        "All rows: arch SmallCNN.",
        f"{cited}; AutoAttack standard, seed 0 (AT [theirs]).",
        f"{cited} (b).",
        "Its logs were edited (AT [theirs]).",
    )
    unknown = {"tricks": dict.fromkeys(tricks, "unknown") | {"extra_data": "none"}}
    (table,) = tables(tmp_path, ROW | unknown).values()
    told = "arch SmallCNN; seeds 3; weights raw, last; selected on none"
    assert table.notes[1] == (
        f"All rows: {told}; tricks unknown: label smoothing, averaging, AWP, others."
    )


def test_seconds_and_memory_have_columns_only_where_there_are_any(tmp_path):
    (table,) = tables(tmp_path, ROW).values()
    assert not {"Train min", "Memory GB"} & {*headers(table)}
    timed = ROW | {"label": "b", "train_seconds": 90, "machine": "unknown"}
    (table,) = tables(tmp_path, ROW, timed).values()
    assert column(table, "Train min") == {"AT [theirs]": "–", "b": "1.5"}
    assert "Memory GB" not in headers(table)
    (table,) = tables(tmp_path, timed | {"memory_gb": 1.39}).values()
    assert column(table, "Memory GB") == {"b": "1.39"}
    assert any("machine unknown" in note for note in table.notes)
    bare = {key: value for key, value in ROW.items() if key != "clean"}
    (table,) = tables(tmp_path, bare).values()
    assert "Clean" not in headers(table)


def test_check_agrees_under_the_same_flag_alone(results, tmp_path):
    path = put(results, ROW)
    out = tmp_path / "reports"
    write_report(results, out, TEXT, with_published=True)
    assert stale(results, out, with_published=True) == []
    assert f"{out / 'published.csv'}: not part of this report" in stale(results, out)
    put(results, ROW | {"clean": 80.0})
    lines = stale(results, out, with_published=True)
    assert f"{path}: changed since the report was made" in lines
    assert any(line.startswith(f"{out / 'published.csv'}:2: ") for line in lines)
    write_report(results, out, TEXT)
    assert stale(results, out) == []
    assert not (out / "published.csv").exists()


def test_a_bad_file_is_one_line_and_nothing_is_written(results, tmp_path):
    for bad in ({"selection": "tset"}, {"broken": {"x": "y"}}):
        path = put(results, ROW | bad)
        with pytest.raises(UserError) as caught:
            write_report(results, tmp_path / "out", with_published=True)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()
    assert path.name == PUBLISHED


def test_the_rows_of_this_package_stand_apart_by_class_budget_and_source(tmp_path):
    rows = load_published(tmp_path)
    made = published.published_tables(rows)
    linf = ThreatModel("Linf", "8/255")
    small = dict(made[PublishedTerms("cifar10", "resnet18", linf)])
    fastat = small["published-cifar10-resnet18-Linf-8-255-fastat"]
    assert len(fastat.rows) == 22 and {"Train min", "Memory GB"} < {*headers(fastat)}
    assert not bold(fastat)
    mair = small["published-cifar10-resnet18-Linf-8-255-mair"]
    assert len(mair.rows) == 6 and "Train min" not in headers(mair)
    assert [terms.arch_class for terms in made if terms.threat.epsilon == Fraction(31, 1000)] == [
        "wrn3410"
    ]
    every = [table for found in made.values() for _, table in found]
    assert sum(len(table.rows) for table in every) == len(rows)
    assert all(table.notes[0].startswith(published.TITLE) for table in every)
