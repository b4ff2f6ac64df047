"""Methods with their parameters: from a plan into a record, and from a record back.

A parameter that came later and has the value older runs in effect had is not written down, by the
rule of :mod:`regmix_bench.specs.identity`. So a record can be read where its method is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from regmix_bench.errors import UserError, validated
from regmix_bench.methods import METHODS, declared
from regmix_bench.notation import format_value
from regmix_bench.registry import format_name
from regmix_bench.specs import EvalSpec, MethodSpec, Recipe, RunSpec
from regmix_bench.specs.identity import completed, written

if TYPE_CHECKING:
    from regmix_bench.methods.protocol import Method

S = TypeVar("S", RunSpec, EvalSpec, RunSpec | EvalSpec)


def method_spec(name: str, params: Mapping[str, Any]) -> MethodSpec:
    """Return the specification of the method ``name`` with ``params``, the others by default.

    Raises :class:`UserError` for an unknown name or key and for a refused value.
    """
    method = METHODS[name]
    if "true_class_mass" in params and "true_class_mass" not in method.Config.model_fields:
        raise UserError(f"{name}.true_class_mass is recipe.true_class_mass now, of all methods")
    config = validated(method.Config, params, name)
    label = _label(name, method.Config, config.model_dump(mode="json"))
    file = METHODS.files.get(name)
    return MethodSpec(
        name=name,
        version=method.version,
        params=written(config),
        label=label,
        code=file and file.code,
        source_file=file and file.place,
    )


def require_code(spec: MethodSpec) -> None:
    """Make known a method of a file in this process, which may not have planned it.

    Raises :class:`UserError` where that file is not here or has changed, and where nothing says
    which file it is.
    """
    known = METHODS.files.get(spec.name)
    if (known and known.code) == spec.code:
        return
    if spec.source_file is None:
        raise UserError(
            f"method {spec.name!r} is of a file with SHA-256 {spec.code}…: --methods FILE.py:CLASS"
            if spec.code
            else f"method {spec.name!r} of this run is not that of {METHODS.origin(spec.name)}"
        )
    METHODS.canonical(spec.source_file)
    if METHODS.files[spec.name].code != spec.code:
        raise UserError(f"{spec.source_file} has changed since the run was planned")


def configured(method: MethodSpec) -> BaseModel:
    """Return the configuration of a specification, of the class that is installed here.

    Raises :class:`UserError` for a name, a key or a value that is not of the method.
    """
    config: BaseModel = validated(METHODS[method.name].Config, all_params(method), method.name)
    return config


def all_params(method: MethodSpec) -> dict[str, Any]:
    """Return every parameter, by name: those written down, and the later ones of older runs.

    Where the method is not installed here, the former alone.
    """
    config = _config(method.name)
    if config is None:
        return dict(method.params)
    values: dict[str, Any] = to_jsonable_python(completed(config, method.params))
    known = {key: values[key] for key in config.model_fields if key in values}
    return known | values


def make_method(spec: MethodSpec) -> Method:
    """Return the method of a specification, to train with.

    Raises :class:`UserError` for a name, a key or a value that is not of the method installed here.
    """
    return METHODS[spec.name](configured(spec))


def tell_recipe(
    method: Method,
    recipe: Recipe,
    num_classes: int,
    seed: int = 0,
    visits_vary: bool = False,
) -> None:
    """Tell ``method`` what its ``setup`` may ask of a run: the recipe, the classes, the seed.

    ``visits_vary`` is that of the protocol. Raises :class:`UserError` where the true class would
    get less of a label than the others.
    """
    method.true_class_mass = mass_of_labels(type(method), recipe, num_classes)
    method.keeps_average = recipe.ema_decay == "method"
    method.compact_state = recipe.precision == "bf16"
    method.run_seed, method.num_classes = seed, num_classes
    method.visits_vary = visits_vary
    method.epochs, method.batch_size = recipe.epochs, recipe.batch_size


def mass_of_labels(method: type[Method], recipe: Recipe, num_classes: int) -> float:
    """Return the share that labels give the true class, the authors' unless the recipe has one.

    Raises :class:`UserError` where that is less than what each of the others would get.
    """
    share, said = recipe.true_class_mass, ""
    if share == "method":
        share, said = method.default_true_class_mass, f"method, for {method.name} "
    if share < 1 / num_classes:
        raise UserError(
            f"recipe.true_class_mass = {said}{format_value(share)}: among {num_classes} classes the"
            f" true one would get less than the others; 1/{num_classes} is the least"
        )
    return share


def require_labels(spec: RunSpec) -> None:
    """Raise :class:`UserError` where a run's images without labels are of no use to it."""
    use, method = spec.recipe.unlabelled, METHODS[spec.method.name]
    words = f"recipe.unlabelled = {use}"
    if spec.extra is not None and use == "none":
        raise UserError(f"data.extra has no effect where {words}: set it to rst or consistency")
    if use != "none" and spec.labelled is None and spec.extra is None:
        raise UserError(
            f"{words} has no effect where every image has its label: set data.labelled or"
            " data.extra"
        )
    if use == "consistency" and not method.takes_unlabelled:
        raise UserError(
            f"{words}: {spec.method.name} cannot be trained so, its steps need a label of every"
            " image; rst gives them one"
        )


def relabelled(spec: S) -> S:
    """Return a recorded specification with the label that its parameters have today.

    The label of a record tells what differed from the defaults when it was written. It stays where
    the method is not installed, or has other parameters by now, and where nothing was trained.
    """
    if not isinstance(spec, RunSpec):
        return spec
    method, config = spec.method, _config(spec.method.name)
    values = all_params(method)
    if config is None or values.keys() != config.model_fields.keys():
        return spec
    label = _label(method.name, config, values)
    if label == method.label:
        return spec
    update = {"label": label, "recorded_label": method.recorded_label or method.label}
    return spec.model_copy(update={"method": method.model_copy(update=update)})


def _config(name: str) -> type[BaseModel] | None:
    method = declared(name)
    return method.Config if method else None


def _label(name: str, config: type[BaseModel], values: Mapping[str, Any]) -> str:
    """Return the name and, in brackets, whatever differs from the defaults of today."""
    defaults = _defaults(config)
    changed = {key: values[key] for key in defaults if values[key] != defaults[key]}
    return format_name(name, changed)


@cache
def _defaults(config: type[BaseModel]) -> Mapping[str, Any]:
    fields = config.model_fields.items()
    values: dict[str, Any] = to_jsonable_python(
        {name: field.get_default(call_default_factory=True) for name, field in fields}
    )
    return values
