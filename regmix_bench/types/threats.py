"""The threat model: what an attacker may do to an image, and the budget of it, exactly.

``ThreatModel("Linf", "8/255")`` is the one of most papers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, ClassVar, Self, TypeAlias

from pydantic import BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic import dataclasses as pydantic_dataclasses

from regmix_bench.errors import UserError, abridged
from regmix_bench.types.norms import NORMS, NormName
from regmix_bench.types.written import Refusing

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
            raise UserError(
                f"epsilon {abridged(text)} is not a number: write it like 8/255 or 0.031"
            )
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
    def decimal(self) -> str | None:
        """The number with at most nine decimal places, or None where it is none: ``0.5``."""
        return decimal(self)

    @property
    def slug(self) -> str:
        """The number as it stands in file names, however it was typed: ``8-255`` or ``0.5``."""
        whole, parts = self.as_integer_ratio()
        in_pixels = f"{255 // parts * whole}-255" if 255 % parts == 0 else f"{whole}-{parts}"
        return self.decimal or in_pixels


def decimal(number: Fraction) -> str | None:
    """Return a number with at most nine decimal places, or None where it has more: ``0.5``."""
    whole, parts = number.as_integer_ratio()
    return f"{Decimal(whole) / parts:f}" if 10**9 % parts == 0 else None


def _as_epsilon(value: object) -> Epsilon:
    if isinstance(value, Epsilon):
        return value
    if isinstance(value, str):
        return _read_epsilon(value)
    if isinstance(value, (float, int, Fraction)) and not isinstance(value, bool):
        return Epsilon(value)
    raise UserError(f"epsilon {abridged(value)} is not a number: write it like 8/255 or 0.031")


#: Thousands of records hold the same few.
_read_epsilon = lru_cache(maxsize=1024)(Epsilon)


@pydantic_dataclasses.dataclass(
    frozen=True, config=ConfigDict(arbitrary_types_allowed=True, extra="forbid")
)
class ThreatModel(metaclass=Refusing):
    """An attacker's power: to move an image by at most ``epsilon`` in ``norm``, inside ``bounds``.

    ``norm`` is a name of :data:`NORMS`. ``epsilon`` is in the units of pixels from 0 to 1, above
    zero, and at most 1 for L∞; it is given as text, Fraction or float. Raises :class:`UserError`
    for any other norm or budget.
    """

    norm: NormName
    epsilon: Annotated[
        Epsilon,
        BeforeValidator(_as_epsilon),
        PlainSerializer(str),
        WithJsonSchema({"type": "string", "description": "As it was typed, such as 8/255."}),
    ]
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        norm = NORMS[self.norm]
        if norm.largest is not None and self.epsilon > norm.largest:
            raise UserError(
                f"epsilon {self.epsilon} is above {norm.largest}, the whole range of a pixel:"
                f" write it like {norm.budget}"
            )

    def __str__(self) -> str:
        return f"{self.norm} {self.epsilon}"

    @property
    def slug(self) -> str:
        """The threat as it stands in file names: ``Linf-8-255``."""
        return f"{self.norm}-{self.epsilon.slug}"


@pydantic_dataclasses.dataclass(frozen=True, eq=False)
class ThreatUnion:
    """Several threats at once: an image has to hold under every one of ``threats``.

    They keep the order in which they were typed, and are equal to the same ones in another.
    """

    threats: tuple[ThreatModel, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ThreatUnion) and {*self.threats} == {*other.threats}

    def __hash__(self) -> int:
        return hash(frozenset(self.threats))

    def __str__(self) -> str:
        return f"all of {', '.join(map(str, self.threats))}"

    @property
    def slug(self) -> str:
        """The union as it stands in file names, which have no room for all of many threats."""
        threats = " ".join(sorted(threat.slug for threat in self.threats))
        return f"union-{hashlib.sha256(threats.encode()).hexdigest()[:8]}"


#: Whatever an image may have to hold under.
AnyThreat: TypeAlias = ThreatModel | ThreatUnion
