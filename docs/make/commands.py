"""The reference of the commands, made of what their ``--help`` is made of."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from markdown import plain
from typer.models import ArgumentInfo, CommandInfo, OptionInfo

from regmix_bench.cli.commands import app
from regmix_bench.cli.program import run_command  # whose module registers the commands

INTRODUCTION = """# Commands

Every command is a function of the [Python interface](python.md) with the same parameters and
defaults, and `--help` of each says what stands here. Bad input is one line on standard error and
exit status 2.
"""


def pages() -> dict[str, str]:
    """Return the page of all commands, below ``reference/``."""
    assert run_command
    commands = sorted(app.registered_commands, key=lambda command: str(command.name))
    return {"commands.md": "\n".join((INTRODUCTION, *("\n".join(_section(c)) for c in commands)))}


def _section(command: CommandInfo) -> Iterator[str]:
    arguments, panels = [], dict[str, list[str]]()
    for parameter in inspect.signature(command.callback).parameters.values():  # type: ignore[arg-type]
        typed, about = get_args(parameter.annotation)
        if isinstance(about, ArgumentInfo):
            arguments.append((_argument(parameter, typed), about))
        else:
            entry = _option(parameter, typed, about)
            panels.setdefault(about.rich_help_panel or "Options", []).append(entry)
    words = " ".join(name for name, _ in arguments)
    yield f"## {command.name}\n"
    yield f"```text\nregmix-bench {command.name} {words} [OPTIONS]\n```\n".replace("  ", " ")
    yield f"{_said(command.help)}\n"
    if command.epilog:
        yield f"Example: `{command.epilog.removeprefix('Example: ').replace(chr(92), '')}`\n"
    for name, about in arguments:
        yield f"`{name}`\n: {_said(about.help)}\n"
    for panel, entries in panels.items():
        yield f"**{panel}**\n"
        yield from entries


def _argument(parameter: inspect.Parameter, typed: Any) -> str:
    name = parameter.name.upper() + ("..." if get_origin(typed) is list else "")
    return name if parameter.default is inspect.Parameter.empty else f"[{name}]"


def _option(parameter: inspect.Parameter, typed: Any, about: OptionInfo) -> str:
    default = parameter.default
    said = (
        "" if default in (None, False, (), inspect.Parameter.empty) else f" Default: `{default}`."
    )
    if about.envvar:
        said += f" The environment variable `{about.envvar}` says it, too."
    return f"{_flags(typed, about)}\n: {_said(about.help)}{said}\n"


def _flags(typed: Any, about: OptionInfo) -> str:
    # Typer keeps the first name of an annotated option where an older style had its default.
    names = ", ".join(f"`{name}`" for name in (about.default, *(about.param_decls or ())))
    return names if typed is bool else f"{names} `{_kind(typed)}`"


def _kind(typed: Any) -> str:
    parts = [each for each in get_args(typed) or (typed,) if each is not type(None)]
    if get_origin(typed) is Literal:
        return "|".join(map(str, parts))
    if len(parts) == 1 and parts[0] is not typed:
        return _kind(parts[0])
    return "|".join(getattr(each, "__name__", str(each)).upper() for each in parts)


def _said(text: str | None) -> str:
    """Return a help text without what keeps it from being read as a style of the terminal."""
    return plain((text or "").replace("\\[", "["))
