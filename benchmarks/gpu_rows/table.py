"""What is measured, what it must and is meant to reach, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Goal:
    """A line of the table: ``must`` and ``aim`` are None where a figure is only to be known."""

    title: str
    must: float | None = None
    aim: float | None = None
    unit: str = ""
    larger: bool = False  # is better

    def verdict(self, value: float) -> str:
        """Return what a value is worth: ``aim``, ``met``, ``MISSED``, or nothing."""
        if self.must is None:
            return ""
        if self.aim is not None and self._reaches(value, self.aim):
            return "aim"
        return "met" if self._reaches(value, self.must) else "MISSED"

    def _reaches(self, value: float, limit: float) -> bool:
        return value >= limit if self.larger else value <= limit


@dataclass(frozen=True)
class Figure:
    """A value of a goal, what has to be known to read it, and what it was made of."""

    value: float
    note: str = ""
    details: Mapping[str, object] = field(default_factory=dict)


def _ratio(method: str, must: float, aim: float) -> Goal:
    return Goal(f"{method}, batch 128, plain ÷ ours", must, aim, "×", larger=True)


def _jobs(what: str, number: str) -> Goal:
    return Goal(f"{what}, {number} runs at a time, alone ÷ together", unit="×", larger=True)


def _accuracy(method: str) -> Goal:
    return Goal(f"{method}, PGD-10, bf16 in graphs and eager fp32 apart by", 1.5, unit="points")


#: Each by the name that ``--json`` has for it.
GOALS = {
    "step-regmix": _ratio("RegMix", 3.6, 5),
    "step-fgsm-pgi": _ratio("FGSM-PGI", 3.6, 5),
    "step-trades": _ratio("TRADES", 6.5, 9),
    "step-pgd-at": _ratio("PGD-AT", 6.5, 9),
    "step-mart": _ratio("MART", 6.5, 9),
    "product-128": Goal("RegMix, share of a bf16 product, batch 128", 16, 25, "%", larger=True),
    "product-512": Goal("RegMix, share of a bf16 product, batch 512", 21, 36, "%", larger=True),
    "floor-regmix": Goal("RegMix, step ÷ floor", 1.15, 1.05),
    "floor-fgsm-pgi": Goal("FGSM-PGI, step ÷ floor", 1.15, 1.05),
    "floor-trades": Goal("TRADES, step ÷ floor", 1.15, 1.05),
    "floor-pgd-at": Goal("PGD-AT, step ÷ floor", 1.15, 1.05),
    "floor-mart": Goal("MART, step ÷ floor", 1.15, 1.05),
    "epoch": Goal("RegMix, epoch of a run, all in, ÷ its training steps", 1.15, 1.05),
    "wall": Goal("RegMix, 110 epochs with validation and states", 9 * 60, 5 * 60, "s"),
    "autoattack-200": Goal("AutoAttack, 200 images, bare ÷ ours", 3, 6, "×", larger=True),
    "smoke": Goal("run smoke", 15, 8, "s"),
    "autoattack-1000": Goal("AutoAttack, 1,000 images at about 50 %", 100, 60, "s"),
    "flags": Goal("flags of 500 that TF32 search changes", 2, 0),
    "jobs-digits-2": _jobs("digits", "two"),
    "jobs-digits-3": _jobs("digits", "three"),
    "jobs-resnet18-2": _jobs("resnet18", "two"),
    "jobs-resnet18-3": _jobs("resnet18", "three"),
    "accuracy-regmix": _accuracy("RegMix"),
    "accuracy-pgd-at": _accuracy("PGD-AT"),
}


def table(names: Sequence[str], found: Mapping[str, Figure], why_not: Mapping[str, str]) -> str:
    """Return a line for each goal: limits, value and what it is worth, or why there is none."""
    width = max(len(GOALS[name].title) for name in names)
    lines = [f"{'measured':{width}} {'must':>6} {'aim':>6} {'value':>9}"]
    for name in names:
        goal = GOALS[name]
        limits = " ".join(f"{'–' if x is None else f'{x:g}':>6}" for x in (goal.must, goal.aim))
        said = f"{'–':>9} not measured: {why_not.get(name)}"
        if name in found:
            value, note = found[name].value, found[name].note
            said = f"{value:>9.4g} {goal.unit:6} {goal.verdict(value):6} {note}"
        lines.append(f"{goal.title:{width}} {limits} {said.rstrip()}")
    return "\n".join(lines)


def as_json(
    names: Sequence[str], found: Mapping[str, Figure], why_not: Mapping[str, str]
) -> dict[str, object]:
    """Return the same for a JSON file, with what each figure was made of."""
    rows: dict[str, object] = {}
    for name in names:
        goal = GOALS[name]
        row = {"title": goal.title, "must": goal.must, "aim": goal.aim, "unit": goal.unit}
        if name in found:
            figure = found[name]
            verdict = goal.verdict(figure.value)
            row |= {"value": figure.value, "verdict": verdict, "note": figure.note}
            row |= figure.details
        else:
            row |= {"value": None, "why_not": why_not.get(name)}
        rows[name] = row
    return rows
