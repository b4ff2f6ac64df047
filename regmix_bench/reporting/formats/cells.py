"""A table in plain text, and in Markdown; frames as CSV.

What is shown is decided where the table is made. Here it is only escaped and decorated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import pandas as pd

Mark = Literal["", "best", "second"]


@dataclass(frozen=True)
class Cell:
    """Plain text; ``mark`` decorates ``text`` alone; ``signs`` refer to footnotes."""

    text: str
    spread: str = ""
    mark: Mark = ""
    signs: str = ""


@dataclass(frozen=True)
class Table:
    """The first column holds names, the others numbers."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def fixed(value: float, decimals: int = 1) -> str:
    """A number with so many decimals, a true minus sign, and no minus zero."""
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def short(text: str, length: int = 120) -> str:
    """``text`` on one line, cut where it is longer than a label can reasonably be."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def markdown(table: Table) -> str:
    """The table in the syntax of GitHub: caption above, notes as a list below."""
    grid = [
        f"| {' | '.join(markdown_text(name) for name in table.header)} |",
        f"| :--- |{' ---: |' * (len(table.header) - 1)}",
        *(f"| {' | '.join(_markdown_cell(cell) for cell in row)} |" for row in table.rows),
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
    """A frame as CSV, ten significant digits; text that looks like a formula is defused."""
    texts = frame.select_dtypes(exclude=["number", "bool"])
    safe = texts.map(lambda value: _defused(value) if isinstance(value, str) else value)
    return frame.assign(**safe).to_csv(index=False, lineterminator="\n", float_format="%.10g")


def markdown_text(text: str) -> str:
    """Plain text on one line, with whatever Markdown would read as syntax escaped."""
    return re.sub(r"([\\`*_\[\]<>#|~$&])", r"\\\1", " ".join(text.split()))


def _defused(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _markdown_cell(cell: Cell) -> str:
    wrap = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}[cell.mark]
    head = wrap.format(markdown_text(cell.text)) + markdown_text(cell.signs)
    return f"{head} {markdown_text(cell.spread)}".rstrip()
