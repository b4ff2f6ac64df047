"""News, scores and tables in print: whatever a command says goes through here."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from regmix_bench.runs.observers import Silent
from regmix_bench.system.text import one_line

if TYPE_CHECKING:
    from regmix_bench.records.schema import RobustEval
    from regmix_bench.specs import EvalSpec, RunSpec


def say(*lines: object, error: bool = False) -> None:
    """Print lines, each on one line, of characters that a terminal shows and does not obey."""
    shown = "\n".join(one_line(str(line)) for line in lines)
    print(shown, flush=True, file=sys.stderr if error else sys.stdout)


class Lines(Silent):
    """An observer that prints a line for each thing it hears, and counts attacks."""

    attacks = 0

    def on_start(self, spec: RunSpec | EvalSpec) -> None:
        from regmix_bench.records.words import spec_words

        say(f"{spec_words(spec)}, {spec.run_id}")

    def on_attack(
        self, spec: RunSpec | EvalSpec, threat: str, attack: str, accuracy: float
    ) -> None:
        self.attacks += 1
        say(f"  at {threat}: {accuracy:.1%} after {attack}")

    def on_note(self, spec: RunSpec | EvalSpec, line: str) -> None:
        say(f"  {line}")


def score_lines(evaluations: Iterable[RobustEval]) -> Iterator[str]:
    """Yield a line for each evaluation with AutoAttack, one for its warnings and one a failure."""
    from regmix_bench.records.words import accuracy_words

    for e in evaluations:
        if e.robust_acc is None and not e.failed_attacks:
            continue
        yield f"{e.checkpoint} at {e.threat}: {accuracy_words(e)}"
        if e.checks:
            yield f"  raised: {', '.join(e.checks)}"
        for attack, why in e.failed_attacks.items():
            yield f"  {attack} failed, and is tried again with --retry-failed or by eval: {why}"
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
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table

    if not rows:
        say("none")
        return
    table = [[one_line(cell) for cell in row] for row in (header, *rows)]
    console = Console(highlight=False)
    if not console.is_terminal:
        # A pipe has no width: there, every row stays on one line. Of thousands, rich takes seconds.
        lengths = [[cell_len(cell) for cell in row] for row in table]
        widths = [max(column) for column in zip(*lengths, strict=True)]
        for row, cells in zip(table, lengths, strict=True):
            padded = (
                cell + " " * (width - length)
                for cell, width, length in zip(row, widths, cells, strict=True)
            )
            say("  ".join(padded).rstrip())
        return
    escaped = [[cell.replace("[", r"\[") for cell in row] for row in table]
    shown = Table(*escaped[0], box=None, pad_edge=False)
    for row in escaped[1:]:
        shown.add_row(*row)
    console.print(shown)


def percent(value: float | None) -> str:
    """Return an accuracy in [0, 1] as ``83.3%``, and nothing for None."""
    return "" if value is None else f"{value:.1%}"
