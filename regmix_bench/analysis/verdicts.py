"""Verdicts on the rows of tables, image by image: what the files say, and what to note of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.cohorts import Group, Run
from regmix_bench.analysis.methods import FEWEST_SEEDS, LEVEL, MARGIN, Flags, seed_pairs
from regmix_bench.analysis.spread import Spread
from regmix_bench.analysis.standings import Standings, standings
from regmix_bench.errors import UserError, unknown
from regmix_bench.records import paths
from regmix_bench.records.accuracies import attack_words, robust_metric
from regmix_bench.records.outcomes import recorded_outcomes
from regmix_bench.records.schema import parts_of
from regmix_bench.records.unions import read_score
from regmix_bench.specs.supervision import FULL


@dataclass(frozen=True)
class Outcomes:
    """The images that each seed of a table's rows gets right under AutoAttack.

    ``labels`` are the images' classes, (images,); ``rights``, by row, is (seeds, images).
    """

    labels: npt.NDArray[np.int64]
    rights: Mapping[str, Flags]


def judge_blocks(
    blocks: Sequence[Block],
    reference: str | None,
    outcomes: Mapping[str, Outcomes] | None = None,
    names: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Standings]:
    """Judge each block; returns the standings by the blocks' stems.

    Rows are compared with ``reference``, or with the one label that the runs of the block name.
    ``outcomes`` are those of each block, by its stem, read here if None. Notes call rows by their
    ``names``, or else by their labels. Raises :class:`UserError` where ``reference`` is a row of no
    block, or an outcomes file disagrees with its record.
    """
    labels = {name for block in blocks for row in block.rows for name in row.group.names}
    if reference is not None and reference not in labels:
        raise unknown("reference", reference, labels)
    if outcomes is None:
        outcomes = {block.stem: read(block) for block in blocks}
    return {
        block.stem: _judge(block, blocks, outcomes[block.stem].rights, reference, names)
        for block in blocks
    }


def outcome_files(blocks: Sequence[Block]) -> list[Path]:
    """List the outcomes files that :func:`judge_blocks` reads."""
    return [
        paths.outcomes_path(run.path, block.checkpoint)
        for block in blocks
        for row in block.rows
        for run, score in row.scores
        if score.robust_acc is not None
    ]


def read(block: Block) -> Outcomes:
    """Read the outcomes of a block's rows from the files of its records.

    Seeds that lack an outcomes file are left out, and so are rows without any. Raises
    :class:`UserError` where a file disagrees with its record or holds other images than the first.
    """
    found = {}
    robust = robust_metric(block.cohort.setting.scoring)
    first: tuple[Path, npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None
    for row in block.rows:
        right = []
        for run, score in row.scores:
            file = recorded_outcomes(run.path, parts_of(score, run.record.evaluations)[0])
            if score.robust_acc is None or file is None:
                continue
            images = read_score(file, score, run.record.evaluations)
            first = first or (file, images.index, images.labels)
            if not np.array_equal(images.index, first[1]):
                raise UserError(f"{file} and {first[0]} hold outcomes of different images")
            right.append(images.right[robust])
        if right:
            found[row.label] = np.stack(right)
    return Outcomes(first[2] if first else np.empty(0, np.int64), found)


def spread(block: Block) -> Spread | None:
    """Estimate how the block's methods differ by chance; None without two methods of two seeds."""
    several = [rights for rights in read(block).rights.values() if len(rights) > 1]
    return Spread.of(several) if len(several) > 1 else None


def frame(judged: Mapping[str, Standings]) -> pd.DataFrame:
    """Tabulate all standings, one row per table and scored row; accuracies are differences.

    ``low``, ``high`` and ``p_value`` belong to the difference to the reference, ``best_low`` and
    ``best_high`` to ``to_best``, that to the best of the other rows.
    """
    return pd.DataFrame(
        [
            {
                "table": stem,
                "label": row.label,
                "rank": row.rank,
                "reference": found.reference,
                "seeds": row.seeds,
                "reference_seeds": row.verdict.reference_seeds if row.verdict else None,
                "difference": row.verdict.difference if row.verdict else None,
                "low": row.verdict.interval[0] if row.verdict and row.verdict.interval else None,
                "high": row.verdict.interval[1] if row.verdict and row.verdict.interval else None,
                "p_value": row.verdict.p_value if row.verdict else None,
                "margin": MARGIN,
                "verdict": row.verdict.relation if row.verdict else None,
                "to_best": row.lead.difference if row.lead else None,
                "best_low": row.lead.interval[0] if row.lead else None,
                "best_high": row.lead.interval[1] if row.lead else None,
                "best_group": row.best if row.lead else None,
            }
            for stem, found in judged.items()
            for row in found.rows
            if row.verdict or row.lead
        ]
    )


def _judge(
    block: Block,
    blocks: Sequence[Block],
    rights: Mapping[str, Flags],
    asked: str | None,
    names: Mapping[str, str],
) -> Standings:
    label, reason = reference_row(block, blocks, asked)
    if label is not None and label not in rights:
        reason = f"{names.get(label, label)} has no outcomes per image"
        label = None
    robust = robust_metric(block.cohort.setting.scoring)
    means = {row.label: row.metrics.get(robust) for row in block.rows}
    found = standings(means, rights, label)
    return replace(found, notes=tuple(_notes(block, rights, found, reason, names)))


def _notes(
    block: Block,
    rights: Mapping[str, Flags],
    found: Standings,
    reason: str,
    names: Mapping[str, str],
) -> Iterator[str]:
    """Say what the claims rest on, or why there are none."""
    called = {row.label: names.get(row.label, row.label) for row in block.rows}
    label = found.reference
    if label is not None and not found.verdicts and len(block.rows) > 1:
        reason = f"no row beside {called[label]} has outcomes per image"
    if reason:
        yield f"No verdicts: {reason}."
    if found.verdicts:
        attack = attack_words(block.cohort.setting.scoring)
        yield differences_note(attack, found, called[str(label)])
    yield from _best_note(found, called)
    if found.verdicts or found.best:
        if left := [called[r.label] for r in block.rows if r.label not in rights]:
            yield f"No verdict: {', '.join(left)}: no outcomes per image."
        partly = [
            f"{called[row.label]} on {len(rights[row.label])} of {len(row.scores)}"
            for row in block.rows
            if row.label in rights and len(rights[row.label]) < len(row.scores)
        ]
        if partly:
            yield f"Verdicts on the seeds with outcomes per image alone: {', '.join(partly)}."
    yield from _pairs_note(rights)


def differences_note(attack: str, found: Standings, reference: str) -> str:
    """Say what a column of differences to the reference shows, of accuracies under ``attack``."""
    family = [verdict for verdict in found.verdicts.values() if verdict.interval]
    explained = f"{attack} − {reference}: points"
    if family:
        rows = f"the {len(family)} rows" if len(family) > 1 else "the row"
        explained += (
            f", with {100 * (1 - LEVEL):.0f} % intervals over seeds and images that hold together"
            f" for {rows} and all pairs: in one such table of twenty, at most, does any"
            " miss its true difference. Better and worse: the interval leaves out 0. Equivalent: it"
            f" lies within ±{100 * MARGIN:g} point. n.d.: not distinguishable"
        )
    if len(family) < len(found.verdicts):
        explained += (
            f". Too few seeds: fewer than {FEWEST_SEEDS} with outcomes per image, of the row or of"
            f" {reference}, say too little of their variance for an interval"
        )
    return f"{explained}."


def _best_note(found: Standings, called: Mapping[str, str]) -> Iterator[str]:
    """Say what bold means."""
    if not found.best:
        return
    few = [called[row.label] for row in found.rows if row.mean and row.lead is None]
    yield (
        "Bold: the best group, to which no other row is significantly better by intervals that hold"
        f" together for all pairs of rows; it has what is truly best with {100 * (1 - LEVEL):.0f} %"
        " confidence." + (f" Not in it, for too few seeds: {', '.join(few)}." if few else "")
    )


def reference_row(
    block: Block, blocks: Sequence[Block], asked: str | None
) -> tuple[str | None, str]:
    """Return the label of the reference row, ``asked`` for or named by runs, or None and why."""
    runs = [run for row in block.rows for run, _ in row.scores]
    if not runs:
        return None, ""
    named = names_of_reference(runs)
    if asked is None and len(named) != 1:
        what = f"several references ({', '.join(named)})" if named else "no reference"
        return None, f"the runs name {what}; `regmix-bench report --reference LABEL` chooses one"
    name = asked if asked is not None else named[0]
    rows = labels_named(name, [row.group for row in block.rows])
    if len(rows) == 1:
        return rows[0], ""
    if rows:
        return None, f"there are several rows {name}"
    return None, f"there is no row {name} here{_elsewhere(name, block, blocks)}"


def names_of_reference(runs: Iterable[Run]) -> list[str]:
    """List what runs name as their reference."""
    return sorted({run.record.reference for run in runs if run.record.reference is not None})


def labels_named(name: str, groups: Sequence[Group]) -> list[str]:
    """List the labels of the groups that a name means: the one that has it as its label, or all."""
    labels = [group.label for group in groups]
    return [name] if name in labels else [each.label for each in groups if name in each.names]


def _elsewhere(name: str, block: Block, blocks: Sequence[Block]) -> str:
    """Say what a row had that nothing else keeps from this table: other tricks, or other labels."""
    setting, place = block.cohort.setting, (block.cohort.train_threat, block.eval_threat)
    settings = [
        other.cohort.setting
        for other in blocks
        if (other.cohort.train_threat, other.eval_threat) == place
        and other.checkpoint == block.checkpoint
        and any(name in row.group.names for row in other.rows)
    ]
    tricks = [str(s.tricks) for s in settings if replace(s, tricks=setting.tricks) == setting]
    if tricks:
        return (
            f", where tricks are {setting.tricks}: it had {' or '.join(tricks)};"
            " `--across tricks` lets rows differ in them"
        )
    labels = [
        other.supervision
        for other in settings
        if replace(other, supervision=setting.supervision) == setting
    ]
    if not labels:
        return ""
    seen = " or ".join(map(str, labels))
    # Of several rows of one name, only that which saw all labels bears it alone.
    one = None if len(labels) == 1 or FULL in labels else labels[0]
    chosen = "" if one is None else f" --reference {shlex.quote(name + one.suffix)}"
    return (
        f", where rows saw {setting.supervision}: it saw {seen}; `--across labels{chosen}` lets"
        " rows differ in them"
    )


def _pairs_note(rights: Mapping[str, Flags]) -> Iterator[str]:
    different, of = seed_pairs(rights.values())
    if of:
        yield (
            f"What one seed is worth: McNemar's exact test at {100 * LEVEL:.0f} % calls {different}"
            f" of {of} seed pairs of one method different."
        )
