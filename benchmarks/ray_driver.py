"""What a grid of 10,000 cells costs the driver of ``run --launcher ray``, and whether it grows.

The command runs whole, in this process: planning, Ray on two CPUs, the display, the counts at its
end. Only training is a stub: a task tells of its epochs and attacks as a real one does, makes up a
record with its outcomes, and writes both. Processor time is that of this process, all threads
included; what its workers and Ray's own processes take is not in it. Then the report, tables
without pictures, is made of the records by the next process.

Two cores shared with other work (a load of 5 to 20, so that wall times mean little), n = 1: 10,000
cells in 1,217 s; from cell 1,000 on 3.98 ms of the driver a cell and +4.0 MiB in all; 4.28 ms with
the start, planning and the end, of at most 5. The report took 240 s and 1.0 GiB.

    python benchmarks/ray_driver.py [--seeds 125] [--no-report]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import yaml
from startup import COMMAND, GRID, record

from regmix_bench.cli import main as command
from regmix_bench.cli.display import Display
from regmix_bench.grid.plan import PlannedRun
from regmix_bench.records import store
from regmix_bench.records.schema import RunRecord
from regmix_bench.runs import runner
from regmix_bench.runs.observers import Observer
from regmix_bench.specs import RunSpec

#: Cells after which memory is to be flat: Ray's window of tasks is full, and caches are warm.
WARM = 1000
PAGE = os.sysconf("SC_PAGE_SIZE")


def stub(
    spec: RunSpec, *, results: Path, observer: Observer, reference: str, **_: Any
) -> RunRecord:
    """What :func:`regmix_bench.runs.runner.run_spec` does, without training and scoring."""
    made = record(PlannedRun(spec, reference), results, np.random.default_rng(spec.seed))
    for log in made.history:
        observer.on_epoch(spec, log)
    for attack in ("apgd-ce", "apgd-t", "fab-t", "square"):
        observer.on_attack(spec, "8/255", attack, 0.5)
    return made


class Meter:
    """Processor seconds and resident bytes of this process after each cell."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.bytes: list[int] = []
        self.on_end = Display.on_end

    def __call__(self, display: Display, *arguments: Any) -> None:
        self.on_end(display, *arguments)
        self.seconds.append(time.process_time())
        self.bytes.append(int(Path("/proc/self/statm").read_text().split()[1]) * PAGE)


def run(suite: Path, results: Path) -> Meter:
    """The command, with its lines thrown away."""
    meter = Meter()
    arguments = [str(suite), "--launcher", "ray", "--jobs", "2", "--results", str(results)]
    with (
        open(os.devnull, "w") as nowhere,
        patch.object(sys, "argv", [sys.argv[0], "run", *arguments, "--device", "cpu"]),
        patch.object(sys, "stdout", nowhere),
        patch.object(runner, "run_spec", stub),
        patch.object(Display, "on_end", lambda *arguments: meter(*arguments)),
    ):
        try:
            command()
        except SystemExit as ended:
            assert not ended.code, f"exit status {ended.code}"
    return meter


def report(results: Path, out: Path) -> tuple[float, float]:
    """Wall time of the tables in seconds, and their process's peak memory in GiB."""
    started = time.perf_counter()
    arguments = ["report", "--results", str(results), "--out", str(out)]
    subprocess.run([*COMMAND, *arguments, "--format", "markdown,csv"], check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return time.perf_counter() - started, peak


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", type=int, default=125, help="80 cells each")
    arguments.add_argument("--report", action=argparse.BooleanOptionalAction, default=True)
    options = arguments.parse_args()
    grid = GRID | {"datasets": ["digits"], "seeds": list(range(options.seeds))}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        suite, results = folder / "suite.yaml", folder / "results"
        suite.write_text(yaml.safe_dump(grid))
        started, before = time.perf_counter(), time.process_time()
        meter = run(suite, results)
        wall, spent = time.perf_counter() - started, time.process_time() - before
        cells = len(store.record_files(results))
        assert cells == len(meter.seconds), f"{cells} records of {len(meter.seconds)} cells"
        print(f"{cells} cells in {wall:.0f} s, {spent:.1f} s of them the driver's own", flush=True)
        if options.report:
            seconds, peak = report(results, folder / "report")
            print(f"report on {cells}: {seconds:.0f} s, at most {peak:.1f} GiB", flush=True)
        if cells > WARM:
            each = (meter.seconds[-1] - meter.seconds[WARM - 1]) / (cells - WARM)
            grown = (meter.bytes[-1] - meter.bytes[WARM - 1]) / 2**20
            print(f"memory from cell {WARM} to {cells}: {grown:+.1f} MiB")
            print(f"each cell from {WARM} on: {1000 * each:.2f} ms")
        each = spent / cells
        print(f"each cell, all included: {1000 * each:.2f} ms, limit ÷ measured {0.005 / each:.2f}")


if __name__ == "__main__":
    main()
