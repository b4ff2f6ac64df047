"""Blocks as tables: one model of cells, written as LaTeX or as Markdown, and the raw numbers as CSV.

Whatever is shown is decided once, in plain text, by :func:`comparison`; the two syntaxes only
escape and decorate it.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pandas as pd

from regmix_bench.reporting.blocks import Block, Cohort, Row, Stat
from regmix_bench.types import Recipe, ThreatModel

Mark = Literal["", "best", "second"]
MISSING = "–"


@dataclass(frozen=True)
class Cell:
    """Plain text; ``mark`` decorates ``text`` alone, ``spread`` and the footnote signs follow it."""

    text: str
    spread: str = ""
    mark: Mark = ""
    signs: str = ""


@dataclass(frozen=True)
class Table:
    """A table in plain text; the first column holds names, the others numbers."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


class Column(NamedTuple):
    """How a metric is shown: ``scale`` turns the raw number into the unit of the header."""

    metric: str
    header: str
    scale: float = 100.0
    ranked: bool = True
    spread: bool = True


def comparison(block: Block) -> Table:
    """The comparison table of a block, with its caption, footnotes and failed runs."""
    columns = _columns(block)
    marks = {c.metric: _marks(block.rows, c) if c.ranked else {} for c in columns}
    signs, footnotes = _footnotes(block.rows)
    rows = []
    for row in block.rows:
        cells = [Cell(row.label, signs=signs.get(row.label, ""))]
        for column in columns:
            stat = row.metrics.get(column.metric)
            cells.append(number(stat, column, marks[column.metric].get(row.label, "")))
        cells.append(Cell(str(len(row.runs))))
        rows.append(tuple(cells))
    header = ("Method", *(column.header for column in columns), "Seeds")
    return Table(_caption(block), header, tuple(rows), (*_notes(block), *footnotes))


def number(stat: Stat | None, column: Column, mark: Mark = "") -> Cell:
    """A mean with one decimal per cell, ± the standard deviation where there are several seeds."""
    if stat is None:
        return Cell(MISSING)
    spread = (
        f"± {_fixed(stat.std * column.scale)}" if column.spread and stat.std is not None else ""
    )
    return Cell(_fixed(stat.mean * column.scale), spread, mark)


def latex(table: Table, label: str) -> str:
    r"""The table for a document of class ``article`` with the package booktabs.

    A table wider than the text stands centred on it, which needs no further package.
    """
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{_tex(table.caption)}}}",
        rf"  \label{{{label}}}",
        r"  \footnotesize",
        r"  \setlength{\tabcolsep}{3pt}",
        rf"  \makebox[\linewidth]{{\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
        r"    \toprule",
        f"    {' & '.join(_tex(name) for name in table.header)} \\\\",
        r"    \midrule",
        *(f"    {' & '.join(_tex_cell(cell) for cell in row)} \\\\" for row in table.rows),
        r"    \bottomrule",
        r"  \end{tabular}}",
        *(rf"  \par\smallskip\parbox{{\linewidth}}{{{_tex(note)}}}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def markdown(table: Table) -> str:
    """The table in the syntax of GitHub, caption above and notes below as a list."""
    lines = [
        markdown_text(table.caption),
        "",
        f"| {' | '.join(markdown_text(name) for name in table.header)} |",
        f"| :--- |{' ---: |' * (len(table.header) - 1)}",
        *(f"| {' | '.join(_markdown_cell(cell) for cell in row)} |" for row in table.rows),
        "",
        *(f"- {markdown_text(note)}" for note in table.notes),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def csv(frame: pd.DataFrame) -> str:
    """A frame as CSV, ten significant digits; no text cell that a spreadsheet would run as a formula."""

    def safe_cell(value: object) -> object:
        return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value

    safe = frame.map(safe_cell)
    return str(safe.to_csv(index=False, lineterminator="\n", float_format="%.10g"))


def numbers(blocks: Iterable[Block]) -> pd.DataFrame:
    """All blocks in long form: one row per block, method and metric, in raw units."""
    return pd.DataFrame(
        [
            {
                "table": block.stem,
                **describe(block.cohort),
                "eval_norm": block.eval_threat.norm,
                "eval_epsilon": str(block.eval_threat.epsilon),
                "checkpoint": block.checkpoint,
                "method": row.group.method,
                "label": row.label,
                "group_id": row.group.spec.group_id,
                "metric": metric,
                "mean": stat.mean,
                "std": stat.std,
                "n": stat.n,
            }
            for block in blocks
            for row in block.rows
            for metric, stat in row.metrics.items()
        ],
    )


def failed(cohorts: Iterable[Cohort]) -> pd.DataFrame:
    """Every failed run once, with the reason it gave."""
    runs = {run.record.run_id: run for cohort in cohorts for run in cohort.failures}
    columns = [
        "run_id",
        "dataset",
        "arch",
        "train_norm",
        "train_epsilon",
        "method",
        "label",
        "seed",
        "error",
    ]
    rows = [
        (
            run_id,
            run.spec.dataset,
            run.spec.arch,
            run.spec.train_threat.norm,
            str(run.spec.train_threat.epsilon),
            run.spec.method.name,
            run.spec.method.label,
            run.spec.seed,
            run.record.error,
        )
        for run_id, run in runs.items()
    ]
    return pd.DataFrame(rows, columns=columns)


def describe(cohort: Cohort) -> dict[str, object]:
    """The columns that name a cohort in a CSV file."""
    setting = cohort.setting
    return {
        "dataset": setting.dataset,
        "data_digest": setting.data_digest,
        "arch": setting.arch,
        "train_examples": setting.train_examples,
        "eval_examples": setting.eval_examples,
        "recipe": recipe_words(setting.recipe),
        "train_norm": cohort.train_threat.norm,
        "train_epsilon": str(cohort.train_threat.epsilon),
    }


def threat_words(threat: ThreatModel) -> str:
    """``L∞ 8/255``."""
    return f"{'L∞' if threat.norm == 'Linf' else threat.norm} {threat.epsilon}"


def recipe_words(recipe: Recipe) -> str:
    """A recipe as a reader would say it."""
    schedule = {"cosine": "cosine", "onecycle": "one-cycle"}.get(recipe.schedule)
    if schedule is None:
        drops = ", ".join(f"{100 * milestone:.0f} %" for milestone in recipe.milestones)
        schedule = f"×{recipe.gamma:g} at {drops} of the epochs" if drops else "constant"
    words = [
        f"{recipe.epochs} epochs" if recipe.epochs > 1 else "1 epoch",
        f"batch {recipe.batch_size}",
        f"SGD with {'Nesterov ' if recipe.nesterov else ''}momentum {recipe.momentum:g}",
        f"learning rate {recipe.lr:g} ({schedule})",
        f"weight decay {recipe.weight_decay:g}",
        {"none": "no augmentation", "crop": "random crop", "crop-flip": "random crop and flip"}[
            recipe.augmentation
        ],
    ]
    if recipe.gradient_clip is not None:
        words.append(f"gradient norm clipped at {recipe.gradient_clip:g}")
    if recipe.ema_decay is not None:
        words.append(f"weights averaged with decay {recipe.ema_decay:g}")
    return ", ".join([*words, recipe.precision])


def _columns(block: Block) -> tuple[Column, ...]:
    pgd = f"PGD-{block.cohort.setting.scoring.pgd_steps}"
    drop = (
        Column("last_pgd_acc", f"{pgd} last"),
        Column("pgd_drop", "Drop", ranked=False, spread=False),
    )
    minutes = 1 / 60
    return (
        Column("clean_acc", "Clean"),
        Column("pgd_acc", pgd),
        Column("autoattack_acc", "AutoAttack"),
        *(drop if block.checkpoint == "selected" else ()),
        Column("training_seconds", "Train min", minutes, ranked=False, spread=False),
        Column("passes", "Passes", 1.0, ranked=False, spread=False),
        Column("scoring_seconds", "Score min", minutes, ranked=False, spread=False),
    )


def _marks(rows: Sequence[Row], column: Column) -> Mapping[str, Mark]:
    """Best and second by what is printed, so that equal numbers are marked alike."""
    shown = {
        row.label: float(_fixed(stat.mean * column.scale).replace("−", "-"))
        for row in rows
        if (stat := row.metrics.get(column.metric))
    }
    if len(shown) < 2:
        return {}
    ranks: dict[float, Mark] = dict(
        zip(sorted(set(shown.values()), reverse=True), ("best", "second"), strict=False)
    )
    return {label: ranks.get(value, "") for label, value in shown.items()}


def _fixed(value: float) -> str:
    text = f"{value:.1f}"
    return "0.0" if text == "-0.0" else text.replace("-", "−")


def _caption(block: Block) -> str:
    cohort, setting = block.cohort, block.cohort.setting
    checkpoint = {
        "selected": "checkpoint of highest validation PGD-10",
        "last": "last checkpoint",
    }[block.checkpoint]
    return (
        f"{setting.dataset}, {setting.arch}: trained under {threat_words(cohort.train_threat)},"
        f" attacked under {threat_words(block.eval_threat)}, {checkpoint}."
        f" Recipe: {recipe_words(setting.recipe)}."
    )


def _notes(block: Block) -> Iterable[str]:
    if block.rows:
        run, evaluation = block.rows[0].evaluations[0]
        images = evaluation.n_examples
        trained = f"{run.record.n_train:,} training and " if run.record.n_train else ""
        yield (
            f"Accuracy in percent, {trained}{images:,} test images (one standard error at most"
            f" {100 * math.sqrt(0.25 / images):.1f} points), mean ± sample standard deviation over"
            " seeds; best bold, second underlined. Drop: points of PGD accuracy that the last"
            " checkpoint loses."
            " Passes: images through the network, forwards and backwards, per training image and"
            " epoch. Scoring covers every threat and checkpoint of a run."
        )
    for run in block.cohort.failures:
        reason = " ".join((run.record.error or "no reason recorded").split())
        yield f"Failed: {run.spec.method.label}, seed {run.spec.seed}: {reason}"


def _footnotes(rows: Sequence[Row]) -> tuple[dict[str, str], list[str]]:
    """The footnote signs of each row label, and the footnotes."""
    alarms: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    checks: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    swaps: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for run, evaluation in row.evaluations:
            for alarm in run.record.alarms:
                text = f"{alarm.kind.replace('-', ' ')} at epoch {alarm.epoch}"
                alarms[text][row.label].append(run.spec.seed)
            for check in evaluation.checks:
                checks[check][row.label].append(run.spec.seed)
            for swap in evaluation.substitutions:
                swaps[swap][row.label].append(run.spec.seed)
    everyone = {row.label: [run.spec.seed for run in row.runs] for row in rows}
    signs: dict[str, str] = defaultdict(str)
    notes = []
    for sign, lead, found in (
        ("†", "Alarm in training", alarms),
        ("‡", "Raised in scoring", checks),
        ("§", "Attacks replaced", swaps),
    ):
        for label in everyone:
            if any(label in where for where in found.values()):
                signs[label] += sign
        if found:
            parts = (f"{text} ({_where(where, everyone)})" for text, where in found.items())
            notes.append(f"{sign} {lead}: {'; '.join(parts)}.")
    return signs, notes


def _where(where: Mapping[str, list[int]], everyone: Mapping[str, list[int]]) -> str:
    if where == everyone:
        return "all runs"
    return ", ".join(
        label
        if seeds == everyone[label]
        else f"{label} seed{'s' if len(seeds) > 1 else ''} {'+'.join(map(str, seeds))}"
        for label, seeds in where.items()
    )


_FORMULA = ("=", "+", "-", "@", "\t", "\r")

# A bracket after \\ would be read as its optional argument, hence the braces.
_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "[": "{[}",
    "]": "{]}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "∞": r"$_\infty$",
    "ε": r"$\varepsilon$",
    "–": "--",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "§": r"\textsection{}",
}


def _tex(text: str) -> str:
    # LaTeX stops at letters its fonts lack, and an error message may hold any of them.
    return "".join(
        _TEX.get(letter) or (letter if letter.isprintable() and ord(letter) < 0x180 else "?")
        for letter in " ".join(text.split())
    )


def _tex_cell(cell: Cell) -> str:
    wrap = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}[cell.mark]
    signs = rf"\textsuperscript{{{_tex(cell.signs)}}}" if cell.signs else ""
    return " ".join(filter(None, (wrap.format(_tex(cell.text)) + signs, _tex(cell.spread))))


def markdown_text(text: str) -> str:
    """Plain text with whatever Markdown would read as syntax escaped, on one line."""
    return re.sub(r"([\\`*_\[\]<>#|~$&])", r"\\\1", " ".join(text.split()))


def _markdown_cell(cell: Cell) -> str:
    wrap = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}[cell.mark]
    head = wrap.format(markdown_text(cell.text)) + cell.signs
    return " ".join(filter(None, (head, markdown_text(cell.spread))))
