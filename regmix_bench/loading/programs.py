"""Models that bring their own code: TorchScript and ``torch.export`` files, and Python callables.

Such code can do what any program can, so load only what you would run. Of the two kinds of files no
Python is run, but torch's operators may read and write files.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from regmix_bench.errors import UserError, reason
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
        """What the program returns for ``x``."""
        return self.program(x)


def program_kind(path: Path) -> ProgramKind | None:
    """Which program a file holds, by what lies in its archive; None if it holds none.

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


def load_program(path: Path, kind: ProgramKind) -> tuple[nn.Module, str]:
    """The model of a program in evaluation mode, on the CPU, and the name of its class.

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


def call_model(text: str) -> tuple[nn.Module, str]:
    """The model that ``module:callable`` returns, on the CPU, and the SHA-256 of its code.

    The working folder is searched first. The code is the file of the module and that of the module
    which defines the callable; what these import is not part of it. Raises :class:`UserError` for
    a callable that cannot be called or returns no model, or one whose weights have no values.
    """
    name, _, attribute = text.partition(":")
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        build = attrgetter(attribute)(import_module(name))
        model = build()
        if isinstance(model, nn.Module) and not _has_values(model):
            raise UserError("its weights have no values (meta device or lazy layers)")
        model = model.cpu() if isinstance(model, nn.Module) else model
    except (Exception, SystemExit) as error:  # a stranger's module may raise anything
        said = str(error) if isinstance(error, UserError) else reason(error)
        raise UserError(f"{text} cannot be called: {said}") from error
    finally:
        sys.path.remove(here)
    if not isinstance(model, nn.Module):
        raise UserError(f"{text} returns {type(model).__name__}, not a torch.nn.Module")
    return model, _code_digest({name, getattr(build, "__module__", None) or name})


def eval_mode(model: nn.Module, name: str) -> nn.Module:
    """``model`` with every layer in evaluation mode; raises :class:`UserError` if one is not."""
    try:
        model.eval()
    except NotImplementedError:  # the module of an exported program, whose mode is in its graph
        for module in model.modules():
            module.training = False
    if any(module.training for module in model.modules()):
        raise UserError(f"{name} stays in training mode: its eval() does not reach every layer")
    return model


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


def _has_values(model: nn.Module) -> bool:
    state = chain(model.parameters(), model.buffers())
    return not any(is_lazy(value) or value.is_meta for value in state)


def _code_digest(modules: set[str]) -> str:
    hashed = hashlib.sha256()
    for name in sorted(modules):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and os.path.isfile(file):  # neither built in nor inside an archive
            hashed.update(f"{name} {file_digest(Path(file))}\n".encode())
    return hashed.hexdigest()


def _trains(program: torch.export.ExportedProgram) -> bool:
    """Whether an operation of the graph, such as dropout, is told to train."""
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        names = [argument.name for argument in schema.arguments] if schema else []
        given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        if any(given.get(name) is True for name in ("train", "training")):
            return True
    return False
