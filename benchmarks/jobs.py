"""What ``run --jobs 2`` gains on a grid of small runs: eight on digits, against one after another.

Each way is the whole command in a process of its own, its start and that of its workers included,
on the same two cores: one after another as a user has it, each run on both; two at a time, a core
each; and, to tell what a second core is worth to one run, one after another on a single core. The
order turns round every round; the figures are ratios of the median times. A run is FGSM-RS with
AutoAttack's standard version, some 20 s on a core, so that a round takes seven minutes. Idle cores
are needed: threads that wait for each other at every operation suffer most from a third party.

Two-core AVX2 CPU, otherwise idle, n = 1: two at a time 97 s, one after another 175 s, ratio 1.8; on
a single core 195 s, ratio 2.0.

    python benchmarks/jobs.py [--rounds 1] [--runs 8] [--epochs 15] [--images 60]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from regmix_bench.records.store import record_files

#: What is timed: its name, its ``--jobs``, and the threads of the whole.
WAYS = {"one after another": (1, 2), "two at a time": (2, 2), "one after another, one core": (1, 1)}


def seconds(jobs: int, threads: int, options: argparse.Namespace) -> float:
    """Wall time of the grid in an empty results folder."""
    command = [sys.executable, "-m", "regmix_bench.cli", "run", "--methods", "fgsm-rs"]
    command += ["--datasets", "digits", "--eps", "32/255", "--device", "cpu"]
    command += ["--seeds", ",".join(map(str, range(options.runs)))]
    command += ["--set", f"recipe.epochs={options.epochs}", "--eval-examples", str(options.images)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory() as results:
        started = time.perf_counter()
        subprocess.run(
            [*command, "--jobs", str(jobs), "--results", results],
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        elapsed = time.perf_counter() - started
        records = len(record_files(Path(results)))
    assert records == options.runs, f"{records} records of {options.runs} runs"
    return elapsed


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--runs", type=int, default=8)
    arguments.add_argument("--epochs", type=int, default=15)
    arguments.add_argument("--images", type=int, default=60)
    options = arguments.parse_args()
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(options.rounds):
        for way in list(WAYS)[:: -1 if number % 2 else 1]:
            found[way].append(seconds(*WAYS[way], options))
            print(f"round {number + 1}: {way}: {found[way][-1]:.1f} s", flush=True)
    alone, together, single = (statistics.median(found[way]) for way in WAYS)
    size = f"{options.runs} runs, {options.rounds} rounds"
    print(f"{size}: one core over two at a time: ratio {single / together:.2f}")
    print(f"{size}: one after another over two at a time: ratio {alone / together:.2f}")


if __name__ == "__main__":
    main()
