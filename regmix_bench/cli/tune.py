"""Print how ``tune`` goes on, and what was best at which effort."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from regmix_bench.analysis.tuning import Gain
from regmix_bench.api.run import run
from regmix_bench.api.tune import Tuning, tune
from regmix_bench.cli.commands import Call, add_command, next_line
from regmix_bench.cli.flags import AS_JSON, QUIETLY, print_json
from regmix_bench.cli.printing import say, say_folded
from regmix_bench.cli.times import duration
from regmix_bench.methods.declarations import display_name, symbol_of

if TYPE_CHECKING:
    from regmix_bench.records.schema import StudyRecord, TrialLog


@add_command(
    tune,
    "regmix-bench tune --methods fgsm-pgi,regmix --datasets digits --eps 32/255 --trials 20",
    flags={**AS_JSON, **QUIETLY, "verbose": "Print a line for each epoch."},
)
def print_tuning(call: Call[Tuning]) -> None:
    """Print each trial as it ends, and the best of each method; exit 1 where others still train."""
    from regmix_bench.cli.display import Display

    display = Display(call.flags)
    display.cells.unit = "trial"

    def told(trial: TrialLog, study: StudyRecord) -> None:
        if trial.state == "running":
            display.cells.called[str(trial.run_id)] = trial_words(trial, study)
        elif not call.flags.quiet:
            display.say(trial_line(trial, study))

    try:
        with display:
            found = call(observer=display, told=told)
    except KeyboardInterrupt:
        say("interrupted: the same command goes on where it stood", error=True)
        raise typer.Exit(130) from None
    if call.flags.json:
        print_json("tune", found)
    else:
        for line in tuning_lines(found):
            say_folded(line)
    if found.suite is None:
        if not call.flags.json:
            say_folded("another process trains what is left: the same command then reads it")
        raise typer.Exit(1)
    if not call.flags.json:
        files = [study.spec.method.source_file for study in found.studies]
        named = ",".join(file for file in files if file is not None)
        given = {**call.keywords, "method_files": named or None}
        say(next_line(run, shlex.quote(str(found.suite)), given))


def trial_words(trial: TrialLog, study: StudyRecord) -> str:
    """Name a trial."""
    return f"{display_name(study.spec.method)}, trial {trial.number}"


def trial_line(trial: TrialLog, study: StudyRecord) -> str:
    """Return one line on a trial that has ended."""
    if trial.state == "complete" and trial.value is not None:
        best = study.best
        first = ", the best so far" if best is not None and best.number == trial.number else ""
        came = f"{trial.value:.1%}{first}"
    else:
        came = trial.error or f"ended after {trial.epochs} epochs"
    return f"{trial_words(trial, study)}: {_said(trial)}: {came}"


def tuning_lines(tuning: Tuning) -> Iterator[str]:
    """Return lines on each study: its effort, what was best, and what the gain is worth."""
    for study in tuning.studies:
        cost = f"{study.passes / 1e6:,.3g} M images, {duration(study.seconds)}"
        name = display_name(study.spec.method)
        number = len(study.trials)
        yield f"{name}: {number} trial{'s' * (number != 1)}, {cost}"
        best = study.best
        if best is None or best.value is None:
            yield "  no trial has come to its end"
            continue
        yield f"  best {best.value:.1%}, trial {best.number}: {_said(best)}"
        if (gain := Gain.of_study(study)) is not None:
            yield f"  {gain_words(gain)}"


def gain_words(gain: Gain) -> str:
    """Return what the gain over the first trial is worth."""
    words = f"{100 * gain.gain:.1f} points above the values to start from"
    if gain.by_chance is None:
        return f"{words}: fewer than 20 trials cannot tell this from chance"
    if gain.told_apart:
        return f"{words}; chance gives up to {100 * gain.by_chance:.1f}"
    return f"{words}, of which chance gives up to {100 * gain.by_chance:.1f}: no gain is shown"


def _said(trial: TrialLog) -> str:
    return ", ".join(f"{symbol_of(key)} = {value:g}" for key, value in trial.values.items())
