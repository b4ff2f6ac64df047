"""Options of LaTeX tables; loads nothing that writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from regmix_bench.errors import UserError, unknown

#: In place of names of columns: every column.
ALL = "all"
Notes = Literal["full", "short", "none"]


@dataclass(frozen=True)
class Layout:
    """Options of LaTeX tables.

    A ``standalone`` table is a document, cropped to the table; else it is to be read by
    ``\\input``. ``columns`` are those of the document; in one of two the table spans both.
    ``caption`` is plain text in which ``{}`` stands for the table's own, without its subject where
    there is other text. The label of a table is ``label`` and the stem of its file.
    ``table_columns`` (ids or headers; ``all``) and ``rows`` (labels, methods or shown names) are
    those of comparisons, in this order; a table of all columns is cut into panels that fit, any
    other is scaled. Raises :class:`UserError` for other ``columns`` than 1 or 2, other ``notes``,
    and a ``label`` that LaTeX could not read.
    """

    standalone: bool = False
    columns: int = 1
    caption: str = "{}"
    label: str = "tab:"
    table_columns: tuple[str, ...] | None = None
    rows: tuple[str, ...] | None = None
    notes: Notes = "short"

    def __post_init__(self) -> None:
        if self.notes not in get_args(Notes):
            raise unknown("kind of notes", self.notes, get_args(Notes))
        if self.columns not in (1, 2):
            raise UserError(f"unknown number of columns {self.columns}: choose from 1, 2")
        if not re.fullmatch(r"[A-Za-z0-9:./+-]*", self.label):
            raise UserError(
                f"label {self.label!r} would break LaTeX: use letters, digits and any of : . / + -"
            )
