"""LaTeX tables: what is written, and what a real engine makes of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.tables import table_of, texts

from regmix_bench.errors import UserError
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.latex import latex
from regmix_bench.reporting.formats.latex_text import tex
from regmix_bench.reporting.formats.layout import Layout
from regmix_bench.reporting.values import Cell, Column, Table

RECORDED = Path(__file__).parents[3] / "results" / "shipped"
HOSTILE = r"a_b%c&d#e[f]{g}$h~i^j\k<l>|m--n"

needs_engine = pytest.mark.skipif(
    not all(map(shutil.which, ("pdflatex", "kpsewhich", "pdftotext")))
    or subprocess.run(["kpsewhich", "siunitx.sty", "lmodern.sty", "preview.sty"]).returncode != 0,
    reason="no pdflatex with siunitx, lmodern and preview, or no pdftotext: apt-get install"
    " texlive-latex-recommended texlive-science lmodern preview-latex-style poppler-utils",
)

ARTICLE = r"""
\documentclass%s{article}
\usepackage[T1]{fontenc}
\usepackage{lmodern, booktabs, graphicx, siunitx}
%s
\begin{document}
Before. \input{table}
See Table~\ref{tab:stem}.
\end{document}
"""
TIMES = r"\usepackage{times}\setlength{\textwidth}{%s}\setlength{\oddsidemargin}{0pt}"
# Documents that a table is set in, by how many columns they have.
DOCUMENTS = {
    "alone": (1, None),
    "article": (1, ARTICLE % ("", "")),
    "neurips": (1, ARTICLE % ("", TIMES % "5.5in")),
    "alone-2": (2, None),
    "article-2": (2, ARTICLE % ("[twocolumn]", "")),
    "icml": (2, ARTICLE % ("[twocolumn]", TIMES % "6.75in")),
}


@pytest.fixture(scope="module")
def recorded():
    """The longest table with a name that LaTeX would read."""
    tables = Contents.of(RECORDED).comparisons.values()
    named = (t for t in tables if any("lambda_=3" in str(row[0].value) for row in t.rows))
    return max(named, key=lambda table: len(table.rows))


def compiled(folder, table, document="alone", **options):
    """The text of the PDF, once the document compiled without a complaint."""
    columns, frame = DOCUMENTS[document]
    options = {"table_columns": ("all",), **options}
    layout = Layout(standalone=frame is None, columns=columns, **options)
    text = latex(table, "stem", layout)
    if frame is not None:
        (folder / "table.tex").write_text(text, "utf-8")
    (folder / "main.tex").write_text(text if frame is None else frame.lstrip(), "utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    for _ in range(1 if frame is None else 2):  # the second knows the number of the table
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
        log = (folder / "main.log").read_text("utf-8", errors="replace")
        assert done.returncode == 0, log[-2000:]
    complaints = re.compile("^!|Overfull|Undefined|undefined|too large|Missing character", re.M)
    assert not complaints.search(log), log
    shown = subprocess.run(
        ["pdftotext", "-layout", "main.pdf", "-"], cwd=folder, capture_output=True, check=True
    )
    return shown.stdout.decode()


def numbers(text):
    return re.findall(r"[+−]?\d+(?:\.\d+)?", text)


def rows_of(table, text):
    """The numbers of each row in the PDF, its panels joined."""
    found = {}
    for row in table.rows:
        name = row[0].value
        lines = re.findall(rf"^ *{re.escape(name + row[0].signs)} .*$", text, re.M)
        found[name] = [n for line in lines for n in numbers(line.replace(name, "", 1))]
    return found


@needs_engine
@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_recorded_table_compiles_and_shows_its_numbers(recorded, tmp_path, document):
    text = compiled(tmp_path, recorded, document)
    expected = {
        name: [n for shown in others for n in numbers(shown)] for name, *others in texts(recorded)
    }
    assert len(expected) >= 6 and all(len(row) >= 11 for row in expected.values())
    assert rows_of(recorded, text) == expected
    assert "lambda_=3" in text


@needs_engine
def test_hostile_text_survives(tmp_path):
    table = table_of(
        (Cell(HOSTILE, signs="†"), Cell(1.5), Cell(HOSTILE)),
        header=(HOSTILE, "x_%", "y&#"),
        caption=f"Caption {HOSTILE} `--flag`.",
        notes=(f"Note {HOSTILE} 'quoted'", "z" * 10_000),
    )
    text = compiled(tmp_path, table)
    assert text.count(HOSTILE) == 5
    assert "†" in text
    assert "x_%" in text and "y&#" in text and "--flag" in text


@needs_engine
@pytest.mark.parametrize(
    "text", ["ąđŁé ßœ", "λ=3 ε≤∞", "中文", "жя", "\x1b\x00", "``q'' ''", "a" * 10_000]
)
def test_no_letter_stops_the_compilation(tmp_path, text):
    cell = Cell(text)
    rows = ((cell, cell), (Cell("b"), Cell(2.0)))
    table = table_of(*rows, header=("Method", text), caption=text, notes=(text,))
    assert "Table 1" in compiled(tmp_path, table, "alone")
    # Without T1 and Latin Modern as well, which a paper may not load.
    plain = (tmp_path / "main.tex").read_text().replace(r"\usepackage[T1]{fontenc}", "")
    (tmp_path / "main.tex").write_text(plain.replace("{lmodern, ", "{"))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0


@needs_engine
def test_numbers_of_other_places_missing_ones_and_marks_stay_in_their_columns(tmp_path):
    cells = [
        *(Cell(), Cell(98.7, spread=10.3, best=True)),
        *(Cell(8.75, decimals=2), Cell(100, decimals=0)),
    ]
    rows = [(Cell(name), cell) for name, cell in zip("abcd", cells, strict=True)]
    text = compiled(tmp_path, table_of(*rows))
    lines = re.findall(r"^ *[a-d] .*$", text, re.M)
    assert [line.split()[1:] for line in lines] == [["–"], ["98.7", "±", "10.3"], ["8.75"], ["100"]]
    ends = [line.index(n) + len(n) for line, n in zip(lines[1:], ("98", "8", "100"), strict=True)]
    assert max(ends) - min(ends) <= 1


def rows(*cells):
    return [(Cell("m"), cell) for cell in cells]


def test_numbers_stand_in_columns_of_siunitx():
    better = Cell(0.044, "points", interval=(-0.025, 0.064), word="better")
    table = table_of(*rows(better, Cell("reference"), Cell()), kind="difference")
    text = latex(table, "s", Layout())
    assert "S[table-format = +1.1" in text and "S[table-format = {[}+1.1{,}" in text
    assert r"m & +4.4 & {[}-2.5{,} & \num{6.4}] & better \\" in text
    assert r"m & \multicolumn{4}{c}{reference} \\" in text
    assert r"m & \multicolumn{4}{c}{\textendash{}} \\" in text


def test_text_with_digits_is_not_taken_for_numbers():
    digests = table_of(*rows(Cell("66913176"), Cell("11234567")), kind="words")
    assert r"m & 66913176 \\" in latex(digests, "s", Layout())
    assert "S[" not in latex(digests, "s", Layout())


def test_a_wide_table_is_cut_into_panels_that_repeat_the_names():
    header = ("Method", *(f"column {i}" for i in range(30)))
    cells = (Cell(i + 0.25, decimals=2) for i in range(30))
    table = table_of((Cell("trades"), *cells), header=header)
    one, two = (
        latex(table, "s", Layout(columns=columns, table_columns=("all",))) for columns in (1, 2)
    )
    assert 1 < two.count("trades &") < one.count("trades &") == one.count(r"\begin{tabular}")
    assert re.findall(r"(\d+)\.25", one) == [str(i) for i in range(30)]
    assert r"\begin{table*}" in two and r"\begin{table*}" not in one
    # But not unless all columns are asked for.
    assert latex(table, "s", Layout()).count(r"\begin{tabular}") == 1


@needs_engine
def test_columns_of_one_group_stand_under_one_head(tmp_path):
    columns = [Column("m", "Method")] + [
        Column(f"{header}@{group}", header, kind, group=group)
        for group in ("L∞ 8/255", "L2 0.5")
        for header, kind in (("Clean", "mean"), ("A − ref.", "difference"))
    ]
    number = Cell(0.05, "points", spread=0.01, interval=(0.01, 0.09), word="better", best=True)
    table = Table("Both.", tuple(columns), ((Cell("trades"), *[number, number] * 2),))
    text = latex(table, "s", Layout())
    # A mean has two parts, and a difference four.
    assert r"\cmidrule(lr){2-7} \cmidrule(lr){8-13}" in text
    assert r"& \multicolumn{6}{c}{L$_\infty$ 8/255} & \multicolumn{6}{c}{L2 0.5} \\" in text
    shown = compiled(tmp_path, table, "article-2", table_columns=None)
    assert re.search(r"8/255 +L2 0.5", shown) and shown.count("better") == 2


@needs_engine
def test_what_is_taller_than_a_page_goes_on_under_the_same_number(tmp_path):
    header = ["Method", *(f"{n} {'words ' * 5}" for n in range(6))]
    rows = [[Cell(f"m{n}"), *(Cell("a few more words " * 2) for _ in range(6))] for n in range(30)]
    table = table_of(*rows, kind="words", header=header, notes=["A note. " * 30] * 9)
    written = latex(table, "stem", Layout(table_columns=("all",)))
    assert 1 < written.count(r"\begin{table}") == written.count(r"\caption{") <= 6
    assert written.count(r"\label{") == 1 and written.count(r"\caption{Continued.}") > 0
    text = compiled(tmp_path, table, "article")
    assert text.count("Table 1: Usual.") == 1 and "Table 2" not in text
    assert text.count("m29") == written.count(r"\begin{tabular}")
    assert "\nm29 " in text and text.count("A note.") == 30 * 9


def test_caption_and_label_are_the_authors():
    text = latex(table_of(*rows(Cell(1))), "s", Layout(caption="50 % & {}", label="app:"))
    assert r"\caption{50 \% \& Usual.}" in text and r"\label{app:s}" in text
    assert r"\label{tab:s}" in latex(table_of(*rows(Cell(1))), "s", Layout())


@pytest.mark.parametrize("wrong", [{"columns": 3}, {"label": "a}b"}, {"label": "tab:%"}])
def test_what_latex_could_not_set_is_refused(wrong):
    with pytest.raises(UserError, match=r"choose from 1, 2|would break LaTeX"):
        Layout(**wrong)


def test_ligatures_and_letters_without_a_font():
    assert tex("a--b---c") == "a-{}-b-{}-{}-c"
    assert tex("ą λ 中 ﬁ\n\tx") == r"a $\lambda$ U+4E2D fi x"
