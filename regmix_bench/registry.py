"""One registry for everything that is found by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from regmix_bench.errors import UserError, reason, unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """Names and what they stand for, imported only when asked for.

    A name comes from ``builtin`` (a target like ``package.module:attribute``), from an installed
    package's entry point in ``group``, or from :meth:`register` in this process, which wins.
    ``accepts`` says whether what a name led to is of the kind that the registry holds.
    """

    def __init__(
        self,
        kind: str,
        group: str | None = None,
        builtin: Mapping[str, str] | None = None,
        accepts: Callable[[object], bool] = lambda item: True,
    ) -> None:
        self.kind = kind
        self._accepts = accepts
        self.group = group
        self._builtin = dict(builtin or {})
        self._registered: dict[str, T] = {}

    def register(self, name: str, item: T) -> None:
        """Add ``item`` for this process."""
        self._registered[name] = item

    def names(self) -> list[str]:
        """Every known name, sorted; imports nothing."""
        return sorted({*self._targets, *self._registered})

    def __getitem__(self, name: str) -> T:
        """The item called ``name``; raises :class:`UserError` for an unknown or broken one."""
        if name in self._registered:
            return self._registered[name]
        if name not in self._targets:
            raise unknown(self.kind, name, self.names())
        target, origin = self._targets[name]
        module, _, attribute = target.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except Exception as error:  # a stranger's module may raise anything
            raise UserError(
                f"{self.kind} {name!r} of {origin} cannot be loaded: {reason(error)}"
            ) from error
        if not self._accepts(found):
            raise UserError(f"{self.kind} {name!r} of {origin} is no {self.kind}: {target}")
        item: T = found
        return item

    def origin(self, name: str) -> str:
        """Where ``name`` comes from: a distribution and its version, or this process."""
        if name in self._registered:
            return "this process"
        if name not in self._targets:
            raise unknown(self.kind, name, self.names())
        return self._targets[name][1]

    @cached_property
    def _targets(self) -> dict[str, tuple[str, str]]:
        targets = {name: (target, "regmix-bench") for name, target in self._builtin.items()}
        for entry in entry_points(group=self.group) if self.group else ():
            distribution = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
            if entry.name in targets and targets[entry.name] != (entry.value, distribution):
                raise UserError(
                    f"{self.kind} {entry.name!r} is offered twice, by"
                    f" {targets[entry.name][1]} and {distribution}: uninstall one"
                )
            targets[entry.name] = (entry.value, distribution)
        return targets
