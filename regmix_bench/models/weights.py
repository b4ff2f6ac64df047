"""Weights on disk: files of tensors and nothing that could run, and how they fill a model."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import safetensors
import safetensors.torch
import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn

from regmix_bench.errors import UserError, first_problem, reason
from regmix_bench.models import build_model
from regmix_bench.specs.components import Component
from regmix_bench.system.files import atomic_write, file_digest
from regmix_bench.types import Frozen

if TYPE_CHECKING:
    from regmix_bench.models.classifier import ImageClassifier

# Of keys that do not fit, so many are named and the others counted.
_NAMED_KEYS = 3

# Far above any data set's, and below what a damaged file could ask for.
_Size = Annotated[int, Field(gt=0, le=100_000)]


class Description(Frozen):
    """Description of a model in our own weights files: enough to build it again.

    ``component`` is the architecture's where a plug-in brings it.
    """

    arch: str
    image_shape: tuple[_Size, _Size, _Size]
    num_classes: _Size
    component: Component | None = None

    def build(self) -> ImageClassifier:
        """Build the model, freshly initialised.

        Raises :class:`UserError` for an ``arch`` that is not installed here, or in another version,
        and for sizes that it cannot have.
        """
        try:
            return build_model(
                self.arch, self.image_shape, self.num_classes, component=self.component
            )
        except (ArithmeticError, MemoryError, RuntimeError, ValueError) as error:
            raise UserError(
                f"cannot build a {self.arch!r} for images of shape {self.image_shape} and"
                f" {self.num_classes} classes: {reason(error)}"
            ) from error


def save_checkpoint(
    path: Path,
    model: nn.Module,
    arch: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
    component: Component | None = None,
) -> str:
    """Write the weights and buffers of ``model``, atomically; returns the file's SHA-256."""
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    about = Description(
        arch=arch, image_shape=image_shape, num_classes=num_classes, component=component
    )
    with atomic_write(path) as stream:
        metadata = {"model": json.dumps(about.model_dump(mode="json", exclude_none=True))}
        stream.write(safetensors.torch.save(tensors, metadata))
    return file_digest(path)


def load_checkpoint(path: Path, sha256: str) -> ImageClassifier:
    """Load the model of a checkpoint, on the CPU and in evaluation mode.

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
    try:
        found = file_digest(path)
    except FileNotFoundError as error:
        raise UserError(
            f"no checkpoint at {path}: weights stay on the machine that trained them"
        ) from error
    if found != sha256:
        raise UserError(f"checkpoint {path} is not the recorded one: its SHA-256 differs")


def read_weights(path: Path) -> tuple[dict[str, Tensor], Description | None]:
    """Read the tensors of a file by their names, and its description of their model, if it has one.

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
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged file may raise anything
        raise UserError(
            f"{path} is not a file of weights: torch.save did not write it, or it is damaged"
        ) from error
    if not isinstance(content, Mapping) or not all(
        isinstance(value, Tensor) for value in content.values()
    ):
        raise UserError(f"{path} is no state dict, but holds {_inside(content)} alone")
    return dict(content), None


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Fill every weight and buffer of ``model``, strictly.

    Raises :class:`UserError`, one line that begins with ``name``, of keys that are missing, not
    expected, of another shape, or whole numbers where the model has floating-point ones.
    """
    expected: dict[str, Any] = model.state_dict()
    shared = {
        key: (tensors[key], value)
        for key, value in expected.items()
        if key in tensors and isinstance(value, Tensor)
    }
    groups = {
        "missing": sorted(expected.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - expected.keys()),
        "of another shape": [
            f"{key} {tuple(given.shape)} instead of {tuple(value.shape)}"
            for key, (given, value) in shared.items()
            if given.shape != value.shape
        ],
        "of another type": [
            f"{key} {given.dtype} instead of {value.dtype}"
            for key, (given, value) in shared.items()
            if given.is_floating_point() != value.is_floating_point()
        ],
    }
    problems = [f"{len(keys)} {what} ({_some(keys)})" for what, keys in groups.items() if keys]
    if problems:
        mend = _mend(expected.keys(), tensors.keys())
        raise UserError(f"{name} does not fit the model: {'; '.join(problems)}{mend}")
    try:
        model.load_state_dict(tensors)
    except Exception as error:  # a stranger's model may load its state as it likes
        raise UserError(f"{name} does not fit the model: {reason(error)}") from error


def state_digest(model: nn.Module) -> str:
    """Hash the names, types, shapes and values of all tensors of a model's state: SHA-256 in hex.

    Raises :class:`UserError` for a state whose values cannot be read.
    """
    hashed = hashlib.sha256()
    try:
        for name, value in sorted(model.state_dict().items()):
            if isinstance(value, Tensor):
                hashed.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
                hashed.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    except Exception as error:  # of meta, lazy and sparse tensors, and of a stranger's state_dict
        raise UserError(f"the model's weights cannot be read: {reason(error)}") from error
    return hashed.hexdigest()


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Description | None]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            written = (file.metadata() or {}).get("model")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = Description.model_validate_json(written) if written is not None else None
    except ValidationError as error:
        raise UserError(
            f"{path} is not a file of weights of regmix-bench: its metadata describes no model"
            f" ({first_problem(error)})"
        ) from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (safetensors.SafetensorError, ValueError) as error:
        raise UserError(f"{path} is not a file of weights: {reason(error)}") from error
    return tensors, about


def _inside(content: object) -> str:
    """Describe what a file holds instead of a state dict, and what to save instead."""
    if not isinstance(content, Mapping):
        return f"{type(content).__name__}: save model.state_dict()"
    nested = [key for key, value in content.items() if isinstance(value, Mapping)]
    named = next((key for key in ("state_dict", "model", *nested) if key in nested), None)
    mend = "model.state_dict()" if named is None else f"its {named!r}"
    return f"{_some(list(content))}: save {mend}"


def _mend(expected: Set[str], given: Set[str]) -> str:
    """A wrapper, such as ``DataParallel``, prefixes every key with its own name."""
    prefixes = {key.partition(".")[0] + "." for key in given}
    for prefix in prefixes:
        if {key.removeprefix(prefix) for key in given} == expected:
            return f"; without {prefix!r} before its keys it would: save the inner model's state"
    return ""


def _some(keys: Sequence[object]) -> str:
    named = ", ".join(str(key)[:100] for key in keys[:_NAMED_KEYS])
    return named + (", …" if len(keys) > _NAMED_KEYS else "")
