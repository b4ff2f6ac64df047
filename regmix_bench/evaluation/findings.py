"""The findings of an audit: claims of a record that do not hold, or that nothing bears out."""

from __future__ import annotations

from dataclasses import dataclass

from regmix_bench.system.shown import Shown, Summary
from regmix_bench.types import Checkpoint, ThreatModel


@dataclass(frozen=True)
class Finding:
    """Something that does not hold, or, where it is ``unproven``, that nothing shows to hold.

    ``index`` is the image's position in the test split; it and ``threat`` are None where a whole
    evaluation or a whole file is concerned, and ``checkpoint`` where the record as a whole is.
    """

    reason: str
    checkpoint: Checkpoint | None = None
    threat: ThreatModel | None = None
    index: int | None = None
    attack: str = ""
    unproven: bool = False

    def __str__(self) -> str:
        image = "" if self.index is None else f"image {self.index}"
        threat = "" if self.threat is None else str(self.threat)
        where = ", ".join(part for part in (image, self.checkpoint, threat, self.attack) if part)
        return f"{where}: {self.reason}" if where else self.reason


@dataclass(frozen=True, repr=False)
class Audit(Shown):
    """``n_passed`` of ``n_images``, each counted once an evaluation, and what does not hold.

    Of a transfer, its accuracies are counted in the place of images.
    """

    n_images: int
    n_passed: int
    findings: tuple[Finding, ...]

    @property
    def n_unproven(self) -> int:
        """Count the findings that nothing bears out."""
        return sum(finding.unproven for finding in self.findings)

    def summary(self) -> Summary:
        line = f"{self.n_passed:,} of {self.n_images:,} passed, {len(self.findings)} findings"
        return Summary(line, ("finding",), [(str(finding),) for finding in self.findings])
