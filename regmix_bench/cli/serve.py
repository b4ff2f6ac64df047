"""Print what ``serve`` says while it serves."""

from __future__ import annotations

import signal
from functools import partial
from typing import NoReturn

import typer

from regmix_bench.api.serve import serve
from regmix_bench.cli.commands import add_command
from regmix_bench.cli.printing import say
from regmix_bench.system.signals import Termination


@add_command(serve, "regmix-bench serve --port 8000")
def print_serving(call: partial[NoReturn]) -> None:
    """Print the address and a line for each change, until Ctrl-C or SIGTERM."""
    try:
        call(say=say)
    except KeyboardInterrupt:
        say("")
    except Termination:
        raise typer.Exit(128 + signal.SIGTERM) from None
