"""Pages of the methods that are installed: formula, paper, code, hyper-parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from regmix_bench.analysis.cohorts import row_order
from regmix_bench.methods import METHODS
from regmix_bench.reporting.formats.bibtex import bibtex, suite_entry
from regmix_bench.reporting.site.definitions import Definition, define
from regmix_bench.reporting.site.formulas import is_formula, mathml
from regmix_bench.reporting.site.text import Passage

INTRODUCTION = """# Methods

Each method with the loss that it descends: x′ is the attacked image, f the logits, p the softmax
output, and ŷ the label, smoothed where the recipe says so. `regmix-bench list methods` shows
those that are installed on a machine, plug-ins too; `regmix-bench serve` has the same pages with
every recorded result.
"""


def pages() -> dict[str, str]:
    """Return the pages below ``reference/``: the list, and one for each method of this project."""
    names = sorted(METHODS.names(), key=lambda name: row_order(name, ""))
    own = [define(name) for name in names if METHODS.origin(name).startswith("regmix-bench ")]
    return {
        "methods.md": "\n".join(_index(own)),
        **{f"methods/{each.name}.md": "\n".join(_page(each)) for each in own},
    }


def _index(definitions: Sequence[Definition]) -> Iterator[str]:
    yield INTRODUCTION
    yield "| Method | Name | Paper |"
    yield "| :--- | :--- | :--- |"
    for each in definitions:
        yield f"| [{each.title}](methods/{each.name}.md) | `{each.name}` | {_paper(each)} |"
    yield f"\n## Cite\n\n```bibtex\n{suite_entry()}```\n"
    yield "```{toctree}\n:hidden:\n"
    yield from (f"methods/{each.name}" for each in definitions)
    yield "```\n"


def _page(method: Definition) -> Iterator[str]:
    yield f"# {method.title}\n"
    if method.formula:
        yield _formula(method.formula)
    yield from _prose(method.summary)
    yield "## Definition and source\n"
    yield from _prose(method.source)
    if method.citation:
        yield f"Cite {_paper(method)}:\n"
        yield f"```bibtex\n{bibtex(method.citation)}```\n"
    yield f"The code is `{method.module}`, version {method.version}; `--methods {method.name}`.\n"
    yield from (f"{trick}\n" for trick in method.tricks)
    if method.parameters:
        yield "## Hyper-parameters\n"
        yield from _prose(method.config)
        yield "| Name | Default | Allowed | |"
        yield "| :--- | :--- | :--- | :--- |"
        for each in method.parameters:
            yield f"| `{each.name}` | {each.default} | {each.allowed} | {each.description} |"
    yield ""


def _paper(method: Definition) -> str:
    paper = method.citation
    if paper is None:
        return ""
    words = f"{paper.authors} {paper.year}"
    return f"[{words}](https://arxiv.org/abs/{paper.arxiv})" if paper.arxiv else words


def _prose(passages: Sequence[Passage]) -> Iterator[str]:
    for each in passages:
        if each.kind != "formula":
            yield f"<p>{each.text}</p>\n"
        elif is_formula(each.source):
            yield from map(_formula, each.source.splitlines())
        else:
            yield f"```text\n{each.text}\n```\n"


def _formula(formula: str) -> str:
    box = '<div class="formula" tabindex="0" role="region" aria-label="Formula">'
    return f"{box}{mathml(formula)}</div>\n"
