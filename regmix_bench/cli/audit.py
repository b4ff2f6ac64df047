"""``audit``: do the saved adversarial images bear out the record?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from regmix_bench.cli.common import DataDir, Device, Results, Run, app, choice


@app.command(epilog="Example: regmix-bench audit 3f2a --device cpu")
def audit(
    run: Run,
    model: Annotated[
        str | None,
        typer.Option(help="Where a model that no run of ours trained lies now, as for eval."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="What fills a module:callable, as for eval.")
    ] = None,
    results: Results = Path("results"),
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Recompute a record from its saved adversarial images and its weights; exit 1 if it differs.

    The images are there where the model was scored with --save-adversarial.
    """
    choice("device", device, ("auto", "cpu", "cuda"))

    from regmix_bench.evaluation.audit import audit as recompute
    from regmix_bench.records import find
    from regmix_bench.system import machine

    found = recompute(
        find.resolve_run(run, results),
        model=model,
        weights=weights,
        data_dir=data_dir,
        device=cast(machine.Device, device),
    )
    for finding in found.findings:
        print(finding)
    print(f"audited: {found.n_passed} of {found.n_images}")
    if found.findings:
        raise typer.Exit(1)
