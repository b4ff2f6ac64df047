"""Print what ``serve`` says while it serves."""

from __future__ import annotations

from functools import partial
from typing import NoReturn

from regmix_bench.api.serve import serve
from regmix_bench.cli.commands import add_command
from regmix_bench.cli.printing import say


@add_command(serve, "regmix-bench serve --port 8000")
def print_serving(call: partial[NoReturn]) -> None:
    """Print the address and a line for each change, until Ctrl-C."""
    try:
        call(say=say)
    except KeyboardInterrupt:
        say("")
