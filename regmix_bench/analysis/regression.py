"""Has a number got worse? Records compared with the references in ``leaderboard.json``.

Each metric of each reference is one comparison, and the runs of all seeds are pooled into one
more, which resolves smaller drops; :mod:`~regmix_bench.analysis.drops` has the test.

``missing`` and ``not comparable`` fail as ``regressed`` does, because the references ask for
numbers that the results do not give, and a check that compares nothing must not pass. So does
``unreliable``: the scoring itself warned that its number may be too high, and nobody allowed that.
And ``overfitted``: the training overfits catastrophically, of which its reference says nothing; the
best checkpoint may have been selected before that, so that no accuracy need have fallen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from regmix_bench.analysis.corrupted import CorruptionCandidates, corruption_verdicts
from regmix_bench.analysis.drops import CorrectCounts, Judgement, Verdict, judge_counts, pooled
from regmix_bench.analysis.references import (
    METRICS,
    Found,
    Reference,
    load_leaderboard,
    onset_of,
    pair_outcomes,
    scoring_differences,
    setting_differences,
)
from regmix_bench.errors import unknown
from regmix_bench.records import store
from regmix_bench.records.outcomes import require_files
from regmix_bench.records.schema import (
    EvalRecord,
    RobustEval,
    RunRecord,
    Score,
    parts_of,
)
from regmix_bench.records.unions import require_unions
from regmix_bench.specs import EvalSpec, RunSpec


def compare_with_references(
    results: Path, reference: Path, only: str | None = None, allow: Collection[str] = ()
) -> list[Verdict]:
    """Compare the records below ``results`` with the references.

    ``only`` is a shell pattern on the references' record paths, like
    ``digits/smallcnn/pgd-at-*``. Scores may have raised the checks in ``allow`` and those that the
    references allow; the names are :data:`~regmix_bench.analysis.references.ALLOWABLE`. Raises
    :class:`UserError` where ``only`` matches none, where the references cannot be read, or where
    outcomes are not those that were recorded.
    """
    board = load_leaderboard(reference)
    entries, corrupted, allowed = board.runs, board.corruptions, {*board.allowed, *allow}
    if only is not None:
        names = [entry.record for entry in entries] + [entry.record for entry in corrupted]
        entries = tuple(entry for entry in entries if fnmatchcase(entry.record, only))
        corrupted = tuple(entry for entry in corrupted if fnmatchcase(entry.record, only))
        if not (entries or corrupted):
            raise unknown("reference", only, names)
    records = store.load_records(results)
    for path, record in records.items():
        require_files(path, record)
        require_unions(path, record)
    found = _Candidates(
        (path, r) for path, r in records.items() if isinstance(r, RunRecord | EvalRecord)
    )
    verdicts, seeds = [], defaultdict(list)
    for entry in entries:
        group = entry.spec.group_id
        for verdict, counts in _compare(entry, found.match(entry), reference.parent, allowed):
            verdicts.append(verdict)
            key = (group, verdict.checkpoint, verdict.threat, verdict.metric)
            seeds[key].append((verdict, counts))
    verdicts += [whole for same in seeds.values() for whole in pooled(same)]
    asked = CorruptionCandidates(board.corruptions, records)
    return verdicts + list(corruption_verdicts(corrupted, asked, reference.parent))


class _Candidates:
    """The records that references are matched with, by run_id and by cell of a grid."""

    def __init__(self, found: Iterable[Found]) -> None:
        self._by_id: dict[str, Found] = {}
        self._by_cell: dict[tuple[object, ...], list[Found]] = defaultdict(list)
        for path, record in found:
            self._by_id[record.run_id] = path, record
            self._by_cell[_cell(record.spec)].append((path, record))

    def match(self, entry: Reference) -> Found | None:
        """The reference's own run, else the most similar one of its cell, finished before failed.

        Neither looks at all records, of which there are as many as references.
        """

        def distance(candidate: Found) -> tuple[bool, int]:
            record = candidate[1]
            return record.status != "success", len(setting_differences(entry, record))

        own = self._by_id.get(entry.run_id)
        return own or min(self._by_cell.get(_cell(entry.spec), ()), key=distance, default=None)


def _cell(spec: RunSpec | EvalSpec) -> tuple[object, ...]:
    trained = (spec.train_threat,) if isinstance(spec, RunSpec) else ()
    return spec.dataset, spec.arch, spec.label, spec.seed, *trained


def _obstacle(
    entry: Reference,
    old: Score,
    record: RunRecord | EvalRecord | None,
    new: Score | None,
    allowed: Collection[str],
) -> tuple[Judgement, str] | None:
    """Why the two cannot be compared, if they cannot."""
    if record is None:
        return "missing", "no record of this run"
    if isinstance(record, RunRecord) and record.status == "error":
        lines = (record.error or "").strip().splitlines() or ["no message"]
        return "missing", f"the run failed: {lines[-1]}"
    differing = setting_differences(entry, record)
    parts = parts_of(new, record.evaluations) if new is not None else []
    then = {part.threat: part for part in parts_of(old, entry.evaluations)}
    for part in parts:
        if part.autoattack_acc is not None or part.failed_attacks:
            differing += scoring_differences(then[part.threat], part)
    if differing:
        return "not comparable", "; ".join(differing)
    if new is None:
        return "missing", f"no score of the {old.checkpoint} checkpoint under {old.threat}"
    failures = {name: why for part in parts for name, why in part.failed_attacks.items()}
    if failures:
        failed = "; ".join(f"{name} failed: {why}" for name, why in failures.items())
        return None if "failed-attack" in allowed else ("missing", failed)
    if new.autoattack_acc is None:
        return "missing", f"AutoAttack did not run on the {old.checkpoint} checkpoint"
    return None


def _compare(
    entry: Reference, match: Found | None, folder: Path, allowed: Collection[str]
) -> Iterator[tuple[Verdict, CorrectCounts | None]]:
    """The verdicts of one run, and the counts behind those that could be reached."""
    record = match[1] if match else None
    cleaned = set()
    for old in entry.scores:
        new = record.score(old.checkpoint, old.threat) if record else None
        obstacle = _obstacle(entry, old, record, new, allowed)
        # A checkpoint's clean accuracy is the same under each of its threats.
        metrics = METRICS[1:] if old.checkpoint in cleaned else METRICS
        cleaned.add(old.checkpoint)
        if obstacle:
            for metric in metrics:
                yield _verdict(entry, old, new, metric, *obstacle), None
        elif match and new:
            n = old.n_examples
            pairs, why = pair_outcomes(entry, old, folder, new, match)
            # Where an attack failed there is no robust accuracy.
            for metric in (name for name in metrics if getattr(new, name) is not None):
                counts = CorrectCounts(
                    n, *(round(getattr(side, metric) * n) for side in (old, new))
                )
                if pairs is not None:
                    was, now = pairs[metric]
                    changed = int((was & ~now).sum()), int((now & ~was).sum())
                    counts = replace(counts, changed=changed)
                yield judge_counts(_verdict(entry, old, new, metric, "ok", why), counts), counts
        if isinstance(new, RobustEval) and new.checks:
            yield _reliability(entry, new, allowed), None
    if record and (onset := onset_of(record)) and not setting_differences(entry, record):
        yield _overfitting(entry, onset, allowed), None


def _verdict(
    entry: Reference,
    old: Score,
    new: Score | None,
    metric: str,
    judgement: Judgement,
    note: str,
) -> Verdict:
    """A verdict that no test has looked at yet."""
    cell = (old.checkpoint, old.threat, metric)
    shares = (getattr(old, metric, None), getattr(new, metric, None))
    return Verdict.untested(entry.record, entry.spec, cell, old.n_examples, shares, judgement, note)


def _reliability(entry: Reference, new: RobustEval, allowed: Collection[str]) -> Verdict:
    """What the scoring warned of, which fails unless all of it is allowed."""
    refused = [name for name in new.checks if name not in allowed]
    if refused:
        note = f"raised {', '.join(refused)}: --allow accepts it by name"
        return _verdict(entry, new, None, "reliability", "unreliable", note)
    note = f"raised and allowed: {', '.join(new.checks)}"
    return _verdict(entry, new, None, "reliability", "ok", note)


def _overfitting(entry: Reference, onset: int, allowed: Collection[str]) -> Verdict:
    """The verdict on catastrophic overfitting, which fails where it is new and not allowed."""
    judgement: Judgement = "ok"
    if entry.onset is not None:
        then = f"that of the reference from {entry.onset}"
    elif "catastrophic-overfitting" in allowed:
        then = "allowed"
    else:
        judgement = "overfitted"
        then = "not known of the reference: --allow catastrophic-overfitting accepts it"
    note = f"catastrophic from epoch {onset}, {then}"
    return _verdict(entry, entry.evaluations[0], None, "overfitting", judgement, note)
