"""From a suite file and flags to the specifications of runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from regmix_bench.attacks import attack_components
from regmix_bench.attacks.ensembles import require_defined
from regmix_bench.data.protocol import DataSource
from regmix_bench.data.sources import (
    DATASETS,
    attacked_data,
    data_names,
    dataset_component,
    default_arch,
    path_source,
)
from regmix_bench.errors import UserError, unknown, validated
from regmix_bench.grid.settings import (
    GROUPS,
    DataSettings,
    Digests,
    make_scoring,
    read_settings,
)
from regmix_bench.grid.suite_files import BY_DEVICE, Grid, merged, params_of, read_grid
from regmix_bench.methods import METHODS
from regmix_bench.methods.configured import configured, mass_of_labels, method_spec, require_labels
from regmix_bench.methods.effects import require_effects
from regmix_bench.models import ARCHS
from regmix_bench.notation import format_value
from regmix_bench.records.schema import RunRecord, Tuned
from regmix_bench.registry import parse_name
from regmix_bench.specs import MethodSpec, Recipe, RunSpec
from regmix_bench.specs.components import parse_component
from regmix_bench.specs.threats import parse_threats
from regmix_bench.system.deferred import deferred
from regmix_bench.types import Epsilon, ThreatModel

if TYPE_CHECKING:
    from regmix_bench.system.machine import Device


@dataclass(frozen=True)
class PlannedRun:
    """A run, the label of the method that its suite compares the others with, and how it was tuned.

    ``tuned`` is None where no study chose its values.
    """

    spec: RunSpec
    reference: str
    tuned: Tuned | None = None

    @cached_property
    def run_id(self) -> str:
        """Identity of the specification, which computes it anew each time."""
        return self.spec.run_id

    def run(self, **options: Any) -> RunRecord:
        """Train, score and record it, as :func:`~regmix_bench.runs.runner.run_spec` does."""
        from regmix_bench.runs.runner import run_spec  # here, as it loads torch

        return run_spec(self.spec, reference=self.reference, tuned=self.tuned, **options)


def plan(
    grids: Sequence[Mapping[str, Any]],
    flags: Mapping[str, Any] = MappingProxyType({}),
    settings: Sequence[str] = (),
    canonical_name: Callable[[str], str] = lambda name: name,
    device: Device = "auto",
    digests: Digests = MappingProxyType({}),
) -> tuple[RunSpec, ...]:
    """Return the specifications of :func:`plan_runs`."""
    planned = plan_runs(grids, flags, settings, canonical_name, device, digests)
    return tuple(run.spec for run in planned)


def plan_runs(
    grids: Sequence[Mapping[str, Any]],
    flags: Mapping[str, Any] = MappingProxyType({}),
    settings: Sequence[str] = (),
    canonical_name: Callable[[str], str] = lambda name: name,
    device: Device = "auto",
    digests: Digests = MappingProxyType({}),
) -> tuple[PlannedRun, ...]:
    """Return the runs of all grids, each once, in the order of the axes.

    ``flags`` replace keys of the grids, ``recipe``, ``scoring`` and ``data`` key by key.
    ``settings`` are texts such as ``trades.beta=3`` or ``recipe.lr=0.05``. ``canonical_name`` turns
    a dataset as typed into the name by which it is recorded; ``device`` decides the precisions that
    neither grid nor flag names, or that are ``auto``; ``digests`` turn the value of ``recipe.init``
    and that of ``data.extra``, as typed, into what stands in a specification. Raises
    :class:`UserError` for anything that does not exist or does not fit.
    """
    canonical_name, precisions = cache(canonical_name), cache(partial(_precisions, device))
    said = read_settings(settings, (*GROUPS, *METHODS.names()))
    of_methods = {name: values for name, values in said.items() if name not in GROUPS}
    runs: dict[str, PlannedRun] = {}
    named: dict[str, None] = {}
    for written in grids:
        content = merged(written, flags, {group: said.get(group, {}) for group in GROUPS})
        params = params_of(written)
        content["params"] = {
            name: {**params.get(name, {}), **of_methods.get(name, {})}
            for name in (*params, *of_methods)
        }
        for group, key in BY_DEVICE:
            if content[group].get(key, "auto") == "auto":
                content[group][key] = precisions()[group, key]
        for (group, key), digest in digests.items():
            if isinstance(typed := content[group].get(key), str):
                content[group][key] = digest(typed)
        grid = read_grid(content)
        named |= dict.fromkeys(grid.params)
        reference = _reference(grid)
        for spec in _expand(grid, canonical_name):
            run = PlannedRun(spec, reference, _provenance(grid, spec))
            runs.setdefault(run.run_id, run)
    # Of any grid: what is shared, or set by a flag, need not concern all of them.
    used = {run.spec.method.name for run in runs.values()}
    for name in named:
        if name not in used:
            raise unknown("method in params", name, used)
    return tuple(_told_apart(runs.values()))


def _told_apart(runs: Collection[PlannedRun]) -> Iterator[PlannedRun]:
    """Yield ``runs``, of which data that are called alike have digits of their digest added."""
    called: dict[str, set[str]] = {}
    for run in runs:
        called.setdefault(run.spec.dataset_words, set()).add(run.spec.dataset)
    for run in runs:
        names = run.spec.data_names
        if names is not None and len(called[names.title]) > 1:
            update = {"data_names": names.told_apart(run.spec.dataset)}
            yield replace(run, spec=run.spec.model_copy(update=update))
        else:
            yield run


def _precisions(device: Device) -> dict[tuple[str, str], str]:
    # Here, as torch takes seconds to load, and suites may say their precisions.
    with deferred("torch"):
        from regmix_bench.system import machine
    found = (
        machine.default_precision(device),
        machine.default_validation_precision(device),
        machine.default_search_precision(device),
    )
    return dict(zip(BY_DEVICE, found, strict=True))


def _reference(grid: Grid) -> str:
    """Return the label of the reference; it need not be trained by the same grid."""
    return parse_method(grid.reference or grid.methods[0], grid.params).label


def _provenance(grid: Grid, spec: RunSpec) -> Tuned | None:
    """Return how its suite came to the values of ``spec``, if it is what they were tuned for."""
    if grid.tuned is None:
        return None
    tuned = validated(Tuned, grid.tuned, "tuned")
    return tuned if tuned.training_id == spec.training_id else None


def _expand(grid: Grid, canonical_name: Callable[[str], str]) -> Iterator[RunSpec]:
    methods = [parse_method(text, grid.params) for text in grid.methods]
    threats = [ThreatModel(grid.norm, Epsilon(epsilon)) for epsilon in grid.eps]
    scored = parse_threats(grid.threats or (), grid.norm)
    without = parse_threats(grid.pgd_eps, grid.norm)
    scoring, data = make_scoring(grid.scoring), validated(DataSettings, grid.data, "data")
    if data.name is not None and len(grid.datasets) > 1:
        raise UserError(f"data.name {data.name!r} is of one data set, and the grid has several")
    for typed, threat in itertools.product(grid.datasets, threats):
        dataset, of_dataset = dataset_component(canonical_name(typed))
        source = path_source(dataset) or DATASETS[dataset]
        names = data_names(dataset, data.name)
        recipe = validated(Recipe, {**source.recipe, **grid.recipe}, "recipe")
        chosen = grid.archs or (default_arch(dataset),)
        archs = [parse_component("arch", ARCHS, text) for text in chosen]
        recipes = [_fitting(recipe, method, threat, source) for method in methods]
        attacked = scored or (threat,)
        require_defined(scoring, attacked, attacked_data(dataset), (threat, *without))
        rows = zip(methods, recipes, strict=True)
        for (arch, of_arch), (method, of_method), seed in itertools.product(
            archs, rows, grid.seeds
        ):
            spec = RunSpec(
                method=method,
                dataset=dataset,
                train_examples=data.train_examples,
                labelled=data.labelled,
                extra=data.extra,
                eval_examples=data.eval_examples,
                arch=arch,
                train_threat=threat,
                eval_threats=attacked,
                pgd_threats=tuple(other for other in without if other not in attacked),
                evaluate=grid.evaluate,
                recipe=of_method,
                scoring=scoring,
                seed=seed,
                components=(
                    *filter(None, (of_dataset, of_arch)),
                    *attack_components(scoring.attacks),
                ),
                data_names=names,
            )
            require_labels(spec)
            yield spec


def parse_method(text: str, params: Mapping[str, Mapping[str, Any]]) -> MethodSpec:
    """Return ``trades`` or ``fgsm-pgi[lambda_=1,reset=10]`` over the ``params`` of the method."""
    name, inside = parse_name("method", text)
    return method_spec(name, {**params.get(name, {}), **inside})


def _fitting(
    recipe: Recipe, method: MethodSpec, threat: ThreatModel, source: type[DataSource]
) -> Recipe:
    """Return the recipe of ``method``, in which what its authors do anyway is "method".

    Raises :class:`UserError` for what the method cannot be trained with.
    """
    cls, changes = METHODS[method.name], dict[str, object]()
    if cls.norms is not None and threat.norm not in cls.norms:
        raise UserError(
            f"method {method.name!r} is defined for {', '.join(cls.norms)}, not for {threat.norm}"
        )
    if recipe.ema_decay == "none" and not cls.averages_weights:
        changes["ema_decay"] = "method"
    if recipe.true_class_mass == cls.default_true_class_mass:
        changes["true_class_mass"] = "method"
    fitting = recipe.model_copy(update=changes)
    refused = dict(cls.refuses)
    if not cls.smoothed:
        refused.setdefault("true_class_mass", "it takes no smoothed labels")
    for field, why in refused.items():
        value = getattr(fitting, field)
        if value != Recipe.model_fields[field].default:
            words = f"recipe.{field} = {format_value(value)}"
            raise UserError(f"{words}: {method.name} cannot be trained so, {why}")
    require_effects(method.name, configured(method), fitting, threat.norm)
    classes = source.num_classes or len(source.classes)
    if classes:
        mass_of_labels(cls, fitting, classes)
    return fitting
