"""What docs/regmix.md says of the recorded runs: the blocks of that page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from shown import Shown, shown

from regmix_bench.api.options import suite_run_ids
from regmix_bench.records.schema import AnyRecord, RunRecord
from regmix_bench.reporting.contents import Contents

#: The studies on digits, whose suite was run.
DIGITS = "digits-smallcnn-Linf-32-255"
HOME = "L∞ 32/255"
#: The methods of the suite of few labels, and the row that others are compared with.
WITH_LABELS = ("pgd-at", "trades", "regmix")
FEW = "regmix (10% of labels)"
UNION = "all of L∞ 32/255, L2 0.5, L1 1"
UNDER_ALL = ("method", "autoattack_acc", "robust_difference")
HELD_OUT = ("method", "start", "best", "gain", "by_chance")
ON_TEST = ("method", "test_start", "test_tuned", "test_gain")


class RegMixPage:
    """The blocks of the page by name, of what is ``shown``."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown

    @cached_property
    def tuned(self) -> Contents:
        """Four methods with the values that were chosen at equal effort, under AutoAttack."""
        return self._tuned()

    @cached_property
    def labels(self) -> Contents:
        """Three methods with one label in ten, and with all."""
        asked = suite_run_ids("labels-digits") or ()
        whole = suite_run_ids("matched-digits") or ()

        def take(record: AnyRecord) -> bool:
            if not isinstance(record, RunRecord):
                return False
            spec = record.spec
            same = str(spec.train_threat.epsilon) == "32/255" and spec.label in WITH_LABELS
            return record.run_id in asked or (same and record.run_id in whole)

        return self.shown.chosen(take, across=("labels",), reference=FEW)

    def _tuned(self, *attacks: str) -> Contents:
        def take(record: AnyRecord) -> bool:
            if not isinstance(record, RunRecord) or record.tuned is None:
                return False
            asked = record.spec.scoring.attacks == attacks
            return asked and record.tuned.study.startswith(f"{DIGITS}/")

        return self.shown.chosen(take)

    @property
    def blocks(self) -> Mapping[str, Callable[[], str]]:
        of = self.shown
        return {
            "said-matched": lambda: of.said(of.matched, HOME),
            "held-out": lambda: shown(of.tuning(DIGITS), HELD_OUT),
            "on-test": lambda: shown(of.tuning(DIGITS), ON_TEST),
            "said-tuned": lambda: of.said(self.tuned, HOME),
            "tuned": lambda: of.compared(self.tuned, HOME),
            "said-union": lambda: of.said(self.tuned, UNION),
            "tuned-union": lambda: of.compared(self.tuned, UNION, UNDER_ALL),
        }
