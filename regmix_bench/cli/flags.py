"""The flags that say how much a command prints, and in which form."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

import typer
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from regmix_bench.api.options import OUTPUT
from regmix_bench.cli.printing import say

FlagName = Literal["json", "quiet", "verbose"]

#: Of the document that ``--json`` writes; a key that goes or changes its meaning raises it.
FORMAT = 1

#: The flag of a command whose result others may want to read.
AS_JSON: Mapping[FlagName, str] = MappingProxyType(
    {"json": "Print the result as JSON, and whatever else there is to say on standard error."}
)
#: The flag of a command that tells how it goes on.
QUIETLY: Mapping[FlagName, str] = MappingProxyType(
    {"quiet": "Print the result alone, and warnings on standard error."}
)


@dataclasses.dataclass(frozen=True)
class Flags:
    """The flags that were typed: the result as JSON, the result alone, all that is known."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False


#: None was typed.
NO_FLAGS = Flags()


def flag_parameters(offered: Mapping[FlagName, str]) -> list[inspect.Parameter]:
    """Return the parameters of the flags that a command has, with what help says of each."""
    letters: dict[FlagName, tuple[str, ...]] = {"quiet": ("-q",), "verbose": ("-v",)}
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False,
            annotation=Annotated[
                bool,
                typer.Option(
                    f"--{name}",
                    *letters.get(name, ()),
                    help=offered[name],
                    rich_help_panel=OUTPUT,
                ),
            ],
        )
        for name in get_args(FlagName)
        if name in offered
    ]


def print_json(command: str, result: object) -> None:
    """Print what a verb returned as one JSON document, and nothing else, on standard output.

    It holds what the function of Python returns: of each object its fields and its properties by
    their names, paths as text, accuracies in [0, 1], null for what is not known.
    """
    _print_document(command, result=_jsonable(result))


def print_json_error(command: str, reason: str) -> None:
    """Print the JSON document of a command that was refused: the line that says why."""
    _print_document(command, error=reason)


def _print_document(command: str, **content: object) -> None:
    document = {"format": FORMAT, "command": command, **content}
    # ASCII alone: what a pipe cannot encode would otherwise be written in Python's notation.
    say(*json.dumps(document, indent=2, allow_nan=False).splitlines())


def _jsonable(value: Any) -> Any:
    if isinstance(value, BaseModel) or hasattr(type(value), "__pydantic_serializer__"):
        return to_jsonable_python(value, inf_nan_mode="null")
    if dataclasses.is_dataclass(value):
        kind = type(value)
        found = [field.name for field in dataclasses.fields(value)]
        found += [name for name, _ in inspect.getmembers(kind, lambda m: isinstance(m, property))]
        return {name: _jsonable(getattr(value, name)) for name in found}
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_jsonable(item) for item in value]
    return to_jsonable_python(value, inf_nan_mode="null")
