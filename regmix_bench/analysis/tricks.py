"""Tricks as an axis of comparisons.

They move robust accuracy by as much as methods do, so a comparison joins only rows that had the
same ones, whether by its recipe or by its method.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from regmix_bench.errors import unknown
from regmix_bench.specs import Recipe

#: What rows of one comparison may differ in, where that is asked for.
Axis = Literal["tricks"]
AXES: tuple[Axis, ...] = ("tricks",)

#: The fields of a recipe that are tricks.
FIELDS = (
    *("true_class_mass", "ema_decay", "ema_start", "ema_buffers"),
    *("awp_gamma", "awp_warmup", "gradient_clip"),
)


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
