"""Models to be scored, wherever they come from: which kind a name means, and who loads that kind.

Every model takes images (B, C, H, W) with pixels in [0, 1] and returns logits (B, K): whatever
normalisation it was trained with is part of it. A callable runs its own code, and a TorchScript or
``torch.export`` file is a program, so load only those that you would run.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from regmix_bench.errors import UserError
from regmix_bench.loading.callables import from_callable
from regmix_bench.loading.folders import from_folder
from regmix_bench.loading.hub import HUB, from_hub
from regmix_bench.loading.model import LoadedModel
from regmix_bench.loading.programs import ProgramKind, from_program, program_kind
from regmix_bench.loading.robustbench import from_robustbench
from regmix_bench.loading.runs import from_run
from regmix_bench.loading.weights_files import from_weights
from regmix_bench.records.find import resolve_run
from regmix_bench.records.schema import RunRecord
from regmix_bench.records.store import load_run
from regmix_bench.types import Checkpoint

_ROBUSTBENCH = "robustbench:"
_SUFFIXES = (".safetensors", ".pt", ".pth", ".pt2")

Kind = (
    Literal["run", "folder", "model of the hub", "RobustBench model", "callable", "weights file"]
    | ProgramKind
)


def load_any_model(
    text: str,
    *,
    results: Path,
    weights: Path | None = None,
    arch: str | None = None,
    checkpoint: Checkpoint = "selected",
    dataset: str,
    norm: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
) -> LoadedModel:
    """Load the model that ``text`` names.

    ``text`` is a run of ours (a record's path, or the start of its run_id among ``results``; of it,
    ``checkpoint`` is taken), a folder exported from one, the same at ``hf:ORG/NAME`` or
    ``hf:ORG/NAME@REVISION`` on the Hugging Face hub, ``robustbench:ID`` (looked up by
    ``dataset`` and ``norm``), ``module:callable`` (called without arguments; ``weights`` fills what
    it returns), a file of weights (built as ``arch`` for ``image_shape`` and ``num_classes``,
    unless the file says what it holds), or a TorchScript or ``torch.export`` program.
    Raises :class:`UserError` for anything that is not there, cannot be loaded or does not fit.
    """
    kind = _kind(text)
    if weights is not None and kind != "callable":
        raise UserError(f"--weights fills a module:callable, and {text!r} is a {kind}")
    if arch is not None and kind != "weights file":
        raise UserError(f"--arch belongs to a weights file, and {text!r} is a {kind}")
    if checkpoint != "selected" and kind != "run":
        raise UserError(f"--checkpoint is for a training of ours, and {text!r} is a {kind}")
    match kind:
        case "run":
            return from_run(text, results, checkpoint)
        case "folder":
            return from_folder(Path(text))
        case "model of the hub":
            return from_hub(text)
        case "RobustBench model":
            return from_robustbench(text.removeprefix(_ROBUSTBENCH), dataset, norm)
        case "callable":
            return from_callable(text, weights)
        case "weights file":
            return from_weights(Path(text), arch, image_shape, num_classes)
        case "TorchScript program" | "torch.export program":
            return from_program(Path(text), kind)


def own_run(text: str, results: Path) -> RunRecord | None:
    """Read the record of the run that ``text`` names; None where it names another kind of model."""
    return load_run(resolve_run(text, results)) if _kind(text) == "run" else None


def _kind(text: str) -> Kind:
    suffix = Path(text).suffix
    if text.startswith(_ROBUSTBENCH):
        return "RobustBench model"
    if text.startswith(HUB):
        return "model of the hub"
    if os.path.isdir(text):
        return "folder"
    if os.path.isfile(text) and suffix != ".json":
        return program_kind(Path(text)) or "weights file"
    if text.startswith("timm:"):
        raise UserError(f"{text} is an architecture: name a file of its weights, and --arch {text}")
    if re.fullmatch(r"[\w.]+:[\w.]+", text):
        return "callable"
    if suffix in _SUFFIXES:
        raise UserError(f"no model file at {text}")
    return "run"
