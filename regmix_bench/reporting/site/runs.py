"""One run: the tables of its page, and the numbers that its charts and a comparison draw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from regmix_bench.analysis.cohorts import Run, row_order
from regmix_bench.analysis.words import threat_words
from regmix_bench.records.accuracies import score_words
from regmix_bench.records.schema import RobustEval
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures import style
from regmix_bench.reporting.formats.cells import Cell, Table, fixed, short
from regmix_bench.reporting.site.command import command
from regmix_bench.reporting.site.facts import cost, specification
from regmix_bench.reporting.site.images import Examples, examples
from regmix_bench.reporting.site.text import on_dark
from regmix_bench.reporting.tables import comparison as tables

#: matplotlib's names of lines and markers, and Plotly's.
_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
_SYMBOLS: dict[style.Marker, str] = {
    **{"o": "circle", "s": "square", "^": "triangle-up", "v": "triangle-down", "P": "cross"},
    **{"D": "diamond", "X": "x", "<": "triangle-left", ">": "triangle-right", "*": "star"},
    **{"p": "pentagon", "h": "hexagon", "d": "diamond-tall", (4, 1, 0): "star-diamond"},
    (6, 1, 0): "hexagram",
}
#: What of a marker is filled, by the line that goes with it.
_FILLS = {"-": "", "--": "-open", ":": "-dot", "-.": "-open-dot"}
_FAILED = style.Look(style.GREY, "o", "-")


@dataclass(frozen=True)
class RunPage:
    """A run as its page shows it; ``label`` is that of its row, ``siblings`` are its other seeds.

    ``file`` is the record's path below the results folder.
    """

    run: Run
    label: str
    file: str
    look: style.Look
    siblings: tuple[tuple[int, str], ...]

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
        named = f"{spec.dataset_words}, {spec.arch_words}"
        return f"{named}, trained under {threat_words(spec.train_threat)}"

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

    @cached_property
    def examples(self) -> Examples | None:
        return examples(self.run)

    @cached_property
    def listed(self) -> dict[str, Cell]:
        """The accuracies of :attr:`score`, by the header of their column."""
        score = self.score
        values = (score.clean_acc, score.pgd_acc, score.robust_acc) if score else (None,) * 3
        cells = (Cell(tables.MISSING if v is None else fixed(100 * v)) for v in values)
        return dict(zip(("Clean", "PGD-20", "Robust"), cells, strict=True))

    @cached_property
    def scores(self) -> Table:
        """Accuracies of every checkpoint under every threat, and after each attack."""
        scores = self.run.record.evaluations
        attacks = tuple(dict.fromkeys(name for score in scores for name in score.after_attack))
        rows = []
        for score in scores:
            n = score.n_examples
            after = (score.after_attack.get(name) for name in attacks)
            rows.append(
                (
                    Cell(f"{score.checkpoint}, {threat_words(score.threat)}"),
                    tables.accuracy(score.clean_acc, n),
                    tables.accuracy(score.pgd_acc, n),
                    *(Cell(tables.MISSING if a is None else fixed(100 * a)) for a in after),
                    tables.accuracy(score.robust_acc, n),
                    Cell(f"{n:,}"),
                )
            )
        words = tuple(dict.fromkeys(score_words(s) for s in scores if s.robust_acc is not None))
        header = (
            *("Checkpoint, attacked under", "Clean", f"PGD-{self.run.spec.scoring.pgd_steps}"),
            *(f"after {name}" for name in attacks),
            *(" or ".join(words) or "Robust", "Images"),
        )
        caption = "Accuracy in percent, with its 95 % interval over images (Wilson)."
        return Table(caption, header, tuple(rows), tuple(self._remarks()))

    @cached_property
    def epochs(self) -> Table:
        """The epochs that matter: the first, the selected, the last, and those with an alarm."""
        record = self.run.record
        wanted = {1, record.selected_epoch, len(record.history), *(a.epoch for a in record.alarms)}
        rows = tuple(
            (
                Cell(
                    str(log.epoch) + (" (selected)" if log.epoch == record.selected_epoch else "")
                ),
                *(
                    Cell(fixed(100 * value))
                    for value in (log.val_clean_acc, log.val_fgsm_acc, log.val_pgd_acc)
                ),
                Cell(f"{log.loss:#.4g}"),
                Cell(f"{log.lr:.4g}"),
            )
            for log in record.history
            if log.epoch in wanted
        )
        header = ("Epoch", "Clean", "FGSM", "PGD-10", "Loss", "Learning rate")
        return Table("Validation accuracy in percent, and training loss.", header, rows)

    @property
    def data(self) -> dict[str, Any]:
        """What charts and comparisons need, in percent."""
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
            "dash": _DASHES[self.look.line],
            "symbol": _SYMBOLS[self.look.marker] + _FILLS[self.look.line],
            "facts": [
                (short(name), short(text, 300))
                for name, text in specification(self.run) + cost(record)
            ],
            "scores": [
                {
                    "where": row[0].text,
                    "accuracies": [
                        (name, f"{cell.text} {cell.spread}".rstrip())
                        for name, cell in zip(self.scores.header[1:], row[1:], strict=True)
                        if cell.text != tables.MISSING
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
            "loss": [float(f"{log.loss:.5g}") for log in history],
            "selected": record.selected_epoch,
            "alarms": [(alarm.epoch, alarm.kind.replace("-", " ")) for alarm in record.alarms],
        }

    def _remarks(self) -> Iterator[str]:
        for score in self.run.record.evaluations:
            where = f"{score.checkpoint}, {threat_words(score.threat)}"
            if score.checks:
                yield f"Raised in scoring ({where}): {', '.join(score.checks)}."
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
    """A page for each training, finished or failed, in the order of rows."""
    groups = [group for cohort in contents.cohorts for group in cohort.groups]
    looks = style.looks(groups)
    rows = {run.record.run_id: group for group in groups for run in group.runs}

    def page(run: Run) -> RunPage:
        group = rows.get(run.record.run_id)
        label = group.label if group else run.spec.label
        others = tuple(
            (other.spec.seed, other.record.run_id)
            for other in (group.runs if group else ())
            if other is not run
        )
        file = run.path.relative_to(contents.results).as_posix()
        return RunPage(run, label, file, looks[label] if group else _FAILED, others)

    def place(run: Run) -> tuple[Any, ...]:
        spec = run.spec
        threat = spec.train_threat
        order = row_order(spec.method.name, spec.label)
        return spec.dataset, spec.arch, threat.norm, threat.epsilon, order, spec.seed, str(run.path)

    return tuple(page(run) for run in sorted(contents.runs, key=place))


def _percent(accuracies: Iterable[float]) -> list[float]:
    return [round(100 * accuracy, 2) for accuracy in accuracies]
