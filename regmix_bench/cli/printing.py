"""News, scores and tables in print: whatever a command says goes through here."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from regmix_bench.cli.layout import aligned, fold, terminal_width
from regmix_bench.system.text import one_line

if TYPE_CHECKING:
    from regmix_bench.records.schema import Diagnosis, RobustEval, Score, UnionScore


def say(*lines: object, error: bool = False) -> None:
    """Print lines, each on one line, of characters that a terminal shows and does not obey."""
    shown = "\n".join(one_line(str(line)) for line in lines)
    print(shown, flush=True, file=sys.stderr if error else sys.stdout)


def say_folded(line: object, error: bool = False) -> None:
    """Print a line, on a terminal as several of its width that end between words."""
    say(*fold(one_line(str(line)), terminal_width(error)), error=error)


def score_lines(
    evaluations: Iterable[RobustEval],
    unions: Iterable[UnionScore] = (),
    with_interval: bool = False,
) -> Iterator[str]:
    """Yield a line for each evaluation with AutoAttack, one for its warnings and one a failure.

    Each of ``unions`` has a line at the end. The 95 % interval is that of the robust accuracy.
    """
    from regmix_bench.cli.results import interval_words
    from regmix_bench.records.accuracies import ROBUST, score_words
    from regmix_bench.records.words import accuracy_words

    attack = ROBUST

    def measured(score: Score) -> str:
        words = accuracy_words(score, attack)
        if with_interval and score.robust_acc is not None:
            interval = interval_words(score.robust_acc, score.n_examples)
            words += f" {interval} of {score.n_examples:,} images"
        return words

    for e in evaluations:
        if e.robust_acc is None and not e.failed_attacks:
            continue
        attack = score_words(e)
        yield f"{e.checkpoint} at {e.threat}: {measured(e)}"
        if e.checks:
            yield f"  raised: {', '.join(e.checks)}"
        for attack, why in e.failed_attacks.items():
            yield f"  {attack} failed, and is tried again with --retry-failed or by eval: {why}"
        for d in e.diagnoses:
            yield f"  {diagnosis_words(d)}"
    for union in unions:
        yield f"{union.checkpoint} at {union.threat}: {measured(union)}"


def diagnosis_words(diagnosis: Diagnosis) -> str:
    """Write a question of the gradient-masking audit with its answer."""
    d = diagnosis
    if d.p_value is None:
        return f"{d.name}: not asked: {d.note}"
    verdict = "ALARM" if d.alarm else "ok"
    return f"{d.name}: {d.stronger:.1%} against {d.weaker:.1%} (p = {d.p_value:.2g}): {verdict}"


def print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows of text under a header, or that there are none."""
    if not rows:
        say("none")
        return
    table = [[one_line(cell) for cell in row] for row in (header, *rows)]
    say(*aligned(table, terminal_width()))


def percent(value: float | None) -> str:
    """Return an accuracy in [0, 1] as ``83.3%``, and nothing for None."""
    return "" if value is None else f"{value:.1%}"
