"""Verdicts on the rows of a table: each method against the reference, image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.methods import (
    FEWEST_SEEDS,
    LEVEL,
    MARGIN,
    Flags,
    Relation,
    Spread,
    compare_methods,
    seed_pairs,
)
from regmix_bench.errors import UserError, unknown
from regmix_bench.records import paths
from regmix_bench.records.accuracies import attack_words, robust_metric
from regmix_bench.records.outcomes import read_images, recorded_outcomes


@dataclass(frozen=True)
class Comparison:
    """One row against the reference: the difference of mean accuracies, −1 to 1.

    ``interval`` is simultaneous over the rows of its table, and ``p_value`` corrected for them; the
    verdict follows from either. None where there are too few seeds.
    """

    seeds: int
    reference_seeds: int
    difference: float
    interval: tuple[float, float] | None
    p_value: float | None
    verdict: Relation


@dataclass(frozen=True)
class Judgement:
    """The verdicts of one table by row, if there is a reference row, and what to note of them."""

    reference: str | None
    comparisons: Mapping[str, Comparison]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Outcomes:
    """The images that each seed of a table's rows gets right under AutoAttack.

    ``labels`` are the images' classes, (images,); ``rights``, by row, is (seeds, images).
    """

    labels: npt.NDArray[np.int64]
    rights: Mapping[str, Flags]


def judge_blocks(
    blocks: Sequence[Block], reference: str | None, outcomes: Mapping[str, Outcomes] | None = None
) -> dict[str, Judgement]:
    """Judge each block; returns the judgements by the blocks' stems.

    Rows are compared with ``reference``, or with the one label that the runs of the block name.
    ``outcomes`` are those of each block, by its stem, read here if None. Raises
    :class:`UserError` where ``reference`` is a row of no block, or an outcomes file disagrees with
    its record.
    """
    labels = {name for block in blocks for row in block.rows for name in row.group.names}
    if reference is not None and reference not in labels:
        raise unknown("reference", reference, labels)
    if outcomes is None:
        outcomes = {block.stem: read(block) for block in blocks}
    return {
        block.stem: _judge(block, blocks, outcomes[block.stem].rights, reference)
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
            file = recorded_outcomes(run.path, score)
            if score.robust_acc is None or file is None:
                continue
            images = read_images(file, score)
            order = np.argsort(images.index)
            index, labels = images.index[order], images.labels[order]
            first = first or (file, index, labels)
            if not np.array_equal(index, first[1]):
                raise UserError(f"{file} and {first[0]} hold outcomes of different images")
            right.append(images.right[robust][order])
        if right:
            found[row.label] = np.stack(right)
    return Outcomes(first[2] if first else np.empty(0, np.int64), found)


def spread(block: Block) -> Spread | None:
    """Estimate how the block's methods differ by chance; None without two methods of two seeds."""
    several = [rights for rights in read(block).rights.values() if len(rights) > 1]
    return Spread.of(several) if len(several) > 1 else None


def frame(judged: Mapping[str, Judgement]) -> pd.DataFrame:
    """Tabulate all verdicts, one row per table and compared row; accuracies are differences."""
    return pd.DataFrame(
        [
            {
                "table": stem,
                "label": label,
                "reference": judgement.reference,
                "seeds": found.seeds,
                "reference_seeds": found.reference_seeds,
                "difference": found.difference,
                "low": found.interval[0] if found.interval else None,
                "high": found.interval[1] if found.interval else None,
                "p_value": found.p_value,
                "margin": MARGIN,
                "verdict": found.verdict,
            }
            for stem, judgement in judged.items()
            for label, found in judgement.comparisons.items()
        ]
    )


def _judge(
    block: Block, blocks: Sequence[Block], rights: Mapping[str, Flags], asked: str | None
) -> Judgement:
    pairs = _pairs_note(rights)
    label, reason = reference_row(block, blocks, asked)
    if label is not None and label not in rights:
        label, reason = None, f"{label} has no outcomes per image"
    if label is None:
        return Judgement(None, {}, (*_no_verdicts(reason), *pairs))
    comparisons = _compare(rights, label)
    if not comparisons:
        alone = f"no row beside {label} has outcomes per image" if len(block.rows) > 1 else ""
        return Judgement(label, {}, (*_no_verdicts(alone), *pairs))
    notes = _explained(attack_words(block.cohort.setting.scoring), label, comparisons)
    if left := [r.label for r in block.rows if r.label not in rights]:
        notes.append(f"No verdict: {', '.join(left)}: no outcomes per image.")
    partly = [
        f"{row.label} on {len(rights[row.label])} of {len(row.scores)}"
        for row in block.rows
        if row.label in rights and len(rights[row.label]) < len(row.scores)
    ]
    if partly:
        notes.append(f"Verdicts on the seeds with outcomes per image alone: {', '.join(partly)}.")
    return Judgement(label, comparisons, (*notes, *pairs))


def _compare(rights: Mapping[str, Flags], label: str) -> dict[str, Comparison]:
    """Compare each row with the reference ``label``; those with enough seeds are one family."""
    reference = rights[label]
    enough = {
        name: right
        for name, right in rights.items()
        if name != label and min(len(right), len(reference)) >= FEWEST_SEEDS
    }
    found = {}
    if enough:
        differences = compare_methods(list(enough.values()), reference)
        low, high = differences.intervals()
        found = {
            name: Comparison(
                len(enough[name]),
                len(reference),
                float(differences.values[i]),
                (float(low[i]), float(high[i])),
                float(p_value),
                relation,
            )
            for i, (name, p_value, relation) in enumerate(
                zip(enough, differences.p_values(), differences.verdicts(), strict=True)
            )
        }
    few = {
        name: Comparison(
            len(right),
            len(reference),
            float(right.mean() - reference.mean()),
            None,
            None,
            "too few seeds",
        )
        for name, right in rights.items()
        if name != label and name not in enough
    }
    return {name: (found | few)[name] for name in rights if name != label}


def _explained(attack: str, label: str, comparisons: Mapping[str, Comparison]) -> list[str]:
    """Say what the column of differences shows."""
    words = [found.verdict for found in comparisons.values()]
    family = len(words) - words.count("too few seeds")
    explained = f"{attack} − {label}: points"
    if family:
        rows = f"the {family} rows together" if family > 1 else "the row"
        explained += (
            f", with {100 * (1 - LEVEL):.0f} % intervals over seeds and images that hold for"
            f" {rows}: in one such table of twenty, at most, does any miss its true difference."
            " Better and worse: the interval leaves out 0. Equivalent: it lies within"
            f" ±{100 * MARGIN:g} point. n.d.: not distinguishable"
        )
    if family < len(words):
        explained += (
            f". Too few seeds: fewer than {FEWEST_SEEDS} with outcomes per image, of the row or of"
            f" {label}, say too little of their variance for an interval"
        )
    return [f"{explained}."]


def reference_row(
    block: Block, blocks: Sequence[Block], asked: str | None
) -> tuple[str | None, str]:
    """Return the label of the reference row, ``asked`` for or named by runs, or None and why."""
    runs = [run for row in block.rows for run, _ in row.scores]
    if not runs:
        return None, ""
    named = sorted({run.record.reference for run in runs if run.record.reference is not None})
    if asked is None and len(named) != 1:
        what = f"several references ({', '.join(named)})" if named else "no reference"
        return None, f"the runs name {what}; `regmix-bench report --reference LABEL` chooses one"
    name = asked if asked is not None else named[0]
    labels = [row.label for row in block.rows]
    rows = (
        [name] if name in labels else [row.label for row in block.rows if name in row.group.names]
    )
    if len(rows) == 1:
        return rows[0], ""
    if rows:
        return None, f"there are several rows {name}"
    return None, f"there is no row {name} here{_elsewhere(name, block, blocks)}"


def _elsewhere(name: str, block: Block, blocks: Sequence[Block]) -> str:
    """Say with which tricks a row was trained that nothing else keeps from this table."""
    setting, place = block.cohort.setting, (block.cohort.train_threat, block.eval_threat)
    found = [
        str(other.cohort.setting.tricks)
        for other in blocks
        if replace(other.cohort.setting, tricks=setting.tricks) == setting
        and (other.cohort.train_threat, other.eval_threat) == place
        and other.checkpoint == block.checkpoint
        and any(name in row.group.names for row in other.rows)
    ]
    if not found:
        return ""
    return (
        f", where tricks are {setting.tricks}: it had {' or '.join(found)}; `--across tricks` lets"
        " rows differ in them"
    )


def _no_verdicts(reason: str) -> tuple[str, ...]:
    return (f"No verdicts: {reason}.",) if reason else ()


def _pairs_note(rights: Mapping[str, Flags]) -> tuple[str, ...]:
    different, of = seed_pairs(rights.values())
    if not of:
        return ()
    return (
        f"What one seed is worth: McNemar's exact test at {100 * LEVEL:.0f} % calls {different} of"
        f" {of} seed pairs of one method different.",
    )
