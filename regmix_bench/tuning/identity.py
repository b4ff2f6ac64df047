"""The identity of a study, by which one that goes on is known to be the same."""

from __future__ import annotations

from typing import Any

from regmix_bench.records.schema import StudyRecord

#: What all studies of a folder have in common, as a table sets them beside each other.
SHARED = ("other data", "another objective", "another rule for ending trials")


def study_identity(blank: StudyRecord) -> dict[str, Any]:
    """Return what a study is of, by what to say of one that differs in it."""
    spec = blank.spec
    training = spec.training_identity()
    method, recipe = training.pop("method"), training.pop("recipe")
    return {
        "other data": [blank.data_digest, training],
        "another version of the method": [
            *(method[key] for key in ("name", "version", "code") if key in method)
        ],
        "other values to start from": method["params"],
        "another recipe": recipe,
        "another search space": {key: str(found) for key, found in blank.space.items()},
        "another objective": blank.objective,
        "another rule for ending trials": blank.halving,
        "another seed": spec.seed,
    }
