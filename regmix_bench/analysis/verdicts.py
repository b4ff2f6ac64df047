"""Verdicts on the rows of a table: each method against the reference, image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from regmix_bench.analysis.blocks import Block, Row
from regmix_bench.analysis.methods import (
    LEVEL,
    MARGIN,
    Difference,
    Flags,
    Relation,
    Spread,
    compare_methods,
    holm,
    seed_pairs,
    verdict,
)
from regmix_bench.errors import UserError, unknown
from regmix_bench.records import paths
from regmix_bench.records.accuracies import attack_words, robust_metric
from regmix_bench.records.outcomes import read_images


@dataclass(frozen=True)
class Comparison:
    """One row against the reference: ``corrected`` is the p-value after Holm's correction."""

    seeds: int
    reference_seeds: int
    difference: Difference
    corrected: float
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
    labels = {name for block in blocks for row in block.rows for name in _names(row)}
    if reference is not None and reference not in labels:
        raise unknown("reference", reference, labels)
    if outcomes is None:
        outcomes = {block.stem: read(block) for block in blocks}
    return {block.stem: _judge(block, outcomes[block.stem].rights, reference) for block in blocks}


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
            file = paths.outcomes_path(run.path, block.checkpoint)
            if score.robust_acc is None or not file.is_file():
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
                "difference": found.difference.value,
                "low": found.difference.interval()[0],
                "high": found.difference.interval()[1],
                "low90": found.difference.interval(0.90)[0],
                "high90": found.difference.interval(0.90)[1],
                "df": found.difference.df,
                "p_value": found.difference.p_value,
                "p_holm": found.corrected,
                "margin": MARGIN,
                "verdict": found.verdict,
            }
            for stem, judgement in judged.items()
            for label, found in judgement.comparisons.items()
        ]
    )


def _judge(block: Block, rights: Mapping[str, Flags], asked: str | None) -> Judgement:
    several = {label: right for label, right in rights.items() if len(right) > 1}
    pairs = _pairs_note(several)
    label, reason = _reference(block, asked)
    if label is not None and label not in several:
        label, reason = None, f"{label} has fewer than two seeds with outcomes per image"
    if label is None:
        return Judgement(None, {}, (*_no_verdicts(reason), *pairs))
    reference = several.pop(label)
    if not several:
        alone = f"no row beside {label} has two seeds with outcomes per image"
        return Judgement(label, {}, (*_no_verdicts(alone if len(block.rows) > 1 else ""), *pairs))
    differences = {name: compare_methods(right, reference) for name, right in several.items()}
    corrected = holm([difference.p_value for difference in differences.values()])
    comparisons = {
        name: Comparison(len(several[name]), len(reference), difference, p, verdict(difference, p))
        for (name, difference), p in zip(differences.items(), corrected, strict=True)
    }
    attack = attack_words(block.cohort.setting.scoring)
    explained = (
        f"{attack} − {label}: points, with the 95 % interval over seeds and images together, each"
        f" on its own. Better and worse: significant at {100 * LEVEL:.0f} % after Holm's"
        f" correction over the {len(comparisons)} rows, so that an interval may leave out 0 and its"
        f" row be n.d. Equivalent: the 90 % interval lies within ±{100 * MARGIN:g} point. n.d.: not"
        " distinguishable."
    )
    left = [r.label for r in block.rows if r.label != label and r.label not in comparisons]
    without = f"No verdict: {', '.join(left)}: fewer than two seeds with outcomes per image."
    partly = [
        f"{row.label} on {len(rights[row.label])} of {len(row.scores)}"
        for row in block.rows
        if row.label in {label, *comparisons} and len(rights[row.label]) < len(row.scores)
    ]
    fewer = f"Verdicts on the seeds with outcomes per image alone: {', '.join(partly)}."
    remarks = (*([without] if left else []), *([fewer] if partly else []))
    return Judgement(label, comparisons, (explained, *remarks, *pairs))


def _reference(block: Block, asked: str | None) -> tuple[str | None, str]:
    """The label of the reference row, or None and the reason."""
    runs = [run for row in block.rows for run, _ in row.scores]
    if not runs:
        return None, ""
    named = sorted({run.record.reference for run in runs if run.record.reference is not None})
    if asked is None and len(named) != 1:
        what = f"several references ({', '.join(named)})" if named else "no reference"
        return None, f"the runs name {what}; `regmix-bench report --reference LABEL` chooses one"
    name = asked if asked is not None else named[0]
    labels = [row.label for row in block.rows]
    rows = [name] if name in labels else [row.label for row in block.rows if name in _names(row)]
    if len(rows) == 1:
        return rows[0], ""
    return None, f"there are several rows {name}" if rows else f"there is no row {name} here"


def _names(row: Row) -> set[str]:
    """Return the row's label, that of its method, and the one that it was recorded with."""
    method = row.group.spec.method
    return {row.label, method.label, method.recorded_label or method.label}


def _no_verdicts(reason: str) -> tuple[str, ...]:
    return (f"No verdicts: {reason}.",) if reason else ()


def _pairs_note(several: Mapping[str, Flags]) -> tuple[str, ...]:
    different, of = seed_pairs(several.values())
    if not of:
        return ()
    return (
        f"What one seed is worth: McNemar's exact test at {100 * LEVEL:.0f} % calls {different} of"
        f" {of} seed pairs of one method different.",
    )
