"""A choice of the models of a cohort that a grid of maps, surfaces or images shows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regmix_bench.analysis.cohorts import Cohort
from regmix_bench.records.accuracies import attack_words
from regmix_bench.reporting.formats.cells import fixed

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

#: Models that a grid shows where nobody has chosen.
MOST_MODELS = 6
#: Share of the best robust accuracy below which a model is left out: it says little of robustness,
#: and would take the scale of all others.
LEAST_SHARE = 0.5


@dataclass(frozen=True)
class Choice:
    """The labels that a grid shows, and a sentence on those that it does not, empty for none."""

    labels: tuple[str, ...]
    words: str


def choice(contents: Contents, cohort: Cohort, labels: Sequence[str]) -> Choice:
    """Choose among the models that there is something to show of.

    Methods that were asked for are all shown. Else models below :data:`LEAST_SHARE` of the best
    robust accuracy are left out, and of the others at most :data:`MOST_MODELS` stay: the reference
    and the most robust.
    """
    standings = contents.standings_in(cohort)
    if contents.methods is not None or standings is None:
        return Choice(tuple(labels), "")
    means = {
        row.label: row.mean.mean
        for row in standings.rows
        if row.mean is not None and row.label in labels
    }
    least = LEAST_SHARE * max(means.values(), default=0.0)
    weak = [label for label in labels if means.get(label, least) < least]
    strong = [label for label in labels if label not in weak]
    first = [standings.reference, *(row.label for row in standings.rows)]
    ranked = list(dict.fromkeys(label for label in [*first, *strong] if label in strong))
    kept = ranked[:MOST_MODELS]
    said = []
    if weak:
        attack = attack_words(cohort.setting.scoring)
        names = ", ".join(contents.looks[label].name for label in weak)
        said.append(
            f"Left out are models below {fixed(100 * least)} % under {attack}, half of the best:"
            f" {names}."
        )
    if len(kept) < len(strong):
        reference = "the reference and " if standings.reference in kept else ""
        said.append(f"Of {len(strong)} models {reference}the most robust are shown.")
    return Choice(tuple(label for label in labels if label in kept), " ".join(said))


def unrecorded(contents: Contents, cohort: Cohort, there: Collection[str]) -> str:
    """List the rows of a cohort, by name, of which nothing is recorded to show."""
    absent = [group.label for group in cohort.groups if group.label not in there]
    return ", ".join(contents.looks[label].name for label in absent)
