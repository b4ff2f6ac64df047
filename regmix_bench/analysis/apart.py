"""A line on rows that stand in tables of their own, as their tricks or labels differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from regmix_bench.notation import format_value
from regmix_bench.specs import Recipe, RunSpec
from regmix_bench.specs.supervision import Supervision, shared_recipe
from regmix_bench.specs.tricks import Tricks
from regmix_bench.types import ThreatModel

#: Suites that give every method the same tricks, by their data set.
MATCHED = {"digits": "matched-digits", "cifar10": "matched-cifar10"}
#: The kinds of tricks that are spelt out.
_MOST = 3


def tables_apart(trained: Iterable[tuple[RunSpec, Tricks]]) -> str | None:
    """Return a line where runs of other tricks or labels cannot stand in one table, or None.

    ``trained`` are runs with the tricks that took effect. The line is about the first of their
    settings in which rows are apart, by their tricks before their labels.
    """
    found: dict[tuple[str, str, Recipe, ThreatModel, Supervision], dict[Tricks, None]] = {}
    seen: dict[tuple[str, str, Recipe, ThreatModel, Tricks], dict[Supervision, None]] = {}
    for spec, tricks in trained:
        recipe, labels = shared_recipe(spec.recipe), spec.supervision
        place = spec.typed_dataset, spec.arch_words, recipe, spec.train_threat
        found.setdefault((*place, labels), {})[tricks] = None
        seen.setdefault((*place, tricks), {})[labels] = None
    for (dataset, *_), kinds in found.items():
        if len(kinds) > 1:
            words = [str(tricks) for tricks in kinds]
            shown = " / ".join(words) if len(words) <= _MOST else f"{len(words)} kinds"
            suite = f", or the suite {MATCHED[dataset]}," if dataset in MATCHED else ""
            settings = " ".join(f"--set recipe.{setting}" for setting in _settings(kinds))
            return (
                f"Rows whose tricks differ ({shown}) stand in tables of their own:"
                f" `--across tricks` joins them, and `{settings}`{suite} trains all alike."
            )
    for several in seen.values():
        if len(several) > 1:
            words = [str(labels) for labels in several]
            shown = " / ".join(words) if len(words) <= _MOST else f"{len(words)} kinds"
            return (
                f"Rows that saw other labels ({shown}) stand in tables of their own:"
                " `--across labels` joins them."
            )
    return None


def _settings(kinds: Iterable[Tricks]) -> Iterator[str]:
    """Yield the settings of a recipe that give every row what the others have."""
    averages = [tricks.average for tricks in kinds if tricks.average is not None]
    decays = [average for average in averages if isinstance(average, float)]
    values: dict[str, list[float] | list[str]] = {
        "true_class_mass": [t.true_class_mass for t in kinds if t.true_class_mass != 1],
        "ema_decay": decays or ["none" for _ in averages],
        "awp_gamma": [t.awp_gamma for t in kinds if t.awp_gamma is not None],
        "gradient_clip": [t.gradient_clip for t in kinds if t.gradient_clip is not None],
    }
    for name, given in values.items():
        if given:
            yield f"{name}={format_value(given[0])}"
