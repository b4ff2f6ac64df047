from __future__ import annotations

import re
import shutil

import pytest
from support.synthetic import make_record, make_spec, write_run
from support.tables import bold, headers, texts

from regmix_bench.errors import UserError
from regmix_bench.notation import read_yaml
from regmix_bench.records import store
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.layout import Layout
from regmix_bench.reporting.narrowing import for_figures
from regmix_bench.reporting.paper import named, paper_tables, side_by_side
from regmix_bench.reporting.report import write_report
from regmix_bench.reporting.report_files import text_files
from regmix_bench.reporting.values import Cell, Column, Table
from regmix_bench.specs import MethodSpec, Recipe, Scoring


def method(name, label=None, **params):
    return MethodSpec(name=name, version=1, params=params, label=label or name)


GENTLE = method("trades", "trades[beta=3]", beta=3.0)
HOME = "digits-smallcnn-4a2cf431-Linf-32-255"


def seeds_of(results, label, counts=(300, 302, 301), **changes):
    epsilon = changes.pop("epsilon", "32/255")
    for seed, right in enumerate(counts):
        spec = make_spec(label, epsilon, seed=seed, **{"method": method(label), **changes})
        write_run(results, spec, autoattack=right, reference="pgd-at")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Three methods under two budgets, one of them under the smaller alone."""
    folder = tmp_path_factory.mktemp("paper")
    for epsilon, less in (("32/255", 0), ("48/255", 90)):
        for label, count in (("pgd-at", 300), ("standard", 120)):
            seeds_of(folder, label, range(count - less, count - less + 3), epsilon=epsilon)
    seeds_of(folder, "trades", (303, 301, 302), method=GENTLE)
    return folder


def tables_of(results, **layout):
    found = paper_tables(Contents.of(results), Layout(**layout))
    assert all(len(row) == len(table.columns) for table in found.values() for row in table.rows)
    return found


def test_a_table_has_what_a_paper_shows_and_methods_by_their_names(results):
    table = tables_of(results)[HOME]
    assert headers(table) == [
        *("Method", "Clean", "PGD-20", "AutoAttack", "AutoAttack − PGD-AT", "Passes", "Seeds")
    ]
    assert [row[0] for row in texts(table)] == ["Standard", "PGD-AT", "TRADES (β = 3)"]
    assert bold(table) == {("PGD-AT", "AutoAttack"), ("TRADES (β = 3)", "AutoAttack")}


def test_notes_are_one_and_short_or_full_or_none(results):
    (note,) = tables_of(results)[HOME].notes
    assert "Bold: not distinguishable from the best." in note and len(note) < 400
    full = tables_of(results, notes="full")[HOME].notes
    assert len(full) > 3 and max(map(len, full)) > 400
    assert not any(table.notes for table in tables_of(results, notes="none").values())
    with pytest.raises(UserError, match="unknown kind of notes 'some'"):
        Layout(notes="some")


def test_a_short_note_says_only_what_is_shown_and_names_what_a_sign_refers_to(tmp_path):
    seeds_of(tmp_path, "pgd-at")
    write_run(tmp_path, make_spec(method=method("mart")), scored={"checks": ("flat",)})
    clean = tables_of(tmp_path, table_columns=("clean_acc",))[HOME]
    (note,) = clean.notes
    assert "Passes" not in note and "Differences" not in note and "Bold" not in note
    assert note.endswith("† Raised in scoring: flat (MART seed 0).")


def test_columns_come_in_the_order_asked_for_by_id_or_header(results):
    table = tables_of(results, table_columns=("Seeds", "autoattack_acc", "Clean"))[HOME]
    assert headers(table) == ["Method", "Seeds", "AutoAttack", "Clean"]
    every = tables_of(results, table_columns=("all",))[HOME]
    whole = Contents.of(results).comparisons[HOME]
    assert [c.id for c in every.columns] == [c.id for c in whole.columns]


def test_rows_come_in_the_order_asked_for_by_label_method_or_name(results):
    table = tables_of(results, rows=("TRADES (β = 3)", "pgd-at"))[HOME]
    assert [row[0] for row in texts(table)] == ["TRADES (β = 3)", "PGD-AT"]
    by_method = tables_of(results, rows=("trades",))
    assert [row[0] for row in texts(by_method[HOME])] == ["TRADES (β = 3)"]
    # Where no row is left there is no table; what is significant was found among all rows.
    assert HOME.replace("32", "48") not in by_method
    alone = tables_of(results, rows=("standard",))[HOME]
    assert "worse" in texts(alone)[0][4] and not bold(alone)


@pytest.mark.parametrize("asked", ["TRADES (β = 3)", "trades[beta=3]", "trades"])
def test_tables_and_figures_take_a_row_by_all_that_it_goes_by(results, asked):
    (table,) = (t for stem, t in tables_of(results, rows=(asked,)).items() if stem == HOME)
    figures = for_figures(Contents.of(results, methods=(asked,)))
    shown = [group.label for cohort in figures.cohorts for group in cohort.groups]
    assert [row[0] for row in texts(table)] == ["TRADES (β = 3)"] and shown == [GENTLE.label]


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ({"table_columns": ("clean",)}, "unknown table column 'clean': did you mean 'clean_acc'"),
        ({"table_columns": ("clean_acc", "price")}, "unknown table column 'price'"),
        ({"rows": ("pgd-at", "liet")}, "unknown row 'liet'"),
        ({"rows": ("pgd_at",)}, "unknown row 'pgd_at': did you mean 'pgd-at'"),
        ({"caption": "Robustness."}, "--caption 'Robustness.' would name 3 tables alike"),
    ],
)
def test_what_is_not_there_is_refused_and_nothing_written(results, tmp_path, layout, said):
    """Whatever is written, as ``--rows`` may be misspelt where there is no table of LaTeX."""
    for formats in ("latex", "csv"), ("latex",) if "caption" in layout else ("csv",):
        with pytest.raises(UserError) as caught:
            write_report(results, tmp_path / "deep" / "out", formats, layout=Layout(**layout))
        assert said in str(caught.value) and "\n" not in str(caught.value)
        assert not (tmp_path / "deep").exists()


def test_budgets_of_one_setting_stand_side_by_side(results):
    found = tables_of(results)
    (stem,) = (stem for stem in found if stem.startswith("budgets-"))
    table = found[stem]
    assert stem == "budgets-digits-smallcnn-4a2cf431-Linf"
    assert [column.group for column in table.columns] == [
        "",
        *["L∞ 32/255"] * 3,
        *["L∞ 48/255"] * 3,
    ]
    assert (
        headers(table)[1:4] == ["Clean", "AutoAttack", "AutoAttack − PGD-AT"] == headers(table)[4:]
    )
    rows = {row[0]: row[1:] for row in texts(table)}
    assert rows["PGD-AT"][1::3] == ["83.6 ± 0.3", "58.6 ± 0.3"]
    assert rows["TRADES (β = 3)"][3:] == ["–"] * 3
    assert table.caption.startswith(
        "digits, smallcnn: trained and attacked under L∞ 32/255 and L∞ 48"
    )
    apart = [found[HOME], found[HOME.replace("32", "48")]]
    for place, one in enumerate(apart):
        assert {row[0].value: row[3].value for row in one.rows}["PGD-AT"] == next(
            row[2 + 3 * place].value for row in table.rows if row[0].value == "PGD-AT"
        )


def test_signs_and_notes_of_tables_that_are_joined_say_where_they_belong():
    columns = (Column("method", "Method"), Column("a", "A", "number"))

    def one(*notes, **signs):
        rows = tuple((Cell(label, signs=sign), Cell(1.0)) for label, sign in signs.items())
        return Table("d, s: here. Rest.", columns, rows, notes, "d, s")

    joined = side_by_side(
        {"x": one("both", "† odd (a)", a="†", b=""), "y": one("both", "of y", a="‡")}
    )
    assert [(row[0].value, row[0].signs) for row in joined.rows] == [("a", "†‡"), ("b", "")]
    assert joined.notes == ("both", "† x: odd (a)", "y: of y")
    assert joined.caption == "d, s: trained and attacked under x and y. Rest."
    assert joined.rows[1][2] == Cell()


def test_a_name_takes_the_place_of_a_label_and_of_nothing_else():
    columns = (Column("method", "Method"), Column("d", "A − standard", "words"))
    notes = ("mean ± standard deviation",)
    table = Table("standard", columns, ((Cell("standard"), Cell("standard")),), notes)
    found = named(table, {"standard": "Standard", "mart": "MART"})
    assert found.columns[1].header == "A − Standard"
    assert [cell.value for cell in found.rows[0]] == ["Standard", "standard"]
    assert (found.caption, found.notes) == ("standard", notes)


def test_full_notes_call_every_row_by_its_name(tmp_path):
    """The reference, a row of too few seeds, one without outcomes, one with a sign, one failed."""
    seeds_of(tmp_path, "pgd-at")
    seeds_of(tmp_path, "trades", (303, 301), method=GENTLE)
    flagged = method("trades", "trades[beta=4]", beta=4.0)
    write_run(tmp_path, make_spec(method=flagged), outcomes=False, scored={"checks": ("flat",)})
    store.save_record(
        tmp_path, make_record(make_spec(method=GENTLE, seed=9), status="error", error="no memory")
    )
    said = " ".join(tables_of(tmp_path, notes="full")[HOME].notes)
    for words in (
        "AutoAttack − PGD-AT: points",
        "of the row or of PGD-AT, say too little",
        "No verdict: TRADES (β = 4): no outcomes",
        "(TRADES (β = 4) seed 0)",
        "Failed: TRADES (β = 3), seed 9: no memory",
    ):
        assert words in said
    assert "[beta" not in said and "pgd-at" not in said


def test_a_caption_says_the_setting_once_and_what_each_table_shows(results, tmp_path):
    write_report(
        results,
        tmp_path,
        ("latex",),
        layout=Layout(caption="Robustness on digits. {}", notes="none"),
    )
    captions = [
        next(line for line in path.read_text().splitlines() if r"\caption{" in line)
        for path in tmp_path.glob("table-*.tex")
    ]
    assert len({*captions}) == len(captions) == 3
    compared = [c for c in captions if "Robustness on digits. Trained" in c]
    assert len(compared) == 3 and not any("digits, smallcnn" in caption for caption in compared)


UNLIKE = {
    "recipe": {"recipe": Recipe(epochs=51)},
    "precision": {"recipe": Recipe(epochs=50, precision="bf16")},
    "tricks": {"recipe": Recipe(epochs=50, ema_decay=0.98)},
    "images": {"train_examples": 500},
    "test images": {"eval_examples": 360},
    "scoring": {"scoring": Scoring(screen=True)},
    "search": {"scoring": Scoring(search_precision="tf32")},
    "budget": {"epsilon": "48/255"},
    "architecture": {"arch": "resnet8"},
}


def test_runs_that_are_unlike_share_no_ranking_in_any_table(results, tmp_path):
    """Each kind planted beside the rest: its rows have tables of their own."""
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    before = {stem: texts(table) for stem, table in tables_of(folder).items()}
    for changes in UNLIKE.values():
        # Far better than all others, so that it would take the mark where it did not belong.
        seeds_of(folder, "fgsm-rs", (338, 339, 340), **changes)
        seeds_of(folder, "mart", (330, 331, 332), **changes)
    contents = Contents.of(folder)
    for block in contents.blocks:
        specs = [run.spec for row in block.rows for run, _ in row.scores]
        facts = ("recipe", "scoring", "arch", "train_threat", "train_examples", "eval_examples")
        assert all(len({getattr(spec, fact) for spec in specs}) == 1 for fact in facts)
    found = tables_of(folder)
    # Rows of another budget join the table of that budget, and the one beside; no others are ours.
    joined = [
        stem
        for stem, table in found.items()
        if {"PGD-AT", "FGSM-RS"} <= {row[0] for row in texts(table)}
    ]
    home = HOME.removesuffix("-Linf-32-255")
    assert set(joined) == {f"{home}-Linf-48-255", f"budgets-{home}-Linf"} | {
        stem for stem in joined if stem.startswith(("checkpoints-", "budgets-")) and home in stem
    }
    assert texts(found[HOME]) == before[HOME] and len(contents.cohorts) >= 2 + len(UNLIKE) - 1
    labels = {stem: {row[0] for row in texts(t)} for stem, t in contents.comparisons.items()}
    assert [stem for stem in labels if {"pgd-at", "fgsm-rs"} <= labels[stem]] == [
        f"{home}-Linf-48-255"
    ]
    written = {
        name: text for _, name, text in text_files(contents, ("markdown", "yaml"), (), Layout())
    }
    sheet = read_yaml(written["study.yaml"])["tables"]
    rows = {name: {row["method"] for row in table["rows"]} for name, table in sheet.items()}
    assert [name for name in rows if {"pgd-at", "fgsm-rs"} <= rows[name]] == [f"{home}-Linf-48-255"]
    assert len(rows) == len(contents.cohorts)
    parts = re.split(r"^### ", written["report.md"], flags=re.MULTILINE)[1:]
    shared = [part.partition("\n")[0] for part in parts if {"PGD-AT", "FGSM-RS"} <= named_in(part)]
    assert shared == ["Trained under L∞ 48/255, attacked under L∞ 48/255"]
    for picture in contents.gallery.pictures:
        frame = picture.frame
        assert frame["setting"].nunique() == 1
        ranked = frame.groupby(["setting", "train_epsilon", "eval_epsilon"])["method"].agg(set)
        together = [key for key, names in ranked.items() if {"pgd-at", "fgsm-rs"} <= names]
        assert set(together) <= {(home, "48/255", "48/255")}


def named_in(page):
    """The first cells of the rows of a page's tables."""
    return set(re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE))
