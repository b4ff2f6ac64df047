"""The tricks of a training as they took effect, whoever asked for them.

They move robust accuracy by as much as methods do, so a comparison joins only rows that had the
same ones, whether by its recipe or by its method.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from regmix_bench.errors import unknown
from regmix_bench.methods import declared
from regmix_bench.methods.declarations import true_class_mass
from regmix_bench.records.schema import RunRecord
from regmix_bench.specs import Recipe, RunSpec
from regmix_bench.specs.tricks import Tricks

#: What rows of one comparison may differ in, where that is asked for.
Axis = Literal["tricks"]
AXES: tuple[Axis, ...] = ("tricks",)

#: The fields of a recipe that are tricks.
FIELDS = (
    *("true_class_mass", "ema_decay", "ema_start", "ema_buffers"),
    *("awp_gamma", "awp_warmup", "gradient_clip"),
)


def tricks_of(spec: RunSpec) -> Tricks:
    """Return the tricks that took effect in a training of ``spec``.

    Of a method that is not installed here only what its specification says is known.
    """
    recipe, method = spec.recipe, declared(spec.method.name)
    average: float | str | None = None
    if isinstance(recipe.ema_decay, float):
        average = recipe.ema_decay
    elif recipe.ema_decay == "method" and method is not None and method.averages_weights:
        average = spec.method.name
    return Tricks(
        true_class_mass=true_class_mass(spec),
        average=average,
        average_start=recipe.ema_start,
        average_buffers=recipe.ema_buffers,
        awp_gamma=recipe.awp_gamma,
        awp_warmup=recipe.awp_warmup,
        gradient_clip=recipe.gradient_clip,
    )


def trained_with(record: RunRecord) -> Tricks:
    """Return the tricks of a recorded training, also of a method that is not installed here."""
    return record.tricks or tricks_of(record.spec)


@cache
def without_tricks(recipe: Recipe) -> Recipe:
    """Return the rest of a recipe: its tricks as they are where nobody sets them."""
    plain = {name: Recipe.model_fields[name].default for name in FIELDS}
    return recipe.model_copy(update=plain)


def crossed(names: list[str] | None) -> tuple[Axis, ...]:
    """Return the axes called ``names``; raises :class:`UserError` for one that there is not."""
    for name in names or ():
        if name not in AXES:
            raise unknown("--across", name, AXES)
    return tuple(axis for axis in AXES if axis in (names or ()))
