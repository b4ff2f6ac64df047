"""A sheet on disk: what rows share, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.sheets import clean_content

from regmix_bench.errors import UserError
from regmix_bench.sheets.reader import joined, make_sheet, read_sheet

TEXT = """
title: Shared
shared:
  threat: {norm: Linf, epsilon: 8/255}
  dataset: cifar10
  recipe: {epochs: 100, lr: 0.1}
tables:
  one:
    shared: {architecture: resnet18, recipe: {epochs: 30}}
    rows:
      - method: a
      - {method: b, recipe: {lr: 1}, dataset: cifar100}
  two:
    rows: [{method: a, architecture: wrn-34-10}]
"""


def test_a_row_has_what_its_table_and_the_sheet_share(tmp_path: Path) -> None:
    path = tmp_path / "sheet.yaml"
    path.write_text(TEXT)
    sheet = read_sheet(path)
    a, b = sheet.tables["one"].rows
    (other,) = sheet.tables["two"].rows
    assert (a.recipe.epochs, a.recipe.lr, a.architecture, a.dataset) == (
        *(30, 0.1),
        *("resnet18", "cifar10"),
    )
    assert (b.recipe.epochs, b.recipe.lr, b.dataset) == (30, 1.0, "cifar100")
    assert (other.recipe.epochs, other.architecture) == (100, "wrn-34-10")
    assert str(other.threat) == "Linf 8/255"


def test_mappings_are_joined_and_all_else_is_replaced() -> None:
    one = {"a": {"x": 1, "y": [1]}, "b": 1}
    assert joined(one, {"a": {"y": [2]}, "b": {"z": 1}}) == {
        "a": {"x": 1, "y": [2]},
        "b": {"z": 1},
    }
    assert one == {"a": {"x": 1, "y": [1]}, "b": 1}


def refused(content: dict[str, Any]) -> str:
    with pytest.raises(UserError) as error:
        make_sheet(content)
    said = str(error.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    ("place", "key", "said"),
    [
        ((), "allows", "unknown key of a sheet 'allows': did you mean 'allow'"),
        (("tables", "cifar10"), "rank_by", "unknown key of tables.cifar10 'rank_by': did you"),
        (
            ("tables", "cifar10", "rows", 1),
            "data",
            "rows.1 'data': did you mean 'dataset'",
        ),
        (("tables", "cifar10", "rows", 1, "recipe"), "epoch", "did you mean 'epochs'"),
        (
            ("tables", "cifar10", "rows", 0, "runs", 2),
            "sed",
            "runs.2 'sed': did you mean 'seed'",
        ),
    ],
)
def test_an_unknown_key_is_refused_where_it_stands(
    place: tuple[Any, ...], key: str, said: str
) -> None:
    content = clean_content()
    here: Any = content
    for step in place:
        here = here[step]
    here[key] = 1
    assert said in refused(content)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("recipe", "epochs"), "30", "recipe.epochs: input should be a valid integer"),
        (("recipe", "epochs"), True, "recipe.epochs: input should be a valid integer"),
        (("recipe", "lr"), float("nan"), "recipe.lr: input should be a finite number"),
        (("tricks", "gradient_clip"), "no", "tricks.gradient_clip"),
        (("weights", "kind"), "ema", "input should be 'raw', 'averaged' or 'mixed'"),
        (("numbers", "clean", "mean"), 101, "less than or equal to 100"),
        (("threat", "norm"), "Linff", "unknown norm 'Linff': did you mean 'Linf'"),
        (("threat", "epsilon"), "8/0", "epsilon '8/0' is not a number"),
        (("runs", 2, "seed"), 1, "rows.0: a seed stands twice"),
        (("method",), "trades", "tables.cifar10: a method stands twice"),
    ],
)
def test_a_value_that_means_nothing_is_refused_where_it_stands(
    path: tuple[Any, ...], value: object, said: str
) -> None:
    content = clean_content()
    here: Any = content["tables"]["cifar10"]["rows"][0]
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    assert said in refused(content)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"title": "x"},
        {"title": "x", "tables": {}},
        {"title": "x", "tables": []},
        {"title": "x", "tables": {"t": []}},
        {"title": "x", "tables": {"t": {"rows": {}}}},
        {"title": "x", "tables": {"t": {"rows": [1]}}},
        {"title": "x", "tables": {"t": {"shared": 1, "rows": [{"method": "a"}]}}},
        {"title": "x", "shared": [], "tables": {"t": {"rows": [{"method": "a"}]}}},
        {"title": "x", "shared": {"recipe": 1}, "tables": {"t": {"rows": [{"method": "a"}]}}},
    ],
)
def test_another_shape_is_refused_in_one_line(content: dict[str, Any]) -> None:
    assert refused(content)


def test_what_rows_share_is_not_multiplied_beyond_measure() -> None:
    shared = {"files": ["x" * 80] * 10_000}
    rows = [{"method": str(number)} for number in range(1000)]
    assert "share too much" in refused(
        {"title": "x", "shared": shared, "tables": {"t": {"rows": rows}}}
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title: [", "is not YAML"),
        ("title: a\ntitle: b", "stands twice"),
        ("title: !!python/name:os.system x", "is not YAML: tag"),
        ("- a", "sheet.yaml: a sheet is a mapping"),
        ("", "sheet.yaml: a sheet is a mapping"),
        (None, "cannot read sheet"),
    ],
)
def test_a_file_that_is_no_sheet_is_refused_in_one_line(
    text: str | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "sheet.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=said) as error:
        read_sheet(path)
    assert "\n" not in str(error.value)
