"""The tables of tuning: each method at equal effort, beside its values to start from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from regmix_bench.analysis.blocks import Block, Stat
from regmix_bench.analysis.cohorts import Run
from regmix_bench.analysis.tuning import Gain
from regmix_bench.analysis.words import threat_words
from regmix_bench.methods.declarations import display_name, symbol_of
from regmix_bench.records.accuracies import attack_words, robust_metric
from regmix_bench.records.schema import StudyRecord, Tuned
from regmix_bench.reporting.values import Cell, Column, Table, alike, averaged, counted

Filled = tuple[Column, list[Cell]]

TITLE = "Tuning"

_HELD_EQUAL = {"trials": "trials", "passes": "images through the network", "seconds": "time"}
_OBJECTIVES = {"pgd-10": "PGD-10", "apgd-ce": "APGD-CE"}


def by_folder(studies: Iterable[StudyRecord]) -> dict[str, tuple[StudyRecord, ...]]:
    """Return the studies of each folder, by its name: those that were given the same."""
    ordered = sorted(studies, key=lambda study: (study.name, study.label))
    return {name: tuple(found) for name, found in groupby(ordered, key=lambda study: study.name)}


def tuning_stem(name: str) -> str:
    """Return the name of the files of a folder of studies without their endings."""
    return f"tuning-{name}"


def tuning_words(studies: Sequence[StudyRecord]) -> str:
    """Name what studies were tuned on and for: ``digits, smallcnn, L∞ 32/255``."""
    spec = studies[0].spec
    return f"{spec.dataset_words}, {spec.arch_words}, {threat_words(spec.train_threat)}"


def effort_words(studies: Sequence[StudyRecord]) -> str:
    """Say what all methods were given the same of: ``20 trials for each method``."""
    budget, *others = {study.budget for study in studies}
    if others:
        return "not the same effort for all methods"
    if budget.equal == "trials":
        amount = f"{budget.amount:g} trial{'s' * (budget.amount != 1)}"
    elif budget.equal == "passes":
        amount = f"{budget.amount / 1e6:,.3g} M images through the network"
    else:
        amount = f"{budget.amount / 60:,.3g} minutes"
    return f"{amount} for each method"


def values_words(study: StudyRecord) -> str:
    """Say what the best trial has in place of what the first had: ``λ 10 → 2.98, reset 40``."""
    if study.best is None:
        return "no trial came to its end"
    first = study.trials[0].values
    return ", ".join(
        f"{symbol_of(key)} {first[key]:g}" + (f" → {value:g}" if value != first[key] else "")
        for key, value in study.best.values.items()
    )


def tuning_table(studies: Sequence[StudyRecord], runs: Sequence[Run]) -> Table:
    """Return the table of a folder of studies; ``runs`` are those among which its best are sought.

    On test images there is what the runs of its suite came to, beside those with the values that
    the study started from, of the same seeds, and the difference.
    """
    attack = _OBJECTIVES[studies[0].objective]
    gains = [Gain.of_study(study) for study in studies]
    filled: list[Filled] = [
        (Column("method", "Method"), [Cell(display_name(study.spec.method)) for study in studies]),
        (Column("trials", "Trials", "count"), [counted(len(s.trials)) for s in studies]),
        (
            Column("passes", "Cost, M images", "number"),
            alike([Cell(s.passes / 1e6) for s in studies]),
        ),
        (Column("minutes", "Minutes", "number"), [Cell(s.seconds, "seconds") for s in studies]),
        (
            Column("start", f"{attack} held out, defaults", "number", "higher"),
            [Cell(study.trials[0].value if study.trials else None, "share") for study in studies],
        ),
        (
            Column("best", f"{attack} held out, tuned", "number", "higher"),
            [Cell(study.best.value if study.best else None, "share") for study in studies],
        ),
        (
            Column("gain", "Gain", "number", "higher"),
            [Cell(gain.gain if gain else None, "points") for gain in gains],
        ),
        (
            Column("by_chance", "By chance, up to", "number"),
            [Cell(gain.by_chance if gain else None, "points") for gain in gains],
        ),
        (Column("values", "Default → tuned"), [Cell(values_words(study)) for study in studies]),
    ]
    scored = _scored_alike(studies, runs)
    if scored:
        robust = attack_words(scored[0].spec.scoring)
        columns = zip(*(_on_test(study, scored) for study in studies), strict=True)
        start, tuned, gain = ([averaged(stat, "share") for stat in each] for each in columns)
        filled += [
            (Column("test_start", f"{robust}, defaults", "mean", "higher"), start),
            (Column("test_tuned", f"{robust}, tuned at equal effort", "mean", "higher"), tuned),
            (
                Column("test_gain", "Difference", "difference", "higher"),
                [replace(cell, scale="points") for cell in gain],
            ),
        ]
    words = tuning_words(studies)
    caption = (
        f"{words}: what tuning gains, with {effort_words(studies)}, in {attack} accuracy on"
        f" {studies[0].n_validation:,} held-out training images."
    )
    return Table.of(caption, filled, tuple(_notes(studies, bool(scored))), words)


def effort_note(block: Block, names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the footnote of a comparison that says which rows were tuned, and how much."""
    found: dict[str, list[str]] = {}
    for row in block.rows:
        tuned = [run.record.tuned for run, _ in row.scores]
        if all(tuned):  # of other runs of a row the study may have been shorter
            efforts = " or ".join(dict.fromkeys(_effort(each) for each in tuned if each))
            found.setdefault(efforts, []).append(names.get(row.label, row.label))
    if not found:
        return ()
    parts = (f"{', '.join(rows)} by {effort}" for effort, rows in found.items())
    all_rows = sum(map(len, found.values())) == len(block.rows)
    others = "" if all_rows else ". Those of the other rows are as they were given"
    return (f"Values chosen on held-out training images: {'; '.join(parts)}{others}.",)


def _effort(tuned: Tuned) -> str:
    cost = f"{tuned.passes / 1e6:,.3g} M images and {tuned.seconds / 60:,.3g} minutes"
    trials = f"{tuned.trials} trial{'s' * (tuned.trials != 1)}"
    return f"{trials}, {cost} ({_HELD_EQUAL[tuned.equal]} held equal)"


def _scored_alike(studies: Sequence[StudyRecord], runs: Sequence[Run]) -> list[Run]:
    """Return the runs that are scored as the first is that some of ``studies`` tuned, if any is.

    Those by AutoAttack come first.
    """
    tuned = [run for run in runs if any(_is_best(run, study) for study in studies)]
    tuned.sort(key=lambda run: run.spec.scoring.autoattack_version == "custom")
    return [run for run in runs if tuned and _scored(run) == _scored(tuned[0])]


def _scored(run: Run) -> tuple[object, ...]:
    return run.spec.scoring, run.spec.eval_examples, run.record.data_digest


def _on_test(study: StudyRecord, runs: Sequence[Run]) -> tuple[Stat | None, ...]:
    """Return robust test accuracy of the starting and of the tuned values, and the difference."""
    start = _by_seed(run for run in runs if run.spec.training_id == study.spec.training_id)
    tuned = _by_seed(run for run in runs if _is_best(run, study))
    gains = [tuned[seed] - start[seed] for seed in sorted(tuned.keys() & start.keys())]
    return Stat.of(start.values()), Stat.of(tuned.values()), Stat.of(gains)


def _is_best(run: Run, study: StudyRecord) -> bool:
    """Return whether a run has the best values of a study, and not those of when it was shorter."""
    tuned, best = run.record.tuned, study.best
    if tuned is None or best is None or tuned.study_id != study.study_id:
        return False
    return dict(tuned.values) == best.values


def _by_seed(runs: Iterable[Run]) -> dict[int, float]:
    found: dict[int, float] = {}
    for run in runs:
        score = run.record.evaluation("selected", run.spec.train_threat)
        robust = getattr(score, robust_metric(run.spec.scoring), None)
        if robust is not None:
            found[run.spec.seed] = robust
    return found


def _notes(studies: Sequence[StudyRecord], tested: bool) -> Iterator[str]:
    yield (
        "Defaults: the values that the search started from. The best of several trials is too good:"
        " were no value better than another, it would gain as much as stands under chance in 1 of"
        " 20 tunings, and fewer than 20 trials tell nothing. Trials that were pruned or failed"
        " count."
    )
    yield "M images: those that went through networks in training steps, both ways counted."
    if tested:
        yield (
            "Defaults beside tuned at equal effort, on test images, which the choice has not seen:"
            " mean ± sample standard deviation over seeds, and the difference of runs of the same"
            " seeds with its 95 % interval (Student's t)."
        )
    if unfinished := [study for study in studies if not study.finished]:
        names = ", ".join(display_name(study.spec.method) for study in unfinished)
        yield f"Not finished: {names}."
