"""The command line: parses, calls one function, prints. Heavy imports stand inside the commands."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any, NoReturn

import typer

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
    transfer,
)
from regmix_bench.cli.common import app
from regmix_bench.errors import UserError
from regmix_bench.signals import Terminated, handle_signals, no_signal_lost

# Raised of a command line that cannot be parsed; Typer exports its subclass alone.
_UsageError: Any = typer.BadParameter.__base__


def main() -> None:
    """Entry point: bad input is one line on standard error and exit status 2.

    SIGTERM ends it with status 143 as an interrupt does with 130: nothing finished is lost.
    """
    handle_signals()
    try:
        with no_signal_lost():
            sys.exit(app(standalone_mode=False))
    except Terminated:
        print("terminated: the same command goes on from what is finished", file=sys.stderr)
        sys.exit(128 + signal.SIGTERM)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except UserError as error:
        _refuse(str(error))
    except _UsageError as error:
        _refuse(_usage(error))
    except PermissionError as error:
        _refuse(f"{error.filename} may not be read or written")


def _usage(error: Any) -> str:
    """What the parser says, on one line, and where the options are listed."""
    said = error.format_message()
    path = error.ctx.command_path if error.ctx else "regmix-bench"
    return f"{said[:1].lower()}{said[1:].rstrip('.')} (see {path} --help)"


def _refuse(reason: str) -> NoReturn:
    # A path or a value may hold a line break.
    print("error:", " ".join(reason.split()), file=sys.stderr)
    sys.exit(2)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Train, attack and compare adversarial training methods."""
    if show:
        from importlib.metadata import version as installed

        print(f"regmix-bench {installed('regmix-bench')}")
    elif context.invoked_subcommand is None:
        print(context.get_help())
