"""Two models on the same corrupted images: whether one gets more of their versions right.

So ``compare`` asks of two records, and ``check`` of a record and its reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from regmix_bench.analysis.drops import ALPHA, CorrectCounts, Judgement, Verdict, judge_counts
from regmix_bench.analysis.methods import LEVEL
from regmix_bench.analysis.references import (
    CorruptionReference,
    corruption_differences,
    reference_file,
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
from regmix_bench.records.schema import CorruptionRecord
from regmix_bench.records.words import CORRUPTED_BY, model_name
from regmix_bench.specs.corruptions import CorruptionSource
from regmix_bench.system.shown import Shown, Summary


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
    entries: Sequence[CorruptionReference],
    records: Mapping[Path, CorruptionRecord],
    folder: Path,
) -> Iterator[Verdict]:
    """Yield the verdicts on clean accuracy and on the mean over corruptions of each reference.

    It is compared with its own record, else with that of the same label, whose weights are others.
    Where both have outcomes per image, the mean is judged by Student's paired test over images at
    :data:`~regmix_bench.analysis.drops.ALPHA`, one-sided; else as if each image counted as one,
    which finds less. ``folder`` is that of the references.
    """
    for entry in entries:
        found = [each for each in records.items() if each[1].run_id == entry.run_id]
        found += [each for each in records.items() if _cell(each[1]) == _cell(entry)]
        was = {"clean_acc": entry.clean_acc, CORRUPTION_ACC: entry.corruption_acc}
        if not found:
            for metric, share in was.items():
                why = "no record of this model under corruptions"
                yield _verdict(entry, metric, share, None, "missing", why)
            continue
        path, record = found[0]
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


def _cell(side: CorruptionReference | CorruptionRecord) -> tuple[object, ...]:
    spec = side.spec
    return spec.dataset, spec.arch, spec.label, spec.corruptions


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
    return Verdict.untested(
        entry.record,
        spec,
        ("given", spec.corruptions, metric),
        entry.n_examples,
        shares,
        judgement,
        note,
    )
