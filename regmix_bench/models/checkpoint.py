"""Weights on disk: files of tensors and nothing that could run, and how they fill a model."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from regmix_bench.errors import UserError, reason
from regmix_bench.files import atomic_write, file_digest
from regmix_bench.models import build_model
from regmix_bench.types import Frozen

if TYPE_CHECKING:
    from regmix_bench.models.base import ImageClassifier

# Of keys that do not fit, so many are named and the others counted.
_NAMED_KEYS = 3


class Description(Frozen):
    """What our own weights files say of their model: enough to build it again."""

    arch: str
    image_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    num_classes: PositiveInt

    def build(self) -> ImageClassifier:
        """The model, freshly initialised; raises :class:`UserError` for an unknown ``arch``."""
        return build_model(self.arch, self.image_shape, self.num_classes)


def save_checkpoint(
    path: Path, model: nn.Module, arch: str, image_shape: tuple[int, int, int], num_classes: int
) -> str:
    """Write the weights and buffers of ``model``, atomically; returns the file's SHA-256."""
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    about = Description(arch=arch, image_shape=image_shape, num_classes=num_classes)
    with atomic_write(path) as stream:
        metadata = {"model": json.dumps(about.model_dump(mode="json"))}
        stream.write(safetensors.torch.save(tensors, metadata))
    return file_digest(path)


def load_checkpoint(path: Path, sha256: str) -> ImageClassifier:
    """The model of a checkpoint, on the CPU and in evaluation mode.

    Raises :class:`UserError` where the file is missing, altered, or not one of ours.
    """
    check_digest(path, sha256)
    tensors, about = _read_safetensors(path)
    if about is None:
        raise UserError(f"{path} is not a checkpoint of regmix-bench: it does not say so")
    model = about.build()
    load_weights(model, tensors, str(path))
    return model.eval()


def check_digest(path: Path, sha256: str) -> None:
    """Raise :class:`UserError` unless the checkpoint at ``path`` is the one with this SHA-256."""
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}: weights stay on the machine that trained them")
    if file_digest(path) != sha256:
        raise UserError(f"checkpoint {path} is not the recorded one: its SHA-256 differs")


def read_weights(path: Path) -> tuple[dict[str, Tensor], Description | None]:
    """The tensors of a file by their names, and what the file says of their model, if anything.

    The file is one of safetensors, or a state dict that ``torch.save`` wrote; of a pickle, nothing
    but tensors is ever loaded. Raises :class:`UserError` for any other content.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is no state dict, or holds more than tensors, which is not loaded:"
            " save model.state_dict() alone"
        ) from error
    except Exception as error:  # a damaged file may raise anything
        raise UserError(f"{path} is not a file of weights: {reason(error)}") from error
    if not isinstance(content, Mapping) or not all(
        isinstance(value, Tensor) for value in content.values()
    ):
        inside = _some(list(content)) if isinstance(content, Mapping) else type(content).__name__
        raise UserError(
            f"{path} is no state dict, but holds {inside}: save model.state_dict() alone"
        )
    return dict(content), None


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Fill every weight and buffer of ``model``, strictly.

    Raises :class:`UserError`, one line that begins with ``name``, of keys that are missing, not
    expected, or of another shape.
    """
    expected: dict[str, Any] = model.state_dict()
    groups = {
        "missing": sorted(expected.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - expected.keys()),
        "of another shape": [
            f"{key} {tuple(tensors[key].shape)} instead of {tuple(value.shape)}"
            for key, value in expected.items()
            if key in tensors and tensors[key].shape != value.shape
        ],
    }
    problems = [f"{len(keys)} {what} ({_some(keys)})" for what, keys in groups.items() if keys]
    if problems:
        raise UserError(f"{name} does not fit the model: {'; '.join(problems)}")
    model.load_state_dict(tensors)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Description | None]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            written = (file.metadata() or {}).get("model")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = Description.model_validate_json(written) if written is not None else None
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is not a file of weights: {reason(error)}") from error
    return tensors, about


def _some(keys: Sequence[object]) -> str:
    named = ", ".join(str(key)[:100] for key in keys[:_NAMED_KEYS])
    return named + (", …" if len(keys) > _NAMED_KEYS else "")
