"""Published numbers beside a comparison, in a panel of their own: never ranked among its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from regmix_bench.reporting.formats.cells import MISSING
from regmix_bench.reporting.published import Percentage, Published
from regmix_bench.reporting.tables.published import scored_words, tricks_words


class Quote(NamedTuple):
    """One published row in words, its accuracies in the order of the panel's columns."""

    label: str
    arch: str
    accuracies: tuple[str, ...]
    tricks: str
    weights: str
    selection: str
    source: str
    citation: str
    url: str
    broken: tuple[str, ...]


class Quotes(NamedTuple):
    """The published rows on the terms of a comparison: the headers of accuracies, and the rows."""

    headers: tuple[str, ...]
    quotes: tuple[Quote, ...]


def quotes_of(rows: Iterable[Published]) -> Quotes | None:
    """Return the panel of published rows, in the order of their file; None where there are none."""
    found = tuple(rows)
    attacks = dict.fromkeys(name for row in found for name in row.robust)
    # The strongest last, as in a ranking.
    names = sorted(attacks, key=lambda name: name == "AutoAttack")
    return Quotes(("Clean", *names), tuple(_quotes(found, names))) if found else None


def _quotes(rows: Iterable[Published], names: Iterable[str]) -> Iterator[Quote]:
    order = tuple(names)
    for row in rows:
        yield Quote(
            row.label,
            row.arch,
            tuple(map(_words, (row.clean, *(row.robust.get(name) for name in order)))),
            tricks_words(row.tricks),
            scored_words(row.scored),
            row.selection,
            row.source.name,
            f"{row.source.citation}, {row.source.where}",
            row.source.url,
            tuple(f"{rule}: {why}" for rule, why in row.broken.items()),
        )


def _words(value: Percentage | None) -> str:
    if value is None:
        return MISSING
    spread = "" if value.deviation is None else f" ± {value.deviation:.2f}"
    return f"{value.mean:.2f}{spread}"
