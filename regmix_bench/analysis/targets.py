"""The robust validation accuracy that methods are raced to, and what each spends until it holds it.

:mod:`regmix_bench.records.effort` says when a training first holds an accuracy.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.cohorts import Cohort, Group, Run
from regmix_bench.analysis.verdicts import reference_row
from regmix_bench.records.effort import Effort, effort_to_hold


@dataclass(frozen=True)
class Target:
    """A validation accuracy under PGD-10, 0 to 1, and in ``words`` where it comes from.

    In these, ``{}`` stands for the ``row`` that it is of, by its label.
    """

    accuracy: float
    words: str
    row: str = ""

    @classmethod
    def of(cls, cohort: Cohort, reference: str | None, asked: float | None) -> Target | None:
        """Return the target of a cohort: what is ``asked`` for, or else the reference's.

        That is the accuracy of its best epoch, the mean over seeds, less one standard error of it
        on so many images: what is as good for all that one validation can tell. Without a reference
        row it is the middle row's. None where no history is recorded, or nothing is above 0.
        """
        best = {group.label: found for group in cohort.groups if (found := _best(group))}
        if not best:
            return None
        if asked is not None:
            return cls(asked, "as asked for")
        if reference in best:
            accuracy, words = best[reference], "the best epoch of {}"
        else:
            accuracy, words = statistics.median(best.values()), "the best epoch of the middle row"
        images = next((n for run in _runs(cohort) if (n := run.record.n_validation)), None)
        error = math.sqrt(accuracy * (1 - accuracy) / images) if images else 0.0
        if accuracy <= error:
            return None
        words += ", mean over seeds, less one standard error"
        return cls(accuracy - error, words, reference or "")

    def words_for(self, names: Mapping[str, str]) -> str:
        """Say where it comes from, its row by its name."""
        return self.words.format(names.get(self.row, self.row))


def targets_of(
    cohorts: Iterable[Cohort], blocks: Sequence[Block], reference: str | None, asked: float | None
) -> dict[str, Target]:
    """Return the target of each cohort that has one, by its stem: its reference's, or ``asked``.

    The reference is that of the verdicts on ``blocks``, which are the cohorts' own.
    """
    labels: dict[str, str | None] = {}
    for block in blocks:
        label, _ = reference_row(block, blocks, reference)
        labels[block.cohort.stem] = labels.get(block.cohort.stem) or label
    found = {c.stem: Target.of(c, labels.get(c.stem), asked) for c in cohorts}
    return {stem: target for stem, target in found.items() if target is not None}


@dataclass(frozen=True)
class Race:
    """The cost until the target is first held, of each seed with a history; None: it never is."""

    spent: tuple[Effort | None, ...]

    @classmethod
    def of(cls, runs: Iterable[Run], target: Target) -> Race:
        """Return what each run spent on the way to ``target``."""
        records = (run.record for run in runs)
        return cls(tuple(effort_to_hold(r, target.accuracy) for r in records if r.history))

    @property
    def reached(self) -> tuple[Effort, ...]:
        """The cost of each seed that holds it."""
        return tuple(effort for effort in self.spent if effort is not None)

    def costs(self, read: Callable[[Effort], float | None]) -> list[float]:
        """Return one kind of cost of each seed, rising; infinite where the target is never held.

        Empty where that cost is not known of one that holds it.
        """
        known = [read(effort) for effort in self.reached]
        if None in known:
            return []
        never = [math.inf] * (len(self.spent) - len(known))
        return sorted([cost for cost in known if cost is not None]) + never


def _best(group: Group) -> float | None:
    """The accuracy of each run's best epoch, mean over those with a history."""
    histories = [run.record.history for run in group.runs if run.record.history]
    if not histories:
        return None
    return statistics.fmean(max(log.val_pgd_acc for log in history) for history in histories)


def _runs(cohort: Cohort) -> Iterable[Run]:
    return (run for group in cohort.groups for run in group.runs)
