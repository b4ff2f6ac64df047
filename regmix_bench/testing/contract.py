"""A contract: rules that whatever is registered has to keep.

A rule is a function of the thing that is tested. Its name, read as words, is what a report calls
it; it raises :class:`Broken`, or anything else, where the rule is not kept. Of how it is kept it
may return a note.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError

from regmix_bench.errors import UserError, reason, validated
from regmix_bench.registry import Registry, create, parse_name
from regmix_bench.types import NORMS, Frozen

Rule = Callable[[Any], str | None]


class Failure(NamedTuple):
    """A rule that is broken, in words, and how."""

    rule: str
    reason: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.reason}"


class Broken(Exception):
    """A rule is not kept: the message says what was found."""


def require(kept: bool | torch.Tensor, found: str) -> None:
    """Raise :class:`Broken` with what was ``found`` unless the rule is ``kept``."""
    if not kept:
        raise Broken(found)


@dataclass(frozen=True)
class Subject:
    """A plug-in under test: its name as a user types it, and the registry that has it."""

    text: str
    registry: Registry[Any]
    #: Where data sets lie, and whether they may be fetched.
    data_dir: Path | None = None
    download: bool = False
    #: The folder of records that a figure is drawn of.
    results: Path = Path("results")

    @property
    def name(self) -> str:
        """The name without its parameters."""
        return parse_name(self.registry.kind, self.text)[0]

    @property
    def cls(self) -> Any:
        """The registered class."""
        return self.registry[self.name]

    def require_usable(self) -> None:
        """Raise :class:`UserError` for an unknown or broken name and for refused parameters."""
        if hasattr(self.cls, "Config"):
            self.create()

    def create(self) -> Any:
        """Return a new instance with the parameters in ``text``."""
        return create(self.registry, *parse_name(self.registry.kind, self.text))


def findings(subject: Subject, rules: Sequence[Rule]) -> Iterator[Failure | str | None]:
    """Try one rule after another; yield for each that is kept its note, or None.

    The global generator of torch is as before afterwards, and so are gradients' settings.
    """
    for rule in rules:
        try:
            with torch.random.fork_rng([]), torch.enable_grad():
                note = rule(subject)
        except Broken as broken:
            yield Failure(words(rule), str(broken))
        except (Exception, SystemExit) as error:  # a stranger's code may raise anything
            yield Failure(words(rule), f"{reason(error)}{_where(error)}")
        else:
            yield note


def words(rule: Rule) -> str:
    """Return what a report calls a rule."""
    return rule.__name__.replace("_", " ").strip()


def broken_rules(subject: Subject, rules: Sequence[Rule]) -> list[Failure]:
    """Return the rules that ``subject`` breaks.

    Raises :class:`UserError` for what cannot be asked for at all: an unknown or broken name, or
    parameters that are refused.
    """
    subject.require_usable()
    return [found for found in findings(subject, rules) if isinstance(found, Failure)]


def it_says_what_it_is(subject: Subject) -> None:
    """Hold the name, the version and the docstring to what listings and records need."""
    cls = subject.cls
    found = getattr(cls, "name", None)
    require(found == subject.name, f"its name is {found!r}, and it is registered as another")
    version = getattr(cls, "version", 1)
    require(type(version) is int and version >= 1, f"its version is {version!r}, not 1, 2, …")
    require(bool((cls.__doc__ or "").strip()), "its docstring is empty, which listings show")


def parameters_are_named_validated_and_written_down(subject: Subject) -> None:
    """Hold ``Config`` to what an identity needs: defaults, no unknown key, and a way back."""
    config_class = subject.cls.Config
    is_model = isinstance(config_class, type) and issubclass(config_class, Frozen)
    require(is_model, "Config does not derive from regmix_bench.types.Frozen")
    try:
        config_class()
    except ValidationError as error:
        raise Broken(f"a parameter has no default: {reason(error)}") from error
    config = subject.create().config
    again = validated(config_class, config.model_dump(mode="json"), subject.name)
    require(again == config, f"written as JSON and read again, {config!r} is {again!r}")
    for key in ("no_such_key", *config_class.model_fields):
        try:
            validated(config_class, {key: _Nothing}, subject.name)
        except UserError:
            continue
        raise Broken(f"it takes any value as {key}")


def its_norms_are_known(subject: Subject) -> None:
    """Hold ``norms`` to the norms there are."""
    norms = norms_of(subject)
    require(bool(norms), "it is defined for no norm")
    unknown = [norm for norm in norms if norm not in NORMS.names()]
    require(not unknown, f"there is no norm {unknown[:1]}")


def norms_of(subject: Subject) -> tuple[str, ...]:
    """Return the norms that a method or an attack is defined for."""
    norms = subject.cls.norms
    return tuple(NORMS.names()) if norms is None else tuple(norms)


class _Nothing:
    """A value that no parameter takes."""


def _where(error: BaseException) -> str:
    """Return the line that an error comes from, for whoever has to mend it."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
