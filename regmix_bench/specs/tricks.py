"""Tricks of a training: what any method may be given besides what defines it."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

from pydantic import Field

from regmix_bench.registry import FILE_NAME
from regmix_bench.specs.recipe import Recipe
from regmix_bench.types import LARGEST, Frozen

_Decay = Annotated[float, Field(gt=0, lt=1)]
_MethodName = Annotated[str, Field(pattern=FILE_NAME)]


class Tricks(Frozen):
    """The tricks that a model was trained with, as they took effect.

    ``average`` is the decay of an average of weights, or the name of the method that has a rule of
    its own for one; it begins with the epoch ``average_start``. The others are as in the recipe.
    """

    true_class_mass: float = Field(1.0, gt=0, le=1)
    average: _Decay | _MethodName | None = None
    average_start: int = Field(1, ge=1, lt=2**31)
    average_buffers: Literal["averaged", "live"] = "averaged"
    awp_gamma: float | None = Field(None, gt=0, le=LARGEST)
    awp_warmup: int = Field(0, ge=0, lt=2**31)
    gradient_clip: float | None = Field(None, gt=0, le=LARGEST)

    def __str__(self) -> str:
        """Return ``mass 0.6, EMA 0.98``, or ``none``."""
        return ", ".join(self._words()) or "none"

    @property
    def suffix(self) -> str:
        """Words after a method's label, such as `` + mass 0.6 + EMA 0.98``, or nothing."""
        return "".join(f" + {words}" for words in self._words())

    @property
    def of_raw_weights(self) -> Tricks:
        """The tricks of the raw weights beside an average, which does not move them."""
        names = ("average", "average_start", "average_buffers")
        return self.model_copy(update={name: getattr(NONE, name) for name in names})

    def fits(self, recipe: Recipe) -> bool:
        """Return whether ``recipe`` can have had this effect, "method" being any method's."""
        mass, decay = recipe.true_class_mass, recipe.ema_decay
        own = None if isinstance(self.average, float) else self.average
        said = self.model_copy(
            update={
                "true_class_mass": self.true_class_mass if mass == "method" else mass,
                "average": {"method": own, "none": None}.get(str(decay), decay),
                "average_start": recipe.ema_start,
                "average_buffers": recipe.ema_buffers,
                "awp_gamma": recipe.awp_gamma,
                "awp_warmup": recipe.awp_warmup,
                "gradient_clip": recipe.gradient_clip,
            }
        )
        return said == self

    def _words(self) -> list[str]:
        words = []
        if self.true_class_mass != 1:
            words.append(f"mass {_number(self.true_class_mass)}")
        if isinstance(self.average, str):
            words.append("own EMA")
        elif self.average is not None:
            start = f" from epoch {self.average_start}" if self.average_start > 1 else ""
            live = " of weights alone" if self.average_buffers == "live" else ""
            words.append(f"EMA {_number(self.average)}{start}{live}")
        if self.awp_gamma is not None:
            start = f" after {self.awp_warmup}" if self.awp_warmup else ""
            words.append(f"AWP {_number(self.awp_gamma)}{start}")
        if self.gradient_clip is not None:
            words.append(f"clip {_number(self.gradient_clip)}")
        return words


#: Of a training as plain as can be.
NONE = Tricks()

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


def _number(value: float) -> str:
    return f"{value:.12g}"
