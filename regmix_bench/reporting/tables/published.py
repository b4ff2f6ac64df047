"""Tables of numbers that others have published: beside ours, and none of them among ours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from regmix_bench.analysis.words import threat_words
from regmix_bench.reporting.formats.cells import line
from regmix_bench.reporting.published import (
    Percentage,
    Published,
    PublishedTerms,
    PublishedTricks,
    Scored,
)
from regmix_bench.reporting.tables.comparison import Filled
from regmix_bench.reporting.values import Cell, Column, Scale, Table, counted
from regmix_bench.types import NORMS

TITLE = "Published, not measured here"


def published_tables(rows: Iterable[Published]) -> dict[PublishedTerms, list[tuple[str, Table]]]:
    """Make a table of each source's rows on the same terms, with the stem of its file's name."""
    found: dict[PublishedTerms, dict[str, list[Published]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row.terms][row.source.name].append(row)
    return {
        terms: [(here[0].stem, _table(here, list(found))) for here in sources.values()]
        for terms, sources in found.items()
    }


def pointer(stems: Sequence[str]) -> str:
    """Return the note of a table of ours that tables of published numbers stand beside."""
    return (
        "Published for the same data set, class of architectures and threat, and not measured"
        f" here: {', '.join(stems)}."
    )


def published_accuracies(rows: Sequence[Published]) -> pd.DataFrame:
    """Return the rows in long form: one for each model and metric, in percent as published."""
    return pd.DataFrame(
        [
            {
                "table": row.stem,
                "label": row.label,
                "dataset": row.dataset,
                "norm": row.threat.norm,
                "epsilon": str(row.threat.epsilon),
                "arch": row.arch,
                "metric": name,
                "percent": value.mean,
                "deviation": value.deviation,
                "attack": row.attacks.get(name),
                "images": row.images,
                "seeds": row.seeds,
                "weights": row.scored.weights,
                "epoch": row.scored.epoch,
                "selection": row.selection,
                **row.tricks.model_dump(),
                "training_seconds": row.train_seconds,
                "memory_gb": row.memory_gb,
                "machine": row.machine,
                "broken": ", ".join(row.broken),
                "source": f"{row.source.citation}, {row.source.where}",
                "url": row.source.url,
            }
            for row in rows
            for name, value in ({"Clean": row.clean} | row.robust).items()
            if value is not None
        ]
    )


def tricks_words(tricks: PublishedTricks) -> str:
    """Write tricks as ``true-class mass 0.64, EMA 0.9995``, and what is unknown of them."""
    mass, awp = tricks.true_class_mass, tricks.awp
    named = {
        "label smoothing": "none" if mass == 1 else mass if mass == "unknown" else f"mass {mass:g}",
        "averaging": tricks.averaging,
        "AWP": f"AWP {awp:g}" if isinstance(awp, float) else awp,
        "extra data": tricks.extra_data,
        "others": tricks.other,
    }
    known = [words for words in named.values() if words not in ("none", "unknown")]
    open_ = [name for name, words in named.items() if words == "unknown"]
    if len(open_) == len(named):
        return "unknown"
    left = f"unknown: {', '.join(open_)}" if open_ else ""
    return "; ".join(filter(None, (", ".join(known), left))) or "none"


def _table(rows: Sequence[Published], every: Sequence[PublishedTerms]) -> Table:
    attacks = dict.fromkeys(name for row in rows for name in row.robust)
    marks, broken = _broken(rows)
    told: list[Filled] = [
        (Column("arch", "Arch"), [Cell(row.arch) for row in rows]),
        (Column("seeds", "Seeds", "count"), [_whole(row.seeds) for row in rows]),
        (Column("weights", "Weights"), [Cell(scored_words(row.scored)) for row in rows]),
        (Column("selection", "Selected on"), [Cell(row.selection) for row in rows]),
        (Column("tricks", "Tricks"), [Cell(tricks_words(row.tricks)) for row in rows]),
    ]
    alike = [(column.header, cells[0]) for column, cells in told if len({*cells}) == 1]
    filled: list[Filled] = [
        (Column("method", "Method"), [Cell(row.label) for row in rows]),
        *_accuracy("clean_acc", "Clean", [row.clean for row in rows]),
        *(
            filled
            for name in sorted(attacks, key=lambda name: name != "AutoAttack")
            for filled in _accuracy(name, name, [row.robust.get(name) for row in rows])
        ),
        *_cost("training_seconds", "Train min", "seconds", [row.train_seconds for row in rows]),
        *_cost("memory_gb", "Memory GB", "plain", [row.memory_gb for row in rows]),
        *((column, cells) for column, cells in told if len({*cells}) > 1),
        *([(Column("broken", "Breaks"), [Cell(mark) for mark in marks])] if broken else []),
    ]
    terms, archs = rows[0].terms, ", ".join(dict.fromkeys(row.arch for row in rows))
    extra = ", with extra training data" if terms.extra_data else ""
    caption = (
        f"{rows[0].source.name}: {terms.dataset}, {archs}{extra}, attacked under"
        f" {threat_words(terms.threat)}."
    )
    notes = (_NOTE, *_alike(alike), *_budgets(terms, every), *_cited(rows), *broken)
    return Table.of(caption, filled, notes)


_NOTE = (
    f"{TITLE}. Accuracy in percent, mean ± sample standard deviation over seeds where the source"
    " gives it. Breaks: by number, the rules of regmix-bench verify that a row is known to break."
)


def _alike(facts: Sequence[tuple[str, Cell]]) -> Iterator[str]:
    """What no column is needed for."""
    if facts:
        words = (f"{header.lower()} {line(cell, 'count')}" for header, cell in facts)
        yield f"All rows: {'; '.join(words)}."


def _accuracy(id: str, header: str, values: Sequence[Percentage | None]) -> Iterator[Filled]:
    if any(values):
        yield Column(id, header, "mean", "higher"), [_percent(value) for value in values]


def _percent(value: Percentage | None) -> Cell:
    if value is None:
        return Cell()
    spread = None if value.deviation is None else value.deviation / 100
    return Cell(value.mean / 100, "share", 2, spread)


def _cost(id: str, header: str, scale: Scale, values: Sequence[float | None]) -> Iterator[Filled]:
    if any(values):
        decimals = 1 if scale == "seconds" else 2
        yield Column(id, header, "number", "lower"), [Cell(v, scale, decimals) for v in values]


def _whole(number: int | str) -> Cell:
    return counted(number) if isinstance(number, int) else Cell(number)


def scored_words(scored: Scored) -> str:
    """Write which weights a source scored, such as ``raw, last``."""
    return ", ".join(dict.fromkeys((scored.weights, scored.epoch)))


def _budgets(terms: PublishedTerms, every: Sequence[PublishedTerms]) -> Iterator[str]:
    """What is to be said of budgets that are nearly alike."""
    epsilon = terms.threat.epsilon
    in_pixels = NORMS[terms.threat.norm].largest is not None
    if in_pixels and 0 < abs(255 * epsilon - round(255 * epsilon)) < 0.2:
        yield (
            f"ε is {epsilon}, which is {float(255 * epsilon):.4g}/255 and not"
            f" {round(255 * epsilon)}/255."
        )
    for other in every:
        near = abs(other.threat.epsilon / epsilon - 1) < 0.05
        if near and other != terms and other.at(terms.threat) == terms:
            yield f"Rows attacked under {threat_words(other.threat)} stand in tables of their own."


def _cited(rows: Sequence[Published]) -> Iterator[str]:
    """Say where rows stand and how they were scored, then what else is to be said of some."""
    shown = {name for row in rows for name in row.robust}
    cited: dict[str, list[Published]] = defaultdict(list)
    remarks: dict[str, list[Published]] = defaultdict(list)
    for row in rows:
        source = row.source
        images = f"{row.images:,}" if isinstance(row.images, int) else row.images
        said = [f"{name} {words}" for name, words in row.attacks.items() if name in shown]
        said += [f"machine {row.machine}"] if row.machine else []
        where = f"{source.citation}, {source.where}, {source.url}"
        cited[f"{where}. Test images {'; '.join([images, *said])}"].append(row)
        if row.remark:
            remarks[row.remark].append(row)
    for words, here in (*cited.items(), *remarks.items()):
        yield f"{words}." if len(here) == len(rows) else f"{words} ({_where(here, rows)})."


def _broken(rows: Sequence[Published]) -> tuple[list[str], list[str]]:
    """Return the numbers of the rules that each row breaks, and the note on each number."""
    found: dict[tuple[str, str], list[Published]] = defaultdict(list)
    for row in rows:
        for broken in row.broken.items():
            found[broken].append(row)
    numbers = {broken: number for number, broken in enumerate(found, start=1)}
    marks = [", ".join(str(numbers[b]) for b in row.broken.items()) or "–" for row in rows]
    notes = [
        f"Breaks {numbers[rule, why]}, {rule}: {why} ({_where(here, rows)})."
        for (rule, why), here in found.items()
    ]
    return marks, notes


def _where(here: Sequence[Published], rows: Sequence[Published]) -> str:
    inside, outside = (
        [row.label for row in rows if (row in here) == is_in] for is_in in (True, False)
    )
    if not outside:
        return "all rows"
    if 3 * len(outside) <= len(inside):
        return f"all but {', '.join(outside)}"
    return ", ".join(inside)
