"""The method protocol, the registry of methods, and RegMix.

``METHODS`` finds a method by name without importing the others; :func:`load_method` makes one.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from regmix_bench.errors import UserError
from regmix_bench.methods.files import MethodFile, load_method_file, names_file
from regmix_bench.registry import Registry, create
from regmix_bench.system.deferred import deferred
from regmix_bench.system.signatures import typed

if TYPE_CHECKING:
    from regmix_bench.methods.protocol import Method


class _Methods(Registry["type[Method]"]):
    """The methods of packages, of this process, and of files that this process was told of."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.files: dict[str, MethodFile] = {}

    def canonical(self, name: str) -> str:
        """Return the name of a method; ``PATH.py:CLASS`` is loaded and known from now on.

        Raises :class:`UserError` for a file or a class that is none, and for one that is called as
        another method is.
        """
        if not names_file(name):
            return name
        method, file = load_method_file(name)
        called = str(getattr(method, "name", ""))
        if not called:
            raise UserError(f'{name} has no name: say it in the class, as in name = "mine"')
        known = self.files.get(called)
        if known != file and (known or called in self.names()):
            other = known.place if known else self.origin(called)
            raise UserError(f"{name} is called {called!r}, as is one of {other}: rename it")
        self.register(called, method, os.path.basename(file.place))
        self.files[called] = file
        return called

    def loaded(self, text: str) -> str:
        """Return a text such as ``my.py:Mine[steps=2]`` with the :meth:`canonical` name."""
        name, bracket, parameters = text.partition("[")
        return self.canonical(name.strip()) + bracket + parameters

    def __getitem__(self, name: str) -> type[Method]:
        if names_file(name):
            raise UserError(
                f"method {name!r} is a file, to which no suite leads: write its own name, and"
                f" --method-files {name} beside it"
            )
        return super().__getitem__(name)

    def origin(self, name: str) -> str:
        file = self.files.get(name)
        return os.path.basename(file.place) if file else super().origin(name)


#: Every method arrives through this entry-point group, RegMix and the baselines included.
METHODS = _Methods(
    "method", group="regmix_bench.methods", base="regmix_bench.methods.protocol:Method"
)


def declared(name: str) -> type[Method] | None:
    """Return the method called ``name``, or None where it is not installed or cannot be loaded.

    Its module names torch, which takes seconds to load and which readers of records do without: it
    is deferred.
    """
    if name not in METHODS.names():
        return None
    try:
        # What this process registered may be registered anew.
        return METHODS[name] if name in METHODS.registered else _installed(name)
    except UserError:  # two packages offer it
        return None


@cache
def _installed(name: str) -> type[Method] | None:
    try:
        with deferred("torch"):
            return METHODS[name]
    except UserError:
        return None


@typed
def load_method(name: str, **params: Any) -> Method:
    """Make the method called ``name`` with validated hyper-parameters.

    Raises :class:`UserError` for an unknown name or key and for a refused value.
    """
    return create(METHODS, name, params)


def register_method(method: type[Method]) -> type[Method]:
    """Make a method known to this process under its ``name``; works as a class decorator.

    A package offers its methods through the entry-point group ``regmix_bench.methods`` instead, and
    a file is named like ``my_method.py:TwoStep``.
    """
    name = getattr(method, "name", "")
    if not name:
        raise UserError(f"{method!r} is no method: derive it from Method and give it a name")
    METHODS.register(name, method)
    return method
