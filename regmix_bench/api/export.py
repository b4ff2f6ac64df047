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
        Literal["safetensors", "robustbench", "hub"],
        Option(
            "safetensors: a folder that torch opens; robustbench: an entry of its model_info; hub:"
            " a folder for the Hugging Face hub."
        ),
    ] = "safetensors",
    out: Annotated[
        str | Path | None,
        Option("Where to write; exported/…, or model_info/… for robustbench."),
    ] = None,
    checkpoint: Annotated[TrainedCheckpoint, Option("Of the training.")] = "selected",
    eps: Annotated[
        str | None, Option("Budget of a robustbench entry; the training's if left out.")
    ] = None,
    licence: Annotated[
        str, Option("Of the weights, as the hub spells it; with --format hub.", flag="--license")
    ] = "mit",
    push: Annotated[
        str | None, Option("Upload to this repository, ORG/NAME, too; with --format hub.")
    ] = None,
    results: Results = "results",
) -> Path:
    """Write a trained model, or its scores, in a form that others read.

    Returns the folder, or the file of a robustbench entry, whose link and authors are left to fill
    in. Raises :class:`UserError` where the checkpoint or its score is not there, or something else
    stands at ``out``; with ``push``, where there is no token, before anything is written, and where
    the hub refuses, after which the folder can be pushed again.
    """
    if eps is not None and format != "robustbench":
        raise UserError("--eps chooses the score of a robustbench entry; a folder holds them all")
    if format != "hub" and (push is not None or licence != "mit"):
        raise UserError("--push and --license belong to --format hub")

    from regmix_bench.loading import hub
    from regmix_bench.loading.export import export_hub, export_robustbench, export_safetensors

    if push is not None:
        hub.require_repository(push)
        hub.require_token()
    source, target = Path(results), None if out is None else Path(out)
    if format == "robustbench":
        return export_robustbench(str(run), source, target, checkpoint, eps)
    if format == "hub":
        folder = export_hub(str(run), source, target, checkpoint, licence, push)
        if push is not None:
            hub.upload(folder, push)
        return folder
    return export_safetensors(str(run), source, target, checkpoint)
