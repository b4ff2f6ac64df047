"""The leaderboard: one comparison at a time, each a ranking of rows that may be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.standings import Standings
from regmix_bench.analysis.words import checkpoint_words, schedule_words, threat_words
from regmix_bench.records.accuracies import ROBUST, accuracies, attack_words
from regmix_bench.records.tricks import seen_tricks
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.cells import short
from regmix_bench.reporting.headline import Headline, headline
from regmix_bench.reporting.paper import named
from regmix_bench.reporting.site.quotes import Quotes, quotes_of
from regmix_bench.reporting.site.ranked_rows import RankedRow, ranked_rows
from regmix_bench.reporting.site.ruler import Ruler
from regmix_bench.reporting.tables.footnotes import MEANINGS
from regmix_bench.reporting.values import Table


class AccuracyColumn(NamedTuple):
    """An accuracy that a ranking shows: its id and its header."""

    id: str
    header: str


@dataclass(frozen=True)
class Ranking:
    """One comparison: what its rows share, and the rows by falling robust accuracy.

    ``data``, ``threat``, ``protocol`` and ``weights`` say what tells it from other comparisons,
    ``table`` is the report's own table of it, with its notes.
    """

    block: Block
    standings: Standings
    table: Table
    data: str
    threat: str
    protocol: str
    weights: str
    rows: tuple[RankedRow, ...]
    quotes: Quotes | None
    headline: Headline

    @classmethod
    def of(cls, block: Block, contents: Contents) -> Ranking:
        standings = contents.standings[block.stem]
        return cls(
            block=block,
            standings=standings,
            table=named(contents.comparisons[block.stem], contents.names),
            data=block.cohort.setting.words,
            threat=_threats(block),
            protocol=", ".join(_protocol(block)),
            weights=checkpoint_words(block.checkpoint, block.cohort.setting.recipe),
            rows=tuple(ranked_rows(block, contents)),
            quotes=quotes_of(contents.published_beside(block)),
            headline=headline(block, standings, contents.looks),
        )

    @property
    def stem(self) -> str:
        return self.block.stem

    @property
    def title(self) -> str:
        return f"{self.data}, {self.threat}"

    @property
    def attack(self) -> str:
        return attack_words(self.block.cohort.setting.scoring)

    @property
    def columns(self) -> tuple[AccuracyColumn, ...]:
        """The accuracies that stand before the robust one."""
        scoring = self.block.cohort.setting.scoring
        return tuple(
            AccuracyColumn(accuracy.id, accuracy.header(scoring))
            for accuracy in accuracies(scoring)
            if accuracy.title != ROBUST
        )

    @cached_property
    def ruler(self) -> Ruler:
        return Ruler.of([row.drawn for row in self.rows if row.drawn])

    @property
    def timed(self) -> bool:
        """Return whether the minutes of any row are known to be its own."""
        return any(row.minutes.value is not None for row in self.rows)

    @property
    def reference(self) -> RankedRow | None:
        return next((row for row in self.rows if row.verdict == "reference"), None)

    @property
    def legend(self) -> tuple[tuple[str, str], ...]:
        """Each sign that a row bears, and what it stands for."""
        used = {sign for row in self.rows for sign in row.signs}
        return tuple((sign, words) for sign, words in MEANINGS.items() if sign in used)

    @property
    def matched(self) -> bool:
        """Return whether all rows were trained with the same tricks."""
        return len({row.tricks for row in self.rows}) == 1

    @property
    def rehearsal(self) -> str:
        return self.block.cohort.setting.rehearsal

    @property
    def size(self) -> tuple[bool, bool, bool, bool, int, int]:
        """The sort key by which comparisons lead, the largest first.

        Those with a robust accuracy, on whole data sets, attacked as they were trained and with
        equal tricks come before others; then rows count, and then trainings.
        """
        block = self.block
        home = block.eval_threat == block.cohort.train_threat and block.checkpoint == "selected"
        scored = [row for row in self.rows if row.place is not None]
        runs = sum(len(row.seeds) for row in scored)
        return bool(scored), not self.rehearsal, home, self.matched, len(scored), runs


class Facet(NamedTuple):
    """Something that tells comparisons apart: its name in the page, and its title."""

    name: str
    title: str


_FACETS = {
    "data": "Data and architecture",
    "threat": "Threat",
    "protocol": "Recipe, tricks and scoring",
    "weights": "Weights",
}


@dataclass(frozen=True)
class Rankings:
    """Every comparison of a report, that which leads first."""

    rankings: tuple[Ranking, ...]
    #: A line on rows that are in no one comparison for their tricks, or nothing.
    apart: str = ""

    @classmethod
    def of(cls, contents: Contents) -> Rankings:
        found = [Ranking.of(block, contents) for block in contents.blocks]
        shared = Counter(_address(ranking) for ranking in found)
        # What words do not tell apart, the digits of the file names do.
        told = [
            replace(ranking, protocol=f"{ranking.protocol} ({ranking.stem})")
            if shared[_address(ranking)] > 1
            else ranking
            for ranking in found
        ]
        return cls(
            tuple(sorted(told, key=lambda ranking: ranking.size, reverse=True)), contents.apart
        )

    @property
    def facets(self) -> tuple[Facet, ...]:
        """Return what comparisons are chosen by: whatever has several values."""
        return tuple(
            Facet(name, title)
            for name, title in _FACETS.items()
            if len({getattr(one, name) for one in self.rankings}) > 1
        )

    @property
    def choices(self) -> list[dict[str, str]]:
        """Return what each comparison is chosen by, as the script of pages reads it."""
        return [
            {"stem": one.stem, **{name: short(getattr(one, name), 300) for name in _FACETS}}
            for one in self.rankings
        ]


def _address(ranking: Ranking) -> tuple[str, ...]:
    return tuple(getattr(ranking, name) for name in _FACETS)


def _threats(block: Block) -> str:
    trained, attacked = block.cohort.train_threat, block.eval_threat
    if trained == attacked:
        return threat_words(attacked)
    return f"trained {threat_words(trained)}, attacked {threat_words(attacked)}"


def _protocol(block: Block) -> Iterator[str]:
    """How rows came about, in a line: all that a setting has is in the caption of its table."""
    setting = block.cohort.setting
    recipe, scoring = setting.recipe, setting.scoring
    run, score = block.rows[0].scores[0] if block.rows else (None, None)
    trained = run.record if run and setting.supervision is not None else None
    images = f" of {trained.n_train:,} images" if trained and trained.n_train else ""
    if trained and trained.labels:
        images += f", {trained.labels.labelled:,} with their label"
    yield f"{recipe.epochs} epoch{'s' if recipe.epochs > 1 else ''}{images}"
    yield f"batch {recipe.batch_size}"
    yield schedule_words(recipe)
    if recipe.precision != "fp32":
        yield recipe.precision
    tricks = setting.tricks
    if tricks is None:
        yield "tricks of each row's own"
    elif (seen := str(seen_tricks(tricks, block.checkpoint))) == "none":
        yield "no tricks"
    else:
        yield seen
    tested = f" on {score.n_examples:,} images" if score else ""
    yield f"{attack_words(scoring)}{tested}"
