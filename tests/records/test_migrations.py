"""Older files are read step by step, newer ones refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regmix_bench.errors import UserError
from regmix_bench.records.migrations import Content, FileKind
from regmix_bench.types import Frozen


class Page(Frozen):
    schema_version: int
    words: str


def _first(content: Content) -> Content:
    return {"words": content["text"]}


def _second(content: Content) -> Content:
    return {"words": content["words"] + "!"}


PAGE = FileKind("page", {1: _first, 2: _second})


def page(folder: Path, **content: object) -> Path:
    path = folder / "page.json"
    path.write_text(json.dumps(content))
    return path


def test_an_older_file_is_read_step_by_step(tmp_path: Path) -> None:
    path = page(tmp_path, schema_version=1, text="now")
    assert PAGE.parse(PAGE.load(path), Page, path) == Page(schema_version=3, words="now!")
    path = page(tmp_path, schema_version=2, words="now")
    assert PAGE.load(path) == {"schema_version": 3, "words": "now!"}
    path = page(tmp_path, schema_version=3, words="now")
    assert PAGE.load(path)["words"] == "now"


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (4, "has schema 4, this version reads up to 3: upgrade regmix-bench"),
        (0, "has schema 0, which no migration reads"),
        (None, "is not a page: it has no schema_version"),
        (True, "is not a page: it has no schema_version"),
        ("3", "is not a page: it has no schema_version"),
    ],
)
def test_other_versions_are_refused_in_one_line(
    tmp_path: Path, version: object, message: str
) -> None:
    path = page(tmp_path, schema_version=version)
    with pytest.raises(UserError) as refused:
        PAGE.load(path)
    assert str(refused.value) == f"{path} {message}"


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    path = page(tmp_path, schema_version=3, words=1)
    with pytest.raises(UserError, match="is not a page: words: input should be a valid string"):
        PAGE.parse(PAGE.load(path), Page, path)
    with pytest.raises(UserError, match=r"cannot read page .*: Is a directory"):
        PAGE.load(tmp_path)
    path.write_text("{")
    with pytest.raises(UserError, match="is not a page: Expecting"):
        PAGE.load(path)


def test_a_file_from_before_there_were_versions_has_the_first() -> None:
    kind = FileKind("page", {0: _second}, unversioned=0)
    assert kind.migrate({"words": "old"}, Path("x")) == {"schema_version": 1, "words": "old!"}
    with pytest.raises(UserError, match="is not a page"):
        kind.migrate({}, Path("x"))
