"""From a suite and flags to the studies that are asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regmix_bench.errors import UserError
from regmix_bench.grid.plan import PlannedRun, parse_method
from regmix_bench.grid.settings import GROUPS, read_settings
from regmix_bench.grid.suite_files import load_suite, merged, params_of
from regmix_bench.methods import METHODS
from regmix_bench.registry import parse_name
from regmix_bench.specs import RunSpec
from regmix_bench.tuning.space import Space


@dataclass(frozen=True)
class TuningPlan:
    """The methods that are tuned, each with its space, and the runs that their best is for.

    ``runs`` has one run of each method, ``seeds`` are those that the suite runs all with.
    """

    spaces: tuple[Space, ...]
    runs: tuple[PlannedRun, ...]
    seeds: tuple[int, ...]


def plan_tuning(
    planned: Sequence[PlannedRun], held: Mapping[str, Collection[str]], include: Sequence[str]
) -> TuningPlan:
    """Return what is to be tuned for the ``planned`` runs: their methods, but for what is held.

    ``held`` are parameters by label, as of :func:`held_params`. Raises :class:`UserError` for runs
    on several data sets, architectures or budgets, or that differ otherwise in more than method and
    recipe, and as :meth:`Space.of` does.
    """
    for what, option, found in (
        ("data sets", "datasets", {run.spec.dataset_words for run in planned}),
        ("architectures", "archs", {run.spec.arch_words for run in planned}),
        ("budgets", "eps", {str(run.spec.train_threat) for run in planned}),
    ):
        if len(found) > 1:
            raise UserError(
                f"{len(found)} {what} are planned, {', '.join(sorted(found))}: tune for one of them"
                f" with --{option}"
            )
    first = {run.spec.label: run for run in reversed(planned)}
    for run in planned:
        if run.spec.group_id != first[run.spec.label].spec.group_id:
            raise UserError(
                f"{run.spec.label} is planned with several recipes: tune it with one, in a suite or"
                " with --methods"
            )
    runs = tuple(first.values())[::-1]
    for run in runs[1:]:
        if differing := _differing(runs[0].spec, run.spec):
            raise UserError(
                f"{runs[0].spec.label} and {run.spec.label} are planned with different"
                f" {' and '.join(differing)}: tune them apart, with --methods and --name"
            )
    spaces = tuple(Space.of(run.spec, held.get(run.spec.label, ()), include) for run in runs)
    return TuningPlan(spaces, runs, tuple(dict.fromkeys(run.spec.seed for run in planned)))


def _differing(first: RunSpec, other: RunSpec) -> list[str]:
    """Return what a suite of the best would have to say of a method alone, but for its recipe."""
    own = {"method", "recipe", "seed"}
    return [
        field
        for field in RunSpec.model_fields
        if field not in own and getattr(first, field) != getattr(other, field)
    ]


def held_params(
    suite: str | None, given: Mapping[str, Any], settings: Sequence[str]
) -> dict[str, set[str]]:
    """Return by label the parameters that brackets, ``params`` and ``--set`` say of a method."""
    said = read_settings(settings, (*GROUPS, *METHODS.names()))
    held: dict[str, set[str]] = {}
    for written in load_suite(suite) if suite else [{}]:
        params = {
            name: {**params_of(written).get(name, {}), **said.get(name, {})}
            for name in METHODS.names()
        }
        for text in merged(written, given).get("methods", ()):
            name, inside = parse_name("method", text)
            label = parse_method(text, params).label
            held.setdefault(label, set()).update(inside, params.get(name, {}))
    return held
