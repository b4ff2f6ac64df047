"""The list of what a grid has to run, kept in the results folder while it goes on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from regmix_bench.records.running import GridFile
from regmix_bench.records.words import spec_words
from regmix_bench.runs.loggers import Logger
from regmix_bench.runs.observers import Ending
from regmix_bench.specs import AnySpec, RunSpec


class WaitingList(Logger):
    """Keeps the file of a grid of these runs, which says what waits, has begun or has ended."""

    name = "waiting list"

    def __init__(self, specs: Iterable[RunSpec]) -> None:
        super().__init__(None)
        self._runs = {spec.run_id: spec_words(spec, symbols=True) for spec in specs}
        self._file: GridFile | None = None

    def open(self, results: Path) -> None:
        self._file = GridFile(results, self._runs)

    def on_start(self, spec: AnySpec) -> None:
        if self._file is not None:
            self._file.begin(spec.run_id)

    def on_end(self, ending: Ending) -> None:
        if self._file is not None:
            self._file.end(ending.spec.run_id, ending.error)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
