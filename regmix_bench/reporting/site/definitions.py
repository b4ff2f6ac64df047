"""Definitions of methods: declarations, docstrings, hyper-parameters, where installed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from typing import TYPE_CHECKING

from regmix_bench.errors import UserError
from regmix_bench.methods import METHODS
from regmix_bench.registry import docstring
from regmix_bench.reporting.site.text import Passage, passages
from regmix_bench.specs.parameters import Parameter, parameters_of
from regmix_bench.system.deferred import deferred

if TYPE_CHECKING:
    from regmix_bench.methods.protocol import Citation, Method


_SOURCES = ("source", "repository", "sourcecode", "github")


@dataclass(frozen=True)
class Definition:
    """A method as installed here; where it is not, ``missing`` says why and the rest is empty."""

    name: str
    missing: str = ""
    version: int | None = None
    origin: str = ""
    code: str = ""
    module: str = ""
    norms: tuple[str, ...] = ()
    title: str = ""
    formula: str = ""
    citation: Citation | None = None
    summary: tuple[Passage, ...] = ()
    source: tuple[Passage, ...] = ()
    config: tuple[Passage, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    tricks: tuple[str, ...] = ()


def define(name: str) -> Definition:
    """Return the definition of the method that records call ``name``, without loading torch."""
    try:
        with deferred("torch"):
            method = METHODS[name]
    except UserError as error:
        return Definition(name, missing=str(error))
    module = inspect.getmodule(method)
    return Definition(
        name,
        version=method.version,
        origin=METHODS.origin(name),
        code=repository(METHODS.origin(name).rpartition(" ")[0]),
        module=method.__module__,
        norms=method.norms or (),
        title=method.title or name,
        formula=method.formula,
        citation=method.citation,
        summary=passages(docstring(method)),
        source=passages(docstring(module)),
        config=passages(docstring(method.Config)),
        parameters=parameters_of(method.Config),
        tricks=tuple(_tricks(method)),
    )


def repository(distribution: str) -> str:
    """Return the address of the source that a distribution names in its metadata, or nothing.

    It goes by the labels that packages call it by: packaging.python.org, "Well-known Project URLs".
    """
    try:
        named = metadata(distribution).get_all("Project-URL") or []
    except (PackageNotFoundError, ValueError):
        return ""
    for label, _, address in (each.partition(",") for each in named):
        if re.sub("[^a-z]", "", label.lower()) in _SOURCES and address.strip().startswith("https:"):
            return str(address.strip())
    return ""


def _tricks(method: type[Method]) -> Iterator[str]:
    """Say what the method makes of the tricks that a recipe may ask for."""
    if method.smoothed:
        seen = " and ".join(f"the {term}" for term in sorted(method.smoothed))
        share = method.default_true_class_mass
        authors = "are hard" if share == 1 else f"give the true class {share:g}"
        yield f"Smoothed labels are seen by {seen}; its authors' labels {authors}."
    else:
        yield "It takes no smoothed labels."
    if method.averages_weights:
        yield "It averages its weights by a rule of its own, unless the recipe has another average."
    if not method.clips_pixels:
        yield "The images that it trains on may leave the range of pixels."
    for field, why in method.refuses.items():
        yield f"It cannot be trained with recipe.{field}, {why}."
