"""All that is promised of one GPU, measured by one command in at most four minutes.

No data set is needed: training steps see made-up images of CIFAR-10's shape, and runs and scores a
made-up data set that a network learns in a few epochs (``gpu_rows/made_up.py``), 49,000 images an
epoch. "Plain" is ``plain.py`` under torch's defaults, which are TF32 in convolutions; "ours" is
what a run does on this device. Figures are medians of alternations in one process. Rows are
measured in the order of their worth; what does not fit into ``--minutes`` is not measured, and a
line says which command measures it. What is projected says from what.

Two rows of several runs at a time take five minutes more, and one of accuracy CIFAR-10 and an hour:
they are measured where ``--rows`` names them. Exits 0 where all rows that were asked for are
measured and none misses what it must reach.

    python benchmarks/gpu.py [--minutes 4] [--rows steps,product] [--json FILE]
    python benchmarks/gpu.py --rows jobs --minutes 8
    python benchmarks/gpu.py --rows accuracy --minutes 90 --data-dir DIR
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from gpu_rows import runs, scoring, training
from gpu_rows.bench import Bench
from gpu_rows.table import GOALS, Figure, as_json, table

from regmix_bench.system.machine import choose_device


@dataclass(frozen=True)
class Row:
    """Goals that are measured together, and the seconds that it took or is thought to take."""

    goals: tuple[str, ...]
    measure: Callable[[Bench], Iterator[tuple[str, Figure]]]
    seconds: float
    unasked: bool = True  # whether it is measured where --rows does not say which


def _goals(*starts: str) -> tuple[str, ...]:
    return tuple(name for name in GOALS if name.startswith(starts))


#: In the order of their worth. The seconds are guesses from what an H100 took for the parts.
ROWS = {
    "steps": Row(_goals("step-"), training.against_plain, 40),
    "product": Row(_goals("product-"), training.of_product, 10),
    "epoch": Row(("epoch", "wall"), runs.epochs, 35),
    "autoattack": Row(("autoattack-200",), scoring.against_bare, 55),
    "smoke": Row(("smoke",), runs.smoke, 15),
    "floor": Row(_goals("floor-"), training.of_floor, 30),
    "thousand": Row(("autoattack-1000",), scoring.whole, 45),
    "flags": Row(("flags",), scoring.flags, 80),
    "jobs": Row(_goals("jobs-"), runs.at_a_time, 300, unasked=False),
    "accuracy": Row(_goals("accuracy-"), runs.accuracy, 3600, unasked=False),
}


def measure(
    bench: Bench, rows: Sequence[str], minutes: float
) -> tuple[dict[str, Figure], dict[str, str]]:
    """Measure ``rows`` by their names; returns figures, and why others of their goals have none."""
    ends = time.monotonic() + 60 * minutes
    found: dict[str, Figure] = {}
    why_not: dict[str, str] = {}
    for name in rows:
        row, started = ROWS[name], time.monotonic()
        why = "it gave none"
        if started + row.seconds > ends and not bench.tiny:
            why = f"no time left; {command(name, row.seconds / 60 + 1)}"
        else:
            try:
                for goal, figure in row.measure(bench):
                    found[goal] = figure
                    print(f"{GOALS[goal].title}: {figure.value:.4g}", flush=True)
            except Exception as error:  # the other rows may be measured all the same
                why = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"  {name}: {time.monotonic() - started:.1f} s", flush=True)
        why_not |= {goal: why for goal in row.goals if goal not in found}
    return found, why_not


def command(row: str, minutes: float) -> str:
    """Return the command that measures a row alone."""
    data = " --data-dir DIR" if row == "accuracy" else ""
    return f"python benchmarks/gpu.py --rows {row} --minutes {max(4, round(minutes + 0.5))}{data}"


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    unasked = [name for name, row in ROWS.items() if row.unasked]
    parser.add_argument("--rows", default=",".join(unasked), help=f"of {', '.join(ROWS)}")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--json", type=Path, help="a file for the figures and what made them up")
    parser.add_argument("--data-dir", type=Path, help="of CIFAR-10, for the row accuracy")
    parser.add_argument("--tiny", action="store_true", help="try every row, on a CPU too")
    found = parser.parse_args(arguments)
    found.rows = found.rows.split(",")
    if unknown := [name for name in found.rows if name not in ROWS]:
        parser.error(f"no row {unknown[0]!r}: choose of {', '.join(ROWS)}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    asked = options(arguments)
    goals = [goal for name in asked.rows for goal in ROWS[name].goals]
    cuda = torch.cuda.is_available()
    device = choose_device("auto")
    where = torch.cuda.get_device_name() if cuda else platform.machine()
    print(f"{where}, torch {torch.__version__}" + ", tiny: no figure means anything" * asked.tiny)
    if cuda or asked.tiny:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(device, Path(folder), asked.tiny, asked.data_dir)
            found, why_not = measure(bench, asked.rows, asked.minutes)
    else:
        found, why_not = (
            {},
            {
                goal: f"no CUDA device here; {command(name, ROWS[name].seconds / 60)}"
                for name in asked.rows
                for goal in ROWS[name].goals
            },
        )
    print(table(goals, found, why_not))
    if asked.json is not None:
        machine = {"device": where, "torch": torch.__version__, "tiny": asked.tiny}
        content = {"machine": machine, "rows": as_json(goals, found, why_not)}
        asked.json.write_text(json.dumps(content, indent=2) + "\n")
    missed = [goal for goal in found if GOALS[goal].verdict(found[goal].value) == "MISSED"]
    return int(bool(why_not) or bool(missed))


if __name__ == "__main__":
    sys.exit(main())
