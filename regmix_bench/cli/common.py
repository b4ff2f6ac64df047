"""What the commands share: the application, options, and how lists are read and tables shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regmix_bench.errors import UserError, unknown

if TYPE_CHECKING:
    from regmix_bench.records.schema import RobustEval

app = typer.Typer(
    help="Train, attack and compare adversarial training methods.",
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
Download = Annotated[bool, typer.Option("--download", help="Fetch what is missing.")]
Attacks = Annotated[
    str | None,
    typer.Option(help="Attacks instead of AutoAttack's standard ones, such as apgd-ce,square."),
]
AutoAttackVersion = Annotated[
    str | None, typer.Option(help="AutoAttack's version: standard, plus or rand.")
]
Screen = Annotated[
    bool,
    typer.Option("--screen", help="Spare AutoAttack what PGD-20 broke; a number of its own."),
]
SaveAdversarial = Annotated[
    bool, typer.Option("--save-adversarial", help="Keep the adversarial images, for audit.")
]
Diagnose = Annotated[
    bool, typer.Option("--diagnose", help="Also ask whether the gradients mislead.")
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


def scoring_flags(
    attacks: str | None, version: str | None, screen: bool = False
) -> dict[str, object]:
    """The keys of :class:`~regmix_bench.specs.Scoring` that the options set."""
    from regmix_bench.specs.scoring import ATTACKS

    names = split("attacks", attacks)
    screened: dict[str, object] = {"screen": True} if screen else {}
    if names is None:
        return screened | (
            {} if version is None else {"autoattack_version": version, "attacks": []}
        )
    if version not in (None, "custom"):
        raise UserError(f"--attacks is a version of its own, not {version!r}: leave one out")
    for name in names:
        choice("attack", name, ATTACKS)
    return {**screened, "autoattack_version": "custom", "attacks": names}


def score_lines(evaluations: Iterable[RobustEval]) -> Iterator[str]:
    """One line for each evaluation with AutoAttack, and one for each thing it warned of."""
    from regmix_bench.records.accuracies import ROBUST, by_title, score_words

    for e in evaluations:
        if e.robust_acc is None:
            continue
        shown = (
            f"{score_words(e) if title == ROBUST else title} {share:.1%}"
            for title, share in by_title(e).items()
            if share is not None
        )
        yield f"{e.checkpoint} at {e.threat}: {'  '.join(shown)}"
        if e.checks:
            yield f"  raised: {', '.join(e.checks)}"
        for d in e.diagnoses:
            if d.p_value is None:
                yield f"  {d.name}: not asked: {d.note}"
            else:
                verdict = "ALARM" if d.alarm else "ok"
                yield (
                    f"  {d.name}: {d.stronger:.1%} against {d.weaker:.1%}"
                    f" (p = {d.p_value:.2g}): {verdict}"
                )


def print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows of text under a header, or that there are none."""
    from rich.console import Console
    from rich.table import Table

    if not rows:
        print("none")
        return
    escaped = [[cell.replace("[", r"\[") for cell in row] for row in (header, *rows)]
    table = Table(*escaped[0], box=None, pad_edge=False)
    for row in escaped[1:]:
        table.add_row(*row)
    console = Console(highlight=False)
    # A pipe has no width: there, every row stays on one line.
    console.print(table) if console.is_terminal else Console(width=10_000, highlight=False).print(
        table
    )
