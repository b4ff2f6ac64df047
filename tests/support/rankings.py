"""Results of one comparison with as many rows as a test asks for, with costs and histories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regmix_bench.records.schema import Cost
from regmix_bench.specs import MethodSpec
from support.histories import planted_history
from support.reports import PRIOR_GUIDED
from support.synthetic import make_spec, write_run

#: Methods in the order in which rankings take them, a long name among the first.
LABELS = (
    *("pgd-at", "regmix", "fgsm-uap[patterns=class]", "standard", "free-at", "trades", "mart"),
    *("fgsm-rs", "fgsm-pgi", "fgsm-pgk", "regmix-amr", "regmix-agr", "regmix-pgd", "n-fgsm"),
    *("zero-grad", "grad-align", "gat", "nuat", "elle-a", "liet", "ikl-at", "n-aaer", "rs-aaer"),
    *("fgsm-pco", "fgsm-uap"),
)
#: Images of each row that AutoAttack leaves right, and passes: some rows lie far apart.
HELD = {"standard": 20, "free-at": 150}
PASSES = {"standard": 2, "free-at": 2, "pgd-at": 22, "trades": 25, "mart": 24}


def method_of(label: str) -> MethodSpec:
    """Return the method of a row with its default parameters, or those that its label names."""
    name = label.partition("[")[0]
    params: dict[str, Any] = {"clip_start": False} if name in PRIOR_GUIDED else {}
    params |= {"patterns": "class"} if label.endswith("[patterns=class]") else {}
    return MethodSpec(name=name, version=1, params=params, label=label)


def write_ranking(
    results: Path, rows: int, seeds: int = 3, epsilon: str = "32/255", **changes: Any
) -> Path:
    """Save so many rows of so many seeds each, and return the folder."""
    for place, label in enumerate(LABELS[:rows]):
        held, passes = HELD.get(label, 280 - place), PASSES.get(label, 4 + place % 4)
        for seed in range(seeds):
            write_run(
                results,
                make_spec(label, epsilon, method=method_of(label), seed=seed),
                autoattack=held + 3 * ((seed + place) % 3),
                fixed=seed,
                reference="pgd-at",
                n_train=1000,
                n_validation=200,
                selected_epoch=3,
                history=planted_history([0.3, 0.5, 0.7 - place / 100, 0.6 + seed / 100]),
                training_cost=Cost(
                    seconds=passes, forward_images=4000, backward_images=4000 * (passes - 1)
                ),
                **changes,
            )
    return results
