"""``export``: a trained model for others."""

from pathlib import Path
from typing import Annotated, Literal

from regmix_bench.api.options import Option, Results, RunName, verb
from regmix_bench.errors import UserError
from regmix_bench.types import TrainedCheckpoint


@verb
def export(
    run: RunName,
    *,
    format: Annotated[
        Literal["safetensors", "robustbench"],
        Option("safetensors: a folder that torch opens; robustbench: an entry of its model_info."),
    ] = "safetensors",
    out: Annotated[
        str | Path | None,
        Option("Where to write; exported/…, or model_info/… for robustbench."),
    ] = None,
    checkpoint: Annotated[TrainedCheckpoint, Option("Of the training.")] = "selected",
    eps: Annotated[
        str | None, Option("Budget of a robustbench entry; the training's if left out.")
    ] = None,
    results: Results = "results",
) -> Path:
    """Write a trained model, or its scores, in a form that others read.

    Returns the folder, or the file of a robustbench entry, whose link and authors are left to fill
    in. Raises :class:`UserError` where the checkpoint or its score is not there, or something else
    stands at ``out``.
    """
    if eps is not None and format != "robustbench":
        raise UserError("--eps chooses the score of a robustbench entry; a folder holds them all")

    from regmix_bench.loading.export import export_robustbench, export_safetensors

    source, target = Path(results), None if out is None else Path(out)
    if format == "robustbench":
        return export_robustbench(str(run), source, target, checkpoint, eps)
    return export_safetensors(str(run), source, target, checkpoint)
