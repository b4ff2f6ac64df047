"""The suite of what was best: a file that `run` takes, and that says how it was tuned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from regmix_bench.data.sources import DATASETS, path_source
from regmix_bench.errors import UserError, validated
from regmix_bench.grid.suite_files import BY_DEVICE
from regmix_bench.records.schema import StudyRecord
from regmix_bench.specs import Recipe, RunSpec
from regmix_bench.specs.threats import threat_text
from regmix_bench.tuning.plan import TuningPlan
from regmix_bench.tuning.space import Space


def suite_text(plan: TuningPlan, studies: Sequence[StudyRecord]) -> str:
    """Return the YAML of a suite with each method at its best values, one grid a method.

    Data, architecture, budgets, scoring, seeds and reference are those of ``plan``. Raises
    :class:`UserError` where no trial of a method has come to its end.
    """
    first, reference = plan.runs[0].spec, plan.runs[0].reference
    tuned = {
        run.spec.label: _grid(space, study)
        for run, space, study in zip(plan.runs, plan.spaces, studies, strict=True)
    }
    recipes = [grid["recipe"] for grid in tuned.values()]
    shared = {
        key: value
        for key, value in recipes[0].items()
        if all(key in recipe and recipe[key] == value for recipe in recipes)
    }
    for recipe in recipes:
        for key in shared:
            del recipe[key]
    content = {
        "datasets": [first.typed_dataset],
        "archs": [first.arch_words],
        "norm": first.train_threat.norm,
        "eps": [str(first.train_threat.epsilon)],
        "threats": [threat_text(threat) for threat in first.eval_threats],
        "pgd_eps": [threat_text(threat) for threat in first.pgd_threats],
        "seeds": list(plan.seeds),
        "evaluate": first.evaluate,
        "recipe": shared,
        "data": _data(first),
        "scoring": {
            **first.scoring.model_dump(mode="json", exclude_defaults=True),
            "search_precision": first.scoring.search_precision,
        },
        "reference": tuned[reference]["methods"][0] if reference in tuned else reference,
        "grids": list(tuned.values()),
    }
    words = ", ".join(study.label for study in studies)
    lines = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return f"# The best of a tuning of {words}; `regmix-bench run` takes this file.\n{lines}"


def _grid(space: Space, study: StudyRecord) -> dict[str, Any]:
    if study.best is None:
        failed = next((trial.error for trial in study.trials if trial.error), "all were pruned")
        raise UserError(f"no trial of {study.label} has come to its end: {failed}")
    best = space.run(study.best.values, study.spec.seed)
    tuned = study.tuned(best.training_id)
    assert tuned is not None
    return {
        "methods": [best.label],
        "recipe": _said(best),
        "tuned": tuned.model_dump(mode="json"),
    }


def _data(spec: RunSpec) -> dict[str, Any]:
    """Return what a suite says of the images that are drawn, and of their name."""
    keys = ("train_examples", "eval_examples", "labelled", "extra")
    found = {key: value for key in keys if (value := getattr(spec, key)) is not None}
    return found | ({"name": spec.data_names.title} if spec.data_names else {})


def _said(spec: RunSpec) -> dict[str, Any]:
    """Return what a suite has to say of a recipe: what its data do not, and what devices decide."""
    source = path_source(spec.dataset) or DATASETS[spec.dataset]
    usual = validated(Recipe, source.recipe, "recipe").model_dump(mode="json")
    by_device = [key for group, key in BY_DEVICE if group == "recipe"]
    return {
        key: value
        for key, value in spec.recipe.model_dump(mode="json").items()
        if value != usual[key] or key in by_device
    }
