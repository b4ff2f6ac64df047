"""Sites on disk, and what stands in their pages."""

from __future__ import annotations

import re
from pathlib import Path

from regmix_bench.reporting import site
from regmix_bench.reporting.contents import Contents


def write_site(folder: Path, contents: Contents) -> Path:
    for name, content in site.site_files(contents):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def rankings(index: str) -> dict[str, dict[str, str]]:
    """The rows of each comparison of the front page as markup, by its id and by their names."""
    found = {}
    for section in index.split('<section class="comparison" id="')[1:]:
        stem = section.partition('"')[0]
        body = section.partition("<tbody>")[2].partition("</tbody>")[0]
        rows = re.findall("<tr.*?</tr>", body, re.DOTALL)
        names = [re.search(r"methods/[^>]*>([^<]*)</a>", row) for row in rows]
        found[stem] = {name[1]: row for name, row in zip(names, rows, strict=True) if name}
    return found
