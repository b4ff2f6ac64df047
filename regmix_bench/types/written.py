"""The base of what is written down, and one line for a wrong argument of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from regmix_bench.errors import UserError, first_problem, unknown

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
