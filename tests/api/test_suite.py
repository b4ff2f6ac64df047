"""A suite file is begun, checked and described without a run."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest

from regmix_bench import UserError, suite
from regmix_bench.api.suite import EXAMPLE, SCHEMA
from regmix_bench.grid.plan import plan
from regmix_bench.grid.suite_files import load_suite, packaged_suites
from regmix_bench.grid.suite_schema import suite_schema
from regmix_bench.notation import read_json, read_yaml


def test_a_suite_that_is_begun_plans_and_fits_the_schema_beside_it(tmp_path: Path) -> None:
    begun = suite("init", tmp_path / "mine.yaml")
    assert begun.runs == suite("check", tmp_path / "mine.yaml").runs
    assert [spec.label for spec in begun.runs[::3]] == ["pgd-at", "trades", "regmix"]
    schema = read_json((tmp_path / SCHEMA).read_bytes())
    assert schema == suite_schema()
    jsonschema.validate(read_yaml(EXAMPLE), schema)
    # And with everything that stands there as a comment.
    whole = re.sub(r"^( *)# (?=\w+:|  - )", r"\1", EXAMPLE, flags=re.MULTILINE)
    assert whole != EXAMPLE
    jsonschema.validate(read_yaml(whole), schema)
    (tmp_path / "whole.yaml").write_text(whole)
    runs = suite("check", tmp_path / "whole.yaml").runs
    assert {spec.scoring.attacks for spec in runs} == {("apgd-ce", "square")}
    assert {spec.eval_examples for spec in runs} == {200}


def test_a_file_that_is_there_is_not_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("methods: [trades]\n")
    with pytest.raises(UserError, match="exists"):
        suite("init", path)
    assert path.read_text() == "methods: [trades]\n"
    with pytest.raises(UserError, match=r"such as mine\.yaml"):
        suite("init", tmp_path / "mine")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", packaged_suites())
def test_the_schema_takes_every_packaged_suite(name: str) -> None:
    for grid in load_suite(name):
        jsonschema.validate(grid, suite_schema())


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 3},
        {"methods": "trades"},
        {"seeds": [-1]},
        {"recipe": {"lr": "fast"}},
        {"recipe": {"search_precision": "fp32"}},
        {"scoring": {"search_precision": "fp8"}},
        {"grids": []},
    ],
)
def test_the_schema_refuses_what_the_plan_refuses(wrong: dict[str, object]) -> None:
    grid = {"methods": ["trades"], "eps": ["8/255"]}
    jsonschema.validate(grid, suite_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(grid | wrong, suite_schema())
    if "grids" not in wrong:
        with pytest.raises(UserError):
            plan([grid | wrong])


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"epochs": 3}, "recipe"),
        ({"search_precision": "fp32"}, "scoring"),
        ({"beta": 3}, "params.trades"),
        ({"recipe": {"eps": ["8/255"]}}, "the suite itself"),
        ({"recipe": {"attacks": ["square"]}}, "the suite itself or scoring"),
        ({"scoring": {"lr": 0.1}}, "recipe"),
        ({"data": {"seeds": [1]}}, "the suite itself"),
    ],
)
def test_a_key_that_stands_elsewhere_is_told_its_place(
    tmp_path: Path, wrong: dict[str, object], place: str
) -> None:
    with pytest.raises(UserError, match=f"it belongs to {place}$"):
        plan([{"methods": ["trades"], "eps": ["8/255"]} | wrong])


def test_attacks_of_a_suite_are_those_of_the_option() -> None:
    grid = {"methods": ["trades"], "eps": ["8/255"]}
    (spec,) = plan([grid | {"attacks": ["apgd-ce", "square"], "screen": True}])
    (typed,) = plan(
        [grid],
        {"scoring": {"autoattack_version": "custom", "attacks": ["apgd-ce", "square"]}},
        ["scoring.screen=true"],
    )
    assert spec.run_id == typed.run_id
    contradiction = {"attacks": ["square"], "scoring": {"autoattack_version": "plus"}}
    with pytest.raises(UserError, match="version custom, and no other"):
        plan([grid | contradiction])
