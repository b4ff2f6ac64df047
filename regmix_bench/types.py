"""The types that every part speaks: threat model, batch, and what specifies a run.

Nothing here imports torch at run time, so that planning, listing and reporting start at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
)
from pydantic import dataclasses as pydantic_dataclasses

from regmix_bench.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import Tensor

Norm = Literal["Linf", "L2"]
#: Of a training its best epoch on the validation part and its last one; else the model given.
Checkpoint = Literal["selected", "last", "given"]

#: What may stand as one component of a path.
FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


# Bounded, because Fraction would spend hours on "1e-999999999".
_EPSILON = re.compile(
    r"-?([0-9]{1,9}/[0-9]{1,9}|([0-9]{1,9}\.?|[0-9]{0,9}\.[0-9]{1,30})(e[+-]?[0-9]{1,2})?)"
)


class Epsilon(Fraction):
    """A perturbation budget: an exact fraction that prints as it was typed.

    ``Epsilon("12/255")`` equals ``Epsilon("4/85")`` and still prints ``12/255``.
    A float is read by its shortest decimal form, so that 0.031 is 31/1000 and not 8/255.
    """

    __slots__ = ("text",)
    text: str

    def __new__(cls, value: str | float | Fraction) -> Self:
        """Parse ``value``; raises :class:`UserError` unless it is a finite number above zero."""
        text = str(value).strip()
        if not _EPSILON.fullmatch(text) or re.fullmatch(r".*/0+", text):
            raise UserError(f"epsilon {text!r} is not a number: write it like 8/255 or 0.031")
        parsed = Fraction(text)
        if parsed <= 0:
            raise UserError(f"epsilon {text!r} is not above zero: write it like 8/255")
        self = super().__new__(cls, parsed)
        self.text = text
        return self

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Epsilon({self.text!r})"

    # Fraction would rebuild a copy from numerator and denominator and lose the text.
    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Mapping[int, object]) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self.text,)

    @property
    def slug(self) -> str:
        """The text as it stands in file names: ``8/255`` becomes ``8-255``."""
        return self.text.replace("/", "-")


def _as_epsilon(value: object) -> Epsilon:
    if isinstance(value, Epsilon):
        return value
    if isinstance(value, (str, float, int, Fraction)) and not isinstance(value, bool):
        return Epsilon(value)
    raise UserError(f"epsilon {value!r} is not a number: write it like 8/255 or 0.031")


def _as_norm(value: object) -> object:
    if value not in get_args(Norm):
        raise unknown("norm", value, get_args(Norm))
    return value


@pydantic_dataclasses.dataclass(frozen=True, config=ConfigDict(arbitrary_types_allowed=True))
class ThreatModel:
    """What an attacker may do: move an image by at most ``epsilon`` in ``norm``, inside ``bounds``.

    ``epsilon`` is in [0, 1] pixel units, above zero, and at most 1 for L∞. It is given as text,
    Fraction or float. Raises :class:`UserError` for any other budget.
    """

    norm: Annotated[Norm, BeforeValidator(_as_norm)]
    epsilon: Annotated[Epsilon, BeforeValidator(_as_epsilon), PlainSerializer(str)]
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.norm == "Linf" and self.epsilon > 1:
            raise UserError(
                f"epsilon {self.epsilon} is above 1, the whole range of a pixel:"
                " write it like 8/255"
            )

    def __str__(self) -> str:
        return f"{self.norm} {self.epsilon}"


@dataclass(frozen=True, slots=True)
class Batch:
    """Training images on the device.

    ``x`` (B, C, H, W) float in [0, 1]; ``y`` (B,) int64; ``index`` (B,) int64, the position of each
    image in the training set, for methods that keep state per image. Where several processes share
    a batch, these are its images in this one, of ``total`` in all.
    """

    x: Tensor
    y: Tensor
    index: Tensor
    total: int | None = None


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What a method's step returns.

    ``loss`` is a scalar to differentiate; ``x_adv`` (B, C, H, W), detached, are the images trained
    on; ``metrics`` are detached scalars, averaged over the epoch into its history.
    """

    loss: Tensor
    x_adv: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)


class Frozen(BaseModel):
    """Base of everything that is written down: immutable, and unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
