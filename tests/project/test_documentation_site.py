"""The documentation as a site: it builds without a warning, and its pages open in a browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import regmix_bench
from regmix_bench.cli.commands import app
from regmix_bench.methods import METHODS

ROOT = Path(__file__).parents[2]
NARROW, WIDE = 380, 1280
KINDS = ("run", "evaluation", "transfer", "outcomes")
#: Pages whose colours are looked at in the dark, too: a page of each kind.
DARK = ("index", "regmix", "python", "compare", "commands")
#: What can be read to its end only by scrolling sideways.
CUT = """[...document.querySelectorAll("article *")]
    .filter(box => ["auto", "scroll"].includes(getComputedStyle(box).overflowX)
        && box.scrollWidth > box.clientWidth + 1)
    .map(box => box.innerText.slice(0, 80))"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site with its notebooks as they are; ``tox -e docs`` runs them."""
    pytest.importorskip("sphinx")
    folder = tmp_path_factory.mktemp("docs")
    command = (
        *(sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-E"),
        *("-D", "nb_execution_mode=off", "-d", folder / "doctrees", ROOT / "docs", folder / "html"),
    )
    built = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder / "html"


def test_it_has_a_page_of_every_method_command_and_verb(site: Path) -> None:
    listed = (site / "reference/methods.html").read_text()
    methods = [name for name in METHODS.names() if METHODS.origin(name).startswith("regmix-bench")]
    assert len(methods) > 20
    for name in methods:
        assert f"methods/{name}.html" in listed
        assert "<math" in (site / f"reference/methods/{name}.html").read_text()
    commands = (site / "reference/commands.html").read_text()
    for command in app.registered_commands:
        assert f'id="{command.name}"' in commands
    functions = (site / "reference/python.html").read_text()
    assert all(f'id="regmix_bench.{name}"' in functions for name in regmix_bench.__all__)


def test_what_is_shipped_keeps_to_the_schema_on_its_page(site: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schemas = {file.name: json.loads(file.read_text()) for file in site.rglob("*.schema.json")}
    assert {f"{kind}.schema.json" for kind in KINDS} <= schemas.keys()
    outcomes = next((ROOT / "results/shipped/digits/smallcnn").glob("regmix-*.outcomes.parquet"))
    record = outcomes.with_name(re.sub(r"\.[a-z-]+\.outcomes\.parquet$", ".json", outcomes.name))
    jsonschema.validate(json.loads(record.read_text()), schemas["run.schema.json"])
    rows = pd.read_parquet(outcomes).head(20)
    for row in json.loads(rows.to_json(orient="records")):
        jsonschema.validate(row, schemas["outcomes.schema.json"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"run_id": 3}, schemas["run.schema.json"])


def test_pages_fit_narrow_and_wide_windows_and_have_no_serious_flaw(
    site: Path, browser: Any
) -> None:
    pages = sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    assert len(pages) > 40
    heard: list[str] = []
    wrong: list[object] = []
    page = browser.new_page(reduced_motion="reduce")
    page.on("request", lambda request: heard.extend(_outside(request.url)))
    page.on("pageerror", lambda error: heard.append(str(error)))
    for path in pages:
        page.set_viewport_size({"width": WIDE, "height": 900})
        page.emulate_media(color_scheme="light")
        page.goto(path.as_uri())
        wrong += [(path.name, text) for text in page.evaluate(CUT)]
        wrong += [(path.name, *flaw) for flaw in _flaws(page, path == pages[0])]
        wrong += _wider(page, path.name)
        page.set_viewport_size({"width": NARROW, "height": 900})
        wrong += _wider(page, path.name)
        if path.stem in DARK:
            page.emulate_media(color_scheme="dark")
            wrong += [(path.name, *flaw) for flaw in _flaws(page, False)]
    page.close()
    assert [*heard, *wrong] == [], "\n".join(map(str, [*heard, *wrong]))


def _wider(page: Any, name: str) -> list[tuple[object, ...]]:
    """Return by how much the page does not fit its window."""
    width, wider = page.evaluate("[innerWidth, document.documentElement.scrollWidth - innerWidth]")
    return [(name, width, wider)] * (wider > 0)


def _flaws(page: Any, with_navigation: bool) -> list[tuple[str, str]]:
    """Return what axe finds serious; the navigation is the same on all pages."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    options = {"preload": False, "resultTypes": ["violations"]}
    drawers = None if with_navigation else {"exclude": [[".sidebar-drawer"], [".toc-drawer"]]}
    return [
        (flaw["id"], flaw["nodes"][0]["html"][:200])
        for flaw in axe.run(page, context=drawers, options=options).response["violations"]
        if flaw["impact"] in ("serious", "critical")
    ]


def test_the_search_finds_pages_without_a_server(site: Path, browser: Any) -> None:
    page = browser.new_page()
    page.goto(f"{(site / 'search.html').as_uri()}?q=mcnemar")
    # Results are shown one after the other: the one that is meant is waited for, not the first.
    found = page.locator("#search-results li a", has_text="Statistics")
    found.first.wait_for(timeout=20_000)
    page.close()


def _outside(url: str) -> list[str]:
    return [] if url.startswith(("file:", "data:")) else [url]
