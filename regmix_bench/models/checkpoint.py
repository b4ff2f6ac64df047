"""Weights on disk: safetensors files that say what they hold and are refused when altered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors
import safetensors.torch
from torch import nn

from regmix_bench.errors import UserError
from regmix_bench.files import atomic_write, file_digest
from regmix_bench.models import build_model

if TYPE_CHECKING:
    from regmix_bench.models.base import ImageClassifier


def save_checkpoint(
    path: Path, model: nn.Module, arch: str, image_shape: tuple[int, int, int], num_classes: int
) -> str:
    """Write the weights and buffers of ``model``, atomically; returns the file's SHA-256."""
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    description = {"arch": arch, "image_shape": image_shape, "num_classes": num_classes}
    metadata = {"model": json.dumps(description)}
    with atomic_write(path) as stream:
        stream.write(safetensors.torch.save(tensors, metadata))
    return file_digest(path)


def load_checkpoint(path: Path, sha256: str) -> ImageClassifier:
    """The model of a checkpoint, on the CPU and in evaluation mode.

    Raises :class:`UserError` where the file is missing, altered, or not one of ours.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}: weights stay on the machine that trained them")
    if file_digest(path) != sha256:
        raise UserError(f"checkpoint {path} is not the recorded one: its SHA-256 differs")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["model"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        channels, height, width = about["image_shape"]
        model = build_model(about["arch"], (channels, height, width), about["num_classes"])
        model.load_state_dict(tensors)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not a checkpoint of regmix-bench: {reason}") from error
    return model.eval()
