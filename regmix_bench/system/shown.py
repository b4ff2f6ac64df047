"""Values as a prompt and a notebook show them: one line, and a small table."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from regmix_bench.system.text import one_line

#: Characters of a line, and rows of a table, that are shown at most.
_LINE, _ROWS = 200, 40


class Summary(NamedTuple):
    """A value in a line of words, and what more there is of it as a table of texts."""

    line: str
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


class Shown:
    """Base of values that a prompt shows as one line, and a notebook as a small table.

    A dataclass among them is one with ``repr=False``.
    """

    def summary(self) -> Summary:
        """Return what is shown of the value; it may hold text from a file."""
        raise NotImplementedError

    def __repr__(self) -> str:
        line = one_line(self.summary().line)
        return f"<{type(self).__name__} {textwrap.shorten(line, _LINE, placeholder=' …')}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return as_html(self.summary())


V = TypeVar("V", bound=Shown)


class ShownTuple(tuple[V, ...], Generic[V]):
    """A tuple whose values a notebook shows one below the other."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return "".join(as_html(value.summary()) for value in self)


def as_html(summary: Summary) -> str:
    """Return a summary as HTML in which no text is markup."""
    line, header, rows = summary
    parts = [f"<p>{_escaped(line)}</p>"]
    if rows:
        parts.append("<table><thead>" + _row("th", header) + "</thead><tbody>")
        parts += [_row("td", row) for row in rows[:_ROWS]]
        parts.append("</tbody></table>")
    if len(rows) > _ROWS:
        parts.append(f"<p>… {len(rows) - _ROWS:,} more</p>")
    return "".join(parts)


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{_escaped(cell)}</{tag}>" for cell in cells) + "</tr>"


def _escaped(text: str) -> str:
    return html.escape(one_line(text))
