"""How long a user waits before anything happens: import, help, plan, finished grid, report.

Each is timed as a whole process, from its start to its end, several times in turn; the figure is
the median. The limits are 0.4 s for ``--help`` and for ``from regmix_bench import run, evaluate``,
2 s for a finished grid of 1,000 cells started again, and 15 s for a report on 2,000 records without
t-SNE, tables and pictures alone and together with the site; planning 10,000 cells is to stay
interactive, here 3 s. The records are made up: no model is trained, and each has its history of 30
epochs and its outcomes of 1,000 images beside it, as real ones have. Then there are 5,000 records,
the shipped ones under other seeds with all files that lie beside them, whose limits are 10 s for
``check``, 60 s for a report without its site and 90 s for the site; they are timed once.

Two-core AVX512 CPU, otherwise idle, medians of five: help 0.14 s, plan of 10,000 0.99 s, finished
1,000 0.71 s, tables and pictures 12.0 s (11.9 to 12.5). With the site, whose 4,000 files take 3 s,
14.5 s (14.1 to 15.0). Since then help has its panels, and each command its function. In processor
time, as the machine was shared with other work, medians of three: import 0.08 s, help 0.23 s (it
was 0.14 s), plan of 10,000 0.96 s, finished 1,000 0.86 s.

    python benchmarks/startup.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from regmix_bench.grid.plan import PlannedRun, plan_runs
from regmix_bench.records import paths, store
from regmix_bench.records.schema import EpochLog, RobustEval, RunRecord

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.copies import copy_runs

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "regmix_bench.cli")
IMPORT = (sys.executable, "-c", "from regmix_bench import run, evaluate")
EPOCHS, IMAGES = 30, 1000
GRID = {
    "methods": [
        *("standard", "pgd-at", "trades", "mart", "fgsm-rs", "fgsm-pgi", "fgsm-pgk"),
        *("regmix-amr", "regmix", "regmix-pgd"),
    ],
    "datasets": ["cifar10"],
    "archs": ["resnet8", "resnet18"],
    "eps": ["4/255", "8/255", "12/255", "16/255"],
    "seeds": list(range(25)),
    "reference": "pgd-at",
    "recipe": {"epochs": EPOCHS, "precision": "fp32"},
}
HALF = GRID | {"archs": ["resnet8"]}  # 1,000 cells
MANY = GRID | {"seeds": list(range(125))}  # 10,000 cells
LIMITS = {
    "import": 0.4,
    "help": 0.4,
    "plan of 10,000": 3.0,
    "finished 1,000": 2.0,
    "report on 2,000": 15.0,
    "with its site": 15.0,
    "check of 5,000": 10.0,
    "report on 5,000": 60.0,
    "site of 5,000": 90.0,
}


def record(run: PlannedRun, results: Path, draw: np.random.Generator) -> RunRecord:
    """A made-up record of ``run``, written with its outcomes."""
    (threat,) = run.spec.eval_threats
    clean, pgd, held = (draw.random(IMAGES) < share for share in (0.8, 0.7, 0.9))
    robust = clean & pgd & held
    frame = pd.DataFrame(
        {
            "norm": threat.norm,
            "epsilon": str(threat.epsilon),
            "index": np.arange(IMAGES),
            "label": np.arange(IMAGES) % 10,
            "clean_correct": clean,
            "pgd_correct": clean & pgd,
            "broken_by": np.where(robust | ~clean, "", "apgd-ce"),
        }
    )
    path = paths.record_path(results, run.spec)
    score = RobustEval(
        threat=threat,
        checkpoint="selected",
        n_examples=IMAGES,
        clean_acc=clean.mean(),
        pgd_acc=(clean & pgd).mean(),
        autoattack_acc=robust.mean(),
        autoattack_version="standard",
        autoattack_seed=0,
        autoattack_batch_size=500,
        outcomes_digest=store.write_parquet(paths.outcomes_path(path, "selected"), frame),
    )
    rises = np.sort(draw.uniform(0.2, 0.8, EPOCHS))
    history = tuple(
        EpochLog(
            epoch=epoch,
            lr=0.1,
            loss=2 - rise,
            val_clean_acc=rise,
            val_fgsm_acc=0.7 * rise,
            val_pgd_acc=0.6 * rise,
            seconds=1.0,
        )
        for epoch, rise in enumerate(rises.tolist(), start=1)
    )
    made = RunRecord(
        run_id=run.run_id,
        status="success",
        spec=run.spec,
        reference=run.reference,
        data_digest="d" * 64,
        n_train=9000,
        selected_epoch=EPOCHS,
        history=history,
        evaluations=(score,),
    )
    store.save_record(results, made)
    return made


def suite(folder: Path, name: str, grid: dict[str, object]) -> str:
    """A suite file of ``grid``."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(grid))
    return str(path)


def seconds(command: Sequence[str]) -> float:
    """Of one whole process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def many_records(folder: Path) -> dict[str, list[float]]:
    """Seconds of check, report and site of 5,000 records."""
    results = folder / "copies"
    copy_runs(ROOT / "results/shipped", results, 5000)
    allow = ("--allow", "square-stronger-than-white-box")
    check = (*COMMAND, "check", "--results", str(results), *allow)
    seconds((*check, "--update"))
    report = (*COMMAND, "report", "--results", str(results), "--out", str(folder / "report"))
    return {
        "check of 5,000": [seconds(check)],
        "report on 5,000": [seconds((*report, "--format", "latex,markdown,csv,json,figures"))],
        "site of 5,000": [seconds((*report, "--format", "html"))],
    }


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    rounds = arguments.parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        results = str(folder / "results")
        draw = np.random.default_rng(0)
        for run in plan_runs([GRID]):
            record(run, Path(results), draw)
        many, half = suite(folder, "many", MANY), suite(folder, "half", HALF)
        report = ["report", "--results", results, "--out", str(folder / "report")]
        commands = {
            "help": ["--help"],
            "plan of 10,000": ["run", many, "--results", str(folder / "empty"), "--dry-run"],
            "finished 1,000": ["run", half, "--results", results],
            "report on 2,000": [*report, "--format", "latex,markdown,csv,figures"],
            "with its site": report,
        }
        timed = {"import": IMPORT} | {name: (*COMMAND, *c) for name, c in commands.items()}
        found: dict[str, list[float]] = {name: [] for name in timed}
        for _ in range(rounds):
            for name, command in timed.items():
                found[name].append(seconds(command))
        found |= many_records(folder)
    for name, times in found.items():
        median, limit = statistics.median(times), LIMITS[name]
        print(
            f"{name}: median {median:.2f} s of {len(times)} ({min(times):.2f} to {max(times):.2f}),"
            f" limit {limit:g} s, limit ÷ measured {limit / median:.2f}"
        )


if __name__ == "__main__":
    main()
