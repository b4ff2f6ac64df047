"""``export``: a trained model for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from regmix_bench.cli.common import Results, Run, app, choice
from regmix_bench.errors import UserError


@app.command(epilog="Example: regmix-bench export 3f2a --format safetensors --out my-model")
def export(
    run: Run,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="safetensors: a folder that torch opens; robustbench: an entry of its model_info.",
        ),
    ] = "safetensors",
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write; exported/…, or model_info/… for robustbench."),
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="selected or last.")] = "selected",
    eps: Annotated[
        str | None, typer.Option(help="Budget of a robustbench entry; the training's if left out.")
    ] = None,
    results: Results = Path("results"),
) -> None:
    """Write a trained model, or its scores, in a form that others read."""
    choice("format", form, ("robustbench", "safetensors"))
    choice("checkpoint", checkpoint, ("selected", "last"))
    if eps is not None and form != "robustbench":
        raise UserError("--eps chooses the score of a robustbench entry; a folder holds them all")

    from regmix_bench.api.export import export_robustbench, export_safetensors

    chosen = cast(Any, checkpoint)
    if form == "safetensors":
        print(f"written: {export_safetensors(run, results, out, chosen)}")
        return
    path = export_robustbench(run, results, out, chosen, eps)
    print(f"written: {path}\nfill in its link and authors, and its venue if there is a paper")
