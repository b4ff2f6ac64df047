"""The command line: parses, calls one function, prints.

Whoever imports this waits for nothing: the commands are imported when signals are handled already.
"""

from __future__ import annotations

import signal
import sys

from regmix_bench.system.signals import Termination, handle_signals, no_signal_lost


def main() -> None:
    """Run the command that was typed: bad input is one line on standard error and exit status 2.

    SIGTERM ends it with status 143 as an interrupt does with 130: nothing finished is lost.
    """
    handle_signals()
    try:
        with no_signal_lost():
            from regmix_bench.system.surroundings import settle

            settle()

            from regmix_bench.cli.program import run_command
        run_command()
    except Termination:
        print("terminated: the same command goes on from what is finished", file=sys.stderr)
        sys.exit(128 + signal.SIGTERM)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
