"""All commands, and how what a user got wrong is said. Heavy imports stand inside the commands."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import Annotated, Any, NoReturn

import typer
from pydantic import BaseModel

# Imported for the commands they add.
from regmix_bench.cli import (  # noqa: F401
    audit,
    check,
    compare,
    evaluate,
    export,
    inspect,
    listing,
    report,
    run,
    serve,
    show,
    suite,
    test,
    transfer,
    tune,
    verify,
)
from regmix_bench.cli.commands import app, json_commands
from regmix_bench.cli.flags import print_json_error
from regmix_bench.cli.printing import say, say_folded
from regmix_bench.errors import UserError
from regmix_bench.system.signals import no_signal_lost

# Raised of a command line that cannot be parsed; Typer exports its subclass alone.
_UsageError: Any = typer.BadParameter.__base__


def run_command() -> NoReturn:
    """Run the command that was typed and exit; bad input is one line and exit status 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a pipe may know neither ε nor ∞
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with no_signal_lost():
            status = app(prog_name="regmix-bench", standalone_mode=False) or 0
            sys.stdout.flush()
            sys.exit(status)
    except UserError as error:
        _refuse(str(error))
    except _UsageError as error:
        _refuse(_usage(error))
    except PermissionError as error:
        _refuse(f"{error.filename} may not be read or written")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO, errno.EPIPE):
            raise
        # Else what is left to print would fail once more, with a traceback, at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if error.errno == errno.EPIPE:  # whoever read has seen enough
            sys.exit(1)
        _refuse(f"cannot write {error.filename or 'standard output'}: {error.strerror}")


def _usage(error: Any) -> str:
    """What the parser says, on one line, and where the options are listed."""
    said = error.format_message().replace("Value error, ", "")
    path = error.ctx.command_path if error.ctx else "regmix-bench"
    if setting := _setting(getattr(error, "option_name", ""), path):
        return f"no such option: {error.option_name}: write --set {setting}=…"
    return f"{said[:1].lower()}{said[1:].rstrip('.')} (see {path} --help)"


def _setting(option: str, path: str) -> str | None:
    """Return the key that says what ``option`` would, as in version 0.1 some did."""
    from regmix_bench.grid.settings import DataSettings
    from regmix_bench.specs import Recipe, Scoring

    groups: dict[str, type[BaseModel]]
    groups = {"data": DataSettings, "scoring": Scoring, "recipe": Recipe}
    key = option.removeprefix("--").replace("-", "_")
    key = {"autoattack": "autoattack_version"}.get(key, key)
    command = path.rpartition(" ")[2]
    fitting = {"run": tuple(groups), "eval": ("data", "scoring")}.get(command, ())
    return next((f"{name}.{key}" for name in fitting if key in groups[name].model_fields), None)


def _refuse(reason: str) -> NoReturn:
    line = " ".join(reason.split())  # a path or a value may hold a line break
    command, *words = sys.argv[1:] or [""]
    if "--json" in words and command in json_commands:
        with contextlib.suppress(OSError):  # what cannot be written may be this very stream
            print_json_error(command, line)
    say_folded(f"error: {line}", error=True)
    sys.exit(2)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    asked: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Train, attack and compare adversarial training methods."""
    if asked:
        from importlib.metadata import version as installed

        say(f"regmix-bench {installed('regmix-bench')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
