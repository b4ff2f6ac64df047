"""What methods declare for reports, and what is said of those that are not installed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from support.synthetic import make_spec

from regmix_bench.grid.plan import parse_method
from regmix_bench.methods import METHODS, declared, register_method
from regmix_bench.methods.declarations import display_name, row_rank, true_class_mass
from regmix_bench.methods.protocol import Method
from regmix_bench.specs import MethodSpec
from regmix_bench.types import Frozen


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METHODS, "registered", {})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("fgsm-pgi", "FGSM-PGI"),
        ("fgsm-pgi[lambda_=3]", "FGSM-PGI (λ = 3)"),
        ("fgsm-pgk[lambda_=2.5,reset=7]", "FGSM-PGK (λ = 2.5, reset = 7)"),
        ("regmix[alpha=3]", "RegMix (α = 3)"),
        ("trades[attack_bn=train]", "TRADES (attack_bn = train)"),
    ],
)
def test_a_method_is_called_by_its_title_and_what_is_off_its_defaults(text: str, name: str) -> None:
    assert display_name(parse_method(text, {})) == name


def test_a_method_that_is_not_installed_goes_by_its_record() -> None:
    spec = MethodSpec(name="gone", version=3, params={"a": 1}, label="gone[a=1]")
    assert declared("gone") is None
    assert display_name(spec) == "gone[a=1]"
    assert true_class_mass(make_spec(method=spec)) == 1.0
    assert row_rank("gone") > max(map(row_rank, METHODS.names()))


def test_parameters_that_today_s_version_does_not_know_leave_the_label() -> None:
    spec = MethodSpec(name="trades", version=1, params={"old": 1.0}, label="trades[old=1]")
    assert display_name(spec) == "trades[old=1]"


def test_a_stranger_s_declarations_that_fail_leave_what_the_record_says() -> None:
    class Broken(METHODS["trades"]):
        name = "broken"

        @classmethod
        def display_name(cls, config):
            raise RuntimeError("no name")

    register_method(Broken)
    spec = parse_method("broken[beta=2]", {})
    assert display_name(spec) == spec.label == "broken[beta=2]"


@pytest.mark.parametrize(
    ("name", "recipe", "mass"),
    [
        ("mart", "method", 1.0),
        ("fgsm-pgi", "method", 0.6),
        ("mart", 0.7, 0.7),
        ("fgsm-pgi", 1.0, 1.0),
        ("gone", 0.8, 0.8),
    ],
)
def test_smoothed_labels_follow_from_the_recipe_and_the_authors(
    name: str, recipe: Any, mass: float
) -> None:
    method = MethodSpec(name=name, version=1, params={}, label=name)
    assert true_class_mass(make_spec(method=method, recipe={"true_class_mass": recipe})) == mass


def test_a_stranger_needs_to_declare_nothing() -> None:
    class Nova(Method):
        name = "nova"

        class Config(Frozen):
            depth: int = 1

        def step(self, model, batch, threat, generator):
            raise NotImplementedError

    register_method(Nova)
    assert display_name(parse_method("nova[depth=2]", {})) == "nova (depth = 2)"
    assert true_class_mass(make_spec(method=parse_method("nova", {}))) == 1.0
    assert (row_rank("nova"), declared("nova")) == (1000, Nova)


def test_what_derives_from_a_method_is_not_called_coloured_or_cited_as_it() -> None:
    class Child(METHODS["trades"]):
        name = "child"

    register_method(Child)
    assert display_name(parse_method("child[beta=2]", {})) == "child (β = 2)"
    assert (Child.citation, Child.colour, Child.formula) == (None, None, "")


def test_each_place_in_the_palette_is_taken_once() -> None:
    colours = [METHODS[name].colour for name in METHODS.names()]
    assert None not in colours and len(set(colours)) == len(colours)


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_of_ours_says_its_formula_its_source_and_its_parameters(name: str) -> None:
    method = METHODS[name]
    assert method.title and method.formula
    cited = method.citation is not None
    assert cited == (name != "standard"), "nobody is to be cited for training without an attack"
    if cited:
        assert str(method.citation.year) in (sys.modules[method.__module__].__doc__ or "")
    fields = method.Config.model_json_schema().get("properties", {})
    assert all(field.get("description") for field in fields.values())


def test_papers_of_the_same_authors_are_told_apart() -> None:
    cited = {METHODS[name].citation for name in METHODS.names()} - {None}
    assert len({paper.key for paper in cited}) == len(cited)
    assert len({(paper.authors, paper.year) for paper in cited}) == len(cited)


def test_declarations_are_read_without_torch() -> None:
    code = (
        "import sys; from regmix_bench.methods.declarations import row_rank;"
        "print(row_rank('trades'), row_rank('regmix'), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["20", "90", "False"]


def test_a_method_that_was_read_without_torch_trains() -> None:
    code = (
        "from regmix_bench.methods.declarations import row_rank; row_rank('trades');"
        "from regmix_bench.methods import METHODS; import torch;"
        "from regmix_bench.methods import protocol;"
        "print(METHODS['trades'].display_name(METHODS['trades'].Config()),"
        " protocol.torch.Tensor is torch.Tensor)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["TRADES", "True"]
