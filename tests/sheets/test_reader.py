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
        (("tables", "cifar10", "rows", 2, "threat"), "eps", "did you mean 'epsilon'"),
        (
            ("tables", "cifar10", "rows", 0, "numbers", "clean"),
            "std",
            "of tables.cifar10.rows.0.numbers.clean 'std': choose from deviation",
        ),
        (
            ("tables", "cifar10", "rows", 0, "hyperparameters", "steps"),
            "author",
            "did you mean 'authors'",
        ),
        *(
            (("tables", "cifar10", "rows", 0, part), "xyz", f"rows.0.{part} 'xyz': choose from")
            for part in ("tricks", "weights", "selection", "measurement")
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


@pytest.mark.parametrize("threat", ["threat", "trained_under", "attacked_under"])
def test_every_threat_is_read_to_its_last_key(threat: str) -> None:
    content = clean_content()
    row = content["tables"]["cifar10"]["rows"][1]
    row[threat] = {"norm": "Linf", "epsilon": "8/255", "bound": 1}
    assert f"unknown key of tables.cifar10.rows.1.{threat} 'bound'" in refused(content)


@pytest.mark.parametrize(
    ("right", "wrong"), [("method", "methd"), ("dataset", "data"), ("threat", "treat")]
)
def test_a_key_that_is_misspelt_is_named_and_not_the_one_that_is_missing(
    right: str, wrong: str
) -> None:
    content = clean_content()
    row = content["tables"]["cifar10"]["rows"][1]
    row[wrong] = row.pop(right)
    assert f"unknown key of tables.cifar10.rows.1 '{wrong}': did you" in refused(content)


@pytest.mark.parametrize("place", [("shared",), ("tables", "cifar10", "shared")])
def test_what_rows_share_is_held_to_the_keys_of_a_row(place: tuple[str, ...]) -> None:
    for shared, said in (
        ({"recipe": {"epoch": 1}}, "rows.0.recipe 'epoch': did you mean 'epochs'"),
        ({"threat": {"eps": 1}}, "rows.0.threat 'eps': did you mean 'epsilon'"),
        *((wrong, f"{'.'.join(place)} is no mapping") for wrong in (None, 1, "x", [], [{}])),
    ):
        content = clean_content()
        here: Any = content
        for step in place[:-1]:
            here = here[step]
        here[place[-1]] = shared
        assert said in refused(content)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        *(
            (wrong, "allow.unlike-seeds: input should be a reason")
            for wrong in (5, None, "", [], {})
        ),
        ({"cifar10": 5}, "allow.unlike-seeds: input should be a reason, or a reason for each"),
    ],
)
def test_a_reason_that_is_none_is_refused_in_words(reason: object, said: str) -> None:
    assert said in refused({**clean_content(), "allow": {"unlike-seeds": reason}})


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("recipe", "epochs"), "30", "recipe.epochs: input should be a valid integer"),
        (("recipe", "epochs"), True, "recipe.epochs: input should be a valid integer"),
        (("recipe", "lr"), float("nan"), "recipe.lr: input should be a finite number"),
        (("tricks", "gradient_clip"), "no", "gradient_clip: input should be a number or 'none'"),
        (("tricks", "ema_decay"), [1], "tricks.ema_decay: input should be a number or a text"),
        (("recipe", "momentum"), float("nan"), "recipe.momentum: input should be a number or"),
        (("numbers", "clean"), 82.0, "rows.0.numbers.clean: input should be a mapping"),
        (("numbers", ""), {"mean": 1}, "rows.0.numbers.'': input should not be empty"),
        (("files",), "x", "rows.0.files: input should be a list"),
        (("weights", "kind"), "ema", "input should be 'raw', 'averaged' or 'mixed'"),
        (("numbers", "clean", "mean"), 101, "less than or equal to 100"),
        (("threat", "norm"), "Linff", "rows.0.threat: unknown norm 'Linff': did you mean 'Linf'"),
        (("threat", "epsilon"), "8/0", "epsilon '8/0' is not a number"),
        (("runs", 2, "seed"), 1, "rows.0: a seed stands twice"),
        (("method",), "trades", "tables.cifar10: a method stands twice"),
        (("runs", 2, "seed"), 2**63, "runs.2.seed: input should be less than"),
        (("measurement", "images"), 10**400, "measurement.images: input should be less than"),
        (("runs", 2, "seed"), -1, "runs.2.seed: input should be greater than or equal to 0"),
        (("selection", "images"), -5, "selection.images: input should be greater than or equal"),
        (("measurement", "images"), 0, "measurement.images: input should be greater than"),
        (("measurement", "test_images"), 9_999, "images 10000 are more than test_images 9999"),
        (("recipe", "last_lr"), 0.2, "rows.0.recipe: last_lr 0.2 is above lr 0.1, the highest"),
        (("numbers", "clean", "interval"), [83, 81], "clean: interval ends below where it begins"),
        (("numbers", "clean", "deviation"), -0.1, "deviation: input should be greater than"),
        (("numbers", "clean", "deviation"), float("inf"), "deviation: input should be a finite"),
        (("threat", "epsilon"), float("nan"), "rows.0.threat: epsilon 'nan' is not"),
        (("threat", "epsilon"), -1, "rows.0.threat: epsilon"),
        (("runs", 0, "numbers", "clean"), float("nan"), "clean: input should be a finite number"),
        (("runs", 1, "selected_epoch"), 31, "rows.0: selected_epoch of seed 1 is epoch 31 of 30"),
        (("overfitting",), {"runs": 4, "by": 3}, "overfitting.runs are more than the 3 runs"),
        (("overfitting",), {"runs": 1, "by": 31}, "overfitting.by is epoch 31 of 30"),
        (("runs", 0, "why_left_out"), "collapsed", "said of a run that is counted"),
        (
            ("runs",),
            [{"seed": seed, "record": "0123456789ab"} for seed in (0, 1)],
            "rows.0: a record stands twice",
        ),
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
