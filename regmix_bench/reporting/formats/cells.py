"""Cells as text; tables in Markdown; frames as CSV."""

from __future__ import annotations

import re

import pandas as pd

from regmix_bench.reporting.values import Cell, Kind, Table
from regmix_bench.system.text import visible

#: Stands where nothing was measured.
MISSING = "–"

_SHOWN: dict[Kind, tuple[str, ...]] = {
    "words": (),
    "number": ("value",),
    "mean": ("value", "spread"),
    "estimate": ("value", "low", "high"),
    "interval": ("low", "high"),
    "difference": ("value", "low", "high", "word"),
    "count": ("value",),
    "range": ("value", "low", "high", "word"),
}


def fixed(value: float, decimals: int = 1) -> str:
    """Return a number with so many decimals, a true minus sign, and no minus zero."""
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def short(text: str, length: int = 120) -> str:
    """Return ``text`` on one line, cut where it is longer than a label can reasonably be."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def parts(cell: Cell, kind: Kind) -> dict[str, str]:
    """Return what a column of this kind shows of a number, each part as text.

    The parts are value, spread, low, high and word, those that the cell has; none where it holds no
    number. Digits are not grouped.
    """
    if cell.shown is None:
        return {}
    numbers = {"value": cell.value, "spread": cell.spread}
    if cell.interval:
        numbers |= dict(zip(("low", "high"), cell.interval, strict=True))
    found = {
        name: fixed(cell.in_unit(number), cell.decimals)
        for name, number in numbers.items()
        if isinstance(number, int | float)
    }
    if kind == "difference" and cell.shown > 0 and found["value"] != fixed(0.0, cell.decimals):
        found["value"] = f"+{found['value']}"
    found |= {"word": cell.word} if cell.word else {}
    return {name: found[name] for name in _SHOWN[kind] if name in found}


def text(cell: Cell, kind: Kind) -> tuple[str, str]:
    """Return a cell as text: what is bold of the best group, and what stands beside it."""
    if isinstance(cell.value, str):
        return cell.value, ""
    if kind == "count" and cell.shown is not None:
        return f"{cell.shown:,.{cell.decimals}f}", ""
    found = parts(cell, kind)
    interval = f"[{found['low']}, {found['high']}]" if "low" in found else ""
    spread = f"± {found['spread']}" if "spread" in found else ""
    if "value" not in found:
        return interval or MISSING, ""
    return found["value"], " ".join(filter(None, (spread, interval, found.get("word"))))


def line(cell: Cell, kind: Kind) -> str:
    """Return all of a cell's text in one."""
    return " ".join(filter(None, text(cell, kind)))


def markdown(table: Table) -> str:
    """Write a table in the syntax of GitHub: caption above, notes as a list below."""
    grid = [
        f"| {' | '.join(markdown_text(column.header) for column in table.columns)} |",
        f"| :--- |{' ---: |' * (len(table.columns) - 1)}",
        *(
            f"| {' | '.join(map(_markdown_cell, row, (c.kind for c in table.columns)))} |"
            for row in table.rows
        ),
        "",
    ]
    lines = [
        markdown_text(table.caption),
        "",
        *(grid if table.rows else ()),
        *(f"- {markdown_text(note)}" for note in table.notes),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def csv(frame: pd.DataFrame) -> str:
    """Write a frame as CSV, ten significant digits; text that looks like a formula is defused."""
    texts = frame.select_dtypes(exclude=["number", "bool"])
    safe = texts.map(lambda value: _defused(value) if isinstance(value, str) else value)
    return frame.assign(**safe).to_csv(index=False, lineterminator="\n", float_format="%.10g")


def csv_table(table: Table) -> str:
    """Write a table as CSV: numbers on their own scale, such as 0 to 1, and not rounded.

    The columns are the ids of the table's, and behind that of a number those of what belongs to it
    (``_spread``, ``_low``, ``_high``, ``_word``), where any row has it.
    """
    columns: dict[str, list[object]] = {}
    for place, column in enumerate(table.columns):
        cells = [row[place] for row in table.rows]
        ends = [cell.interval or (None, None) for cell in cells]
        columns[column.id] = [cell.value for cell in cells]
        beside: dict[str, list[object]] = {
            "spread": [cell.spread for cell in cells],
            "low": [low for low, _ in ends],
            "high": [high for _, high in ends],
            "word": [cell.word or None for cell in cells],
        }
        for part, values in beside.items():
            if any(value is not None for value in values):
                columns[f"{column.id}_{part}"] = values
    return csv(pd.DataFrame(columns))


def markdown_text(text: str) -> str:
    """Return plain text on one line, with whatever Markdown would read as syntax escaped."""
    return re.sub(r"([\\`*_\[\]<>#|~$&])", r"\\\1", visible(" ".join(text.split())))


def _defused(text: str) -> str:
    return visible(f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text)


def _markdown_cell(cell: Cell, kind: Kind) -> str:
    main, beside = text(cell, kind)
    wrap = "**{}**" if cell.best else "{}"
    head = wrap.format(markdown_text(main)) + markdown_text(cell.signs)
    return f"{head} {markdown_text(beside)}".rstrip()
