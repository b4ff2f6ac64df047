"""Sites on disk, and what stands in their pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from regmix_bench.reporting import site
from regmix_bench.reporting.contents import Contents


def write_site(folder: Path, contents: Contents) -> Path:
    for name, content in site.site_files(contents):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def rankings(files: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
    """The rows of each comparison's page as markup, by its stem and by their names, in order."""
    found = {}
    for stem in re.findall(r'href="comparisons/(.*?)\.html"', files["index.html"].decode()):
        page = files[f"comparisons/{stem}.html"].decode()
        board = page.partition('<table class="board"')[2].partition("</table>")[0]
        rows = re.findall("<tr.*?</tr>", board.partition("<tbody>")[2], re.DOTALL)
        names = [re.search(r"methods/[^>]*>([^<]*)</a>", row) for row in rows]
        found[stem] = {name[1]: row for name, row in zip(names, rows, strict=True) if name}
    return found
