"""Launchers, which start the runs of a grid, by name: modules with a function ``launch``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from regmix_bench.errors import unknown

if TYPE_CHECKING:
    import torch

    from regmix_bench.grid.plan import PlannedRun
    from regmix_bench.records.schema import RunRecord
    from regmix_bench.runs.observers import Ending, Observer

#: Each the name of a module beside this one.
LauncherName = Literal["local", "ray"]

#: :meth:`regmix_bench.grid.plan.PlannedRun.run` with all but the cell and ``observer``.
Work = Callable[..., "RunRecord"]


@dataclass(frozen=True)
class Placement:
    """The place where a grid's runs work: ``jobs`` at a time, each on ``devices`` of ``device``.

    ``results`` is the folder of their records, ``address`` that of a cluster, None for this
    machine.
    """

    results: Path
    device: torch.device
    jobs: int
    devices: int = 1
    address: str | None = None


class Launcher(Protocol):
    """Runs ``cells`` by ``work`` and yields each as it ends; ``observer`` hears all.

    Where ``cells`` is no sequence, the next is asked for when it can begin, after the endings so
    far were yielded, as it may depend on them. Closing the generator stops what still runs. Raises
    what ``work`` raises for bad input.
    """

    def __call__(
        self, cells: Iterable[PlannedRun], work: Work, placement: Placement, observer: Observer
    ) -> Generator[Ending, None, None]:
        """Begin."""


def load_launcher(name: str) -> Launcher:
    """Return the launcher of this name; raises :class:`UserError` for an unknown one."""
    if name not in get_args(LauncherName):
        raise unknown("launcher", name, get_args(LauncherName))
    launch: Launcher = importlib.import_module(f"regmix_bench.grid.{name}").launch
    return launch
