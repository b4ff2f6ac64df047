"""What ``run --jobs 2`` gains on a grid of small runs, against one after another.

Each way is the whole command in a process of its own, its start and that of its workers included,
and the order turns round every round; the figures are ratios of the median times. On a CPU, eight
runs on the same two cores: one after another as a user has it, each run on both; two at a time, a
core each; and, to tell what a second core is worth to one run, one after another on a single core.
A run is FGSM-RS with AutoAttack's standard version, some 20 s on a core, so that a round takes
seven minutes. Idle cores are needed: threads that wait for each other at every operation suffer
most from a third party. On CUDA, runs on one device: one after another, two and three at a time.

Two-core AVX2 CPU, otherwise idle, n = 1: two at a time 97 s, one after another 175 s, ratio 1.8; on
a single core 195 s, ratio 2.0.

    python benchmarks/jobs.py [--device cuda] [--rounds 1] [--runs 8] [--epochs 15] [--images 60]
    python benchmarks/jobs.py --device cuda --dataset cifar10 --data-dir DIR --arch resnet18
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from regmix_bench.records.store import record_files

#: What is timed on each device: its name, its ``--jobs``, and the threads of the whole, None
#: being as many as there are.
WAYS: dict[str, dict[str, tuple[int, int | None]]] = {
    "cpu": {
        "one after another": (1, 2),
        "two at a time": (2, 2),
        "one after another, one core": (1, 1),
    },
    "cuda": {
        "one after another": (1, None),
        "two at a time": (2, None),
        "three at a time": (3, None),
    },
}


def grid(options: argparse.Namespace) -> list[str]:
    """The runs, as ``regmix-bench run`` is told."""
    grid = ["--methods", "fgsm-rs", "--datasets", options.dataset, "--archs", options.arch]
    grid += ["--eps", options.eps, "--device", options.device]
    grid += ["--seeds", ",".join(map(str, range(options.runs)))]
    grid += ["--set", f"recipe.epochs={options.epochs}", "--eval-examples", str(options.images)]
    return grid + (["--data-dir", options.data_dir] if options.data_dir else [])


def seconds(jobs: int, threads: int | None, runs: int, arguments: Sequence[str]) -> float:
    """Wall time of a grid of ``runs`` in an empty results folder."""
    command = [sys.executable, "-m", "regmix_bench.cli", "run", *arguments]
    environment = dict(os.environ)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
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
    assert records == runs, f"{records} records of {runs} runs"
    return elapsed


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--runs", type=int, default=8)
    arguments.add_argument("--epochs", type=int, default=15)
    arguments.add_argument("--images", type=int, default=60)
    arguments.add_argument("--device", choices=tuple(WAYS), default="cpu")
    arguments.add_argument("--dataset", default="digits")
    arguments.add_argument("--arch", default="smallcnn")
    arguments.add_argument("--eps", default="32/255")
    arguments.add_argument("--data-dir")
    options = arguments.parse_args()
    ways = WAYS[options.device]
    found: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(options.rounds):
        for way in list(ways)[:: -1 if number % 2 else 1]:
            found[way].append(seconds(*ways[way], options.runs, grid(options)))
            print(f"round {number + 1}: {way}: {found[way][-1]:.1f} s", flush=True)
    medians = {way: statistics.median(times) for way, times in found.items()}
    size = f"{options.runs} runs, {options.rounds} rounds"
    for way, (jobs, _) in reversed(ways.items()):
        if jobs > 1:
            for other, (alone, _) in reversed(ways.items()):
                if alone == 1:
                    print(f"{size}: {other} over {way}: ratio {medians[other] / medians[way]:.2f}")


if __name__ == "__main__":
    main()
