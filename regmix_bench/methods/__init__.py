"""The method protocol, the registry of methods, and RegMix.

``METHODS`` finds a method by name without importing the others; :func:`load_method` makes one.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from regmix_bench.errors import UserError
from regmix_bench.registry import THIS_PROCESS, Registry, create
from regmix_bench.system.deferred import deferred
from regmix_bench.system.signatures import typed

if TYPE_CHECKING:
    from regmix_bench.methods.protocol import Method


#: Every method arrives through this entry-point group, RegMix and the baselines included.
METHODS: Registry[type[Method]] = Registry(
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
        return METHODS[name] if METHODS.origin(name) == THIS_PROCESS else _installed(name)
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

    A package offers its methods through the entry-point group ``regmix_bench.methods`` instead.
    """
    name = getattr(method, "name", "")
    if not name:
        raise UserError(f"{method!r} is no method: derive it from Method and give it a name")
    METHODS.register(name, method)
    return method
