"""Rows of whole runs: an epoch with all that belongs to it, smoke, several runs at a time."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import jobs
from gpu_rows.bench import THREAT, Bench
from gpu_rows.table import Figure

from regmix_bench import run

WHOLE = 110


def epochs(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Epochs of a run by the clock, against their training steps alone, and 110 of them."""
    short = bench.short_run
    first, *later = short.epochs
    trained = [log.seconds for log in short.record.history[1:]]
    step = bench.step_seconds.get("regmix")
    n = len(later)
    epoch = statistics.fmean(later)  # not the median: a state is not written in every one
    alone, by = statistics.fmean(trained), "as the run timed them"
    if step is not None:
        alone, by = step * bench.steps_an_epoch, f"{bench.steps_an_epoch} × the step above"
    note = f"mean of {n} epochs of {epoch:.2f} s; training steps {alone:.2f} s, {by}"
    details = {"epochs": short.epochs, "trained": trained, "steps": alone}
    yield "epoch", Figure(epoch / alone, note, details)
    wall = first + (WHOLE - 1) * epoch
    note = f"projected from {n} epochs of {epoch:.2f} s and a first one of {first:.2f} s"
    yield "wall", Figure(wall, note, details)


def smoke(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """The whole command."""
    command = [sys.executable, "-m", "regmix_bench.cli", "run", "smoke"]
    command += ["--device", bench.device.type, "--results", str(bench.folder / "smoke")]
    started = time.perf_counter()
    _quietly(command + ["--dry-run"] * bench.tiny)
    yield "smoke", Figure(time.perf_counter() - started, "start and imports included")


def at_a_time(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Runs of a grid at a time on one device, a small network and one that fills it."""
    digits = ["--datasets", "digits", "--archs", "smallcnn", "--eps", "32/255"]
    larger = ["--datasets", bench.dataset, "--archs", bench.scale.arch, "--eps", "8/255"]
    for name, cells, length in (("digits", digits, 15), ("resnet18", larger, 2)):
        runs = bench.scale.runs
        arguments = ["--methods", "fgsm-rs", "--seeds", ",".join(map(str, range(runs))), *cells]
        arguments += ["--set", f"recipe.epochs={length}", "--device", bench.device.type]
        arguments += ["--eval-examples", "20"]
        if bench.tiny:
            _quietly([sys.executable, "-m", "regmix_bench.cli", "run", *arguments, "--dry-run"])
            seconds = {1: 1.0, 2: 1.0, 3: 1.0}
        else:
            seconds = {n: jobs.seconds(n, None, runs, arguments) for n in (1, 2, 3)}
        for n in (2, 3):
            note = f"{runs} runs, {seconds[1]:.1f} s and {seconds[n]:.1f} s"
            details = {"alone": seconds[1], "together": seconds[n]}
            yield f"jobs-{name}-{n}", Figure(seconds[1] / seconds[n], note, details)


def accuracy(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """PGD-10 on 1,000 held-out images after ten epochs: float32, eager, against bf16, replayed."""
    if bench.data_dir is None and not bench.tiny:
        raise LookupError("it needs CIFAR-10: --data-dir DIR")
    data = bench.dataset if bench.tiny else "cifar10"
    sides = {"fp32": "off", "bf16": "auto" if bench.tiny else "on"}
    for method in ("regmix", "pgd-at"):
        found: dict[str, list[float]] = {}
        for precision, graphs in sides.items():
            records = run(
                methods=[method],
                datasets=[data],
                archs=[bench.scale.arch],
                eps=str(THREAT.epsilon),
                seeds=["0"] if bench.tiny else ["0", "1"],
                settings=[
                    f"recipe.epochs={bench.scale.epochs if bench.tiny else 10}",
                    f"recipe.batch_size={bench.scale.batches[0] if bench.tiny else 128}",
                    "recipe.schedule=onecycle",
                    f"recipe.precision={precision}",
                    "recipe.validation_precision=fp32",
                ],
                eval_examples=10,
                attacks="apgd-ce",
                graphs=graphs,
                results=bench.folder / "accuracy",
                device=bench.device.type,
                data_dir=bench.data_dir,
            )
            found[precision] = [100 * record.history[-1].val_pgd_acc for record in records]
        lost = statistics.fmean(found["fp32"]) - statistics.fmean(found["bf16"])
        note = ", ".join(f"{p}: {', '.join(f'{v:.1f}' for v in found[p])}" for p in found)
        yield f"accuracy-{method}", Figure(abs(lost), note, {"pgd10": found})


def _quietly(command: Sequence[str]) -> None:
    """Run a command; raises ``RuntimeError`` with the last line it wrote where it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
