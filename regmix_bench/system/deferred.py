"""A module that is imported when something of it is first used.

The modules of methods name torch, which takes seconds to load; their defaults, which a plan needs,
do not. `run` defers it, so that a grid with nothing left to do ends before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType


@contextmanager
def deferred(name: str) -> Iterator[None]:
    """Defer ``import name`` for the modules that are imported inside the block, and no others.

    Libraries ask whether an array is torch's once ``torch`` is among the loaded modules. After the
    block it is not, unless it was before: what the modules hold loads it when asked.
    """
    before = name in sys.modules
    defer(name)
    try:
        yield
    finally:
        if not before and isinstance(sys.modules.get(name), _Deferred):
            del sys.modules[name]


def defer(name: str) -> None:
    """Make ``import name`` load nothing until an attribute or a submodule is asked for.

    The object that stands for the module then becomes the module itself, for all who hold it.
    ``from name import x`` asks at once. Without effect where it is loaded, or not installed.
    """
    if name in sys.modules or (spec := find_spec(name)) is None:
        return
    module = module_from_spec(spec)
    # Without it an import of a submodule would pass over the module's own code.
    del module.__path__
    module.__class__ = _Deferred
    sys.modules[name] = module


class _Deferred(ModuleType):
    # Unlike importlib.util.LazyLoader, whose modules load at the second `import` statement.
    __spec__: ModuleSpec

    def __getattr__(self, name: str) -> object:
        module: ModuleType = self
        if sys.modules.get(self.__spec__.name) is not self:
            # Left behind by `deferred`: another object stands for the module, or will.
            found = getattr(import_module(self.__spec__.name), name)
            vars(self).update(vars(sys.modules[self.__spec__.name]))
            module.__class__ = ModuleType
            return found
        loader = self.__spec__.loader
        assert loader is not None
        module.__class__ = ModuleType
        self.__path__ = self.__spec__.submodule_search_locations or []
        loader.exec_module(self)
        return getattr(self, name)
