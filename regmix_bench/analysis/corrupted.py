"""Two models on the same corrupted images: whether one gets more of their versions right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from regmix_bench.analysis.methods import LEVEL
from regmix_bench.analysis.statistics import PairedT
from regmix_bench.errors import UserError
from regmix_bench.records.corrupted import VERSIONS, read_image_means
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
    found = PairedT.of((now - was)["corruption_acc"].tolist(), 1 / VERSIONS)
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
