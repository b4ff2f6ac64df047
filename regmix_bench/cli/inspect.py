"""``inspect``: look at recorded runs, for the figures of a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from regmix_bench.cli.common import DataDir, Device, Results, app, choice


@app.command("inspect", epilog="Example: regmix-bench inspect 3f2a 81c0 --device cpu")
def inspect_runs(
    runs: Annotated[
        list[str], typer.Argument(help="Records' paths, run_ids or the starts of some.")
    ],
    results: Results = Path("results"),
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Measure example images, loss surfaces and curvature of recorded runs, from their weights.

    A run does so itself when it is scored; this is for those that were scored earlier.
    """
    choice("device", device, ("auto", "cpu", "cuda"))

    import numpy as np

    from regmix_bench.evaluation.inspection import inspect
    from regmix_bench.records import find
    from regmix_bench.system import machine

    for path in [find.resolve_run(run, results) for run in runs]:
        target = cast(machine.Device, device)
        views = inspect(path, data_dir=data_dir, device=target, say=print)
        print(f"{path.stem}: median curvature {np.nanmedian(views.curvature):.3g}", flush=True)
