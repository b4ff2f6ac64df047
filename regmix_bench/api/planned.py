"""The plan of a grid: its runs, and what of each there is already."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regmix_bench.errors import UserError
from regmix_bench.system.shown import Shown, Summary

if TYPE_CHECKING:
    from regmix_bench.grid.plan import PlannedRun
    from regmix_bench.records.find import RunState
    from regmix_bench.runs.forecast import Forecast
    from regmix_bench.specs import RunSpec
    from regmix_bench.system.machine import Device


@dataclass(frozen=True, repr=False)
class Plan(Shown):
    """The runs of a grid, each once, and what of each there is already, by run_id.

    ``waiting`` are those that are to be run; ``look_ahead`` finds what these will take here, which
    is measured for some seconds.
    """

    cells: "tuple[PlannedRun, ...]"
    states: "Mapping[str, RunState]"
    waiting: "tuple[PlannedRun, ...]"
    look_ahead: "Callable[[], Forecast]"

    @property
    def specs(self) -> "tuple[RunSpec, ...]":
        """The specifications, in the order of the axes."""
        return tuple(cell.spec for cell in self.cells)

    def summary(self) -> Summary:
        from regmix_bench.records.words import spec_words

        rows = [
            (self.states[cell.run_id], spec_words(cell.spec), cell.run_id) for cell in self.cells
        ]
        counts = Counter(state for state, *_ in rows)
        said = ", ".join(f"{count} {state}" for state, count in counts.items())
        return Summary(
            f"{len(rows)} run{'s' * (len(rows) != 1)}: {said}", ("state", "run", "run_id"), rows
        )


def planned_runs(
    suite: str | Path | None,
    given: Mapping[str, Any],
    settings: Iterable[str],
    data_dir: Path | None,
    device: "Device",
    say: Callable[[str], None],
) -> "tuple[PlannedRun, ...]":
    """Return the runs of a suite, or of the options alone, over which these go.

    ``say`` hears of data that is found in another place. Raises :class:`UserError` for what does
    not exist or does not fit.
    """
    from regmix_bench.data import canonical_name
    from regmix_bench.grid import plan
    from regmix_bench.grid.settings import file_digests
    from regmix_bench.grid.suite_files import load_suite
    from regmix_bench.types import DEFAULT_NORM

    grids = load_suite(str(suite)) if suite else [{"eps": ["8/255"]}]
    planned = plan.plan_runs(
        grids,
        given,
        tuple(settings),
        lambda name: canonical_name(name, data_dir, say, to_train=True),
        device,
        file_digests(data_dir),
    )
    norm = given.get("norm")
    if norm and "eps" not in given and any(g.get("norm", DEFAULT_NORM) != norm for g in grids):
        raise UserError(f"--norm {norm} needs --eps: the budgets given are of another norm")
    return planned
