"""Two models on the same corrupted images: whether one gets more of their versions right.

So ``compare`` asks of two records, and ``check`` of a record and its reference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from regmix_bench.analysis.drops import ALPHA, CorrectCounts, Judgement, Verdict, judge_counts
from regmix_bench.analysis.methods import LEVEL
from regmix_bench.analysis.references import (
    CorruptionReference,
    corruption_differences,
    reference_file,
    trained_specs,
)
from regmix_bench.analysis.statistics import PairedT
from regmix_bench.errors import UserError
from regmix_bench.records.accuracies import CORRUPTION_ACC
from regmix_bench.records.corrupted import (
    VERSIONS,
    image_means,
    read_corrupted,
    read_image_means,
)
from regmix_bench.records.paths import own_outcomes_path
from regmix_bench.records.schema import AnyRecord, CorruptionRecord
from regmix_bench.records.words import CORRUPTED_BY, model_name
from regmix_bench.specs import CorruptionSpec
from regmix_bench.specs.corruptions import CorruptionSource
from regmix_bench.system.shown import Shown, Summary
from regmix_bench.types import ThreatModel

#: A record and its file.
Found = tuple[Path, CorruptionRecord]


@dataclass(frozen=True, repr=False)
class CorruptedPair(Shown):
    """Two models under common corruptions: the accuracy of each, and their difference.

    ``accuracy`` (0 to 1) is the mean over all corruptions and severities, ``difference`` the
    second's less the first's, with its 95 % ``interval``. Both rest on pairs of one image each: the
    versions of an image are no independent images, so that McNemar's test of them would claim too
    much, and what is compared is the share of an image's versions that each model gets right.
    """

    names: tuple[str, str]
    corruptions: CorruptionSource
    n_examples: int
    accuracy: tuple[float, float]
    difference: float
    interval: tuple[float, float]
    p_value: float

    @property
    def relation(self) -> str:
        """The verdict on the second: better or worse than the first, or not distinguishable."""
        if self.p_value >= LEVEL:
            return "not distinguishable from"
        return "better than" if self.difference > 0 else "worse than"

    @property
    def test(self) -> str:
        """Return what the verdict rests on, in words."""
        low, high = (100 * end for end in self.interval)
        return (
            f"{100 * self.difference:+.1f} points [{low:+.1f}, {high:+.1f}], Student's paired test"
            f" over images, p = {self.p_value:.2g}"
        )

    def summary(self) -> Summary:
        one, two = self.names
        by = CORRUPTED_BY[self.corruptions]
        line = (
            f"{two} is {self.relation} {one} under {by} ({self.test}, {self.n_examples:,} images)"
        )
        shares = (f"{share:.1%}" for share in self.accuracy)
        return Summary(line, ("model", by), list(zip(self.names, shares, strict=True)))


def compare_corrupted(files: Sequence[Path], records: Sequence[CorruptionRecord]) -> CorruptedPair:
    """Compare the models of two records of corruptions, which lie at ``files``, over their images.

    Raises :class:`UserError` where the two are one, are of other images or of other corruptions, or
    outcomes are missing or disagree with their record, and for a single image.
    """
    if files[0].resolve() == files[1].resolve():
        raise UserError(f"both runs are the one in {files[0]}: there is nothing to compare")
    one, two = records
    names = [f"{model_name(record.spec)} {record.run_id}" for record in records]
    if one.run_id == two.run_id:  # one specification, recorded in two folders
        names = [f"{name} in {file}" for name, file in zip(names, files, strict=True)]
    words = [f"{CORRUPTED_BY[r.spec.corruptions]}, seed {r.spec.seed}" for r in records]
    if words[0] != words[1]:
        raise UserError(
            f"{names[0]} was asked of {words[0]}, {names[1]} of {words[1]}: no pair to test"
        )
    was, now = (read_image_means(*each) for each in zip(files, records, strict=True))
    if one.data_digest != two.data_digest or not was.index.equals(now.index):
        raise UserError(f"{names[0]} and {names[1]} were scored on other images: no pair to test")
    if len(was) < 2:
        raise UserError("of one image nothing is known of its like: no pair to test")
    found = PairedT.of((now - was)[CORRUPTION_ACC].tolist(), 1 / VERSIONS)
    low, high = found.interval
    return CorruptedPair(
        names=(names[0], names[1]),
        corruptions=one.spec.corruptions,
        n_examples=len(was),
        accuracy=(one.mean_accuracy, two.mean_accuracy),
        difference=found.value,
        interval=(max(low, -1.0), min(high, 1.0)),
        p_value=found.p_value(),
    )


def corruption_verdicts(
    entries: Iterable[CorruptionReference],
    candidates: CorruptionCandidates,
    folder: Path,
) -> Iterator[Verdict]:
    """Yield the verdicts on clean accuracy and on the mean over corruptions of each reference.

    It is compared with its own record, else with that of the same label and training seed, whose
    weights are others. Where both have outcomes per image, the mean is judged by Student's paired
    test over images at :data:`~regmix_bench.analysis.drops.ALPHA`, one-sided; else as if each image
    counted as one, which finds less. ``folder`` is that of the references.
    """
    for entry in entries:
        was = {"clean_acc": entry.clean_acc, CORRUPTION_ACC: entry.corruption_acc}
        match, obstacle = candidates.match(entry)
        if match is None:
            for metric, share in was.items():
                yield _verdict(entry, metric, share, None, *obstacle)
            continue
        path, record = match
        now = {"clean_acc": record.clean_acc, CORRUPTION_ACC: record.mean_accuracy}
        if differing := corruption_differences(entry, record):
            for metric, share in was.items():
                why = "; ".join(differing)
                yield _verdict(entry, metric, share, now[metric], "not comparable", why)
            continue
        pairs, why = _differences(entry, path, record, folder)
        n = entry.n_examples
        for metric, share in was.items():
            plain = _verdict(entry, metric, share, now[metric], "ok", why)
            counts = CorrectCounts(n, round(share * n), round(now[metric] * n))
            if pairs is None:
                judged = judge_counts(plain, counts)
                yield replace(judged, reference=share, now=now[metric], difference=plain.difference)
            elif metric == CORRUPTION_ACC:
                yield _judged(plain, pairs[metric])
            else:
                lost, gained = (pairs[metric].count(each) for each in (-1, 1))
                yield judge_counts(plain, replace(counts, changed=(lost, gained)))


class CorruptionCandidates:
    """The records that references of corruptions are matched with: own ones, else by their cell.

    ``references`` are all that are held, also where few of them are checked: what is the own record
    of one is not compared with another.
    """

    def __init__(
        self, references: Sequence[CorruptionReference], records: Mapping[Path, AnyRecord]
    ) -> None:
        asked = [(p, r) for p, r in records.items() if isinstance(r, CorruptionRecord)]
        held, trained = {entry.run_id for entry in references}, trained_specs(records.values())
        self._by_id = {record.run_id: (path, record) for path, record in asked}
        self._lost = [entry for entry in references if entry.run_id not in self._by_id]
        self._by_cell = defaultdict[tuple[object, ...], list[Found]](list)
        for path, record in asked:
            if record.run_id not in held:
                run = trained.get(record.spec.model.run_id)
                training = (None, None) if run is None else (run.seed, run.train_threat)
                self._by_cell[_cell(record.spec, *training)].append((path, record))

    def match(self, entry: CorruptionReference) -> tuple[Found | None, tuple[Judgement, str]]:
        """Return the record of a reference, or None; the second value says why there is none.

        Of several that might be it none is taken, nor one that several references might be of.
        """
        if own := self._by_id.get(entry.run_id):
            return own, ("ok", "")
        cell = _cell_of(entry)
        found = self._by_cell.get(cell, [])
        if not found:
            return None, ("missing", "no record of this model under corruptions")
        found = [one for one in found if not corruption_differences(entry, one[1])] or found
        if len(found) > 1:
            names = ", ".join(path.name for path, _ in found)
            return None, ("not comparable", f"each of these may be its record: {names}")
        rivals = [
            other.record
            for other in self._lost
            if _cell_of(other) == cell and not corruption_differences(other, found[0][1])
        ]
        if len(rivals) > 1:
            why = f"{found[0][0].name} may be the record of each of {', '.join(rivals)}"
            return None, ("not comparable", why)
        return found[0], ("ok", "")


def _cell_of(entry: CorruptionReference) -> tuple[object, ...]:
    return _cell(entry.spec, entry.training_seed, entry.train_threat)


def _cell(spec: CorruptionSpec, seed: int | None, threat: ThreatModel | None) -> tuple[object, ...]:
    """What a model has in common with itself trained anew; an unknown run only with itself."""
    run, _, checkpoint = spec.model.name.partition(":")
    model = () if spec.model.run_id is None else (checkpoint, seed, threat or run)
    return spec.dataset, spec.arch, spec.label, spec.corruptions, *model


def _differences(
    entry: CorruptionReference, path: Path, record: CorruptionRecord, folder: Path
) -> tuple[dict[str, list[float]] | None, str]:
    """Return what each image gained since the reference, by metric, or None and why not."""
    file = own_outcomes_path(path)
    if not file.is_file():
        return None, f"{path.name} names no outcomes"
    reference, why = reference_file(entry.outcomes, folder, file)
    if reference is None:
        return None, why
    was, now = image_means(read_corrupted(reference)), read_image_means(path, record)
    if not was.index.equals(now.index):
        return None, "the outcomes are of different images"
    if len(was) < 2:
        return None, "one image is no sample"
    return {str(name): column.tolist() for name, column in (now - was).items()}, ""


def _judged(verdict: Verdict, differences: Sequence[float]) -> Verdict:
    found = PairedT.of(differences, 1 / VERSIONS)
    judgement: Judgement = "ok"
    if found.p_value("less") < ALPHA:
        judgement = "regressed"
    elif found.p_value("greater") < ALPHA:
        judgement = "improved"
    lost, gained = (sum(sign * each > 0 for each in differences) for sign in (-1, 1))
    return replace(
        verdict,
        tolerance=found.quantile(1 - ALPHA) * found.error,
        verdict=judgement,
        note=f"paired: {lost} of {len(differences)} images lost versions, {gained} gained",
    )


def _verdict(
    entry: CorruptionReference,
    metric: str,
    reference: float,
    now: float | None,
    judgement: Judgement,
    note: str,
) -> Verdict:
    spec, shares = entry.spec, (reference, now)
    verdict = Verdict.untested(
        entry.record,
        spec,
        ("given", spec.corruptions, metric),
        entry.n_examples,
        shares,
        judgement,
        note,
    )
    seed = entry.training_seed
    return verdict if seed is None else replace(verdict, seed=seed)
