"""Tricks of a training: what any method may be given besides what defines it.

They move robust accuracy by as much as methods do, so a comparison joins only rows that had the
same ones, whether a recipe asked for them or a method's authors did.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from regmix_bench.errors import unknown
from regmix_bench.methods import declared
from regmix_bench.methods.declarations import true_class_mass
from regmix_bench.specs import Recipe, RunSpec
from regmix_bench.types import Frozen

#: What rows of one comparison may differ in, where that is asked for.
Axis = Literal["tricks"]
AXES: tuple[Axis, ...] = ("tricks",)

#: The fields of a recipe that are tricks.
FIELDS = ("gradient_clip", "true_class_mass", "ema_decay")


class Tricks(Frozen):
    """The tricks that a model was trained with, as they took effect.

    ``average`` is the decay of an average of weights, or the name of the method that has a rule of
    its own for one. Where there is none, nothing is said of how it would have been taken.
    """

    true_class_mass: float = 1.0
    average: float | str | None = None
    gradient_clip: float | None = None

    def __str__(self) -> str:
        """Return ``mass 0.6, EMA 0.98``, or ``none``."""
        return ", ".join(self._words()) or "none"

    @property
    def suffix(self) -> str:
        """What tells a row from another of its method: `` + mass 0.6 + EMA 0.98``, or nothing."""
        return "".join(f" + {words}" for words in self._words())

    def _words(self) -> list[str]:
        words = []
        if self.true_class_mass != 1:
            words.append(f"mass {_number(self.true_class_mass)}")
        if isinstance(self.average, str):
            words.append("own EMA")
        elif self.average is not None:
            words.append(f"EMA {_number(self.average)}")
        if self.gradient_clip is not None:
            words.append(f"clip {_number(self.gradient_clip)}")
        return words


#: Of a training as plain as can be.
NONE = Tricks()


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
        gradient_clip=recipe.gradient_clip,
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


def _number(value: float) -> str:
    return f"{value:.12g}"
