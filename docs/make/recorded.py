"""What the pages say of the recorded runs: ``python docs/make/recorded.py`` renews it.

Each block stands between ``<!-- recorded: NAME -->`` and ``<!-- end -->``. Its numbers come from
``results/shipped``, by the tables and verdicts that ``regmix-bench report`` has.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from regmix_page import DIGITS, RegMixPage
from shown import COLUMNS, Shown

from regmix_bench.analysis.tuning import Gain
from regmix_bench.methods.declarations import display_name
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.cells import fixed

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "shipped"
PAGES = (ROOT / "README.md", *(ROOT / "docs" / name for name in ("measured.md", "regmix.md")))

MARKED = re.compile(r"(<!-- recorded: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
ALONE = (*COLUMNS, "robust_interval", "passes")
METRIC = "autoattack_acc"


class Recorded:
    """The blocks of the pages, by name, made of the records below a folder."""

    def __init__(self, results: Path = RESULTS) -> None:
        self.shown = Shown(results)

    @cached_property
    def ablation(self) -> Contents:
        """Four methods with no trick, each, and all."""
        return self.shown.suites("ablation-tricks", across=("tricks",))

    @cached_property
    def authors(self) -> Contents:
        """Every method with the tricks of its authors."""
        return self.shown.suites("digits,digits-reference", across=("tricks",))

    @cached_property
    def blocks(self) -> dict[str, Callable[[], str]]:
        of = self.shown
        return {
            **RegMixPage(of).blocks,
            "findings": self.findings,
            "matched-32": lambda: of.compared(of.matched, "L∞ 32/255"),
            "matched-48": lambda: of.compared(of.matched, "L∞ 48/255"),
            "ablation": self.ablation_table,
            "digits-32": lambda: of.compared(self.authors, "L∞ 32/255"),
            "digits-48": lambda: of.compared(self.authors, "L∞ 48/255"),
            "cifar10": lambda: of.compared(
                of.suites("cifar10-cpu", across=("tricks",)), "L∞ 8/255", ALONE
            ),
        }

    def renewed(self, page: str) -> str:
        """Return a page with every block as the records have it."""
        return MARKED.sub(lambda found: f"{found[1]}{self.blocks[found[2]]()}{found[3]}", page)

    def findings(self) -> str:
        """Say what the recorded suites found, a line for each."""
        subject = self.shown.said(self.shown.matched, "L∞ 32/255").rstrip()
        labels = (
            "Do pseudo-labels (RST) help where nine labels in ten are hidden?"
            f" {RegMixPage(self.shown).said_of_labels().rstrip()}"
        )
        found = (self._verdicts(), subject, self._effort(), labels, self._tricks())
        return "".join(f"- {each}\n" for each in found)

    def _verdicts(self) -> str:
        block = self.shown.block(self.shown.matched, "L∞ 32/255")
        standings, names = self.shown.matched.standings[block.stem], self.shown.matched.names
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

    def _effort(self) -> str:
        """Say what tuning at equal effort gained."""
        tuning = self.shown.tuning[DIGITS]
        gains = {display_name(s.spec.method): Gain.of_study(s) for s in self.shown.studies[DIGITS]}
        gained = [name for name, gain in gains.items() if gain and gain.told_apart]
        (column,) = (at for at, c in enumerate(tuning.columns) if c.id == "test_gain")
        moved = max(abs(100 * float(row[column].value or 0)) for row in tuning.rows)
        trials = len(self.shown.studies[DIGITS][0].trials)
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
        block, names = self.shown.block(self.ablation, "L∞ 32/255"), self.ablation.names
        found: dict[str, dict[str, float]] = {}
        for row in block.rows:
            tricks = row.group.tricks
            method = names[row.label].removesuffix(tricks.suffix)
            found.setdefault(str(tricks), {})[method] = row.metrics[METRIC].mean
        order = sorted(
            found, key=lambda tricks: (tricks != "none", tricks.count(","), _place(tricks))
        )
        return {tricks: found[tricks] for tricks in order}


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
