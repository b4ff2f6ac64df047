"""What docs/regmix.md says of the recorded runs: the blocks of that page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import product
from statistics import fmean

from shown import Shown, shown

from regmix_bench.api.options import suite_run_ids
from regmix_bench.methods.declarations import display_name, symbol_of
from regmix_bench.records.schema import AnyRecord, RunRecord
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.cells import fixed

#: The studies on digits, whose suite was run.
DIGITS = "digits-smallcnn-Linf-32-255"
#: Those on CIFAR-10 in small.
MINI = "cifar10-resnet8-Linf-8-255"
HOME = "L∞ 32/255"
#: The row of the suite of few labels that others are compared with.
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
        """Four methods with the values that were chosen at equal effort."""

        def take(record: AnyRecord) -> bool:
            tuned = record.tuned if isinstance(record, RunRecord) else None
            return tuned is not None and tuned.study.startswith(f"{DIGITS}/")

        return self.shown.chosen(take)

    @cached_property
    def labels(self) -> Contents:
        """Three methods with one label in ten."""
        return self.shown.suites("labels-digits", across=("labels",), reference=FEW)

    @cached_property
    def pseudo_labelled(self) -> Contents:
        """The same methods with pseudo-labels, against the multi-step one."""
        asked = suite_run_ids("labels-digits") or ()

        def take(record: AnyRecord) -> bool:
            if not isinstance(record, RunRecord):
                return False
            return record.run_id in asked and record.spec.recipe.unlabelled == "rst"

        return self.shown.chosen(take, reference="pgd-at")

    def said_of_labels(self) -> str:
        """Say what images without a label are worth to RegMix."""
        return self.shown.said(self.labels, HOME)

    def defaults(self) -> str:
        """Return what both data sets say of the values that both trained to the end, best first."""
        lines = [
            "| Method | Values | Digits | CIFAR-10 in small | Mean |",
            "| :--- | :--- | ---: | ---: | ---: |",
        ]
        for small in self.shown.studies[MINI]:
            (digits,) = (s for s in self.shown.studies[DIGITS] if s.label == small.label)
            pairs = [
                (one.values, one.value, other.value)
                for one, other in product(digits.trials, small.trials)
                if one.values == other.values and one.value is not None and other.value is not None
            ]
            name = display_name(small.spec.method)
            for values, *found in sorted(pairs, key=lambda pair: -fmean(pair[1:])):
                words = ", ".join(f"{symbol_of(key)} = {value:g}" for key, value in values.items())
                numbers = (fixed(100 * share) for share in (*found, fmean(found)))
                lines.append(f"| {name} | {words} | {' | '.join(numbers)} |")
        return "\n".join((*lines, ""))

    @property
    def blocks(self) -> Mapping[str, Callable[[], str]]:
        of = self.shown
        return {
            "said-matched": lambda: of.said(of.matched, HOME),
            "defaults": self.defaults,
            "held-out-small": lambda: shown(of.tuning[MINI], HELD_OUT),
            "held-out": lambda: shown(of.tuning[DIGITS], HELD_OUT),
            "on-test": lambda: shown(of.tuning[DIGITS], ON_TEST),
            "said-tuned": lambda: of.said(self.tuned, HOME),
            "tuned": lambda: of.compared(self.tuned, HOME),
            "said-union": lambda: of.said(self.tuned, UNION),
            "tuned-union": lambda: of.compared(self.tuned, UNION, UNDER_ALL),
            "said-labels": self.said_of_labels,
            "labels": lambda: of.compared(self.labels, HOME),
            "said-pseudo-labels": lambda: of.said(self.pseudo_labelled, HOME),
        }
