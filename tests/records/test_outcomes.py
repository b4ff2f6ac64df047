"""The columns of the outcomes stand in one module."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import regmix_bench
from regmix_bench.records import outcomes

PACKAGE = Path(regmix_bench.__file__).parent

#: Those that are no words of other tables too; views have predictions of their own images.
COLUMNS = {
    outcomes.CLEAN_CORRECT,
    outcomes.PGD_CORRECT,
    outcomes.BROKEN_BY,
    outcomes.CLEAN_MARGIN,
    outcomes.ADV_MARGIN,
}


def spelled(source: str) -> set[str]:
    found = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    words = {word for word in found if isinstance(word, str)}
    return {w for w in words if w in COLUMNS or w in ("_broke", "_margin", "_norm")}


def test_a_spelled_column_is_found() -> None:
    assert spelled('table[f"{attack}_broke"]') == {"_broke"}


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "records/outcomes.py"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_no_other_module_spells_a_column(path: Path) -> None:
    assert spelled(path.read_text()) == set()
