"""Parameters of methods that another setting leaves without effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from regmix_bench.errors import UserError
from regmix_bench.notation import format_value
from regmix_bench.specs import Recipe


@dataclass(frozen=True)
class Idle:
    """Mark a parameter that has no effect in some settings, where it is left at its default.

    ``where`` is asked of the method's configuration, the recipe and the norm, and ``why`` is the
    same in words: ``decay: Annotated[float, Idle("lambda_ is 0", lambda c, *_: c.lambda_ == 0)]``.
    Else two runs that are the same would have two run_ids.
    """

    why: str
    where: Callable[[Any, Recipe, str], bool]


def idle_params(config: BaseModel, recipe: Recipe, norm: str) -> Iterator[tuple[str, str]]:
    """Yield what in ``config`` is not at its default and has no effect, each with why."""
    for name, field in type(config).model_fields.items():
        if getattr(config, name) == field.get_default(call_default_factory=True):
            continue
        for mark in field.metadata:
            if isinstance(mark, Idle) and mark.where(config, recipe, norm):
                yield name, mark.why
                break


def require_effects(method: str, config: BaseModel, recipe: Recipe, norm: str) -> None:
    """Raise :class:`UserError` for the first of :func:`idle_params`."""
    for name, why in idle_params(config, recipe, norm):
        value = format_value(config.model_dump(mode="json")[name])
        raise UserError(f"{method}.{name} = {value} has no effect where {why}: leave it out")
