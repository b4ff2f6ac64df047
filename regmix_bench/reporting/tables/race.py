"""The columns of a comparison that say what it cost to first hold the target accuracy."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.targets import Race, Target
from regmix_bench.reporting.formats.cells import fixed
from regmix_bench.reporting.values import Cell, Column, Scale, alike

_COSTS: tuple[tuple[str, str, Scale], ...] = (
    ("passes", "Passes to target", "plain"),
    ("seconds", "Min to target", "seconds"),
    ("energy", "Wh to target", "joules"),
)


def race_columns(block: Block, target: Target | None) -> Iterator[tuple[Column, list[Cell]]]:
    """Yield what the rows spent until they first held the target, as far as any is known."""
    if target is None or _raw(block):
        return
    races = [Race.of((run for run, _ in row.scores), target) for row in block.rows]
    for name, header, scale in _COSTS:
        costs = [race.costs(attrgetter(name)) for race in races]
        if any(cost < math.inf for row in costs for cost in row):
            column = Column(f"{name}_to_target", header, "range", "lower")
            yield column, alike([_spent(row, scale) for row in costs])


def race_note(block: Block, target: Target | None, names: Mapping[str, str]) -> Iterator[str]:
    """Say what the target is, and what holding it means."""
    if target is None or _raw(block):
        return
    yield (
        f"Target: {fixed(100 * target.accuracy)} % of validation images right under PGD-10"
        f" ({target.words_for(names)}). To target: cost up to the first epoch that holds it,"
        " without validation, compilation and capture; median over seeds and [least, largest], a"
        " seed that never does counting as later than all others (k of n: so many do). Passes are"
        " those of all epochs until then, per training image."
    )


def _spent(costs: Sequence[float], scale: Scale) -> Cell:
    """The median over seeds with its range; words where half of the seeds or more never hold it."""
    if not costs:
        return Cell()
    reached = [cost for cost in costs if cost < math.inf]
    some = f"{len(reached)} of {len(costs)}" if len(reached) < len(costs) else ""
    middle = statistics.median(costs)
    if middle == math.inf:
        return Cell(f"never ({some})" if reached else "never")
    ends = (reached[0], reached[-1]) if len(reached) > 1 else None
    return Cell(middle, scale, interval=ends, count=len(costs), word=some)


def _raw(block: Block) -> bool:
    """Whether the rows are of raw weights beside averaged ones, whose validation it is not."""
    return block.checkpoint.startswith("raw")
