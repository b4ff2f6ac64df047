"""What docs/architecture.md names exists, and no change touches more than three files."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "regmix_bench"
TEXT = (ROOT / "docs/architecture.md").read_text()
CODE = re.findall(r"`([^`\n]+)`", TEXT)


def section(title: str) -> str:
    return TEXT.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def files_in(text: str) -> list[str]:
    return re.findall(r"`([\w/]+\.(?:py|toml|md))`", text)


@pytest.mark.parametrize("name", sorted(set(files_in(TEXT))))
def test_a_file_that_is_named_exists(name: str) -> None:
    assert (PACKAGE / name).is_file() or (ROOT / name).is_file()


@pytest.mark.parametrize("name", sorted({code for code in CODE if re.fullmatch(r"[\w/]+/", code)}))
def test_a_folder_that_is_named_exists(name: str) -> None:
    places = (ROOT, PACKAGE, PACKAGE / "reporting")
    assert any((place / name).is_dir() for place in places)


@pytest.mark.parametrize(("name", "file"), re.findall(r"`(\w+)`\s+\(`([\w/]+\.py)`\)", TEXT))
def test_a_name_stands_in_the_file_beside_it(name: str, file: str) -> None:
    assert re.search(rf"\b{name}\b", (PACKAGE / file).read_text())


CHANGES = re.split(r"\n- ", section("What a change touches"))[1:]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.split("**")[1])
def test_a_change_touches_three_files_at_most(change: str) -> None:
    touched = {name for name in files_in(change) if not name.startswith("tests/")}
    assert len(touched) <= 3


@pytest.mark.parametrize(
    ("module", "name"),
    re.findall(r"^([a-z_]+\.[a-z_]+) +(\w+):", section("The way of the test images"), re.MULTILINE),
)
def test_the_way_of_the_test_images_leads_through_what_there_is(module: str, name: str) -> None:
    assert hasattr(import_module(f"regmix_bench.{module}"), name)


def test_each_module_on_the_way_is_entered_once() -> None:
    way = re.findall(r"^([a-z_]+\.[a-z_]+) ", section("The way of the test images"), re.MULTILINE)
    assert len(way) == len(set(way)) > 8
