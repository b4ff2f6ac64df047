"""The table that a grid ends with: scores, cost and warnings of its runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from regmix_bench.cli.layout import aligned, fits_width, fold
from regmix_bench.cli.times import duration

if TYPE_CHECKING:
    from regmix_bench.records.schema import RunRecord, Score

    Scored = tuple[RunRecord, Score]

#: Of a run_id, as many digits as tell the runs of a study apart: any start of it names the run.
DIGITS = 8


def result_lines(records: Iterable[RunRecord], width: int | None) -> Iterator[str]:
    """Yield, for each setting among the runs that are finished, its words, a table and warnings."""
    settings: dict[str, list[Scored]] = {}
    for record in records:
        for score in _scores(record):
            settings.setdefault(_setting(record, score), []).append((record, score))
    for words, rows in _told_apart(settings):
        yield ""
        yield from fold(words, width)
        yield from aligned(_table(rows, width), width)
        for warning in _warnings(rows):
            yield from fold(warning, width)


def _told_apart(settings: Mapping[str, list[Scored]]) -> Iterator[tuple[str, list[Scored]]]:
    """Yield the words of each table and its rows, by their tricks where those alone tell them."""
    from regmix_bench.records.tricks import trained_with

    for words, rows in settings.items():
        names = {(record.spec.label, record.spec.seed) for record, _ in rows}
        if len(names) == len(rows):
            yield words, rows
            continue
        by_tricks: dict[str, list[Scored]] = {}
        for record, score in rows:
            tricks = f"{words} · tricks: {trained_with(record)}"
            by_tricks.setdefault(tricks, []).append((record, score))
        yield from by_tricks.items()


def _scores(record: RunRecord) -> Iterator[Score]:
    """Yield the score to show under each threat: the one with a robust accuracy, if there is."""
    if record.status != "success":
        return
    for threat in record.spec.eval_threats:
        found = [score for score in record.evaluations if score.threat == threat]
        robust = [score for score in found if score.robust_acc is not None]
        yield from (robust or found)[:1]
    attacked = [union for union in record.unions if union.robust_acc is not None]
    yield from (attacked or record.unions)[:1]


def _setting(record: RunRecord, score: Score) -> str:
    from regmix_bench.records.accuracies import attack_words

    spec = record.spec
    threat = str(score.threat)
    if threat != str(spec.train_threat):
        threat = f"trained at {spec.train_threat}, attacked at {threat}"
    return " · ".join(
        (
            spec.data_words,
            spec.arch_words,
            threat,
            f"{score.n_examples:,} images",
            f"robust: {attack_words(spec.scoring)} [95 %]",
        )
    )


def _table(rows: Sequence[Scored], width: int | None) -> list[list[str]]:
    """Return the header and a row for each run.

    A column of seeds that are all one is left out, and that of times where there is no room.
    """
    from regmix_bench.records.accuracies import ROBUST, by_title, titles
    from regmix_bench.records.effort import efforts
    from regmix_bench.records.words import model_name

    table = [["method", "seed", *titles(), "passes", "time", "run"]]
    for record, score in rows:
        shares = by_title(score)
        told = {title: "" if share is None else _points(share) for title, share in shares.items()}
        told[ROBUST] = f"{told[ROBUST]} {interval_words(shares[ROBUST], score.n_examples)}".strip()
        epochs = efforts(record)
        passes = epochs[-1].passes if epochs else None
        cost = record.training_cost + record.scoring_cost
        mark = " !" if any(True for _ in _raised(record, score)) else ""
        table.append(
            [
                model_name(record.spec),
                str(record.spec.seed),
                *told.values(),
                "" if passes is None else f"{passes / len(epochs):.3g}",
                duration(cost.seconds),
                record.run_id[:DIGITS] + mark,
            ]
        )
    if len({row[1] for row in table[1:]}) == 1:
        table = [[row[0], *row[2:]] for row in table]
    if not fits_width(table, width):
        table = [[*row[:-2], row[-1]] for row in table]
    return table


def _warnings(rows: Sequence[Scored]) -> Iterator[str]:
    """Yield each warning once, with the runs that it is of."""
    found: dict[str, list[str]] = {}
    for record, score in rows:
        for warning in _raised(record, score):
            found.setdefault(warning, []).append(record.run_id[:DIGITS])
    for warning, runs in found.items():
        yield f"! {', '.join(runs)}: {warning}"


def _raised(record: RunRecord, score: Score) -> Iterator[str]:
    """Yield what a reader of a row's numbers should know."""
    from regmix_bench.records.alarms import alarms_of
    from regmix_bench.records.schema import UnionScore

    for alarm in alarms_of(record):
        yield f"{alarm.kind.replace('-', ' ')} at epoch {alarm.epoch}"
    if isinstance(score, UnionScore):  # its threats have said what they raised
        return
    if score.checks:
        yield f"scoring raised {', '.join(score.checks)}"
    if score.failed_attacks:
        yield f"{', '.join(score.failed_attacks)} failed: --retry-failed tries again"
    if alarms := [diagnosis.name for diagnosis in score.diagnoses if diagnosis.alarm]:
        yield f"the gradients may mislead: {', '.join(alarms)}"


def interval_words(share: float | None, images: int) -> str:
    """Write the 95 % interval of an accuracy on so many images in points, ``[76.2, 84.3]``."""
    from regmix_bench.analysis.statistics import accuracy_interval

    if share is None:
        return ""
    return f"[{', '.join(_points(end) for end in accuracy_interval(share, images))}]"


def _points(share: float) -> str:
    return f"{100 * share:.1f}"
