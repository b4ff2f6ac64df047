"""Print how ``eval`` goes on, and its scores."""

from __future__ import annotations

from regmix_bench.api.evaluate import Evaluation, evaluate
from regmix_bench.cli.commands import Call, add_command
from regmix_bench.cli.flags import AS_JSON, QUIETLY, print_json
from regmix_bench.cli.lines import Lines
from regmix_bench.cli.printing import say, score_lines


@add_command(
    evaluate,
    "regmix-bench eval 3f2a --eps 8/255 --attacks square",
    name="eval",
    defaults={"results": "results"},  # a command that kept nothing would be of little use
    flags={**AS_JSON, **QUIETLY},
)
def print_evaluation(call: Call[Evaluation]) -> None:
    """Print what each attack leaves, then the scores."""
    lines = Lines(call.flags)
    found = call(observer=lines)
    if not lines.attacks:
        lines.say("recorded already: --force scores it again")
    if call.flags.json:
        print_json("eval", found.record)
        return
    for line in score_lines(found.record.evaluations):
        say(line)
