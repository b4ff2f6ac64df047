"""The labels that a training saw, and its use of images without one."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from regmix_bench.registry import FILE_NAME
from regmix_bench.specs.recipe import Recipe, UnlabelledUse
from regmix_bench.specs.tricks import without_tricks
from regmix_bench.types import Frozen

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?) ?%")


def _number_or_share(value: object) -> object:
    if isinstance(value, str) and (percent := _PERCENT.fullmatch(value.strip())):
        value = float(Fraction(percent[1]) / 100)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int) and 1 <= value < 2**63:
        return value
    if isinstance(value, float) and 0 < value <= 1:
        return value
    raise ValueError("input should be a number of images, or a share such as 0.1 or 10%")


#: The training images that keep their label: a number of them, or a share above 0 and at most 1.
Labelled = Annotated[
    int | float | None,
    BeforeValidator(_number_or_share),
    WithJsonSchema({"type": ["integer", "number", "string", "null"]}),
]


class Supervision(Frozen):
    """The labelled images of a training, and its use of others.

    ``labelled`` are the training images that kept their label, all of them where it is None, and
    ``extra`` are images without labels, named as the cache has them.
    """

    labelled: Labelled = None
    unlabelled: UnlabelledUse = "none"
    extra: str | None = Field(None, pattern=FILE_NAME)

    def __str__(self) -> str:
        """Return such as ``all labels`` or ``10% of labels + RST``."""
        if self.labelled is None:
            words = "all labels"
        elif isinstance(self.labelled, int):
            words = f"{self.labelled:,} labels"
        else:
            words = f"{100 * self.labelled:.12g}% of labels"
        if self.unlabelled == "none":
            return words
        use = {"rst": "RST", "consistency": "consistency"}[self.unlabelled]
        return f"{words} + {use}" + ("" if self.extra is None else f" on {self.extra}")

    @property
    def suffix(self) -> str:
        """Words after a data set's name or a row's label, or nothing where all labels are seen."""
        return f" ({self})" if self != FULL else ""


#: Of a training that sees the label of every image.
FULL = Supervision()


@cache
def shared_recipe(recipe: Recipe) -> Recipe:
    """Return what of a recipe rows share that may differ in their tricks and labels."""
    return without_tricks(recipe).model_copy(update={"unlabelled": FULL.unlabelled})
