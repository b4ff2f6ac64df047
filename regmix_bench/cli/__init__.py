"""The command line: parses, calls one function, prints. Heavy imports stand inside the commands."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

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
from regmix_bench.errors import UserError, signals_as_raised


class Terminated(BaseException):
    """The process was asked to end, as a cluster's scheduler does; no error, so none catches it."""


def main() -> None:
    """Entry point: bad input is one line on standard error and exit status 2.

    SIGTERM ends it with status 143 as an interrupt does with 130: nothing finished is lost.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with signals_as_raised():
            app()
    except Terminated:
        print("terminated: the same command goes on from what is finished", file=sys.stderr)
        sys.exit(128 + signal.SIGTERM)
    except UserError as error:
        _refuse(str(error))
    except PermissionError as error:
        _refuse(f"{error.filename} may not be read or written")


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would cut the end short
    raise Terminated


def _refuse(reason: str) -> NoReturn:
    # A path or a value may hold a line break.
    print("error:", " ".join(reason.split()), file=sys.stderr)
    sys.exit(2)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Train, attack and compare adversarial training methods."""
    if show:
        from importlib.metadata import version as installed

        print(f"regmix-bench {installed('regmix-bench')}")
        raise typer.Exit
