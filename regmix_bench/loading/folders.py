"""A folder that `regmix-bench export` wrote, as safetensors or for the hub."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from regmix_bench.errors import UserError, abridged, first_problem
from regmix_bench.loading.model import LoadedModel
from regmix_bench.loading.runs import run_model
from regmix_bench.models.weights import check_digest, load_checkpoint, read_weights
from regmix_bench.notation import read_json
from regmix_bench.system.reading import read_bytes
from regmix_bench.types import Frozen, ThreatModel, TrainedCheckpoint

#: Its files.
WEIGHTS, GRAPH, CONFIG, CARD = "model.safetensors", "graph.pt2", "config.json", "README.md"


class ExportConfig(Frozen):
    """The description in an exported folder; ``threat`` is what its model was trained against,
    and ``dataset_name`` what a reader calls the data.

    ``graph_sha256`` is None where no program lies beside the weights.
    """

    format: Literal["regmix-bench"] = "regmix-bench"
    run_id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    checkpoint: TrainedCheckpoint
    epoch: Annotated[int, Field(ge=0)]
    label: Annotated[str, Field(min_length=1)]
    arch: str
    image_shape: tuple[int, int, int]
    num_classes: int
    dataset: str
    dataset_name: str | None = None
    data_digest: str | None
    threat: ThreatModel
    weights_sha256: str
    graph_sha256: str | None = None


def from_folder(folder: Path) -> LoadedModel:
    """Load the model of an exported folder.

    Raises :class:`UserError` for a folder that is none, not whole, or altered.
    """
    config = read_config(folder)
    for name in (WEIGHTS, *([GRAPH] if config.graph_sha256 else [])):
        if not (folder / name).is_file():
            raise UserError(f"{folder} is not a whole export: its {name} is missing")
    if config.graph_sha256:
        check_digest(folder / GRAPH, config.graph_sha256)
    return load_export(folder, config)


def load_export(folder: Path, config: ExportConfig) -> LoadedModel:
    """Load the weights of a folder, and nothing else there.

    Raises :class:`UserError` where they are not those that ``config`` describes.
    """
    model = load_checkpoint(folder / WEIGHTS, config.weights_sha256)
    loaded = run_model(
        model, config.run_id, config.checkpoint, config.weights_sha256, config.arch, config.label
    )
    about = read_weights(folder / WEIGHTS).about
    assert about is not None  # load_checkpoint loads no other
    for key in ("arch", "image_shape", "num_classes"):
        if (said := getattr(config, key)) != (own := getattr(about, key)):
            raise UserError(
                f"{folder} is not an exported model: {key} is {abridged(said)} in {CONFIG}, and"
                f" {abridged(own)} in {WEIGHTS}"
            )
    return replace(loaded, component=about.component)


def read_config(folder: Path) -> ExportConfig:
    """Read the description of an exported folder; raises :class:`UserError` if it is none."""
    try:
        return ExportConfig.model_validate(read_json(read_bytes(folder / CONFIG)))
    except OSError as error:
        said = f"{CONFIG}: {error.strerror or error}"
    except ValidationError as error:
        said = f"{CONFIG} does not describe one ({first_problem(error)})"
    except ValueError as error:  # no JSON
        said = f"{CONFIG} does not describe one ({error})"
    except UserError as error:  # of a threat model
        said = f"{CONFIG}: {error}"
    raise UserError(f"{folder} is not an exported model: {said}")
