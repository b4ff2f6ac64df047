"""The method protocol, the registry of methods, and RegMix.

``METHODS`` finds a method by name without importing the others; :func:`load_method` makes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regmix_bench.errors import UserError
from regmix_bench.registry import Registry, create

if TYPE_CHECKING:
    from regmix_bench.methods.protocol import Method


#: Every method arrives through this entry-point group, RegMix and the baselines included.
METHODS: Registry[type[Method]] = Registry(
    "method", group="regmix_bench.methods", base="regmix_bench.methods.protocol:Method"
)


def load_method(name: str, **params: Any) -> Method:
    """The method called ``name`` with validated hyper-parameters.

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
