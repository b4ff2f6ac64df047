"""The types that every part speaks: norm, threat model, batch, and what a step returns.

Nothing here imports torch at run time, so that planning, listing and reporting start at once.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache, reduce
from operator import add
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)
from pydantic import dataclasses as pydantic_dataclasses

from regmix_bench.errors import UserError, abridged, first_problem, unknown
from regmix_bench.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Of a training the epoch that its rule selects and the last one; where weights are averaged those
#: are averages, and the raw weights, which the optimiser moves, have checkpoints of their own.
TrainedCheckpoint = Literal["selected", "last", "raw-selected", "raw-last"]
TRAINED: tuple[TrainedCheckpoint, ...] = get_args(TrainedCheckpoint)
#: Those of a training, or else the model given.
Checkpoint = Literal[TrainedCheckpoint, "given"]
#: What the optimiser moves, or an average of that over the steps of a training.
Weights = Literal["raw", "averaged"]
#: Of which checkpoints AutoAttack scores; of raw weights beside averages only if of ``all``.
Evaluated = Literal["selected", "last", "both", "all"]


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
        whole, parts = self.as_integer_ratio()
        return f"{Decimal(whole) / parts:f}" if 10**9 % parts == 0 else None

    @property
    def slug(self) -> str:
        """The number as it stands in file names, however it was typed: ``8-255`` or ``0.5``."""
        whole, parts = self.as_integer_ratio()
        in_pixels = f"{255 // parts * whole}-255" if 255 % parts == 0 else f"{whole}-{parts}"
        return self.decimal or in_pixels


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


def cut(delta: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return ``delta`` with each value moved to the nearest from ``low`` to ``high``."""
    return delta.maximum(low).minimum(high)


class Norm(ABC):
    """A norm of perturbations and the geometry of its ball, in one object.

    Perturbations ``delta`` and gradients are (B, C, H, W), every image by itself; lengths and
    budgets are in the units of pixels from 0 to 1. The attributes need no torch.
    """

    #: As a reader sees it, such as ``L∞``.
    symbol: ClassVar[str]
    #: The budget of those who name none.
    budget: ClassVar[str]
    #: Figures count budgets in parts of a pixel's range, of which it has so many.
    unit: ClassVar[int] = 1
    #: The largest budget that means something for images of any size; None where there is none.
    largest: ClassVar[int | None] = None
    #: Corners of the ball in the plane of two steepest directions; None where it is round.
    corners: ClassVar[int | None] = None
    #: Whether a step moves the steepest few pixels alone, so that most stay as they are.
    sparse: ClassVar[bool] = False

    @abstractmethod
    def diameter(self, dimensions: int) -> float:
        """Return the largest length of a difference between two images of so many values."""

    @abstractmethod
    def length(self, delta: Tensor) -> Tensor:
        """Return the norm (B,) of each perturbation."""

    @abstractmethod
    def direction(self, gradient: Tensor) -> Tensor:
        """Return the direction of unit length to climb in; zero where there is no slope.

        It is the one that climbs fastest, except where the norm is ``sparse``: there that would be
        a single pixel, which soon can move no further.
        """

    @abstractmethod
    def shrink(self, delta: Tensor, epsilon: float) -> Tensor:
        """Return the nearest perturbation of length ``epsilon`` at most."""

    def project(
        self, delta: Tensor, low: Tensor, high: Tensor, epsilon: float, pixels_first: bool
    ) -> Tensor:
        """Return a perturbation of length ``epsilon`` at most, from ``low`` ≤ 0 to ``high`` ≥ 0.

        It is shrunk and then cut to these bounds of each pixel, which leaves it no longer; with
        ``pixels_first`` it is cut and then shrunk, which leaves it inside the bounds. A norm for
        which neither gives the nearest such perturbation may do better.
        """
        if pixels_first:
            return self.shrink(cut(delta, low, high), epsilon)
        return cut(self.shrink(delta, epsilon), low, high)

    @abstractmethod
    def start(self, x: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
        """Draw one perturbation for each image of ``x``, uniformly from the ball.

        All random numbers come from :func:`~regmix_bench.attacks.noise.noise`.
        """


#: Norms by the name under which a threat model stores them.
NORMS: Registry[Norm] = Registry(
    "norm",
    builtin={
        "Linf": "regmix_bench.attacks.norms:LINF",
        "L2": "regmix_bench.attacks.norms:L2",
        "L1": "regmix_bench.attacks.norms:L1",
    },
)


#: The norm of budgets where none is named.
DEFAULT_NORM = "Linf"


def _as_norm(value: object) -> object:
    if value not in NORMS.names():
        raise unknown("norm", value, NORMS.names())
    return value


#: A name of :data:`NORMS`, in whatever is validated; raises :class:`UserError` for another.
NormName = Annotated[str, BeforeValidator(_as_norm)]


#: Beyond any number that float32 holds; what is computed of such numbers stays finite.
LARGEST = 1e100
_DEEPEST, _MOST_BITS = 16, 63


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    _check_plain(values, 0)
    return values


def _check_plain(value: object, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"is nested more than {_DEEPEST} deep")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("has a key that is no text")
        for item in value.values():
            _check_plain(item, depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_plain(item, depth + 1)
    elif isinstance(value, int):
        if value.bit_length() > _MOST_BITS:
            raise ValueError(f"holds an integer of more than {_MOST_BITS} bits")
    elif isinstance(value, float) and not abs(value) <= LARGEST:
        raise ValueError(f"holds a number that is not between -{LARGEST:g} and {LARGEST:g}")


#: JSON values by name, of a depth and of a size that every reader can hold.
JSONValues = Annotated[dict[str, Any], AfterValidator(_plain)]


class Frozen(BaseModel):
    """Base of everything that is written down: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Refusing(type):
    """The metaclass of what users make themselves: a wrong argument is one line.

    What is read from a file is validated without a call, and keeps the errors of pydantic.
    """

    if not TYPE_CHECKING:

        def __call__(cls, *arguments: Any, **fields: Any) -> Any:
            try:
                return super().__call__(*arguments, **fields)
            except ValidationError as error:
                known = cls.__pydantic_fields__
                for name in fields.keys() - known.keys():
                    raise unknown(f"argument of {cls.__name__}", name, known) from None
                raise UserError(f"{cls.__name__}: {first_problem(error)}") from None


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


class RefusingModel(Refusing, ModelMetaclass):
    """The same of models of pydantic, which take no value by its place."""

    if not TYPE_CHECKING:

        def __call__(cls, *arguments: Any, **fields: Any) -> Any:
            if arguments:
                such = next(iter(cls.__pydantic_fields__))
                raise UserError(f"{cls.__name__} takes values by name, such as {such}=…")
            return super().__call__(**fields)


@dataclass(frozen=True)
class Later:
    """Mark a field that came after the first records, with the value older runs in effect had.

    ``clip_start: Annotated[bool, Later(True)] = False``; :mod:`regmix_bench.specs.identity` says
    what follows.
    """

    older: object


@dataclass(frozen=True)
class Search:
    """Mark a field that is tuned, from ``low`` to ``high``, both included.

    ``beta: Annotated[float, Search(1, 20, log=True)] = Field(6.0, ge=0)``: on a ``log`` scale where
    factors count and not differences. A field of whole numbers is tuned in whole numbers, which
    :func:`~regmix_bench.specs.search.search_space` notes as ``whole``. The default of a method's
    field lies inside, as it is the first value that is tried.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def holding(self, value: float) -> Search:
        """Return the range, widened where ``value`` lies outside of it."""
        return replace(self, low=min(self.low, value), high=max(self.high, value))

    def fitted(self, value: float) -> float | int:
        """Return a number of the range, of three digits that count."""
        if self.whole:
            return round(value)
        return min(max(float(f"{value:.3g}"), self.low), self.high)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', log' if self.log else ''}"


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


#: The label of an image that has none.
NO_LABEL = -1


@dataclass(frozen=True, slots=True)
class Batch:
    """Training images on the device.

    ``x`` (B, C, H, W) float in [0, 1]; ``y`` (B,) int64, or class probabilities (B, K) of mixed
    images, which the shared losses take alike; ``index`` (B,) int64, the position of each image in
    the training set, for methods that keep state per image. Where several processes share a batch,
    these are its images in this one, of ``total`` in all. Only with ``partly_labelled`` there may
    be images without a label, whose ``y`` is −1.
    """

    x: Tensor
    y: Tensor
    index: Tensor
    total: int | None = None
    partly_labelled: bool = False


@dataclass(frozen=True, slots=True)
class StepOutput:
    """The result of a method's step.

    ``loss`` is a scalar to differentiate; ``x_adv`` (B, C, H, W), detached, are the images trained
    on; ``metrics`` are detached scalars, averaged over the epoch into its history. ``again``
    computes the loss at the weights that the model has when it is called, with all perturbations
    as they are; whatever perturbs weights needs it.
    """

    loss: Tensor
    x_adv: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)
    again: Callable[[], Tensor] | None = None

    @classmethod
    def of(
        cls,
        terms: Mapping[str, Tensor],
        x_adv: Tensor,
        again: Callable[[], Mapping[str, Tensor]] | None = None,
    ) -> Self:
        """Return the sum of scalar ``terms`` as the loss, and where there are several as metrics.

        ``again`` computes the terms at the model's present weights, perturbations unchanged.
        """
        metrics = {name: term.detach() for name, term in terms.items()} if len(terms) > 1 else {}
        repeated = None if again is None else lambda: _sum(again())
        return cls(_sum(terms), x_adv, metrics, repeated)


def _sum(terms: Mapping[str, Tensor]) -> Tensor:
    return reduce(add, terms.values())
