"""What two workers of Ray gain on a grid: eight runs on digits, against one worker.

Each way is the whole command in a process of its own, the start and the end of Ray's own cluster
included: ``run --launcher ray`` with one thread and ``--jobs 1``, which is one worker, and with two
threads and ``--jobs 2``, which is two workers with a thread each, so that every run computes the
same. The order turns round every round; the ratio is that of the median times. Once more with two
workers, a worker is killed twice on the way, each time one that has saved an epoch. After each way
the records are compared with those of the local launcher: the JSON without its timings and its
environment, and the files beside it by their SHA-256, have to be the same. Idle cores are needed.

Two-core AVX512 CPU, otherwise idle, n = 1: one worker 99 s, two 56 s, ratio 1.79; with two workers
killed on the way 62 s. The local launcher's records each time.

    python benchmarks/ray_grid.py [--rounds 1] [--runs 8] [--epochs 15] [--images 60]
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.harness import recorded

from regmix_bench.system.files import file_digest

#: What is timed: its name, and its workers.
WAYS = {"one worker": 1, "two workers": 2}


def command(options: argparse.Namespace, results: Path, *more: str) -> list[str]:
    """The grid, with results in a folder."""
    seeds = ",".join(map(str, range(options.runs)))
    return [
        *(sys.executable, "-m", "regmix_bench.cli", "run", "--methods", "fgsm-rs"),
        *("--datasets", "digits", "--eps", "32/255", "--device", "cpu", "--seeds", seeds),
        *("--set", f"recipe.epochs={options.epochs}", "--eval-examples", str(options.images)),
        *("--results", str(results), *more),
    ]


def start(options: argparse.Namespace, results: Path, workers: int) -> subprocess.Popen[str]:
    """The grid through Ray, each run with one thread."""
    return subprocess.Popen(
        command(options, results, "--launcher", "ray", "--jobs", str(workers)),
        env={**os.environ, "OMP_NUM_THREADS": str(workers)},
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> str:
    """What the grid has said, once it has ended well."""
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


def kill_a_worker(results: Path, spared: int) -> int:
    """SIGKILL a worker, another than ``spared``, whose run has saved an epoch; returns its id."""
    while True:
        for state in results.rglob("state-*"):
            named = re.match(r"process (\d+) ", (state.parent / "lock").read_text())
            if named and int(named[1]) != spared:
                os.kill(int(named[1]), signal.SIGKILL)
                return int(named[1])
        time.sleep(0.1)


def content(results: Path) -> tuple[object, dict[str, str]]:
    """What records say, and the digests of the files beside them."""
    beside = sorted((results / "digits").rglob("*.*"))
    digests = {str(p.relative_to(results)): file_digest(p) for p in beside if p.suffix != ".json"}
    return recorded(results), digests


def main() -> None:
    """Measure, compare and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--runs", type=int, default=8)
    arguments.add_argument("--epochs", type=int, default=15)
    arguments.add_argument("--images", type=int, default=60)
    options = arguments.parse_args()
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        alone = {**os.environ, "OMP_NUM_THREADS": "1"}
        local = command(options, folder / "local")
        subprocess.run(local, env=alone, stdout=subprocess.DEVNULL, check=True)
        expected = content(folder / "local")
        files = len(expected[1])

        for number in range(options.rounds):
            for way in list(WAYS)[:: -1 if number % 2 else 1]:
                results = folder / f"{number}-{WAYS[way]}"
                started = time.perf_counter()
                end(start(options, results, WAYS[way]))
                found[way].append(time.perf_counter() - started)
                assert content(results) == expected, f"{way}: other records than locally"
                print(f"round {number + 1}: {way}: {found[way][-1]:.1f} s", flush=True)

        started = time.perf_counter()
        process = start(options, folder / "killed", 2)
        kill_a_worker(folder / "killed", spared=kill_a_worker(folder / "killed", spared=0))
        lost = end(process).count("its worker was lost: started again")
        elapsed = time.perf_counter() - started
        assert lost == 2, f"{lost} of 2 workers were missed"
        assert content(folder / "killed") == expected, "killed: other records than locally"
        print(f"two workers, of which {lost} were killed: {elapsed:.1f} s")
    size = f"{options.runs} runs, {options.rounds} rounds"
    print(f"{size}: the records and {files} files beside them are the local launcher's, each time")
    one, two = (statistics.median(found[way]) for way in WAYS)
    print(f"{size}: one worker over two workers: ratio {one / two:.2f}")


if __name__ == "__main__":
    main()
