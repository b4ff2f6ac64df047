"""Print how ``eval`` goes on, and its scores."""

from __future__ import annotations

from functools import partial

from regmix_bench.api.evaluate import Evaluation, evaluate
from regmix_bench.cli.commands import add_command
from regmix_bench.cli.printing import Lines, say, score_lines


@add_command(
    evaluate,
    "regmix-bench eval 3f2a --eps 8/255 --attacks square",
    name="eval",
    defaults={"results": "results"},  # a command that kept nothing would be of little use
)
def print_evaluation(call: partial[Evaluation]) -> None:
    """Print what each attack leaves, then the scores."""
    lines = Lines()
    found = call(observer=lines)
    if not lines.attacks:
        say("recorded already: --force scores it again")
    for line in score_lines(found.record.evaluations):
        say(line)
