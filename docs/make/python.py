"""The reference of the Python interface: every public name, by its docstring."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from markdown import plain

import regmix_bench
from regmix_bench.cli.commands import options
from regmix_bench.records.frame import COLUMNS
from regmix_bench.reporting.figures import FIGURES

INTRODUCTION = """# Python

`from regmix_bench import …`; importing the package loads no torch. Verbs return values and print
nothing. [From Python](../guide/python.md) shows them at work; the fields of records and of
specifications, [Run](schema.md#run) and [RunSpec](schema.md#runspec-of-run), are those of their
files.
"""


def pages() -> dict[str, str]:
    """Return the page of the public names, below ``reference/``."""
    found = {name: getattr(regmix_bench, name) for name in sorted(regmix_bench.__all__)}
    classes = [name for name, each in found.items() if inspect.isclass(each)]
    verbs = [name for name, each in found.items() if inspect.isfunction(each) and options(each)]
    others = [name for name in found if name not in classes and name not in verbs]
    text = [INTRODUCTION, "## Verbs\n"]
    text += ["\n".join(_function(name, found[name])) for name in verbs]
    text += ["## Loading and registering\n"]
    text += [_documented("autofunction", name) for name in others]
    text += ["## Classes\n"]
    text += [_documented("autoclass", name, members=True) for name in classes]
    text += ["## Columns of load_results\n", *_columns(), "## Figures of plot\n", *_figures()]
    return {"python.md": "\n".join(text)}


def _function(name: str, verb: Any) -> Iterator[str]:
    """Write a verb with what the command line says of its parameters."""
    bare = map(_bare, inspect.signature(verb).parameters.values())
    shown = inspect.Signature(list(bare))
    yield f"```{{eval-rst}}\n.. py:function:: regmix_bench.{name}{shown}\n"
    yield textwrap.indent(inspect.getdoc(inspect.unwrap(verb)) or "", "   ") + "\n"
    yield from (f"   :param {key}: {_text(said.help)}" for key, (_, said) in options(verb).items())
    yield "\n```\n"


def _columns() -> Iterator[str]:
    yield "A row is a record, one of its checkpoints and one ε.\n"
    yield "| Column | Type | What it holds |\n| :--- | :--- | :--- |"
    yield from (f"| `{name}` | {c.dtype} | {plain(c.words)} |" for name, c in COLUMNS.items())
    yield ""


def _figures() -> Iterator[str]:
    yield "| Name | What it is |\n| :--- | :--- |"
    for name in FIGURES.names():
        if FIGURES.origin(name).startswith("regmix-bench "):
            first = (inspect.getdoc(FIGURES[name]) or "").partition("\n\n")[0]
            yield f"| `{name}` | {plain(first)} |"
    yield ""


def _bare(parameter: inspect.Parameter) -> inspect.Parameter:
    """Leave out the type, and of a function that is a default where it lies in memory."""
    default = ... if inspect.isfunction(parameter.default) else parameter.default
    return parameter.replace(annotation=inspect.Parameter.empty, default=default)


def _documented(directive: str, name: str, members: bool = False) -> str:
    listed = "   :members:\n   :exclude-members: model_config\n" if members else ""
    return f"```{{eval-rst}}\n.. {directive}:: regmix_bench.{name}\n{listed}```\n"


def _text(text: str) -> str:
    """Keep ``lambda_=1`` from being read as a link."""
    return "".join(f"\\{letter}" if letter in "\\*_|`" else letter for letter in text)
