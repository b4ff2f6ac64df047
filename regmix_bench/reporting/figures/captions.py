"""Sentences with the numbers of a picture, made from its data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from regmix_bench.analysis.blocks import Block, Stat
from regmix_bench.analysis.cohorts import Cohort
from regmix_bench.analysis.standings import Standings
from regmix_bench.analysis.words import threat_words
from regmix_bench.records.accuracies import attack_words, robust_metric
from regmix_bench.reporting.figures.looks import MOST_COLOURED, Look
from regmix_bench.reporting.formats.cells import fixed

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def in_percent(share: float) -> str:
    """Write a share, 0 to 1, as ``80.4 %``."""
    return f"{fixed(100 * share)} %"


def plain(number: float) -> str:
    """Write a number with two decimals."""
    return fixed(number, 2)


def seed_words(counts: Iterable[int]) -> str:
    """Write how many seeds there are of each row: ``six seeds``, ``four to six seeds``."""
    found = sorted(set(counts))
    words = [_NUMBERS[n] if n < len(_NUMBERS) else str(n) for n in (found[0], found[-1])]
    return f"{' to '.join(dict.fromkeys(words))} seed{'s' * (found[-1] != 1)}"


def protocol(cohort: Cohort) -> str:
    """Name data set, architecture, norm and ε of what a cohort was trained under."""
    return f"{cohort.setting.words}, {threat_words(cohort.train_threat)}"


def ends(cohort: Cohort) -> str:
    """Name what the numbers of a cohort are of: ``digits, smallcnn, L∞ 32/255, six seeds``."""
    return f"{protocol(cohort)}, {seed_words(len(group.runs) for group in cohort.groups)}"


def extreme(
    values: Mapping[str, float],
    looks: Mapping[str, Look],
    standings: Standings | None,
    words: str,
    write: Callable[[float], str],
    *,
    least: bool = False,
) -> str:
    """Say which row has the highest value, or the least, and what the reference has.

    ``words`` stand before the value: ``RegMix is highest with``.
    """
    if not values:
        return ""
    choose = min if least else max
    first = choose(values, key=lambda label: values[label])
    reference = standings.reference if standings else None
    leads = ", the reference," if reference == first and len(values) > 1 else ""
    said = f"{looks[first].name}{leads} {words} {write(values[first])}"
    if reference is None or reference not in values or reference == first:
        return said
    return f"{said}, {looks[reference].name}, the reference, {write(values[reference])}"


def most_robust(block: Block, looks: Mapping[str, Look], standings: Standings | None) -> str:
    """Say what the most robust row of a block holds under attack, and the reference.

    The verdict is said, too, where it is another than that the one is better.
    """
    scoring = block.cohort.setting.scoring
    robust = robust_metric(scoring)
    stats = {row.label: row.metrics[robust] for row in block.rows if robust in row.metrics}
    written = {stat.mean: _interval(stat) for stat in stats.values()}
    means = {label: stat.mean for label, stat in stats.items()}
    where = f"under {attack_words(scoring)} at {threat_words(block.eval_threat)}"
    said = extreme(means, looks, standings, f"holds most {where},", lambda mean: written[mean])
    if standings is None or standings.reference not in means:
        return said
    verdict = standings.verdicts.get(max(means, key=lambda label: means[label]))
    if verdict is None or verdict.relation == "better":
        return said
    return f"{said} ({verdict.relation})"


def _interval(stat: Stat) -> str:
    if stat.low is None or stat.high is None:
        return in_percent(stat.mean)
    return f"{in_percent(stat.mean)} [{fixed(100 * stat.low)}, {fixed(100 * stat.high)}]"


def grey_words(looks: Iterable[Look]) -> str:
    """Return a sentence on which rows of a picture are grey and which not, empty where none is."""
    shown = list(looks)
    if not any(look.quiet for look in shown):
        return ""
    featured = dict.fromkeys(look.name for look in shown if look.featured)  # once for all panels
    kept = sentence_of(
        ["the reference", *featured, "the rows that differ most from it, significantly"]
    )
    return f" Of more than {_NUMBERS[MOST_COLOURED]} rows, {kept} are in colour, all others grey."


def quantity(number: int, noun: str) -> str:
    """Write a number and its noun: ``1 row``, ``6 rows``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def sentence_of(words: Sequence[str]) -> str:
    """Return words as a sentence lists them: ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def protocol_of(block: Block, seeds: Iterable[int]) -> str:
    """Name data set, architecture, threats, checkpoint and seeds of a block in a line."""
    words = protocol(block.cohort)
    if block.eval_threat != block.cohort.train_threat:
        words += f", attacked under {threat_words(block.eval_threat)}"
    if block.checkpoint != "selected":
        words += f", {block.checkpoint.replace('-', ', ')} checkpoint"
    return f"{words}, {seed_words(seeds)}"
