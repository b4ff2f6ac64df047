"""Has one accuracy got worse? The test of a drop, and the verdict on it.

A drop is ``regressed``, a rise ``improved``, where a one-sided exact test at :data:`ALPHA` says so:
McNemar's, image by image, where both sides have per-image outcomes, else Fisher's of two
proportions. The ``tolerance`` is the smallest drop that the test would have called a regression.

What the level means: the tests look at the images drawn, not at the luck of training. A run that
repeats the reference bit for bit never fails; one retrained with other rounding is another draw of
the same training, and may fail in about one comparison of a hundred, or more often where training
itself is unsteady. No correction is made for the number of comparisons: it would hide real losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from regmix_bench.analysis.statistics import mcnemar, smallest_resolvable_drop, two_proportions
from regmix_bench.records.words import model_name
from regmix_bench.specs import CorruptionSpec, EvalSpec, RunSpec
from regmix_bench.specs.corruptions import CorruptionSource
from regmix_bench.types import AnyThreat, Checkpoint

#: Level of each one-sided test.
ALPHA = 0.01

#: What the note of a verdict begins with where outcomes could not be compared image by image.
UNPAIRED = "unpaired: "

Judgement = Literal[
    "ok", "regressed", "improved", "missing", "not comparable", "unreliable", "overfitted"
]


@dataclass(frozen=True)
class Verdict:
    """One comparison: accuracies in [0, 1], ``difference`` = now - reference.

    ``record`` is the reference's record, relative to its results folder, or for all seeds pooled
    (``seed`` None) the pattern of their names; ``name`` is what tables call its model.
    ``tolerance`` is the smallest drop that would be called regressed; None where nothing was
    compared or no drop is resolved. Of common corruptions ``threat`` is their source.
    ``clean_acc`` belongs to the checkpoint and is compared once,
    under its first threat. The ``metric`` "reliability" is no accuracy: it stands for what scoring
    warned of, where it did. Nor is "overfitting", which is of the training and stands at its first
    checkpoint and threat.
    """

    record: str
    label: str
    name: str
    dataset: str
    arch: str
    seed: int | None
    checkpoint: Checkpoint
    threat: AnyThreat | CorruptionSource
    metric: str
    n_examples: int
    reference: float | None
    now: float | None
    difference: float | None
    tolerance: float | None
    verdict: Judgement
    note: str

    @classmethod
    def untested(
        cls,
        record: str,
        spec: RunSpec | EvalSpec | CorruptionSpec,
        cell: tuple[Checkpoint, AnyThreat | CorruptionSource, str],
        n_examples: int,
        shares: tuple[float | None, float | None],
        verdict: Judgement,
        note: str,
    ) -> Verdict:
        """Return a verdict that no test has looked at, on the reference ``record`` of ``spec``.

        ``cell`` is its checkpoint, threat and metric; ``shares`` are the accuracies then and now.
        """
        checkpoint, threat, metric = cell
        reference, now = shares
        return cls(
            record=record,
            label=spec.label,
            name=model_name(spec),
            dataset=spec.dataset_words,
            arch=spec.arch,
            seed=spec.seed,
            checkpoint=checkpoint,
            threat=threat,
            metric=metric,
            n_examples=n_examples,
            reference=reference,
            now=now,
            difference=None if reference is None or now is None else now - reference,
            tolerance=None,
            verdict=verdict,
            note=note,
        )

    @property
    def failed(self) -> bool:
        """True where this comparison makes the check fail."""
        return self.verdict not in ("ok", "improved")


def model_words(verdict: Verdict) -> str:
    """Name the model of a verdict with its seed, such as ``PGD-AT · seed 0``."""
    seed = "all seeds" if verdict.seed is None else f"seed {verdict.seed}"
    return f"{verdict.name} · {seed}"


@dataclass(frozen=True)
class CorrectCounts:
    """Images right before and now of ``n``; where they are paired, those lost and those gained."""

    n: int
    was: int
    now: int
    changed: tuple[int, int] | None = None

    def __add__(self, other: CorrectCounts) -> CorrectCounts:
        changed = None
        if self.changed and other.changed:
            changed = self.changed[0] + other.changed[0], self.changed[1] + other.changed[1]
        return CorrectCounts(self.n + other.n, self.was + other.was, self.now + other.now, changed)


def judge_counts(verdict: Verdict, counts: CorrectCounts) -> Verdict:
    """Return the verdict that the counts justify; where they are not paired, its note says why."""
    n, was, now = counts.n, counts.was, counts.now
    if counts.changed:
        lost, gained = counts.changed
        worse, better = mcnemar(lost, gained, "greater"), mcnemar(gained, lost, "greater")
        tolerance = smallest_resolvable_drop(n, was, ALPHA, lost + gained)
        note = f"paired: {lost} lost, {gained} gained of {n} images"
    else:
        worse = two_proportions(was, n, now, n, "greater")
        better = two_proportions(now, n, was, n, "greater")
        tolerance = smallest_resolvable_drop(n, was, ALPHA)
        note = f"{UNPAIRED}{verdict.note}"
    if tolerance is None:
        note += "; too few to resolve any drop"
    judgement: Judgement = "ok"
    if worse < ALPHA:
        judgement = "regressed"
    elif better < ALPHA:
        judgement = "improved"
    return replace(
        verdict,
        reference=was / n,
        now=now / n,
        difference=(now - was) / n,
        tolerance=None if tolerance is None else tolerance / n,
        verdict=judgement,
        note=note,
    )


def pooled(group: Sequence[tuple[Verdict, CorrectCounts | None]]) -> Iterator[Verdict]:
    """Yield all seeds of one comparison as one, where there are several and each was compared."""
    first, total = group[0]
    if len(group) < 2 or total is None:
        return
    for _, counts in group[1:]:
        if counts is None:
            return
        total += counts
    # A record's name ends in -s<seed>-<run_id>.json.
    pattern = first.record.rsplit("-", 2)[0] + "-s*"
    whole = replace(first, record=pattern, seed=None, n_examples=total.n)
    yield judge_counts(replace(whole, note="not every seed has outcomes on both sides"), total)
