"""The records of a grid, without holding all of them in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

from regmix_bench.records.schema import RunRecord
from regmix_bench.records.store import load_run
from regmix_bench.system.shown import Shown, Summary


class Records(Shown, Sequence[RunRecord]):
    """The records of a grid in its order; each is read when it is asked for.

    So a grid of any size fits into memory. A run that another process works on, or whose process
    died, has none.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, place: int) -> RunRecord: ...
    @overload
    def __getitem__(self, place: slice) -> Records: ...
    def __getitem__(self, place: int | slice) -> RunRecord | Records:
        if isinstance(place, slice):
            return Records(self.paths[place])
        return load_run(self.paths[place])

    def summary(self) -> Summary:
        from regmix_bench.records.words import records_table

        return Summary(f"{len(self)} run{'s' * (len(self) != 1)}", *records_table(self))
