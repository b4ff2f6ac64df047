"""What the pages say of the recorded runs: ``python docs/make/recorded.py`` renews it.

Each block stands between ``<!-- recorded: NAME -->`` and ``<!-- end -->``. Its numbers come from
``results/shipped``, by the tables and verdicts that ``regmix-bench report`` has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.cohorts import require_records, runs_among
from regmix_bench.analysis.tricks import Axis
from regmix_bench.analysis.tuning import Gain
from regmix_bench.analysis.words import threat_words
from regmix_bench.api.options import suite_run_ids
from regmix_bench.methods.declarations import display_name
from regmix_bench.records.schema import StudyRecord
from regmix_bench.records.studies import load_study, study_files
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.cells import fixed, markdown
from regmix_bench.reporting.headline import headline
from regmix_bench.reporting.paper import named
from regmix_bench.reporting.tables.tuning import by_folder, tuning_table
from regmix_bench.reporting.values import Table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "shipped"
PAGES = (ROOT / "README.md", *(ROOT / "docs" / name for name in ("measured.md", "regmix.md")))
#: The studies at equal effort, whose suite was run.
STUDIES = "digits-smallcnn-Linf-32-255"

MARKED = re.compile(r"(<!-- recorded: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
COLUMNS = ("method", "clean_acc", "pgd_acc", "autoattack_acc")
COMPARED = (*COLUMNS, "robust_difference", "passes", "seeds")
UNION = "all of L∞ 32/255, L2 0.5, L1 1"
UNDER_ALL = ("method", "autoattack_acc", "robust_difference")
HELD_OUT = ("method", "start", "best", "gain", "by_chance")
ON_TEST = ("method", "test_start", "test_tuned", "test_gain")
ALONE = (*COLUMNS, "robust_interval", "passes")
METRIC = "autoattack_acc"


class Recorded:
    """The blocks of the pages, by name, made of the records below a folder."""

    def __init__(self, results: Path = RESULTS) -> None:
        self.results = results
        self.records = require_records(results)

    @cached_property
    def matched(self) -> Contents:
        """Every method with the same tricks."""
        return self._suites("matched-digits")

    @cached_property
    def ablation(self) -> Contents:
        """Four methods with no trick, each, and all."""
        return self._suites("ablation-tricks", across=("tricks",))

    @cached_property
    def authors(self) -> Contents:
        """Every method with the tricks of its authors."""
        return self._suites("digits,digits-reference", across=("tricks",))

    @cached_property
    def tuned(self) -> Contents:
        """Four methods with the values that were chosen at equal effort."""
        chosen = {
            path: record
            for path, record in self.records.items()
            if record.kind == "run"
            and record.tuned
            and record.tuned.study.startswith(f"{STUDIES}/")
        }
        return Contents(self.results, chosen, (), whole=False)

    @cached_property
    def studies(self) -> Sequence[StudyRecord]:
        """What was tuned at equal effort, a study for each method."""
        return by_folder(map(load_study, study_files(self.results)))[STUDIES]

    @cached_property
    def tuning(self) -> Table:
        """What tuning found on held-out images, and what became of it on test images."""
        return tuning_table(self.studies, runs_among(self.records))

    @cached_property
    def blocks(self) -> dict[str, Callable[[], str]]:
        return {
            "findings": self.findings,
            "matched-32": lambda: self._compared(self.matched, "L∞ 32/255"),
            "matched-48": lambda: self._compared(self.matched, "L∞ 48/255"),
            "ablation": self.ablation_table,
            "digits-32": lambda: self._compared(self.authors, "L∞ 32/255"),
            "digits-48": lambda: self._compared(self.authors, "L∞ 48/255"),
            "cifar10": lambda: self._compared(
                self._suites("cifar10-cpu", across=("tricks",)), "L∞ 8/255", ALONE
            ),
            "said-matched": lambda: self._said(self.matched, "L∞ 32/255"),
            "held-out": lambda: self._shown(self.tuning, HELD_OUT),
            "on-test": lambda: self._shown(self.tuning, ON_TEST),
            "said-tuned": lambda: self._said(self.tuned, "L∞ 32/255"),
            "tuned": lambda: self._compared(self.tuned, "L∞ 32/255"),
            "said-union": lambda: self._said(self.tuned, UNION),
            "tuned-union": lambda: self._compared(self.tuned, UNION, UNDER_ALL),
        }

    def renewed(self, page: str) -> str:
        """Return a page with every block as the records have it."""
        return MARKED.sub(lambda found: f"{found[1]}{self.blocks[found[2]]()}{found[3]}", page)

    def findings(self) -> str:
        """Say in four sentences what the recorded suites found."""
        subject = self._said(self.matched, "L∞ 32/255").rstrip()
        found = (self._verdicts(), subject, self._effort(), self._tricks())
        return "".join(f"- {each}\n" for each in found)

    def _verdicts(self) -> str:
        block = self._block(self.matched, "L∞ 32/255")
        standings, names = self.matched.standings[block.stem], self.matched.names
        (reference,) = (row for row in block.rows if row.label == standings.reference)
        of = {kind: [] for kind in ("better", "worse", "not distinguishable")}
        for row in block.rows:
            if row is not reference:
                of[standings.verdicts[row.label].relation].append(names[row.label])
        name, seeds = names[reference.label], min(len(row.scores) for row in block.rows)
        claim = f"{_listed(of['better'])} better" if of["better"] else "no method is better"
        images = reference.scores[0][1].n_examples
        worse = f"{len(of['worse'])} worse ({_listed(of['worse'])})"
        kept = fixed(100 * reference.metrics[METRIC].mean)
        return (
            f"**With the same tricks for all, {claim} than {name}**, which keeps {kept} % of"
            f" {images} digits under AutoAttack at L∞ 32/255. Of {len(block.rows) - 1} other rows"
            f" {len(of['not distinguishable'])} are not distinguishable from it and {worse};"
            f" each has {seeds} seeds or more."
        )

    def _said(self, contents: Contents, threat: str) -> str:
        """Say how RegMix stands in a comparison, in two sentences."""
        block = self._block(contents, threat)
        said = headline(block, contents.standings[block.stem], contents.looks)
        difference = said.beside.partition(". Of ")[0]
        return f"**{said.sentence}.** {difference}, the interval 95 % together with all others.\n"

    def _effort(self) -> str:
        """Say what tuning at equal effort gained."""
        gains = {display_name(s.spec.method): Gain.of_study(s) for s in self.studies}
        gained = [name for name, gain in gains.items() if gain and gain.told_apart]
        (column,) = (at for at, c in enumerate(self.tuning.columns) if c.id == "test_gain")
        moved = max(abs(100 * float(row[column].value or 0)) for row in self.tuning.rows)
        trials = len(self.studies[0].trials)
        return (
            f"**Tuned with {trials} trainings each, {_listed(gained) if gained else 'no method'}"
            f" gains more than chance gives** on held-out images. On test images AutoAttack of"
            f" {_listed([*gains])} moves by {fixed(moved)} points at most."
        )

    def _tricks(self) -> str:
        """Say what smoothed labels alone do to each method, the largest effect first."""
        means = self._ablated()
        moved = {
            method: 100 * (means["mass 0.6"][method] - mean)
            for method, mean in means["none"].items()
        }
        first, *others = sorted(moved, key=lambda method: moved[method])
        rest = _listed([f"{name} by {_signed(moved[name])}" for name in others])
        return (
            f"**Smoothed labels, a part of some methods, move {first} by {_signed(moved[first])}"
            f" points**, {rest}, so that which tricks are made equal decides who is ahead (means of"
            " three seeds; a description, no verdict)."
        )

    def ablation_table(self) -> str:
        """Return AutoAttack of each method without tricks, with each, and with all."""
        cells = self._ablated()
        heads = [tricks if tricks.count(",") < 2 else "all three" for tricks in cells]
        rows = [
            f"| {method} | {' | '.join(fixed(100 * each[method]) for each in cells.values())} |"
            for method in cells["none"]
        ]
        return "\n".join(
            (f"| Method | {' | '.join(heads)} |", f"| :--- |{' ---: |' * len(heads)}", *rows, "")
        )

    def _ablated(self) -> dict[str, dict[str, float]]:
        """Return AutoAttack by tricks, those of fewest words first, and by method."""
        block, names = self._block(self.ablation, "L∞ 32/255"), self.ablation.names
        found: dict[str, dict[str, float]] = {}
        for row in block.rows:
            tricks = row.group.tricks
            method = names[row.label].removesuffix(tricks.suffix)
            found.setdefault(str(tricks), {})[method] = row.metrics[METRIC].mean
        order = sorted(
            found, key=lambda tricks: (tricks != "none", tricks.count(","), _place(tricks))
        )
        return {tricks: found[tricks] for tricks in order}

    def _suites(self, names: str, across: Collection[Axis] = ()) -> Contents:
        asked = suite_run_ids(names) or ()
        chosen = {path: each for path, each in self.records.items() if each.run_id in asked}
        return Contents(self.results, chosen, (), whole=False, across=across)

    def _block(self, contents: Contents, threat: str) -> Block:
        """Return the one table of selected checkpoints under a threat, by its words."""
        (found,) = (
            block
            for block in contents.blocks
            if block.checkpoint == "selected" and threat_words(block.eval_threat) == threat
        )
        return found

    def _compared(
        self, contents: Contents, threat: str, columns: Collection[str] = COMPARED
    ) -> str:
        """Return the table of a comparison as Markdown, with some of its columns."""
        stem = self._block(contents, threat).stem
        return self._shown(named(contents.comparisons[stem], contents.names), columns)

    def _shown(self, table: Table, columns: Collection[str]) -> str:
        places = [at for at, column in enumerate(table.columns) if column.id in columns]
        return markdown(
            replace(
                table,
                caption="",
                columns=tuple(table.columns[at] for at in places),
                rows=tuple(tuple(row[at] for at in places) for row in table.rows),
                notes=(),
            )
        ).lstrip()


def _place(tricks: str) -> tuple[int, int]:
    words = ("none", "mass", "EMA", "AWP")
    return tricks.count(","), next(at for at, word in enumerate(words) if word in tricks)


def _signed(points: float) -> str:
    return f"{'−' if points < 0 else '+'}{fixed(abs(points))}"


def _listed(names: list[str]) -> str:
    *first, last = names or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def main() -> None:
    """Renew the blocks of every page."""
    recorded = Recorded()
    for page in PAGES:
        page.write_text(recorded.renewed(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
