"""The identity of a run: what its run_id hashes, and how a specification may grow.

Version 1 hashes every field of :data:`VERSION_1`, defaults and all. A field that came later is left
out of the hash where it has the value that older runs in effect had, so no recorded run changes its
name; a record that lacks it is read as having that value. A field that has gone from the interface
still counts, as :data:`FORMER` says, one that has moved counts where it was
(:data:`MASS_AMONG_PARAMS`), and a value that is written otherwise as it was (:data:`RENAMED`).
Nothing of the machine, and no file's name, is hashed.

**To add a field** to a class of this package, to ``ThreatModel`` or to a method's ``Config``:

1. Declare it with today's default and, by :class:`~regmix_bench.types.Later`, the value that older
   runs in effect had: ``clip_start: Annotated[bool, Later(True)] = False``.
2. Use it.
3. Give it a word in ``analysis.words`` if it stands in ``Recipe`` or ``Scoring``.

The two values may differ: then today's default gives new run_ids, and the older value the old ones.
Where ``Later`` is forgotten in a class of :data:`VERSION_1`, older runs are taken to have had the
default, so that they stay readable. In the ``Config`` of a stranger's method, of which no table
tells what came first, it must be written. What a field once said in ``Later`` never changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from regmix_bench.types import Epsilon, Later, ThreatModel

#: Raise it when the meaning of a specification changes, so that old run_ids no longer match.
IDENTITY_VERSION = 1

_MULTI_STEP = ("steps", "step_ratio", "attack_bn")
_REGMIX = ("alpha", "beta", "gamma")

#: The fields that identity version 1 hashes whatever their values. Frozen: nothing joins or leaves.
VERSION_1: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "ThreatModel": frozenset({"norm", "epsilon"}),
        "Recipe": frozenset(
            {
                *("epochs", "batch_size", "lr", "momentum", "nesterov", "weight_decay"),
                *("schedule", "milestones", "gamma", "augmentation", "gradient_clip"),
                *("ema_decay", "precision"),
            }
        ),
        "Scoring": frozenset({"autoattack_version", "autoattack_seed", "autoattack_batch_size"}),
        "MethodSpec": frozenset({"name", "version", "params"}),
        "ModelSource": frozenset({"kind", "name", "sha256"}),
        "Component": frozenset({"kind", "name", "version", "params"}),
        "RunSpec": frozenset(
            {
                *("method", "dataset", "train_examples", "eval_examples", "arch", "train_threat"),
                *("eval_threats", "evaluate", "recipe", "scoring", "seed"),
            }
        ),
        "EvalSpec": frozenset(
            {"model", "dataset", "eval_examples", "arch", "eval_threats", "scoring"}
        ),
        # Of the methods that were recorded first.
        "PGDAT.Config": frozenset(_MULTI_STEP),
        "TRADES.Config": frozenset({*_MULTI_STEP, "beta"}),
        "MART.Config": frozenset({*_MULTI_STEP, "beta"}),
        "FGSMRS.Config": frozenset({"step_ratio"}),
        "FGSMPGI.Config": frozenset({"reset", "lambda_"}),
        "FGSMPGK.Config": frozenset({"reset", "lambda_", "ema_decay", "ratio_threshold"}),
        "RegMix.Config": frozenset({"reset", *_REGMIX}),
        "RegMixAMR.Config": frozenset({"reset", *_REGMIX}),
        "RegMixAGR.Config": frozenset({"reset", *_REGMIX}),
        "RegMixPGD.Config": frozenset({*_MULTI_STEP, *_REGMIX}),
    }
)

#: Fields of version 1 that have left the interface, each with the only value it ever had.
FORMER: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {"Scoring": {"pgd_steps": 20}, "RunSpec": {"selection": "val-pgd10"}}
)

#: Values of fields of version 1 that are written otherwise now: today's, and the hashed one.
RENAMED: Mapping[str, Mapping[str, tuple[object, object]]] = MappingProxyType(
    {"Recipe": {"ema_decay": ("method", None)}}
)

#: Methods of version 1 among whose parameters ``true_class_mass`` was, which is the recipe's now,
#: with the authors' value. It is hashed where it was, whatever its value, and nowhere else.
MASS_AMONG_PARAMS: Mapping[str, float] = MappingProxyType(
    {
        **dict.fromkeys(("standard", "pgd-at", "trades", "fgsm-rs", "regmix-pgd"), 1.0),
        **dict.fromkeys(("fgsm-pgi", "regmix", "regmix-amr", "regmix-agr"), 0.6),
        "fgsm-pgk": 0.5,
    }
)
_MASS = "true_class_mass"

# They name a row, data or a file, and follow from the rest or are a user's choice.
_LABELS = ("label", "recorded_label", "data_names", "source_file")


@cache
def later_fields(cls: Any) -> Mapping[str, object]:
    """Return the fields of ``cls`` that came later, with the values older runs in effect had.

    ``cls`` is a pydantic class; one that is not in :data:`VERSION_1` has those it marks by
    ``Later``.
    """
    ours = cls.__module__.partition(".")[0] in ("regmix_bench", "regmix_baselines")
    first = VERSION_1.get(cls.__qualname__) if ours else None
    older: dict[str, object] = {}
    for name, field in _fields(cls).items():
        marks = [mark.older for mark in field.metadata if isinstance(mark, Later)]
        if marks:
            older[name] = marks[-1]
        elif first is not None and name not in first and name not in _LABELS:
            older[name] = field.get_default(call_default_factory=True)
    return MappingProxyType(older)


def hashed(part: object) -> Any:
    """Return the JSON of a specification or a part of it as its identity has it.

    Budgets stand in lowest terms, labels nowhere, and later fields where they have another value
    than older runs had.
    """
    if part is None or isinstance(part, (str, int, float)):
        return part
    if isinstance(part, Epsilon):
        return "{}/{}".format(*part.as_integer_ratio())
    if isinstance(part, (BaseModel, ThreatModel)):
        cls: Any = type(part)
        former, counted, renamed = _counted(cls)
        content = dict(former)
        for name, older in counted:
            if (value := getattr(part, name)) != older:
                content[name] = hashed(value)
        for name, (today, before) in renamed.items():
            if content[name] == today:
                content[name] = before
        return _with_mass_among_params(content) if cls.__name__ == "RunSpec" else content
    if isinstance(part, Mapping):
        return {key: hashed(value) for key, value in part.items()}
    if isinstance(part, (tuple, list)):
        return [hashed(value) for value in part]
    return part


def written(config: BaseModel) -> dict[str, Any]:
    """Return the JSON of a method's or a component's configuration as a specification holds it.

    Later fields with the value that older runs had are left out here already: a record has to be
    read, and its identity known, also where the class of ``config`` is not installed.
    """
    older = later_fields(type(config))
    return {
        name: value
        for name, value in config.model_dump(mode="json").items()
        if getattr(config, name) != older.get(name, _NONE)
    }


def digest(content: Mapping[str, Any]) -> str:
    """Return twelve hex digits of the SHA-256 of the canonical JSON of ``content``."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def completed(kind: Any, content: Any) -> Any:
    """Return recorded JSON as today's class ``kind`` takes it; the counterpart of :func:`hashed`.

    Later fields that it lacks get the value older runs in effect had, and former fields with their
    only value go. ``kind`` may be any annotation of a field. What is not of its form is left to
    validation to refuse.
    """
    if _fields(kind):
        if not isinstance(content, Mapping):
            return content
        former = FORMER.get(kind.__name__, {})
        kept = {key: value for key, value in content.items() if former.get(key, _NONE) != value}
        for name, annotation in _growing(kind):
            if name in kept:
                kept[name] = completed(annotation, kept[name])
        for name, (today, before) in RENAMED.get(kind.__name__, {}).items():
            if kept.get(name, _NONE) == before:
                kept[name] = today
        content = {**later_fields(kind), **kept}
        return _with_mass_in_recipe(content) if kind.__name__ == "RunSpec" else content
    if not (parts := [part for part in get_args(kind) if _grows(part)]):
        return content
    if isinstance(content, (list, tuple)):
        return [completed(parts[0], item) for item in content]
    if isinstance(content, Mapping):
        if get_origin(kind) is dict:
            return {key: completed(parts[0], value) for key, value in content.items()}
        return completed(next((part for part in parts if _fits(part, content)), parts[0]), content)
    return content


def _with_mass_among_params(spec: dict[str, Any]) -> dict[str, Any]:
    """Move ``true_class_mass`` in what is hashed of a run from the recipe to the parameters."""
    method, recipe = spec["method"], spec["recipe"]
    if (authors := MASS_AMONG_PARAMS.get(method["name"])) is None:
        return spec
    recipe = dict(recipe)
    params = {**method["params"], _MASS: recipe.pop(_MASS, authors)}
    return {**spec, "method": {**method, "params": params}, "recipe": recipe}


def _with_mass_in_recipe(spec: dict[str, Any]) -> dict[str, Any]:
    """Move ``true_class_mass`` in a recorded run from the parameters to the recipe."""
    method, recipe = spec.get("method"), spec.get("recipe")
    if not isinstance(method, Mapping) or not isinstance(recipe, Mapping):
        return spec
    params, authors = method.get("params"), MASS_AMONG_PARAMS.get(str(method.get("name")))
    if authors is None or not isinstance(params, Mapping) or _MASS not in params:
        return spec
    params = dict(params)
    mass = params.pop(_MASS)
    recipe = {**recipe, _MASS: "method" if mass == authors else mass}
    return {**spec, "method": {**method, "params": params}, "recipe": recipe}


@cache
def _counted(
    cls: Any,
) -> tuple[
    Mapping[str, object],
    tuple[tuple[str, object], ...],
    Mapping[str, tuple[object, object]],
]:
    """Return the former fields of ``cls``, the others, and those with a renamed value.

    With each of the others goes the value at which it is left out; a field of version 1 has none.
    """
    older = later_fields(cls)
    names = [name for name in _fields(cls) if name not in _LABELS]
    counted = tuple((name, older.get(name, _NONE)) for name in names)
    return FORMER.get(cls.__name__, {}), counted, RENAMED.get(cls.__name__, {})


@cache
def _growing(cls: Any) -> tuple[tuple[str, Any], ...]:
    """Return the fields of ``cls`` in which something may have to be completed: not a history."""
    annotations = ((name, field.annotation) for name, field in _fields(cls).items())
    return tuple((name, annotation) for name, annotation in annotations if _grows(annotation))


def _grows(kind: Any) -> bool:
    if not _fields(kind):
        return any(map(_grows, get_args(kind)))
    return bool(later_fields(kind) or FORMER.get(kind.__name__) or _growing(kind))


def _fits(kind: Any, content: Mapping[str, Any]) -> bool:
    """Return whether ``content`` may be of ``kind``, one of a union."""
    if not (fields := _fields(kind)):
        return any(_fits(part, content) for part in get_args(kind))
    return content.keys() <= fields.keys() | FORMER.get(kind.__name__, {}).keys()


def _fields(kind: Any) -> Mapping[str, Any]:
    """Return the fields of a pydantic class, and nothing of any other annotation."""
    fields: Mapping[str, Any] = getattr(kind, "__pydantic_fields__", {})
    return fields


_NONE = object()
