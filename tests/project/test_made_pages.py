"""What pages say of records, version and tests is what there is."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from regmix_bench.grid.suite_files import packaged_suites
from regmix_bench.methods import METHODS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def makers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT / "docs/make"))
    yield
    for name in ("recorded", "regmix_page", "shown", "badges"):
        sys.modules.pop(name, None)


def test_numbers_of_the_pages_are_those_of_the_records() -> None:
    """``python docs/make/recorded.py`` renews them."""
    from recorded import PAGES, Recorded

    recorded = Recorded()
    for page in PAGES:
        text = page.read_text("utf-8")
        assert recorded.renewed(text) == text, page
    names = [name for page in PAGES for name in re.findall(r"recorded: (\S+)", page.read_text())]
    assert sorted(names) == sorted(recorded.blocks)


def test_badges_and_citation_have_the_version() -> None:
    """``python docs/make/badges.py`` draws the badges."""
    from badges import FOLDER, badges

    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    for name, text in badges().items():
        assert (FOLDER / name).read_text("utf-8") == text
        assert name in README
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"] == version
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_readme_is_short_and_counts_the_methods() -> None:
    assert README.count("\n") <= 130
    ours = [name for name in METHODS.names() if METHODS.origin(name).startswith("regmix-bench")]
    assert f"trains {len(ours)} methods" in README


def test_every_extra_is_named_and_installed_for_the_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = sorted(project["optional-dependencies"])
    page = (ROOT / "docs/guide/install.md").read_text("utf-8")
    assert [name for name in extras if f"`{name}`" not in page] == []
    assert f"'.[{','.join(extras)}]'" in (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def test_every_suite_is_named() -> None:
    page = (ROOT / "docs/guide/compare.md").read_text("utf-8")
    assert [name for name in packaged_suites() if f"`{name}`" not in page] == []


@pytest.mark.parametrize("file", [*sorted((ROOT / ".github").rglob("*.yml")), ROOT / "action.yml"])
def test_what_a_host_of_code_reads_is_yaml(file: Path) -> None:
    found = yaml.safe_load(file.read_text("utf-8"))
    assert found["name"]
    scripts = [step["run"] for step in found.get("runs", {}).get("steps", ())]
    options = set(re.findall(r"options\+?=\((--\w+)", "\n".join(scripts)))
    assert not scripts or options == {"--results", "--reference", "--only", "--allow", "--junit"}
