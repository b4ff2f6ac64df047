"""A model that a Python callable returns. It runs its own code, so load what you would run."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from itertools import chain
from operator import attrgetter
from pathlib import Path
from types import ModuleType

from torch import nn
from torch.nn.parameter import is_lazy

from regmix_bench.errors import UserError, reason
from regmix_bench.loading.model import LoadedModel, arch_name, eval_mode, key_notes
from regmix_bench.loading.programs import program_kind
from regmix_bench.models.weights import load_weights, read_weights, state_digest
from regmix_bench.specs import ModelSource
from regmix_bench.system.files import file_digest


def from_callable(text: str, weights: Path | None) -> LoadedModel:
    """Load what ``module:callable`` returns, filled from the file ``weights`` where one is given.

    Its digest is that of the weights (the file, or else the state) and the code together.
    """
    model, code = call_model(text)
    notes: tuple[str, ...] = ()
    if weights is not None:
        if program := program_kind(weights):
            raise UserError(f"{weights} is a {program}: give it as the model, not by --weights")
        content = read_weights(weights)
        load_weights(model, content.tensors, weights.name)
        notes = key_notes(weights, content)
    model = eval_mode(model, text)
    state = state_digest(model) if weights is None else file_digest(weights)
    sha256 = hashlib.sha256(f"{state} {code}".encode()).hexdigest()
    source = ModelSource(kind="callable", name=text, sha256=sha256)
    return LoadedModel(model, source, arch_name(type(model).__name__), text, notes=notes)


def call_model(text: str) -> tuple[nn.Module, str]:
    """Return the model that ``module:callable`` makes, on the CPU, and the SHA-256 of its code.

    The working folder is searched first, and afterwards last, for what the model imports when it is
    used. The code is the file of the module and that of the module
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
        _search_last(here)
    if not isinstance(model, nn.Module):
        raise UserError(f"{text} returns {type(model).__name__}, not a torch.nn.Module")
    return model, _code_digest({name, getattr(build, "__module__", None) or name})


class _FolderFinder(MetaPathFinder):
    """Finds modules in a folder that nothing else finds.

    Unlike an entry of ``sys.path``, it shadows no module, and no other process takes it over.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(fullname, [self.folder] if path is None else path)


def _search_last(folder: str) -> None:
    finders = (finder for finder in sys.meta_path if isinstance(finder, _FolderFinder))
    if folder not in (finder.folder for finder in finders):
        sys.meta_path.append(_FolderFinder(folder))


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
