"""What the commands share: the application, options, and how lists are read and tables shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from regmix_bench.errors import UserError, unknown

app = typer.Typer(
    help="Train, attack and compare adversarial training methods.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Results = Annotated[Path, typer.Option("--results", help="Folder of the records.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
DataDir = Annotated[
    Path | None, typer.Option(envvar="REGMIX_BENCH_DATA", help="Folder of the datasets.")
]
Run = Annotated[str, typer.Argument(help="A record's path, a run_id or the start of one.")]


def split(option: str, text: str | None) -> list[str] | None:
    """The names in a list, split at commas that stand outside brackets."""
    if text is None:
        return None
    parts = [part.strip() for part in re.split(r",(?![^\[]*\])", text)]
    if not all(parts):
        raise UserError(f"{option} {text!r} has an empty place: separate names by single commas")
    return parts


def choice(kind: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise :class:`UserError` unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise unknown(kind, value, choices)


def print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows of text under a header, or that there are none."""
    if not rows:
        print("none")
        return
    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    console = Console(highlight=False)
    # A pipe has no width: there, every row stays on one line.
    console.print(table) if console.is_terminal else Console(width=10_000, highlight=False).print(
        table
    )
