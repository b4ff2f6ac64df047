"""One run: the tables of its page, and the numbers that its charts and a comparison draw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from regmix_bench.analysis.cohorts import Run, row_order
from regmix_bench.analysis.selection import WEIGHTS, Selected
from regmix_bench.analysis.statistics import accuracy_interval
from regmix_bench.analysis.words import threat_words
from regmix_bench.methods.declarations import display_name
from regmix_bench.records.accuracies import ROBUST, accuracies, by_title
from regmix_bench.records.alarms import alarms_of
from regmix_bench.records.checkpoints import epoch_of
from regmix_bench.records.overfitting import beside_average
from regmix_bench.records.schema import Alarm, RobustEval
from regmix_bench.records.tricks import trained_with
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures.looks import GREY, Look
from regmix_bench.reporting.formats.cells import fixed, line, short
from regmix_bench.reporting.site.command import command
from regmix_bench.reporting.site.facts import cost_facts, specification_facts
from regmix_bench.reporting.site.images import Examples, examples
from regmix_bench.reporting.site.markers import marker_paths
from regmix_bench.reporting.site.text import on_dark
from regmix_bench.reporting.tables.checkpoints import run_checkpoints_table
from regmix_bench.reporting.values import Cell, Column, Table, counted, measured, significant

#: The names of matplotlib's lines in scripts.
DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
#: The validation accuracies of an epoch, and their headers.
_VALIDATION = {"val_clean_acc": "Clean", "val_fgsm_acc": "FGSM", "val_pgd_acc": "PGD-10"}
_FAILED = Look("", GREY, "o", "-")
#: Seeds that a page links to on either side of its own: of thousands, all would be millions.
_NEIGHBOURS = 12


@dataclass(frozen=True)
class RunPage:
    """A run as its page shows it; ``label`` is what figures call its row.

    ``siblings`` are its next seeds, and there are ``unlisted`` others. ``file`` is the record's
    path below the results folder.
    """

    run: Run
    label: str
    file: str
    look: Look
    siblings: tuple[tuple[int, str], ...]
    unlisted: int

    @property
    def id(self) -> str:
        return self.run.record.run_id

    @property
    def method(self) -> str:
        return self.run.spec.method.name

    @property
    def title(self) -> str:
        return f"{short(self.label)}, seed {self.run.spec.seed}"

    @property
    def setting(self) -> str:
        spec = self.run.spec
        named = f"{spec.data_words}, {spec.arch_words}"
        return f"{named}, trained under {threat_words(spec.train_threat)}"

    @property
    def tricks(self) -> str:
        return str(trained_with(self.run.record))

    @property
    def failed(self) -> bool:
        return self.run.record.status == "error"

    @property
    def reason(self) -> str:
        """The first line of what a failed run said."""
        return next(iter((self.run.record.error or "").strip().splitlines()), "no reason recorded")

    @property
    def command(self) -> str:
        return command(self.run.spec, self.run.record.reference)

    @property
    def score(self) -> RobustEval | None:
        """The score to list the run by: at its selected checkpoint, at its own ε if it has one."""
        scores = [e for e in self.run.record.evaluations if e.checkpoint == "selected"]
        own = [e for e in scores if e.threat == self.run.spec.train_threat]
        return next(iter(own or scores), None)

    @property
    def finding(self) -> str:
        """The sentence that says :attr:`score`; empty without an attack."""
        scoring, score = self.run.spec.scoring, self.score
        found = [] if score is None else [each for each in accuracies(scoring) if each.read(score)]
        if score is None or not found or found[-1].id == "clean_acc":
            return ""
        share = found[-1].read(score) or 0.0
        low, high = accuracy_interval(share, score.n_examples)
        return (
            f"{fixed(100 * share)} % [{fixed(100 * low)}, {fixed(100 * high)}] of"
            f" {score.n_examples:,} test images hold under {found[-1].header(scoring)} at"
            f" {threat_words(score.threat)}, and {fixed(100 * score.clean_acc)} % are right without"
            " an attack."
        )

    @cached_property
    def alarms(self) -> tuple[Alarm, ...]:
        return alarms_of(self.run.record)

    @cached_property
    def examples(self) -> Examples | None:
        return examples(self.run)

    @cached_property
    def listed(self) -> dict[str, Cell]:
        """The accuracies of :attr:`score`, by the title of their column."""
        return {title: Cell(share, "share") for title, share in by_title(self.score).items()}

    @cached_property
    def scores(self) -> Table:
        """Accuracies of every checkpoint under every threat, and after each attack."""
        scores = self.run.record.evaluations
        scoring = self.run.spec.scoring
        attacks = tuple(dict.fromkeys(name for score in scores for name in score.after_attack))
        filled: list[tuple[Column, list[Cell]]] = [
            (
                Column("attacked", "Checkpoint, attacked under"),
                [Cell(f"{score.checkpoint}, {threat_words(score.threat)}") for score in scores],
            )
        ]
        for accuracy in accuracies(scoring):
            if accuracy.title == ROBUST:
                filled += [
                    (
                        Column(f"after_{name}", f"after {name}", "number", "higher"),
                        [Cell(score.after_attack.get(name), "share") for score in scores],
                    )
                    for name in attacks
                ]
            filled.append(
                (
                    Column(accuracy.id, accuracy.header(scoring), "estimate", "higher"),
                    [measured(accuracy.read(score), score.n_examples) for score in scores],
                )
            )
        images = [counted(score.n_examples) for score in scores]
        return Table.of(
            "Accuracy in percent, with its 95 % interval over images (Wilson).",
            [*filled, (Column("images", "Images", "count"), images)],
            tuple(self._remarks()),
        )

    @cached_property
    def selection(self) -> Table | None:
        """The gain of selecting, on the validation part and on test images, of either weights."""
        threats = dict.fromkeys(score.threat for score in self.run.record.evaluations)
        own = self.run.spec.train_threat
        threat = own if own in threats else next(iter(threats), None)
        if threat is None:
            return None
        found = [Selected.of(self.run, weights, threat) for weights in WEIGHTS]
        there = [each for each in found if each is not None]
        return run_checkpoints_table(there) if there else None

    @cached_property
    def epochs(self) -> Table:
        """The epochs that matter: the first, the selected, the last, and those with an alarm."""
        record = self.run.record
        raw = epoch_of(record, "raw-selected")
        wanted = {1, record.selected_epoch, raw, len(record.history)}
        wanted |= {alarm.epoch for alarm in self.alarms}
        logs = [log for log in record.history if log.epoch in wanted]
        chosen = {raw: " (raw selected)", record.selected_epoch: " (selected)"}
        validated = dict(_VALIDATION)
        if raw is not None:
            validated["raw_val_pgd_acc"] = "PGD-10, raw weights"
        return Table.of(
            "Validation accuracy in percent, and training loss.",
            (
                (
                    Column("epoch", "Epoch"),
                    [Cell(f"{log.epoch}{chosen.get(log.epoch, '')}") for log in logs],
                ),
                *(
                    (
                        Column(name, header, "number", "higher"),
                        [Cell(getattr(log, name), "share") for log in logs],
                    )
                    for name, header in validated.items()
                ),
                (
                    Column("loss", "Loss", "number", "lower"),
                    [significant(log.loss) for log in logs],
                ),
                (Column("lr", "Learning rate", "number"), [significant(log.lr) for log in logs]),
            ),
        )

    @property
    def data(self) -> dict[str, Any]:
        """The numbers that charts and comparisons draw, in percent."""
        record = self.run.record
        history = record.history
        return {
            "id": self.id,
            "label": short(self.label),
            "seed": self.run.spec.seed,
            "title": self.title,
            "setting": self.setting,
            "status": record.status,
            "error": short(self.reason, 300) if self.failed else "",
            "colours": [self.look.colour, on_dark(self.look.colour)],
            "dash": DASHES[self.look.line],
            "marker": marker_paths(self.look),
            "facts": [
                (short(name), short(text, 300))
                for name, text in specification_facts(self.run) + cost_facts(record)
            ],
            "scores": [
                {
                    "where": row[0].value,
                    "accuracies": [
                        (column.header, line(cell, column.kind))
                        for column, cell in zip(self.scores.columns[1:], row[1:], strict=True)
                        if cell.value is not None
                    ],
                }
                for row in self.scores.rows
            ],
            "attacks": [
                {
                    "where": f"{score.checkpoint}, {threat_words(score.threat)}",
                    "names": ["clean", *score.after_attack],
                    "accuracies": _percent((score.clean_acc, *score.after_attack.values())),
                }
                for score in record.evaluations
                if score.after_attack
            ],
            "epochs": [log.epoch for log in history],
            "clean": _percent(log.val_clean_acc for log in history),
            "fgsm": _percent(log.val_fgsm_acc for log in history),
            "pgd": _percent(log.val_pgd_acc for log in history),
            "raw": _percent(one.pgd for one in beside_average(history)),
            "loss": [float(f"{log.loss:.5g}") for log in history],
            "selected": record.selected_epoch,
            "alarms": [(alarm.epoch, alarm.kind.replace("-", " ")) for alarm in self.alarms],
        }

    def _remarks(self) -> Iterator[str]:
        for score in self.run.record.evaluations:
            where = f"{score.checkpoint}, {threat_words(score.threat)}"
            if score.checks:
                yield f"Raised in scoring ({where}): {', '.join(score.checks)}."
            for attack, why in score.failed_attacks.items():
                yield f"Failed ({where}): {attack}: {why}."
            if score.substitutions:
                yield f"Attacks replaced ({where}): {'; '.join(score.substitutions)}."
            for asked in score.diagnoses:
                if asked.p_value is None:
                    yield f"Audit ({where}): {asked.name}: not asked: {asked.note}."
                elif asked.stronger is not None and asked.weaker is not None:
                    yield (
                        f"Audit ({where}): {asked.name}: {fixed(100 * asked.stronger)} % against"
                        f" {fixed(100 * asked.weaker)} % (p = {asked.p_value:.2g}):"
                        f" {'gradient masking suspected' if asked.alarm else 'nothing suspected'}."
                    )


def run_pages(contents: Contents) -> tuple[RunPage, ...]:
    """Return a page for each training, finished or failed, in the order of rows."""
    groups = [group for cohort in contents.cohorts for group in cohort.groups]
    rows = {
        run.record.run_id: (group, place)
        for group in groups
        for place, run in enumerate(group.runs)
    }

    def page(run: Run) -> RunPage:
        file = run.path.relative_to(contents.results).as_posix()
        if run.record.run_id not in rows:
            return RunPage(run, display_name(run.spec.method), file, _FAILED, (), 0)
        group, place = rows[run.record.run_id]
        around = group.runs[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS + 1]
        siblings = tuple((each.spec.seed, each.record.run_id) for each in around if each is not run)
        unlisted = len(group.runs) - len(around)
        look = contents.looks[group.label]
        return RunPage(run, look.name, file, look, siblings, unlisted)

    def place(run: Run) -> tuple[Any, ...]:
        spec = run.spec
        threat = spec.train_threat
        order = row_order(spec.method.name, spec.label)
        return spec.dataset, spec.arch, threat.norm, threat.epsilon, order, spec.seed, str(run.path)

    return tuple(page(run) for run in sorted(contents.runs, key=place))


def _percent(accuracies: Iterable[float]) -> list[float]:
    return [round(100 * accuracy, 2) for accuracy in accuracies]
