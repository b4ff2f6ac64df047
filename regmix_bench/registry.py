"""One registry for everything that is found by name, and how a name with parameters is read."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points, version
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from regmix_bench.errors import UserError, reason, unknown, validated
from regmix_bench.notation import format_value, parse_value

T = TypeVar("T")

#: What is a name, and so may stand in a component of a path, beside another one.
FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"

#: The origin of what a program or a notebook has registered itself.
THIS_PROCESS = "this process"


class Offer(NamedTuple):
    """The offer of a name: a target ``package.module:attribute``, and the distribution it is of."""

    target: str
    origin: str


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One name of a registry; ``item`` is None where ``error``, one line, says why."""

    name: str
    origin: str
    item: T | None
    error: str | None = None

    @property
    def description(self) -> str:
        """The first line of the item's docstring, or else why there is no item."""
        return self.error or docstring(self.item).partition("\n")[0]


def docstring(item: object) -> str:
    """Return the docstring of a class, a function or a module; "" where there is none.

    From its source where Python has stripped it (``-OO``): what is shown must not depend on that.
    """
    if sys.flags.optimize < 2:
        return inspect.cleandoc(item.__doc__ or "")
    try:
        source = inspect.getsource(item)  # type: ignore[arg-type]
        tree = ast.parse(inspect.cleandoc(f"\n{source}"))
    except (OSError, TypeError, SyntaxError):
        return ""
    node: Any = tree if inspect.ismodule(item) else tree.body[0]
    return ast.get_docstring(node) or ""


class Registry(Generic[T]):
    """Names and what they stand for, imported only when asked for.

    A name comes from ``builtin`` (a target like ``package.module:attribute``), from an installed
    package's entry point in ``group``, or from :meth:`register` in this process, which wins. What a
    name leads to has to derive from ``base``, given as a target too. A name that is broken, or that
    two packages offer, is refused when it is asked for, and disturbs no other. ``registered`` holds
    what this process has registered.
    """

    def __init__(
        self,
        kind: str,
        group: str | None = None,
        builtin: Mapping[str, str] | None = None,
        base: str | None = None,
    ) -> None:
        self.kind = kind
        self.group = group
        self._base = base
        self._builtin = dict(builtin or {})
        self.registered: dict[str, T] = {}

    def register(self, name: str, item: T, origin: str = THIS_PROCESS) -> None:
        """Add ``item`` for this process; raises :class:`UserError` where it cannot be one.

        ``origin`` says there where it is from.
        """
        self._check(name, item, origin)
        self.registered[name] = item

    def names(self) -> list[str]:
        """Return every known name, sorted; imports nothing."""
        return sorted({*self._offers, *self.registered})

    def __getitem__(self, name: str) -> T:
        """Return the item called ``name``.

        Raises :class:`UserError` for a name that is unknown, broken, or offered twice.
        """
        if name in self.registered:
            return self.registered[name]
        target, origin = self._offer(name)
        try:
            found: T = _imported(target)
        except (Exception, SystemExit) as error:  # a stranger's module may raise anything
            raise UserError(
                f"{self.kind} {name!r} of {origin} cannot be loaded: {reason(error)}"
            ) from error
        self._check(name, found, origin)
        return found

    def canonical(self, name: str) -> str:
        """Return a name as specifications have it, which may be typed in another way."""
        return name

    def origin(self, name: str) -> str:
        """Return where ``name`` comes from: a distribution and its version, or this process."""
        return THIS_PROCESS if name in self.registered else self._offer(name).origin

    def is_builtin(self, name: str) -> bool:
        """Return whether ``name`` means what comes with this package, and nothing else."""
        own = name in self._builtin and name not in self.registered
        return own and len(self._offers[name]) == 1

    def entries(self) -> Iterator[Entry[T]]:
        """Return every name with what it leads to, in order; a broken one with what is wrong."""
        for name in self.names():
            try:
                yield Entry(name, self.origin(name), self[name])
            except UserError as error:
                origins = [offer.origin for offer in self._offers.get(name, ())]
                yield Entry(name, ", ".join(origins), None, str(error))

    def _offer(self, name: str) -> Offer:
        if name not in self._offers:
            raise unknown(self.kind, name, self.names())
        first, *others = self._offers[name]
        if others:
            raise UserError(
                f"{self.kind} {name!r} is offered twice, by {first.origin} and"
                f" {others[0].origin}: uninstall one"
            )
        return first

    def _check(self, name: str, item: object, origin: str) -> None:
        if not re.fullmatch(FILE_NAME, name):
            raise UserError(
                f"{self.kind} {name!r} of {origin}: a name is made of letters, digits, '.', '_'"
                " and '-'"
            )
        if self._base is None:
            return
        base = _imported(self._base)
        if not (isinstance(item, type) and issubclass(item, base)):
            raise UserError(
                f"{self.kind} {name!r} of {origin} is no {self.kind}: derive it from"
                f" {self._base.replace(':', '.')}"
            )
        if inspect.isabstract(item):
            members = inspect.getmembers(item)
            missing = [key for key, it in members if getattr(it, "__isabstractmethod__", False)]
            raise UserError(
                f"{self.kind} {name!r} of {origin} is not whole: it has no {missing[0]}()"
            )

    @cached_property
    def _offers(self) -> dict[str, list[Offer]]:
        own = f"regmix-bench {version('regmix-bench')}"
        offers = {name: [Offer(target, own)] for name, target in self._builtin.items()}
        for entry in entry_points(group=self.group) if self.group else ():
            origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
            offer = Offer(entry.value, origin)
            if offer not in offers.setdefault(entry.name, []):
                offers[entry.name].append(offer)
        return offers


def _imported(target: str) -> Any:
    module, _, attributes = target.partition(":")
    found: Any = importlib.import_module(module)
    for attribute in attributes.split("."):
        found = getattr(found, attribute)
    return found


def create(
    registry: Registry[type[T]], name: str, params: Mapping[str, Any] = MappingProxyType({})
) -> T:
    """Return the item called ``name``, made with its ``Config`` of validated ``params``.

    Raises :class:`UserError` for an unknown name or key and for a refused value.
    """
    found: Any = registry[name]
    made: T = found(validated(found.Config, params, name))
    return made


def parse_name(kind: str, text: str) -> tuple[str, dict[str, object]]:
    """Return the name and the parameters of a text such as ``fgsm-pgi[lambda_=1,reset=10]``.

    ``kind`` is what an error calls it. Raises :class:`UserError` for any other form.
    """
    match = re.fullmatch(r"\s*([^\[\]]+?)\s*(?:\[([^\[\]]*)\])?\s*", text)
    if not match:
        raise UserError(f"{kind} {text!r} cannot be read: write it like name[key=value,…]")
    name, inside = match.groups()
    values = {}
    # At commas outside of quotes, in which a text such as a path may have some.
    for setting in filter(None, re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', inside or "")):
        key, equals, value = setting.partition("=")
        if not equals:
            raise UserError(f"{kind} {text!r}: {setting!r} is not key=value")
        values[key.strip()] = parse_value(value)
    return name, values


def format_name(name: str, values: Mapping[str, object]) -> str:
    """Return the text that :func:`parse_name` reads as this name and these parameters."""
    inside = ",".join(f"{key}={format_value(value)}" for key, value in values.items())
    return f"{name}[{inside}]" if inside else name
