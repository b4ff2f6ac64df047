"""Models to be scored, wherever they come from.

Every model takes images (B, C, H, W) with pixels in [0, 1] and returns logits (B, K): whatever
normalisation it was trained with is part of it. A callable runs its own code, and a TorchScript or
``torch.export`` file is a program, so load only those that you would run.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from regmix_bench.data.cache import folder as cache_folder
from regmix_bench.errors import UserError, reason
from regmix_bench.loading.programs import (
    ProgramKind,
    call_model,
    eval_mode,
    load_program,
    program_kind,
)
from regmix_bench.loading.robustbench import load_zoo_model
from regmix_bench.models.predictions import BATCH_SIZE
from regmix_bench.models.weights import (
    Description,
    check_digest,
    load_checkpoint,
    load_weights,
    problem,
    read_weights,
    state_digest,
)
from regmix_bench.records.find import resolve_run
from regmix_bench.records.paths import artifacts_dir
from regmix_bench.records.schema import CheckpointFile, RunRecord
from regmix_bench.records.store import load_run
from regmix_bench.specs import ModelSource
from regmix_bench.system.files import file_digest
from regmix_bench.types import Checkpoint, Frozen, Norm, ThreatModel

#: The files of a folder that `regmix-bench export --format safetensors` writes.
WEIGHTS, GRAPH, CONFIG, CARD = "model.safetensors", "graph.pt2", "config.json", "README.md"

_ZOO = "robustbench:"
_SUFFIXES = (".safetensors", ".pt", ".pth", ".pt2")

Kind = Literal["run", "folder", "RobustBench model", "callable", "weights file"] | ProgramKind


@dataclass(frozen=True)
class Source:
    """A model on the CPU, every layer in evaluation mode, and what to call it.

    ``label`` is its row's name in tables; ``arch`` is the name of one of our architectures, or else
    that of the model's class.
    """

    model: nn.Module
    source: ModelSource
    arch: str
    label: str


class ExportConfig(Frozen):
    """What an exported folder says of its model; ``threat`` is the one it was trained against."""

    format: Literal["regmix-bench"] = "regmix-bench"
    run_id: str
    checkpoint: Literal["selected", "last"]
    epoch: int
    label: str
    arch: str
    image_shape: tuple[int, int, int]
    num_classes: int
    dataset: str
    data_digest: str | None
    threat: ThreatModel
    weights_sha256: str
    graph_sha256: str


def load_source(
    text: str,
    *,
    results: Path,
    weights: Path | None = None,
    arch: str | None = None,
    checkpoint: Checkpoint = "selected",
    dataset: str,
    norm: Norm,
    image_shape: tuple[int, int, int],
    num_classes: int,
) -> Source:
    """The model that ``text`` names.

    ``text`` is a run of ours (a record's path, or the start of its run_id among ``results``; of it,
    ``checkpoint`` is taken), a folder exported from one, ``robustbench:ID`` (looked up by
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
            return _from_run(text, results, checkpoint)
        case "folder":
            return _from_folder(Path(text))
        case "RobustBench model":
            return _from_zoo(text, dataset, norm)
        case "callable":
            return _from_callable(text, weights)
        case "weights file":
            return _from_weights(Path(text), arch, image_shape, num_classes)
        case "TorchScript program" | "torch.export program":
            return _from_program(Path(text), kind)


def check_model(model: nn.Module, images: Tensor, num_classes: int) -> None:
    """Raise :class:`UserError` unless ``model`` can be scored on ``images``.

    ``images`` (N, C, H, W) are in [0, 1] and on the model's device. Of any number of them it has to
    return as many rows of ``num_classes`` finite logits, through which gradients flow back.
    Its layers have to stay in evaluation mode. Probabilities and random outputs pass: they are
    checks of AutoAttack, which the scores record.
    """
    for part in (images[:1], *images.split(BATCH_SIZE)):
        with torch.no_grad():
            _check_logits(_call(model, part), len(part), num_classes)
    with torch.enable_grad():
        pair = images[:2].clone().requires_grad_()
        logits = _call(model, pair)
        _check_logits(logits, len(pair), num_classes)
        gradient = _gradient(logits, pair) if logits.requires_grad else None
    if gradient is None:
        raise UserError("no gradient flows back through the model: white-box attacks need one")
    if any(module.training for module in model.modules()):
        raise UserError("the model puts itself into training mode when it is called")


def own_run(text: str, results: Path) -> RunRecord | None:
    """The record of the run that ``text`` names, or None where it names a model of another kind."""
    return load_run(resolve_run(text, results)) if _kind(text) == "run" else None


def find_checkpoint(
    run: str, results: Path, checkpoint: Checkpoint
) -> tuple[RunRecord, CheckpointFile, Path]:
    """The record of ``run``, what it says of this checkpoint, and where the weights lie.

    A record given by its path is taken to lie in a results folder of its own. Raises
    :class:`UserError` for an unknown run and for one without that checkpoint.
    """
    record_file = resolve_run(run, results)
    record = load_run(record_file)
    if checkpoint not in record.checkpoints:
        there = "there is " + " and ".join(record.checkpoints) if record.checkpoints else "none"
        raise UserError(
            f"run {record.run_id} has no checkpoint {checkpoint!r}: {record.error or there}"
        )
    file = record.checkpoints[checkpoint]
    root = record_file.absolute().parents[:3][-1]
    return record, file, artifacts_dir(root, record.run_id) / file.file


def read_config(folder: Path) -> ExportConfig:
    """What an exported folder says of itself; raises :class:`UserError` if it is not one."""
    try:
        return ExportConfig.model_validate_json((folder / CONFIG).read_bytes())
    except OSError as error:
        said = f"{CONFIG}: {error.strerror or error}"
    except ValidationError as error:
        said = f"{CONFIG} does not describe one ({problem(error)})"
    except UserError as error:  # of a threat model
        said = f"{CONFIG}: {error}"
    raise UserError(f"{folder} is not an exported model: {said}")


def _kind(text: str) -> Kind:
    suffix = Path(text).suffix
    if text.startswith(_ZOO):
        return "RobustBench model"
    if os.path.isdir(text):
        return "folder"
    if os.path.isfile(text) and suffix != ".json":
        return program_kind(Path(text)) or "weights file"
    if re.fullmatch(r"[\w.]+:[\w.]+", text):
        return "callable"
    if suffix in _SUFFIXES:
        raise UserError(f"no model file at {text}")
    return "run"


def _from_run(text: str, results: Path, checkpoint: Checkpoint) -> Source:
    record, file, path = find_checkpoint(text, results, checkpoint)
    model = load_checkpoint(path, file.sha256)
    spec = record.spec
    return _of_run(model, record.run_id, checkpoint, file.sha256, spec.arch, spec.label)


def _from_folder(folder: Path) -> Source:
    config = read_config(folder)
    for name in (WEIGHTS, GRAPH):
        if not (folder / name).is_file():
            raise UserError(f"{folder} is not a whole export: its {name} is missing")
    check_digest(folder / GRAPH, config.graph_sha256)
    model = load_checkpoint(folder / WEIGHTS, config.weights_sha256)
    return _of_run(
        model, config.run_id, config.checkpoint, config.weights_sha256, config.arch, config.label
    )


def _of_run(
    model: nn.Module, run_id: str, checkpoint: Checkpoint, sha256: str, arch: str, label: str
) -> Source:
    source = ModelSource(kind="run", name=f"{run_id}:{checkpoint}", sha256=sha256)
    return Source(model, source, arch, label if checkpoint == "selected" else f"{label} (last)")


def _from_zoo(text: str, dataset: str, norm: Norm) -> Source:
    name = text.removeprefix(_ZOO)
    model = eval_mode(load_zoo_model(name, dataset, norm, cache_folder() / "robustbench"), text)
    # An ensemble has several files: what counts is the model that they make together.
    source = ModelSource(kind="robustbench", name=name, sha256=state_digest(model))
    return Source(model, source, _arch(type(model).__name__), name)


def _from_callable(text: str, weights: Path | None) -> Source:
    """Its digest is that of the weights (the file, or else the state) and the code together."""
    model, code = call_model(text)
    if weights is not None:
        if program := program_kind(weights):
            raise UserError(f"{weights} is a {program}: give it as the model, not by --weights")
        load_weights(model, read_weights(weights)[0], weights.name)
    model = eval_mode(model, text)
    state = state_digest(model) if weights is None else file_digest(weights)
    sha256 = hashlib.sha256(f"{state} {code}".encode()).hexdigest()
    source = ModelSource(kind="callable", name=text, sha256=sha256)
    return Source(model, source, _arch(type(model).__name__), text)


def _from_weights(
    path: Path, arch: str | None, image_shape: tuple[int, int, int], num_classes: int
) -> Source:
    tensors, about = read_weights(path)
    if about is None:
        if arch is None:
            raise UserError(f"{path} does not say what it holds: name its architecture by --arch")
        about = Description(arch=arch, image_shape=image_shape, num_classes=num_classes)
    if arch not in (None, about.arch):
        raise UserError(f"{path} holds a {about.arch!r}, not a {arch!r}: leave --arch out")
    model = about.build()
    load_weights(model, tensors, path.name)
    source = ModelSource(kind="weights", name=path.name, sha256=file_digest(path))
    return Source(model.eval(), source, about.arch, path.stem)


def _from_program(path: Path, kind: ProgramKind) -> Source:
    model, name = load_program(path, kind)
    source = ModelSource(kind="program", name=path.name, sha256=file_digest(path))
    return Source(model, source, _arch(name), path.stem)


def _call(model: nn.Module, images: Tensor) -> Any:
    try:
        return model(images)
    except torch.OutOfMemoryError:
        raise
    except (Exception, SystemExit) as error:  # a stranger's model may raise anything
        raise UserError(
            f"the model does not take images of shape {tuple(images.shape)}: {reason(error)}"
        ) from error


def _gradient(logits: Tensor, images: Tensor) -> Tensor | None:
    try:
        return torch.autograd.grad(logits.sum(), images, allow_unused=True)[0]
    except torch.OutOfMemoryError:
        raise
    except (Exception, SystemExit) as error:  # so may a backward pass of its own
        raise UserError(f"no gradient flows back through the model: {reason(error)}") from error


def _check_logits(logits: object, n: int, num_classes: int) -> None:
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        found = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(f"the model returns {found}, not a tensor of floating-point logits")
    if logits.shape != (n, num_classes):
        raise UserError(
            f"the model returns logits of shape {tuple(logits.shape)} for {n} images of"
            f" {num_classes} classes, not {(n, num_classes)}"
        )
    broken = int((~logits.isfinite()).any(1).sum())
    if broken:
        raise UserError(f"the model returns NaN or infinite logits for {broken} of {n} images")


def _arch(class_name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", class_name).strip("-") or "model"
