"""Functions that refuse values of other types than they say, in one line."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

from regmix_bench.errors import UserError, abridged, unknown

#: What a user calls the types of parameters; another class is called by its name.
_WORDS = {
    str: "text",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    Path: "a path",
    Iterable: "several",
    Callable: "a function",
}
# numpy's numbers are numbers too.
_CLASSES: dict[Any, type] = {int: Integral, float: Real, Path: os.PathLike}
_ANYTHING = (Any, object, inspect.Parameter.empty)

P = ParamSpec("P")
R = TypeVar("R")


def typed(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function refuse values that are not of its types, as the command line does.

    A Literal, a class and what may be gone through are told apart; where a parameter takes several
    texts, one alone is a list of one. An empty text, as a shell makes of a variable that is not
    set, is none. A type that is there for a type checker alone is not asked.
    The function raises :class:`UserError` for the first value that it refuses.
    """
    signature = inspect.signature(function)

    @functools.cache
    def kinds_of(name: str) -> tuple[Any, ...]:
        parameter = signature.parameters[name]
        if parameter.kind is parameter.VAR_KEYWORD:
            return ()
        return _kinds(_resolved(parameter.annotation, function.__globals__))

    @functools.wraps(function)
    def checked(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            call = signature.bind(*arguments, **options)
        except TypeError as error:  # which does not say of which function
            raise TypeError(f"{function.__name__}(): {error}") from None
        for name, value in call.arguments.items():
            kinds = kinds_of(name)
            if isinstance(value, str) and kinds == (Iterable,):
                call.arguments[name] = (value,)
            else:
                _require(name, value, kinds)
        return function(*call.args, **call.kwargs)

    return checked


def _resolved(annotation: Any, names: dict[str, Any]) -> Any:
    """Return what an annotation stands for that is kept as text; Any where it is not here."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, names)
    except NameError:
        return Any


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, a Literal as such; none where one cannot be asked for."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        members = [_kinds(member) for member in get_args(annotation)]
        return tuple(kind for kinds in members for kind in kinds) if all(members) else ()
    if get_origin(annotation) is Literal:
        return (annotation,)
    kind = get_origin(annotation) or annotation
    return (kind,) if isinstance(kind, type) and kind not in _ANYTHING else ()


def _require(name: str, value: object, kinds: tuple[Any, ...]) -> None:
    """Raise :class:`UserError` for a value that is of none of ``kinds``, if there are any."""
    choices = [choice for kind in kinds for choice in get_args(kind)]
    classes = tuple(_CLASSES.get(kind, kind) for kind in kinds if isinstance(kind, type))
    empty = isinstance(value, str) and not value.strip()
    if value in choices if choices else not (kinds or empty):
        return
    truth = isinstance(value, bool) and bool not in kinds
    if isinstance(value, classes) and not truth and not empty:
        return
    option = name.replace("_", "-")
    if choices:
        raise unknown(option, value, choices)
    words = [_WORDS.get(kind, f"a {kind.__name__}") for kind in kinds if kind is not type(None)]
    said = "empty: give" if empty else f"{abridged(value)}, not"
    raise UserError(f"{option} is {said} {' or '.join(words or ['text'])}")
