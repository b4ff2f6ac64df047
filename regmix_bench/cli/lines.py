"""An observer that prints how an evaluation goes on, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regmix_bench.cli.flags import Flags
from regmix_bench.cli.printing import say
from regmix_bench.runs.observers import Silent

if TYPE_CHECKING:
    from regmix_bench.specs import EvalSpec, RunSpec


class Lines(Silent):
    """An observer that prints a line for each thing it hears, and counts attacks.

    Where the result is JSON its lines go to standard error; where little is to be said, there go
    notes alone.
    """

    def __init__(self, flags: Flags) -> None:
        self.flags = flags
        self.attacks = 0

    def say(self, line: str) -> None:
        """Print a line of news."""
        if not self.flags.quiet:
            say(line, error=self.flags.json)

    def on_start(self, spec: RunSpec | EvalSpec) -> None:
        from regmix_bench.records.words import spec_words

        self.say(f"{spec_words(spec)}, {spec.run_id}")

    def on_attack(
        self, spec: RunSpec | EvalSpec, threat: str, attack: str, accuracy: float
    ) -> None:
        self.attacks += 1
        self.say(f"  at {threat}: {accuracy:.1%} after {attack}")

    def on_note(self, spec: RunSpec | EvalSpec, line: str) -> None:
        say(f"  {line}", error=self.flags.json or self.flags.quiet)
