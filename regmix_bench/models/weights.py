"""Weights on disk: files of tensors and nothing that could run, and how they fill a model."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn

from regmix_bench.errors import UserError, first_problem, reason
from regmix_bench.models import build_model
from regmix_bench.models.misfits import first_few, misfit_advice, misfit_words, misfits, same_memory
from regmix_bench.specs.components import Component
from regmix_bench.system.files import NoSuchFile, atomic_write, file_digest
from regmix_bench.system.reading import open_regular, open_tensors
from regmix_bench.types import Frozen

if TYPE_CHECKING:
    from regmix_bench.models.classifier import ImageClassifier

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
    # Cloned, as safetensors writes no two names of one tensor.
    tensors = {
        name: value.clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    about = Description(
        arch=arch, image_shape=image_shape, num_classes=num_classes, component=component
    )
    return write_weights(path, tensors, about)


def write_weights(path: Path, tensors: Mapping[str, Tensor], about: Description) -> str:
    """Write ``tensors`` of the model ``about``, atomically; returns the file's SHA-256.

    They are contiguous, and no two share memory.
    """
    metadata = {"model": json.dumps(about.model_dump(mode="json", exclude_none=True))}
    content = safetensors.torch.save(dict(tensors), metadata)
    with atomic_write(path) as stream:
        stream.write(content)
    return hashlib.sha256(content).hexdigest()


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
    except NoSuchFile as error:
        raise UserError(
            f"no checkpoint at {path}: weights stay on the machine that trained them"
        ) from error
    if found != sha256:
        raise UserError(f"checkpoint {path} is not the recorded one: its SHA-256 differs")


class WeightsFile(NamedTuple):
    """The content of a file of weights: tensors by name, and what it says of their model.

    ``key`` is the one of an ordinary checkpoint under which the tensors lay, such as
    ``state_dict``; None where they are all that the file holds.
    """

    tensors: dict[str, Tensor]
    about: Description | None = None
    key: str | None = None


def read_weights(path: Path) -> WeightsFile:
    """Read a file of weights: safetensors, or what ``torch.save`` wrote.

    That is a state dict, or a checkpoint in which one lies beside an epoch, an optimiser's state
    and the like, however its key is called. Of a pickle, nothing but tensors and plain values is
    ever loaded. Raises :class:`UserError` for any other content, and where several state dicts lie
    in one file.
    """
    if path.suffix == ".safetensors":
        return WeightsFile(*_read_safetensors(path))
    try:
        with open_regular(path) as stream:
            content = torch.load(stream, map_location="cpu", weights_only=True)
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
    if isinstance(content, Mapping) and _are_tensors(content):
        return WeightsFile(dict(content))
    states = _state_dicts(content) if isinstance(content, Mapping) else {}
    if len(states) > 1:
        raise UserError(
            f"{path} holds several state dicts, {first_few(list(states))}: save the one that is"
            " meant alone"
        )
    for key, tensors in states.items():
        return WeightsFile(dict(tensors), key=key)
    held = first_few(list(content)) if isinstance(content, Mapping) else type(content).__name__
    raise UserError(f"{path} is no state dict, but holds {held} alone: save model.state_dict()")


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Fill every weight and buffer of ``model``, as strictly as torch and safetensors do.

    So a tensor with two names may come by one of them, and batch norm's count of batches may be
    missing, or be no whole number, as in averages of states. Raises :class:`UserError`, one line
    that begins with ``name``, of keys that are missing, not expected, of another shape, or whole
    numbers where the model has floating-point ones.
    """
    expected: dict[str, Any] = model.state_dict()
    problems = misfits(expected, tensors)
    if problems.keys() & {"of another type"}:  # which torch would round without a word
        raise UserError(f"{name} does not fit the model: {misfit_words(problems)}")
    try:
        model.load_state_dict({**tensors, **same_memory(expected, tensors)})
    except (Exception, SystemExit) as error:  # a stranger's model may load its state as it likes
        said = (
            misfit_words(problems) + misfit_advice(expected, tensors) if problems else reason(error)
        )
        raise UserError(f"{name} does not fit the model: {said}") from error


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
    except (Exception, SystemExit) as error:  # of meta and sparse tensors, of a stranger's state
        raise UserError(f"the model's weights cannot be read: {reason(error)}") from error
    return hashed.hexdigest()


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Description | None]:
    try:
        with open_tensors(path, "pt") as file:
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


def _are_tensors(content: Mapping[Any, Any]) -> bool:
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def _state_dicts(content: Mapping[Any, Any], depth: int = 2) -> dict[str, Mapping[str, Tensor]]:
    """Return what may be the state of a model in a checkpoint, by its key or its keys.

    Numbers, such as metrics, are none, and neither is an optimiser's state, whose keys are numbers.
    """
    found: dict[str, Mapping[str, Tensor]] = {}
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Mapping):
            continue
        if not _are_tensors(value):
            inner = _state_dicts(value, depth - 1) if depth > 1 else {}
            found |= {f"{key}.{below}": state for below, state in inner.items()}
        elif any(tensor.ndim for tensor in value.values()):
            found[key] = value
    return found
