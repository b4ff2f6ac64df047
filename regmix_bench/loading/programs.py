"""A model in a TorchScript or ``torch.export`` file.

Such a file is a program, so load what you would run: no Python of it is run, and no library that
lies in it is loaded, but torch's operators may read and write files.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from regmix_bench.errors import UserError, reason
from regmix_bench.loading.graphs import checked_graph
from regmix_bench.loading.model import LoadedModel, arch_name, eval_mode
from regmix_bench.specs import ModelSource
from regmix_bench.system.archives import open_archive
from regmix_bench.system.files import file_digest

ProgramKind = Literal["TorchScript program", "torch.export program"]

_COMMON = (
    r"version|byteorder|\.format_version|\.storage_alignment|\.data/(version|serialization_id)"
)

#: The members that torch writes of a model, below one folder. Libraries, custom objects and opaque
#: ones, which torch would run or unpickle, are not among them.
_MEMBERS: dict[ProgramKind, re.Pattern[str]] = {
    "TorchScript program": re.compile(
        rf"{_COMMON}|(data|constants|attributes|bytecode|mobile_debug_handles|traced_inputs)\.pkl"
        r"|(data|constants|attributes|tensors|traced_inputs)/\d+|code/(\w+/)*\w+\.py(\.debug_pkl)?"
    ),
    "torch.export program": re.compile(
        rf"{_COMMON}|archive_format|archive_version|models/model\.json"
        r"|data/(weights|constants)/((weight|tensor)_\d+|model_(weights|constants)_config\.json)"
        r"|data/(weights|constants|sample_inputs)/model\.pt"
    ),
}
_BEFORE_2_7 = "serialized_exported_program.json"


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
        with _reading(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return None
    if any("/code/" in name for name in names):
        return "TorchScript program"
    if _BEFORE_2_7 in names:
        raise UserError(f"{path} was written by a torch before 2.7: export the model anew")
    if any(name.endswith("/archive_format") for name in names):
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
        archive = _own_archive(path, kind)
        with _quiet():
            program = torch.jit.load(archive, "cpu") if script else torch.export.load(archive)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a damaged file may raise anything
        said = reason(error).partition(" Please check the warnings above")[0]  # there are none
        raise UserError(f"{path} is not a {kind}: {said}") from error
    if script:
        return eval_mode(ScriptedModel(program), path.name), program.original_name
    if _trains(program):
        raise UserError(f"{path} was exported in training mode: export model.eval() instead")
    return eval_mode(program.module(check_guards=False), path.name), type(program).__name__


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


def _own_archive(path: Path, kind: ProgramKind) -> io.BytesIO:
    """Write what torch may read of a program into an archive of our own.

    The file itself torch never sees: two readers of one archive can differ about what lies in it.
    Raises :class:`UserError` for a member that no program of this kind has, and for a text or a
    pickle that could run.
    """
    allowed, own = _MEMBERS[kind], io.BytesIO()
    root = ""
    with _reading(path) as archive, zipfile.ZipFile(own, "w") as copy:
        for member in archive.infolist():
            folder, _, name = member.filename.partition("/")
            root = root or folder
            if member.is_dir() or name.startswith("extra/"):
                continue
            if folder != root or not allowed.fullmatch(name):
                raise ValueError(f"it has the member {member.filename!r}, which is not loaded")
            content = archive.read(member)
            if kind == "torch.export program":
                content = _harmless(name, content)
            copy.writestr(f"program/{name}", content)
    own.seek(0)
    return own


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; what is wrong with it is a :class:`UserError`, or ``BadZipFile``."""
    try:
        with open_archive(path) as archive:
            yield archive
    except (UserError, zipfile.BadZipFile):
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged archive may raise anything
        raise UserError(f"cannot load {path}: {error}") from error


def _harmless(name: str, content: bytes) -> bytes:
    """Return a member of a ``torch.export`` program; raises ``ValueError`` if it could run code."""
    if name.endswith(".json"):
        return checked_graph(content)
    if name.endswith(".pt") and content:
        try:  # torch tries the same, and where it fails trusts the file
            torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(f"{name} holds more than tensors, which is not loaded") from error
    return content


def _trains(program: torch.export.ExportedProgram) -> bool:
    """Whether an operation of the graph, such as dropout, is told to train."""
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        names = [argument.name for argument in schema.arguments] if schema else []
        given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        if any(given.get(name) is True for name in ("train", "training")):
            return True
    return False
