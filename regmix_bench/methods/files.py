"""Methods in files of a user's, named ``PATH.py:CLASS``. Naming one runs its code."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from regmix_bench.errors import UserError, reason
from regmix_bench.system.reading import read_bytes

if TYPE_CHECKING:
    from regmix_bench.methods.protocol import Method

#: What is no name but leads to a file, with its class or without.
_NAMED = re.compile(r"(?P<path>.+\.py)(:(?P<cls>[A-Za-z_]\w*))?")


class MethodFile(NamedTuple):
    """A class in a file: its place as a user types it, absolute, and digits of the code's digest.

    The code is the file; what it imports is no part of it.
    """

    place: str
    code: str


def names_file(text: str) -> bool:
    """Return whether a text leads to a file, and is no name of a method."""
    return _NAMED.fullmatch(text) is not None


def load_method_file(text: str) -> tuple[type[Method], MethodFile]:
    """Run the file of ``PATH.py:CLASS`` and return the class, with what it was loaded from.

    The file's folder is searched last for what it imports. Raises :class:`UserError` for a file
    that is not there or fails, and a class that it does not define.
    """
    match = _NAMED.fullmatch(text)
    assert match is not None  # callers ask names_file
    path = Path(os.path.abspath(os.path.expanduser(match["path"])))
    try:
        source = read_bytes(path)
    except OSError as error:
        raise UserError(f"cannot read method {text}: {error.strerror}") from error
    code = hashlib.sha256(source).hexdigest()[:12]
    found = vars(_module(text, path, source, code))
    if not isinstance(found.get(match["cls"] or ""), type):
        named = [name for name, item in found.items() if _is_method_of(item, found["__name__"])]
        choices = " or ".join(f"{match['path']}:{name}" for name in named) or "it defines none"
        raise UserError(f"method {text!r} names no class of {path.name}: {choices}")
    method: type[Method] = found[match["cls"]]
    return method, MethodFile(f"{path}:{match['cls']}", code)


def _module(text: str, path: Path, source: bytes, code: str) -> Any:
    """Return the module of just this ``source``, run once in this process."""
    name = f"regmix_bench_method_{code}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if (folder := str(path.parent)) not in sys.path:
        sys.path.append(folder)
    try:
        exec(compile(source, path, "exec"), vars(module))
    except (Exception, SystemExit) as error:  # a user's file may raise anything
        del sys.modules[name]
        raise UserError(f"method {text} cannot be loaded: {reason(error)}") from error
    return module


def _is_method_of(item: object, module: str) -> bool:
    return isinstance(item, type) and item.__module__ == module and hasattr(item, "step")
