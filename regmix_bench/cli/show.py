"""Print what ``show`` finds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from regmix_bench.api.show import show
from regmix_bench.cli.commands import Call, add_command
from regmix_bench.cli.flags import AS_JSON, print_json
from regmix_bench.cli.layout import aligned, fold, terminal_width
from regmix_bench.cli.printing import percent, say
from regmix_bench.cli.times import duration

if TYPE_CHECKING:
    from regmix_bench.records.schema import AnyRecord, EvalRecord, RunRecord

#: Before each line of the summary, which so is none of the YAML below it.
_MARK = "# "


@add_command(
    show,
    "regmix-bench show eef7",
    flags={**AS_JSON, "verbose": "Print the history too, and what is at its default."},
)
def print_record(call: Call[AnyRecord]) -> None:
    """Print a summary of a record, and the record as YAML below it."""
    record = call()
    if call.flags.json:
        print_json("show", record)
        return

    import yaml

    from regmix_bench.records.find import resolve_run

    keywords = call.keywords
    path = resolve_run(str(keywords["run"]), Path(keywords["results"]))
    width = terminal_width()
    room = None if width is None else width - len(_MARK)
    lines = summary_lines(record, path, room, Path(keywords["results"]))
    say(*(f"{_MARK}{part}".rstrip() for line in lines for part in fold(line, room)))
    verbose = call.flags.verbose
    content = record.model_dump(
        mode="json", exclude=set() if verbose else {"history"}, exclude_defaults=not verbose
    )
    say(*yaml.safe_dump(content, sort_keys=False, allow_unicode=True).splitlines())


def summary_lines(
    record: AnyRecord, path: Path, width: int | None, results: Path = Path("results")
) -> Iterator[str]:
    """Yield what a record says in a few lines: scores, cost, warnings, and where it lies."""
    from regmix_bench.records.words import record_words

    yield f"{record_words(record)}: {record.status}"
    if record.kind == "run" and record.error is not None:
        yield f"failed: {record.error}"
    if len(table := _scores(record)) > 1:
        yield ""
        yield from aligned(table, width)
        yield ""
    if record.kind == "run":
        yield from _trained(record)
    if record.kind in ("run", "evaluation"):
        yield from _scored(record)
    if record.kind == "run":
        yield from _again(path, record, results)
    yield f"recorded in {path}"


def _again(path: Path, record: RunRecord, results: Path) -> Iterator[str]:
    """Yield what else has been asked of a run's weights, and in which evaluation the answer is."""
    from regmix_bench.records.accuracies import attack_words
    from regmix_bench.records.find import evaluations_of

    for found in evaluations_of(path, record, results).values():
        _, _, checkpoint = found.spec.model.name.partition(":")
        told = [checkpoint, ", ".join(map(str, found.spec.eval_threats))]
        told.append(attack_words(found.spec.scoring))
        if any(score.adversarial_digest for score in found.evaluations):
            told.append("images saved")
        if asked := [each for score in found.evaluations for each in score.diagnoses]:
            raised = sum(each.alarm for each in asked)
            told.append(f"{len(asked)} questions about masked gradients, {raised} raised")
        yield f"scored again, {found.run_id}: {'; '.join(told)}"


def _scores(record: AnyRecord) -> list[Sequence[str]]:
    """Return the header and the rows of a table of all scores, the robust ones with intervals."""
    from regmix_bench.cli.results import interval_words
    from regmix_bench.records.accuracies import ROBUST, by_title, titles
    from regmix_bench.records.schema import RobustEval
    from regmix_bench.records.words import with_unions

    if record.kind == "transfer" or record.kind == "corruptions":
        summary = record.summary()
        return [summary.header, *summary.rows]
    table: list[Sequence[str]] = [
        ("checkpoint", "threat", *titles(), "[95 %]", "images", "raised"),
    ]
    for score in with_unions(record):
        shares = by_title(score)
        table.append(
            (
                score.checkpoint,
                str(score.threat),
                *map(percent, shares.values()),
                interval_words(shares[ROBUST], score.n_examples),
                f"{score.n_examples:,}",
                ", ".join(score.checks) if isinstance(score, RobustEval) else "",
            )
        )
    return table


def _trained(record: RunRecord) -> Iterator[str]:
    """Yield what a training was, took and is warned of."""
    from regmix_bench.records.alarms import alarms_of
    from regmix_bench.records.effort import efforts
    from regmix_bench.records.tricks import trained_with
    from regmix_bench.records.words import labels_words

    recipe, n = record.spec.recipe, len(record.history)
    if n:
        told = [f"{n} of {recipe.epochs} epochs" if n < recipe.epochs else f"{n} epochs"]
        told.append(f"{duration(record.training_cost.seconds)} of training steps")
        if (passes := efforts(record)[-1].passes) is not None:
            told.append(f"{passes / n:.3g} passes for an image and epoch")
        if record.selected_epoch is not None:
            told.append(f"epoch {record.selected_epoch} selected")
        yield f"trained: {', '.join(told)}"
    yield f"tricks: {trained_with(record)}"
    if labels := labels_words(record):
        yield f"labels: {labels}"
    for alarm in alarms_of(record):
        yield f"warning: {alarm.kind.replace('-', ' ')} at epoch {alarm.epoch}: {alarm.message}"


def _scored(record: RunRecord | EvalRecord) -> Iterator[str]:
    """Yield what scoring took, what it is warned of, and what the diagnoses say."""
    from regmix_bench.cli.printing import diagnosis_words

    scores = record.evaluations
    if scores:
        yield (
            f"scored: {scores[0].n_examples:,} images in {duration(record.scoring_cost.seconds)}"
        )
    for score in scores:
        where = f"{score.checkpoint} at {score.threat}"
        for attack, why in score.failed_attacks.items():
            yield f"warning: {where}: {attack} failed: {why}"
        for diagnosis in score.diagnoses:
            yield f"diagnosis: {where}: {diagnosis_words(diagnosis)}"
