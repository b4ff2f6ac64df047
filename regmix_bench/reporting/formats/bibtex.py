"""Entries of BibTeX: of a method's paper, and of this suite."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING

from regmix_bench.reporting.formats.latex_text import tex

if TYPE_CHECKING:
    from regmix_bench.methods.protocol import Citation


def bibtex(citation: Citation) -> str:
    """Return the entry of a paper, whatever characters its parts have."""
    return _written(
        "misc",
        citation.key,
        {
            "title": f"{{{tex(citation.title)}}}" if citation.title else "",
            "author": tex(citation.authors.replace(" et al.", " and others")),
            "year": f"{citation.year:d}",
            "howpublished": tex(citation.venue),
            "eprint": tex(citation.arxiv),
            "archivePrefix": "arXiv" if citation.arxiv else "",
        },
    )


def suite_entry() -> str:
    """Return the entry of the installed version of this package."""
    return _written(
        "misc",
        "regmix-bench",
        {
            "title": "{regmix-bench}: Adversarial training, benchmarked from recorded runs",
            "author": "{The regmix-bench authors}",
            "note": f"Version {version('regmix-bench')}",
        },
    )


def _written(kind: str, key: str, fields: dict[str, str]) -> str:
    named = re.sub(r"[^A-Za-z0-9:_-]", "", key) or "unnamed"
    lines = [f"  {name:<13} = {{{value}}}" for name, value in fields.items() if value]
    return f"@{kind}{{{named},\n" + ",\n".join(lines) + "\n}\n"
