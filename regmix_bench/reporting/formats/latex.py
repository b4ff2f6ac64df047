"""A table in LaTeX: numbers aligned by siunitx; with all its columns, cut into panels that fit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from regmix_bench.reporting.formats.cells import line, parts, text
from regmix_bench.reporting.formats.latex_text import prose, shortened, tex
from regmix_bench.reporting.formats.layout import ALL, Layout
from regmix_bench.reporting.values import Cell, Column, Table

PACKAGES = "booktabs, graphicx, siunitx"
#: What a document of its own needs besides.
STANDALONE_PACKAGES = "lmodern, preview"

# Width that a table may have in points, by columns of the document. Class article leaves 345 in one
# column, the least of all; over its two columns, 469, a table is scaled by a tenth at most, and not
# at all in Times on the seven inches of a venue.
_ROOM = {1: 345.0, 2: 525.0}
# Width of a digit in points, by size of type: Computer Modern, the widest in use.
_SIZES = {r"\small": 4.63, r"\footnotesize": 4.25, r"\scriptsize": 3.99}
_GAP = 6.0
# Height in points that a float has room for below its caption, on a page of class article.
_TALLEST = 495.0
_LONGEST_NAME = 80


def latex(table: Table, stem: str, layout: Layout) -> str:
    """Write a table as a float, or as a document that holds it; needs :data:`PACKAGES`.

    What is taller than a page goes on in further floats under the same number.
    """
    star = "*" if layout.columns == 2 else ""
    own = table.caption if layout.caption == "{}" else table.own_caption
    caption = layout.caption.replace("{}", own)
    split = ALL in (layout.table_columns or ())
    size, panels = _tabulars(table, _ROOM[layout.columns], split) if table.rows else ("", [])
    pages = _pages([*panels, *map(_note, table.notes)])
    lines = []
    for number, page in enumerate(pages):
        lines += [
            rf"\begin{{table{star}}}",
            r"  \centering",
            *([] if number == 0 else [r"  \addtocounter{table}{-1}"]),
            rf"  \caption{{{prose(caption if number == 0 else 'Continued.')}}}",
            *([rf"  \label{{{layout.label}{stem}}}"] if number == 0 else []),
            r"  \setlength{\tabcolsep}{3pt}",
            r"  \smallskip",
            r"  \sisetup{mode = text, detect-weight, retain-explicit-plus, group-digits = none,",
            r"    table-align-text-before = false, table-align-text-after = false}",
            r"  \renewcommand{\arraystretch}{1.1}",
            *([f"  {size}"] if size else []),
            *(line for block in page for line in block.lines),
            rf"\end{{table{star}}}",
        ]
    if not layout.standalone:
        needs = rf"% \usepackage{{{PACKAGES}}}; and, for underscores that can be copied,"
        lines = [needs, r"% \usepackage[T1]{fontenc}", *lines]
    else:
        # The option `floats` crops the page to the float.
        lines = [
            rf"% needs {PACKAGES}, {STANDALONE_PACKAGES}",
            rf"\documentclass{'[twocolumn]' if layout.columns == 2 else ''}{{article}}",
            r"\usepackage[T1]{fontenc}",
            rf"\usepackage{{lmodern, {PACKAGES}}}",
            r"\usepackage[active, floats, tightpage]{preview}",
            r"\setlength{\PreviewBorder}{4pt}",
            r"\begin{document}",
            *lines,
            r"\end{document}",
        ]
    return "\n".join(lines) + "\n"


class _Tabular(NamedTuple):
    """A column as LaTeX reads it, of one or several ``parts``; ``width`` counts digits."""

    specification: str
    head: str
    cells: tuple[str, ...]
    width: float
    parts: int = 1
    group: str = ""


class _Block(NamedTuple):
    """What stands below other blocks in a float; ``height`` is in points, about."""

    lines: tuple[str, ...]
    height: float


def _pages(blocks: Sequence[_Block]) -> list[list[_Block]]:
    pages: list[list[_Block]] = [[]]
    for block in blocks:
        if pages[-1] and sum(b.height for b in pages[-1]) + block.height > _TALLEST:
            pages.append([])
        pages[-1].append(block)
    return pages


def _note(note: str) -> _Block:
    text = rf"  \par\smallskip\parbox{{\linewidth}}{{\footnotesize\raggedright {prose(note)}}}"
    return _Block((text,), 3 + 9.5 * math.ceil(len(note) / 80))


def _tabulars(table: Table, room: float, split: bool) -> tuple[str, list[_Block]]:
    """The columns side by side, or ``split`` in as few panels as fit below each other.

    The type, which comes first, is the largest that needs no more panels, or the smallest where
    none would do. Scaling is for what is wider still, or was misjudged: a wider font.
    """
    names, *others = (
        _numbers(column, cells)
        if any(parts(cell, column.kind) for cell in cells)
        else _words(column, cells)
        for column, *cells in zip(table.columns, *table.rows, strict=True)
    )
    fitted = {size: _panels(names, others, room, digit) for size, digit in _SIZES.items()}
    size, panels = min(fitted.items(), key=lambda item: len(item[1]))
    if not split and len(panels) > 1:
        size, panels = list(_SIZES)[-1], [[names, *others]]
    height = (len(table.rows) + 3) * 2.6 * _SIZES[size]
    return size, [
        _Block(tuple(_tabular(columns, number)), height) for number, columns in enumerate(panels)
    ]


def _tabular(columns: Sequence[_Tabular], number: int) -> Iterator[str]:
    yield from [r"  \par\medskip"] if number else []
    yield r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    yield r"  \begin{tabular}{@{}"
    group = columns[0].group
    for column in columns:
        # Columns that stand under different heads are further apart.
        gap = r"@{\quad}" if column.group != group else ""
        yield f"    {gap}{column.specification}"
        group = column.group
    yield r"  @{}}"
    yield r"    \toprule"
    yield from _groups(columns)
    yield f"    {' & '.join(column.head for column in columns)} \\\\"
    yield r"    \midrule"
    for row in zip(*(column.cells for column in columns), strict=True):
        yield f"    {' & '.join(row)} \\\\"
    yield r"    \bottomrule"
    yield r"  \end{tabular}}"


def _groups(columns: Sequence[_Tabular]) -> Iterator[str]:
    """The line above the headers, and the rules below what spans several of them."""
    if not any(column.group for column in columns):
        return
    heads, rules, place = [], [], 1
    for group, members in groupby(columns, key=lambda column: column.group):
        wide = sum(column.parts for column in members)
        heads.append(rf"\multicolumn{{{wide}}}{{c}}{{{tex(group)}}}" if group else "&" * (wide - 1))
        rules += [rf"\cmidrule(lr){{{place}-{place + wide - 1}}}"] if group else []
        place += wide
    yield f"    {' & '.join(heads)} \\\\"
    yield f"    {' '.join(rules)}"


def _panels(
    names: _Tabular, others: Sequence[_Tabular], room: float, digit: float
) -> list[list[_Tabular]]:
    # Names of any length leave room for numbers.
    start = min(names.width * digit, room / 2)
    panels, left = [[names]], room - start
    for column in others:
        width = column.width * digit + _GAP
        if width > left and len(panels[-1]) > 1:
            panels.append([names])
            left = room - start
        panels[-1].append(column)
        left -= width
    return panels


def _words(column: Column, cells: Sequence[Cell]) -> _Tabular:
    lines = [shortened(line(cell, column.kind), _LONGEST_NAME) for cell in cells]
    shown = tuple(
        _decorated(cell, tex(shortened(text(cell, column.kind)[0], _LONGEST_NAME)))
        for cell in cells
    )
    width = max(_digits(column.header), *map(_digits, lines), 0)
    return _Tabular("l", tex(column.header), shown, width, group=column.group)


_PARTS = ("value", "spread", "low", "high", "word")
# How siunitx aligns a part: what stands before and after it, its side of the column (under a wide
# header the parts must stay together) and the width of all that. The upper end of an interval is
# not aligned: it is read as one with the lower.
_ALIGNED = {
    "value": ("", "", "right", 0.0),
    "spread": (r"{$\pm$\,}", "", "left", 2.3),
    "low": ("{[}", "{,}", "right", 1.4),
}
_JOINTS = {"spread": r"@{\,}", "low": "@{~}", "high": "@{~}", "word": "@{~}"}


def _numbers(column: Column, cells: Sequence[Cell]) -> _Tabular:
    """Numbers, each part of them in a column of its own; what is no number across all of them."""
    found = [parts(cell, column.kind) for cell in cells]
    names = [name for name in _PARTS if any(name in shown for shown in found)]
    columns = [_part(name, [shown.get(name, "") for shown in found], cells) for name in names]

    def across(text: str) -> str:
        return f"{{{text}}}" if len(names) == 1 else rf"\multicolumn{{{len(names)}}}{{c}}{{{text}}}"

    joints = ["", *(_JOINTS[name] for name in names[1:])]
    specification = " ".join(
        joint + part.specification for joint, part in zip(joints, columns, strict=True)
    )
    set_cells = tuple(
        " & ".join(part.cells[row] for part in columns)
        if found[row]
        else across(_decorated(cell, tex(line(cell, column.kind))))
        for row, cell in enumerate(cells)
    )
    lines = _lines(column.header)
    head = r" \\ ".join(map(tex, lines))
    width = max(sum(part.width for part in columns), *map(_digits, lines), 0)
    return _Tabular(
        specification,
        across(head if len(lines) == 1 else rf"\shortstack{{{head}}}"),
        set_cells,
        width,
        len(names),
        column.group,
    )


def _part(name: str, texts: Sequence[str], cells: Sequence[Cell]) -> _Tabular:
    """One part of the numbers of a column, the text of each cell given."""
    if name == "word":
        return _Tabular("l", "", tuple(map(tex, texts)), max(_digits(f" {text}") for text in texts))
    numbers = [text.replace("−", "-") for text in texts]
    sign = "+" if any(number[:1] in ("+", "-") for number in numbers) else ""
    places = [number.lstrip("+-").partition(".") for number in numbers]
    whole, decimals = (max(len(place[side]) for place in places) for side in (0, 2))
    width = 1.5 * len(sign) + whole + (decimals + 0.5 if decimals else 0)
    if name == "high":
        shown = tuple(rf"\num{{{number}}}]" if number else "" for number in numbers)
        return _Tabular("l", "", shown, width + 1.4)
    before, after, side, more = _ALIGNED[name]
    form = f"{before}{sign}{whole}.{decimals}{after}"
    if name == "value":
        numbers = [
            number and _marked(number, cell) for number, cell in zip(numbers, cells, strict=True)
        ]
    return _Tabular(
        f"S[table-format = {form}, table-number-alignment = {side}]",
        "",
        tuple(number and f"{before}{number}{after}" for number in numbers),
        width + more,
    )


def _marked(number: str, cell: Cell) -> str:
    signs = f"{{{_signs(cell)}}}" if cell.signs else ""
    # A group would keep siunitx from seeing the number.
    return (rf"\bfseries {number}" if cell.best else number) + signs


def _decorated(cell: Cell, text: str) -> str:
    return (rf"\textbf{{{text}}}" if cell.best else text) + _signs(cell)


def _signs(cell: Cell) -> str:
    return rf"\textsuperscript{{{tex(cell.signs)}}}" if cell.signs else ""


def _lines(header: str) -> tuple[str, ...]:
    """A header in one or two lines, as even as its spaces allow."""
    spaces = [match.start() for match in re.finditer(" ", header)]
    if not spaces:
        return (header,)
    middle = min(spaces, key=lambda place: abs(2 * place + 1 - len(header)))
    return header[:middle], header[middle + 1 :]


def _digits(text: str) -> float:
    """About how many digits are as wide as the text."""
    wide = "mw%+−±×"
    return sum(
        0.6 if letter in " .,:;'!|()[]ijlft" else 1.5 if letter in wide or letter.isupper() else 1
        for letter in text
    )
