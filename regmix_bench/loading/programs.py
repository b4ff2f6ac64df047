"""A model in a TorchScript or ``torch.export`` file.

Such a file is a program, so load what you would run: no Python of it is run, but torch's operators
may read and write files.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from regmix_bench.errors import UserError, reason
from regmix_bench.loading.model import LoadedModel, arch_name, eval_mode
from regmix_bench.specs import ModelSource
from regmix_bench.system.files import file_digest

ProgramKind = Literal["TorchScript program", "torch.export program"]

# What an archive of torch.export holds, in today's form and in the one before torch 2.7.
_GRAPH_MARKS = ("archive_format", "serialized_exported_program.json")

_REFUSING = ContextVar("refusing", default=False)


class ScriptedModel(nn.Module):
    """A TorchScript program as a module that takes hooks, which a script takes none of."""

    def __init__(self, program: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.program = program

    def forward(self, x: Tensor) -> Any:
        """Return what the program makes of ``x``."""
        return self.program(x)


def program_kind(path: Path) -> ProgramKind | None:
    """Tell which program a file holds, by what lies in its archive; None if it holds none.

    Raises :class:`UserError` for a file that cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if any("/code/" in name for name in names):
        return "TorchScript program"
    if any(name.endswith(_GRAPH_MARKS) for name in names):
        return "torch.export program"
    return None


def from_program(path: Path, kind: ProgramKind) -> LoadedModel:
    """Load a file that holds a program of this ``kind``; see :func:`load_program`."""
    model, class_name = load_program(path, kind)
    source = ModelSource(kind="program", name=path.name, sha256=file_digest(path))
    return LoadedModel(model, source, arch_name(class_name), path.stem)


def load_program(path: Path, kind: ProgramKind) -> tuple[nn.Module, str]:
    """Return the model of a program in evaluation mode, on the CPU, and the name of its class.

    Raises :class:`UserError` for a damaged file, and for a graph that was exported in training
    mode, because a graph has no other.
    """
    program: Any
    script = kind == "TorchScript program"
    try:
        with _quiet(), _pickles_refused():
            program = torch.jit.load(path, "cpu") if script else torch.export.load(path)
    except UserError as error:
        raise UserError(f"{path} {error}") from error
    except (Exception, SystemExit) as error:  # a damaged file may raise anything
        said = reason(error).partition(" Please check the warnings above")[0]  # there are none
        raise UserError(f"{path} is not a {kind}: {said}") from error
    if script:
        return eval_mode(ScriptedModel(program), path.name), program.original_name
    if _trains(program):
        raise UserError(f"{path} was exported in training mode: export model.eval() instead")
    return eval_mode(program.module(), path.name), type(program).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's logs, which hold tracebacks, and its warnings of TorchScript off the screen."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript as a whole is deprecated
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _pickles_refused() -> Iterator[None]:
    """Refuse what names a class or function in a pickle: ``torch.export.load`` would load it."""
    _install_refusal()
    token = _REFUSING.set(True)
    try:
        yield
    finally:
        _REFUSING.reset(token)


@cache
def _install_refusal() -> None:
    # An audit hook is there for good, hence the variable that says whether it minds.
    sys.addaudithook(_refuse_pickles)


def _refuse_pickles(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "pickle.find_class" and _REFUSING.get():
        raise UserError(f"holds a pickle of {'.'.join(map(str, arguments))}, which is not loaded")


def _trains(program: torch.export.ExportedProgram) -> bool:
    """Whether an operation of the graph, such as dropout, is told to train."""
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        names = [argument.name for argument in schema.arguments] if schema else []
        given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        if any(given.get(name) is True for name in ("train", "training")):
            return True
    return False
