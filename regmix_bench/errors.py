"""Mistakes a user can mend, and the words that help to mend them."""

from __future__ import annotations

import difflib
import re
import reprlib
import signal
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)

# Aliases of YAML can make a small file stand for more text than fits into memory.
_shown = reprlib.Repr()
_shown.maxlevel, _shown.maxstring, _shown.maxother = 3, 80, 80


#: Characters at most of a message that name valid choices.
_NAMED = 220


# As torch says it of CUDA, and of the CPU.
_OUT_OF_MEMORY = re.compile(r"out of memory|not enough memory|can't allocate memory", re.IGNORECASE)


class UserError(Exception):
    """Bad input: shown as one line, exit status 2, never as a traceback."""


def abridged(value: object) -> str:
    """Return what ``repr`` does, of bounded length."""
    return _shown.repr(value)


def unknown(kind: str, name: object, choices: Iterable[str]) -> UserError:
    """Make an error that names an unknown value and the nearest valid choice, or some of them."""
    valid = sorted(choices)
    near = difflib.get_close_matches(str(name)[:200], valid, n=1, cutoff=0.5)
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif valid:
        hint = f"choose from {_named(valid)}"
    else:
        hint = "there is none"
    return UserError(f"unknown {kind} {abridged(str(name))}: {hint}")


def _named(choices: Sequence[str]) -> str:
    more = f" … ({len(choices)} in all)"
    return textwrap.shorten(", ".join(choices), _NAMED, break_on_hyphens=False, placeholder=more)


def validated(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """Fill ``model`` with ``values`` that came from a user.

    Raises :class:`UserError` for the first unknown key or refused value, named ``where.key``.
    """
    for key in values:
        if key not in model.model_fields:
            raise unknown(f"key of {where}", key, model.model_fields)
    try:
        made = model.model_validate(dict(values))
    except ValidationError as error:
        first = first_problem(error)
        given = f" = {abridged(first.given)}" if first.has_value else ""
        raise UserError(f"{'.'.join([where, *first.path])}{given}: {first.said}") from None
    for key, value in values.items():
        if _has_truth_as_number(value, getattr(made, key)):
            raise UserError(f"{where}.{key} = {abridged(value)}: input should be a number")
    return made


def _has_truth_as_number(given: object, made: object) -> bool:
    """Return whether pydantic took a truth for 1 or 0, which it does where a number is meant."""
    if isinstance(given, list | tuple) and isinstance(made, list | tuple):
        return any(map(_has_truth_as_number, given, made))
    return isinstance(given, bool) and isinstance(made, int | float) and made is not given


class Problem(NamedTuple):
    """The first mistake of a validation: the keys that lead to it, the value there, and why not.

    ``has_value`` is false where the value is missing, or would be that of all keys together.
    """

    path: tuple[str, ...]
    given: object
    has_value: bool
    said: str

    def __str__(self) -> str:
        where = ".".join(key or "''" for key in self.path)
        return f"{where}: {self.said}" if where else self.said


#: What pydantic says in words of JSON, or of Python.
_SAID = {
    **dict.fromkeys(("dict_type", "model_type", "dataclass_type"), "input should be a mapping"),
    **dict.fromkeys(("list_type", "tuple_type"), "input should be a list"),
    "string_too_short": "input should not be empty",
    "too_short": "input has too few values",
}


def first_problem(error: ValidationError) -> Problem:
    """Return the first mistake that a validation by pydantic has found."""
    first = error.errors()[0]
    path = tuple(str(key) for key in first["loc"] if key != "[key]")  # of which the key is refused
    said = first["msg"].removeprefix("Value error, ")
    said = _SAID.get(first["type"], f"{said[:1].lower()}{said[1:]}")
    return Problem(path, first["input"], bool(path) and first["type"] != "missing", said)


def reason(error: BaseException) -> str:
    """Put a stranger's error on one line of 200 characters at most: its class and its message."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def death(exitcode: int) -> str:
    """Say how a process ended by its exit code, negative for a signal: ``was killed by …``."""
    if exitcode < 0:
        return f"was killed by signal {-exitcode} ({signal.strsignal(-exitcode)})"
    return f"ended with exit code {exitcode}"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on whatever device."""
    return isinstance(error, MemoryError) or bool(_OUT_OF_MEMORY.search(str(error)))
