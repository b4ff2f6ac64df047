"""Models saved as programs, which bring their own code: TorchScript and ``torch.export`` files.

A program can do what any program can, so load only those that you would run.
"""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from regmix_bench.errors import UserError, reason

ProgramKind = Literal["TorchScript program", "torch.export program"]

# What an archive of torch.export holds, in today's form and in the one before torch 2.7.
_GRAPH_MARKS = ("archive_format", "serialized_exported_program.json")


def program_kind(path: Path) -> ProgramKind | None:
    """Which program a file holds, by what lies in its archive; None if it holds none."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return None
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript as a whole is deprecated
            program = torch.jit.load(path, "cpu") if script else torch.export.load(path)
    except Exception as error:  # a damaged file may raise anything
        raise UserError(f"{path} is not a {kind}: {reason(error)}") from error
    if script:
        return eval_mode(program, path.name), program.original_name
    if _trains(program):
        raise UserError(f"{path} was exported in training mode: export model.eval() instead")
    return eval_mode(program.module(), path.name), type(program).__name__


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


def _trains(program: torch.export.ExportedProgram) -> bool:
    """Whether an operation of the graph, such as dropout, is told to train."""
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        names = [argument.name for argument in schema.arguments] if schema else []
        given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        if any(given.get(name) is True for name in ("train", "training")):
            return True
    return False
