"""The first sentence of a report: the verdict on the method that it is about."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from regmix_bench.analysis.blocks import Block, Row
from regmix_bench.analysis.methods import FEWEST_SEEDS, Relation
from regmix_bench.analysis.standings import AgainstReference, Standings
from regmix_bench.analysis.words import threat_words
from regmix_bench.records.accuracies import attack_words, robust_metric
from regmix_bench.reporting.figures.looks import Look
from regmix_bench.reporting.formats.cells import fixed

#: The method that the package is named for, and that a report is about where it was run.
SUBJECT = __name__.partition("_")[0]

_FRACTIONS = ("half", "third", "quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_RELATIONS: tuple[Relation, ...] = (
    *("better", "equivalent", "not distinguishable", "worse", "too few seeds"),
)
#: How far, as a share, a number of passes may be from what words say.
_NEAR = 0.05


@dataclass(frozen=True)
class Headline:
    """A claim in one sentence, without its full stop, and what it rests on, in a few."""

    sentence: str
    beside: str


def headline(block: Block, standings: Standings, looks: Mapping[str, Look]) -> Headline:
    """Say how the method that the report is about stands in a comparison.

    That is RegMix where it was run, else the row of the highest robust accuracy. The threat is
    named where it is another than that of the training. ``looks`` has the names of the rows.
    """
    found = _headline(block, standings, looks)
    if block.eval_threat == block.cohort.train_threat:
        return found
    words = f"{found.sentence}, attacked under {threat_words(block.eval_threat)}"
    return replace(found, sentence=words)


def _headline(block: Block, standings: Standings, looks: Mapping[str, Look]) -> Headline:
    scoring = block.cohort.setting.scoring
    attack, metric = attack_words(scoring), robust_metric(scoring)
    scored = sorted(
        (row for row in block.rows if metric in row.metrics),
        key=lambda row: row.metrics[metric].mean,
        reverse=True,
    )
    if not scored:
        return Headline(f"Nothing is scored by {attack} yet", "")
    reference = next((row for row in scored if row.label == standings.reference), None)
    subject = _subject([row for row in scored if row is not reference] or scored)

    def name(row: Row) -> str:
        return looks[row.label].name

    def accuracy(row: Row) -> str:
        return f"{name(row)} keeps {fixed(100 * row.metrics[metric].mean)} %"

    if len(scored) == 1:
        return Headline(f"{accuracy(scored[0])} under {attack}", "Nothing is there to compare.")
    if reference is None or subject is reference:
        words = f"{accuracy(scored[0])} under {attack}, the most of {len(scored)} methods"
        return Headline(words, "No verdict says whether that is more than chance.")
    found = standings.verdicts.get(subject.label)
    if found is None or found.interval is None:
        words = f"{accuracy(subject)} under {attack}, {accuracy(reference)}"
        return Headline(
            words, f"No verdict: that takes {FEWEST_SEEDS} seeds of each with outcomes per image."
        )
    than = {"equivalent": "to", "not distinguishable": "from"}.get(found.relation, "than")
    claim = f"{name(subject)} is {found.relation} {than} {name(reference)} under {attack}"
    return Headline(
        claim + _passes(subject, reference),
        f"{_difference(found)} {_others(standings, subject.label, name(reference))}",
    )


def _subject(rows: list[Row]) -> Row:
    """The row that the report is about, with its default parameters if it was run with them."""
    own = [row for row in rows if row.group.method == SUBJECT]
    plain = [row for row in own if row.label == SUBJECT]
    return (plain or own or rows)[0]


def _difference(found: AgainstReference) -> str:
    assert found.interval is not None
    low, high = (fixed(100 * end) for end in found.interval)
    value = fixed(100 * found.difference)
    sign = "+" if found.difference > 0 and value != fixed(0) else ""
    return f"The difference is {sign}{value} points [{low}, {high}]."


def _others(standings: Standings, subject: str, reference: str) -> str:
    """Count the verdicts on the other rows."""
    counted = Counter(
        found.relation for label, found in standings.verdicts.items() if label != subject
    )
    words = [f"{counted[relation]} {relation}" for relation in _RELATIONS if counted[relation]]
    total = counted.total()
    if not total:
        return ""
    others = f"the {total} others" if total > 1 else "the other row"
    return f"Of {others}, against {reference}: {', '.join(words)}."


def _passes(subject: Row, reference: Row) -> str:
    """Compare the passes of two rows, such as `` at a third of its passes``."""
    stats = [row.metrics.get("passes") for row in (subject, reference)]
    ours, theirs = (stat.mean if stat else 0.0 for stat in stats)
    if not ours or not theirs:
        return ""
    ratio = ours / theirs
    if math.isclose(ratio, 1, rel_tol=_NEAR):
        return " at the same number of passes"
    if ratio > 1:
        return f" at {fixed(ratio)} times its passes"
    for parts, word in enumerate(_FRACTIONS, start=2):
        if math.isclose(ratio * parts, 1, rel_tol=_NEAR):
            return f" at {'half' if parts == 2 else f'a {word} of'} its passes"
    return f" at {100 * ratio:.0f} % of its passes"
