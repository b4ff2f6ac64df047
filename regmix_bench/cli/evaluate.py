"""Print how ``eval`` goes on, and its scores."""

from __future__ import annotations

import typer

from regmix_bench.api.evaluate import Evaluation, evaluate
from regmix_bench.api.show import show
from regmix_bench.cli.commands import Call, add_command, next_line
from regmix_bench.cli.flags import AS_JSON, QUIETLY, print_json
from regmix_bench.cli.printing import print_table, say, say_folded, score_lines


@add_command(
    evaluate,
    "regmix-bench eval eef7 --eps 32/255 --attacks square",
    name="eval",
    defaults={"results": "results"},  # a command that kept nothing would be of little use
    flags={**AS_JSON, **QUIETLY, "verbose": "Print a line for each attack."},
)
def print_evaluation(call: Call[Evaluation]) -> None:
    """Print how it goes on, then the scores."""
    from regmix_bench.cli.display import Display
    from regmix_bench.cli.results import DIGITS
    from regmix_bench.records.words import spec_words

    display = Display(call.flags)
    try:
        with display:
            record = call(observer=display).record
    except KeyboardInterrupt:
        if not display.cells.number:  # nothing has begun
            raise
        say("interrupted: the same command goes on from what is finished", error=True)
        raise typer.Exit(130) from None
    if call.flags.json:
        print_json("eval", record)
        return
    (cell,) = display.cells.going.values()
    if cell.progress is None and not call.flags.quiet:
        say("recorded already: --force scores it again")
    if record.kind == "corruptions":
        summary = record.summary()
        print_table(tuple(summary.header), [tuple(row) for row in summary.rows])
        say(summary.line)
    else:
        say_folded(spec_words(record.spec))
        for line in score_lines(record.evaluations, record.unions, with_interval=True):
            say_folded(line)
    if not call.flags.quiet:
        say(next_line(show, record.run_id[:DIGITS], call.keywords))
