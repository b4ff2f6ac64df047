"""A comparison as its rows are laid beside each other: pairs of them, curves, attacks, classes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

from regmix_bench.analysis.blocks import Row
from regmix_bench.analysis.methods import Flags, relation
from regmix_bench.analysis.standings import Standings
from regmix_bench.analysis.verdicts import Outcomes
from regmix_bench.data.sources import class_name
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.cells import line, short
from regmix_bench.reporting.site.leaderboard import Ranking
from regmix_bench.reporting.site.markers import marker_paths
from regmix_bench.reporting.site.ranked_rows import RankedRow
from regmix_bench.reporting.site.runs import DASHES
from regmix_bench.reporting.site.text import on_dark

#: Classes beyond which points side by side cannot be told apart.
_MOST_CLASSES = 20


def comparison_data(ranking: Ranking, contents: Contents) -> dict[str, Any]:
    """Return the numbers of a comparison that the page of chosen rows draws, in percent."""
    block = ranking.block
    outcomes = contents.outcomes[block.stem]
    rows = {row.label: row for row in block.rows}
    classes = block.cohort.setting.classes
    return {
        "stem": ranking.stem,
        "title": f"{short(ranking.title, 200)}: {short(ranking.protocol, 300)}; {ranking.weights}",
        "attack": ranking.attack,
        "rows": [_row(ranked, rows[ranked.label], ranking, outcomes) for ranked in ranking.rows],
        "classes": [class_name(classes, int(k)) for k in _classes(outcomes)],
        "pairs": _pairs(
            [row.label for row in ranking.rows], outcomes, contents.standings[block.stem]
        ),
    }


def _row(ranked: RankedRow, row: Row, ranking: Ranking, outcomes: Outcomes) -> dict[str, Any]:
    look = ranked.look
    accuracies = [(header, ranked.cells[id_]) for id_, header in ranking.columns]
    accuracies.append((ranking.attack, ranked.robust))
    return {
        "key": short(ranked.label, 200),
        "title": short(ranked.name),
        "colours": [look.colour, on_dark(look.colour)],
        "dash": DASHES[look.line],
        "marker": marker_paths(look),
        "seeds": [seed.run_id for seed in ranked.seeds],
        "facts": [
            *((header, line(cell, "mean")) for header, cell in accuracies),
            *((f"{header}, 95 % interval", line(cell, "interval")) for header, cell in accuracies),
            ("Passes", line(ranked.passes, "number")),
            ("Tricks", ranked.tricks),
            ("Labels", str(row.group.spec.supervision)),
            ("Seeds", f"{len(ranked.seeds)}"),
        ],
        "curves": _curves(row),
        "cascade": _cascade(row),
        "classes": _by_class(outcomes.rights.get(ranked.label), outcomes),
    }


def _curves(row: Row) -> dict[str, list[float]] | None:
    """Return means over seeds by epoch, and from which to which PGD-10 goes."""
    histories = [run.record.history for run, _ in row.scores if run.record.history]
    epochs = list(zip(*histories, strict=False))  # those that all seeds have
    if not epochs:
        return None
    pgd = [[log.val_pgd_acc for log in logs] for logs in epochs]
    return {
        "epochs": [logs[0].epoch for logs in epochs],
        "clean": _percent([fmean(log.val_clean_acc for log in logs) for logs in epochs]),
        "pgd": _percent(list(map(fmean, pgd))),
        "low": _percent(list(map(min, pgd))),
        "high": _percent(list(map(max, pgd))),
    }


def _cascade(row: Row) -> dict[str, list[Any]] | None:
    """Return means over seeds after each attack that all of them were scored with."""
    scores = [score for _, score in row.evaluations if score.after_attack]
    if not scores:
        return None
    names = [name for name in scores[0].after_attack if all(name in s.after_attack for s in scores)]
    left = [fmean(score.after_attack[name] for score in scores) for name in names]
    clean = fmean(score.clean_acc for score in scores)
    return {"names": ["clean", *names], "accuracies": _percent([clean, *left])}


def _classes(outcomes: Outcomes) -> Sequence[int]:
    found: list[int] = np.unique(outcomes.labels).tolist() if outcomes.rights else []
    return found if len(found) <= _MOST_CLASSES else []


def _by_class(rights: Flags | None, outcomes: Outcomes) -> list[float]:
    if rights is None or not len(rights):
        return []
    return _percent([rights[:, outcomes.labels == k].mean() for k in _classes(outcomes)])


def _pairs(labels: Sequence[str], outcomes: Outcomes, found: Standings) -> dict[str, Any]:
    """Return what holds of each two rows, by their places, as matrices of rows less columns.

    ``places`` are the rows that have outcomes per image, ``both`` the share of images that two of
    them hold, over all pairs of their seeds; ``judged`` those of seeds enough, whose differences
    are of the family that the ranking's verdicts are of.
    """
    places = [place for place, label in enumerate(labels) if len(outcomes.rights.get(label, ()))]
    if len(places) < 2:
        return {"places": [], "judged": []}
    rights = [outcomes.rights[labels[place]] for place in places]
    held = np.stack([right.mean(axis=0) for right in rights])
    judged = [place for place in places if labels[place] in found.family]
    told: dict[str, Any] = {
        "places": places,
        "held": _percent(held.mean(axis=1)),
        "both": [_percent(line) for line in held @ held.T / held.shape[1]],
        "judged": judged,
    }
    if found.pairs is not None:
        order = [found.family.index(labels[place]) for place in judged]
        matrices = (found.pairs.values, *found.pairs.intervals(), found.pairs.p_values())
        values, low, high, p_values = (each[np.ix_(order, order)] for each in matrices)
        told |= {
            "difference": [_percent(line) for line in values],
            "low": [_percent(line) for line in low],
            "high": [_percent(line) for line in high],
            "p": [[float(f"{p:.2g}") for p in line] for line in p_values],
            "verdict": [
                [relation(float(a), float(b)) for a, b in zip(lows, highs, strict=True)]
                for lows, highs in zip(low, high, strict=True)
            ],
        }
    return told


def _percent(shares: Any) -> list[float]:
    return [round(100 * float(share), 2) for share in shares]
