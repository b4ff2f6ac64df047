"""The tables of raw and averaged weights, selected and last, and of what selecting them gained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from regmix_bench.analysis.blocks import Stat
from regmix_bench.analysis.selection import WEIGHTS, Selected, SelectionGain, Selections
from regmix_bench.analysis.words import checkpoint_words, threat_words
from regmix_bench.records.accuracies import accuracies
from regmix_bench.records.checkpoints import Choice
from regmix_bench.reporting.tables.labels import labels_column
from regmix_bench.reporting.tables.tricks import tricks_column, tricks_said
from regmix_bench.reporting.values import Cell, Column, Table, averaged, counted
from regmix_bench.types import Weights

Filled = tuple[Column, list[Cell]]
_CHOICES: tuple[Choice, ...] = ("selected", "last")


def checkpoints_table(found: Selections) -> Table:
    """Return the accuracies of each checkpoint of each row, and the gain of selecting it.

    There are columns of those weights alone that some row has. Each column is of one kind of
    weights and of one choice among the epochs, and best marks are given within it.
    """
    there = [w for w in WEIGHTS if any(by_weights[w] for _, by_weights in found.rows)]
    filled: list[Filled] = [(Column("method", "Method"), [Cell(g.label) for g, _ in found.rows])]
    for weights in there:
        word = f"{weights} " if len(there) > 1 else ""
        filled += _accuracies(found, weights, word)
        filled += _gains([by_weights[weights] for _, by_weights in found.rows], weights, word)
    filled += tricks_column(found.cohort.setting, (group for group, _ in found.rows))
    filled += labels_column(found.cohort.setting, (group for group, _ in found.rows))
    seeds = [len({e.run.spec.seed for w in WEIGHTS for e in by[w]}) for _, by in found.rows]
    filled.append((Column("seeds", "Seeds", "count"), [counted(number) for number in seeds]))
    caption = f"{checkpoints_heading(found)}. {tricks_said(found.cohort.setting)}"
    return Table.of(caption, filled, tuple(_notes(found)), found.cohort.setting.words)


def run_checkpoints_table(found: Sequence[Selected]) -> Table:
    """Return the selected and the last checkpoint of one run, a row for each kind of weights."""

    def shares(values: Iterable[float | None]) -> list[Cell]:
        return [Cell(value, "share") for value in values]

    def gains(values: Iterable[float | None], tests: Iterable[float | None]) -> list[Cell]:
        return [
            Cell(value, "points", word="" if p is None else f"p = {p:.2g}")
            for value, p in zip(values, tests, strict=True)
        ]

    run, none = found[0].run, [None] * len(found)
    pgd = f"PGD-{run.spec.scoring.pgd_steps}"
    filled: list[Filled] = [
        (Column("weights", "Weights"), [Cell(each.weights) for each in found]),
        (
            Column("epoch", "Selected epoch", "count"),
            [Cell(each.epochs[0], decimals=0) for each in found],
        ),
    ]
    for place, choice in enumerate(_CHOICES):
        column = Column(f"{choice}_validation", f"Validation PGD-10, {choice}", "number", "higher")
        filled.append((column, shares(each.validation[place] for each in found)))
    for choice in _CHOICES:
        column = Column(f"{choice}_pgd_acc", f"{pgd}, {choice}", "number", "higher")
        filled.append((column, shares(getattr(each, choice).pgd_acc for each in found)))
    filled += [
        (
            Column("gain_validation", "Gain val.", "difference"),
            gains((each.validation_gain for each in found), none),
        ),
        (
            Column("gain_test", "Gain test", "difference"),
            gains((each.test_gain for each in found), (each.p_value for each in found)),
        ),
        (
            Column("gain_optimism", "Optimism", "difference"),
            gains((each.optimism for each in found), none),
        ),
    ]
    return Table.of(
        f"Selected and last checkpoint under {threat_words(found[0].selected.threat)}: accuracy in"
        " percent, gains of the selected one in points, p of McNemar's exact two-sided test of the"
        " gain on test images, and the optimism of selection, which is the gain on the validation"
        " images less that.",
        filled,
    )


def checkpoints_heading(found: Selections) -> str:
    """Return what stands above a table of checkpoints."""
    return (
        f"{found.cohort.setting.words}: trained under {threat_words(found.cohort.train_threat)},"
        f" attacked under {threat_words(found.threat)}, selected and last checkpoint"
    )


def selection_gains(parts: Iterable[Selections]) -> pd.DataFrame:
    """Return the two checkpoints of every run and of either weights: accuracies 0 to 1, gains."""
    return pd.DataFrame(
        [
            {
                **part.cohort.csv_columns,
                "eval_norm": part.threat.norm,
                "eval_epsilon": str(part.threat.epsilon),
                "label": group.label,
                "seed": each.run.spec.seed,
                "run_id": each.run.record.run_id,
                **run_selection(each),
            }
            for part in parts
            for group, by_weights in part.rows
            for found in by_weights.values()
            for each in found
        ]
    )


def run_selection(found: Selected) -> dict[str, object]:
    """Return the numbers of one run's selected and last checkpoint by name."""
    lost, gained = found.changed or (None, None)
    return {
        "weights": found.weights,
        "selection": found.run.spec.recipe.selection,
        "selected_epoch": found.epochs[0],
        "last_epoch": found.epochs[1],
        "selected_val_pgd_acc": found.validation[0],
        "last_val_pgd_acc": found.validation[1],
        "validation_gain": found.validation_gain,
        "selected_pgd_acc": found.selected.pgd_acc,
        "last_pgd_acc": found.last.pgd_acc,
        "test_gain": found.test_gain,
        "optimism": found.optimism,
        "lost": lost,
        "gained": gained,
        "p_value": found.p_value,
    }


def _accuracies(found: Selections, weights: Weights, word: str) -> Iterator[Filled]:
    scoring = found.cohort.setting.scoring
    for accuracy in accuracies(scoring):
        for choice in _CHOICES:
            cells = []
            for _, by_weights in found.rows:
                scores = [getattr(each, choice) for each in by_weights[weights]]
                images = scores[0].n_examples if scores else None
                stat = Stat.of((accuracy.read(score) for score in scores), images)
                cells.append(averaged(stat, "share"))
            if any(cell.value is not None for cell in cells):
                header = f"{accuracy.header(scoring)} {word}{choice}"
                column = Column(f"{weights}_{choice}_{accuracy.id}", header, "mean", "higher")
                yield column, cells


def _gains(rows: Sequence[tuple[Selected, ...]], weights: Weights, word: str) -> Iterator[Filled]:
    summaries = [SelectionGain.of(found) for found in rows]
    for name, header in (
        ("validation", "Gain val."),
        ("test", "Gain test"),
        ("optimism", "Optimism"),
    ):
        cells = [averaged(getattr(gain, name), "points") for gain in summaries]
        column = Column(f"{weights}_gain_{name}", f"{header} {word}".rstrip(), "difference")
        if any(cell.value is not None for cell in cells):
            yield column, cells
    tests = [gain.p_value for gain in summaries]
    if any(value is not None for value in tests):
        cells = [Cell(value, decimals=3) for value in tests]
        yield Column(f"{weights}_gain_p", f"p {word}".rstrip(), "number"), cells


def _notes(found: Selections) -> Iterator[str]:
    runs = [each for _, by in found.rows for w in WEIGHTS for each in by[w]]
    scoring, recipe = found.cohort.setting.scoring, found.cohort.setting.recipe
    validation = runs[0].run.record.n_validation
    held_out = f"{validation:,} validation images" if validation else "the validation images"
    yield (
        f"Accuracy in percent on {runs[0].selected.n_examples:,} test images, mean ± sample"
        " standard deviation over seeds."
        f" Selected: {checkpoint_words('selected', recipe)}, of each kind of weights by its own."
    )
    yield (
        "Gain: points that the selected checkpoint has more than the last one, on"
        f" {held_out} under PGD-10, which select it, and on the test images under"
        f" PGD-{scoring.pgd_steps}, with 95 % intervals over seeds (Student's t). Optimism: the"
        " first less the second; what selection seems to gain by chance alone is in it."
    )
    if any(each.changed is not None for each in runs):
        yield (
            "p: McNemar's exact two-sided test of the gain on test images, image by image, those"
            " of all seeds pooled."
        )
