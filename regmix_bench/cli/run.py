"""Print how ``run`` goes on."""

from __future__ import annotations

from functools import partial
from typing import Any

import typer

from regmix_bench.api.run import Plan, run
from regmix_bench.cli.commands import add_command
from regmix_bench.cli.printing import say


@add_command(run, "regmix-bench run --methods 'trades,fgsm-pgi[lambda_=1]' --eps 8/255,16/255")
def print_grid(call: partial[Any]) -> None:
    """Print the plan, then how its runs go on; exit 1 where one has failed."""
    from regmix_bench.cli.display import GridDisplay

    with GridDisplay(call.keywords) as display:
        try:
            found = call(observer=display)
        except KeyboardInterrupt:
            if not display.number:  # nothing has begun
                raise
            say("interrupted: the same command resumes at the last checkpoint", error=True)
            raise typer.Exit(130) from None
    from regmix_bench.analysis.apart import tables_apart
    from regmix_bench.records.tricks import tricks_of

    specs = [one.spec for one in (found.cells if isinstance(found, Plan) else found)]
    apart = tables_apart((spec, tricks_of(spec)) for spec in specs)
    if isinstance(found, Plan):
        from regmix_bench.records.words import spec_words

        for cell in found.cells:
            words = f"{spec_words(cell.spec)} · {cell.spec.recipe.precision}"
            say(f"  {found.states[cell.run_id]:9}  {words}  {cell.run_id}")
    if apart:
        say(apart)
    if display.failed:
        total = len(display.states)
        say(f"{len(display.failed)} of {total} runs failed: --retry-failed tries them again")
        raise typer.Exit(1)
