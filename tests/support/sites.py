"""Sites on disk, and what stands in their pages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from regmix_bench.reporting import site
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.site.pictures import LEADING, PictureFiles, SitePictures


def site_files(contents: Contents) -> Iterator[tuple[str, bytes]]:
    """Write every file of the site; of pictures that lead none, which take long, no content."""
    pictures = SitePictures.of(contents)
    yield from site.undrawn_files(contents, pictures)
    drawn = PictureFiles(pictures, contents.style)
    for name in drawn:
        leads = name.rpartition("/")[2].startswith(LEADING)
        yield name, drawn[name] if leads else b""


def write_site(folder: Path, contents: Contents) -> Path:
    for name, content in site_files(contents):
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
