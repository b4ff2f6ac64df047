"""Finding things by name: in this process, in this package, and in a stranger's package."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.harness import Answer, answer, start

from regmix_bench.errors import UserError
from regmix_bench.methods import METHODS, load_method, register_method
from regmix_bench.methods.regmix import RegMix
from regmix_bench.registry import Registry, format_name, parse_name

ROOT = Path(__file__).parent.parent

#: A whole method in one file, as docs/guide/add-a-method.md tells how to add one.
NOISE = '''
"""Training on noise, for a test."""
from pydantic import Field

from regmix_bench.losses import cross_entropy
from regmix_bench.methods.protocol import Method
from regmix_bench.attacks.noise import uniform_start
from regmix_bench.types import Frozen, StepOutput


class Noise(Method):
    """CE on images under uniform noise."""

    name = "noise"

    class Config(Frozen):
        weight: float = Field(1.0, gt=0)

    def step(self, model, batch, threat, generator):
        x = batch.x + uniform_start(batch.x, threat, generator)
        return StepOutput(self.config.weight * cross_entropy(model(x), batch.y), x)
'''


def install(
    site: Path,
    source: str = NOISE,
    entry: str = "noise = noise_plugin:Noise",
    group: str = "methods",
) -> Path:
    """What an installer leaves behind for a distribution of one module, without a network."""
    (site / "noise_plugin.py").write_text(source)
    info = site / "noise_for_robustness-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: noise-for-robustness\nVersion: 1.5\n"
    )
    (info / "entry_points.txt").write_text(f"[regmix_bench.{group}]\n{entry}\n")
    return site


def command(site: Path, *arguments: str) -> Answer:
    path = os.pathsep.join(filter(None, [os.fspath(site), os.environ.get("PYTHONPATH")]))
    return answer(start(*arguments, cwd=site, env={"PYTHONPATH": path}))


def assert_refused(finished: Answer, *words: str) -> None:
    assert finished.status == 2, finished.errors
    assert finished.out == ""
    (line,) = finished.errors.splitlines()
    for word in words:
        assert word in line


def test_a_strangers_method_is_listed_with_its_origin(tmp_path: Path) -> None:
    finished = command(install(tmp_path), "list", "methods")
    assert finished.status == 0, finished.errors
    (row,) = [line for line in finished.out.splitlines() if line.startswith("noise ")]
    assert "noise-for-robustness 1.5" in row
    assert " all " in row
    assert "CE on images under uniform noise." in row
    (regmix,) = [line for line in finished.out.splitlines() if line.startswith("regmix ")]
    assert "regmix-bench" in regmix


def test_a_strangers_method_is_trained_scored_and_recorded(tmp_path: Path) -> None:
    finished = command(
        install(tmp_path),
        *(
            "run",
            "--methods",
            "noise[weight=2]",
            "--set",
            "recipe.epochs=2",
            "--set",
            "data.train_examples=60",
        ),
        *("--eval-examples", "10", "--device", "cpu"),
    )
    assert finished.status == 0, finished.errors
    (path,) = tmp_path.glob("results/digits/smallcnn/*.json")
    record = json.loads(path.read_text())
    assert record["status"] == "success"
    assert record["spec"]["method"] == {
        "name": "noise",
        "version": 1,
        "params": {"weight": 2.0},
        "label": "noise[weight=2]",
        "code": None,
    }
    assert record["environment"]["method_origin"] == "noise-for-robustness 1.5"
    assert len(record["history"]) == 2


def test_a_name_that_is_taken_is_refused_when_it_is_asked_for(tmp_path: Path) -> None:
    site = install(tmp_path, entry="trades = noise_plugin:Noise")
    both = ("'trades'", "offered twice", "regmix-bench 0.", "noise-for-robustness 1.5")
    assert_refused(command(site, "run", "--methods", "trades", "--dry-run"), *both)
    finished = command(site, "list", "methods")
    assert finished.status == 0, finished.errors
    (row,) = [line for line in finished.out.splitlines() if line.startswith("trades ")]
    assert all(word in row for word in both)
    assert "\nregmix-pgd " in finished.out
    assert command(site, "run", "--methods", "mart", "--dry-run").status == 0


@pytest.mark.parametrize(
    ("source", "entry", "reason"),
    [
        (NOISE, "noise = no_such_module:Noise", "no_such_module"),
        (NOISE, "noise = noise_plugin:Nose", "Nose"),
        ("Noise = print", "noise = noise_plugin:Noise", "is no method"),
        ("def broken(:\n", "noise = noise_plugin:Noise", "SyntaxError"),
        ("raise ValueError('two\\nlines')", "noise = noise_plugin:Noise", "two lines"),
        ("raise SystemExit('bye')", "noise = noise_plugin:Noise", "SystemExit: bye"),
        (NOISE.replace("def step", "def stride"), "noise = noise_plugin:Noise", "no step()"),
    ],
)
def test_a_broken_entry_point_names_its_distribution(tmp_path, source, entry, reason) -> None:
    finished = command(install(tmp_path, source, entry), "run", "--methods", "noise", "--dry-run")
    assert_refused(finished, "'noise'", "noise-for-robustness 1.5", reason)
    listed = command(tmp_path, "list", "methods")
    assert listed.status == 0, listed.errors
    (row,) = [line for line in listed.out.splitlines() if line.startswith("noise ")]
    assert reason in row
    assert "\ntrades " in listed.out


def test_a_broken_neighbour_does_not_stop_a_run(tmp_path: Path) -> None:
    site = install(tmp_path, entry="noise = no_such_module:Noise")
    finished = command(site, "run", "--methods", "trades", "--dry-run")
    assert finished.status == 0, finished.errors


@pytest.mark.parametrize(
    ("group", "taken", "option"),
    [
        ("datasets", "digits", "--datasets"),
        ("archs", "smallcnn", "--archs"),
        ("attacks", "square", "--attacks"),
        ("loggers", "csv", "--log"),
    ],
)
@pytest.mark.parametrize("broken", [False, True])
def test_every_kind_refuses_what_is_taken_or_broken(tmp_path, group, taken, option, broken) -> None:
    name = "noise" if broken else taken
    site = install(tmp_path, entry=f"{name} = no_such_module:Noise", group=group)
    finished = command(site, "run", "--methods", "trades", option, name, "--eps", "8/255")
    words = ["no_such_module"] if broken else ["offered twice", "regmix-bench 0."]
    assert_refused(finished, f"'{name}'", "noise-for-robustness 1.5", *words)
    assert not (site / "results").exists()


def test_every_method_of_the_two_packages_is_found() -> None:
    assert {
        *(
            "standard",
            "pgd-at",
            "trades",
            "mart",
            "gat",
            "nuat",
            "fgsm-pco",
            "fgsm-uap",
            "liet",
            "ikl-at",
            "free-at",
            "fgsm-rs",
            "n-fgsm",
            "zero-grad",
            "grad-align",
            "elle-a",
            "rs-aaer",
            "n-aaer",
            "fgsm-pgi",
            "fgsm-pgk",
        ),
        *("regmix", "regmix-amr", "regmix-agr", "regmix-pgd"),
    } <= set(METHODS.names())
    assert METHODS["regmix"] is RegMix
    assert METHODS.origin("trades").startswith("regmix-bench ")


def test_an_unknown_name_is_answered_by_the_nearest() -> None:
    for ask in (METHODS.__getitem__, METHODS.origin, load_method):
        with pytest.raises(UserError, match="unknown method 'tradess': did you mean 'trades'"):
            ask("tradess")


def test_names_import_nothing() -> None:
    registry: Registry[object] = Registry("thing", builtin={"gone": "no_such_module:x"})
    assert registry.names() == ["gone"]
    assert registry.origin("gone").startswith("regmix-bench ")
    with pytest.raises(UserError, match=r"thing 'gone' of regmix-bench .* cannot be loaded"):
        registry["gone"]


def test_a_listing_goes_on_past_what_is_broken() -> None:
    builtin = {"gone": "no_such_module:x", "path": "pathlib:Path", "../harm": "pathlib:Path"}
    registry: Registry[object] = Registry("thing", builtin=builtin, base="pathlib:PurePath")
    harm, gone, path = registry.entries()
    assert (path.item, path.error) == (Path, None)
    assert path.description.startswith("PurePath subclass")
    assert gone.item is None
    assert "no_such_module" in gone.description
    assert "a name is made of letters" in harm.description


def test_a_target_may_lie_deeper_in_a_module() -> None:
    registry: Registry[object] = Registry("thing", builtin={"c": "pathlib:Path.home"})
    assert registry["c"] == Path.home


def test_what_this_process_registers_wins() -> None:
    registry: Registry[object] = Registry("thing", builtin={"a": "pathlib:Path"})
    registry.register("a", 1)
    registry.register("b", 2)
    assert (registry["a"], registry["b"]) == (1, 2)
    assert registry.names() == ["a", "b"]
    assert registry.origin("a") == "this process"


def test_only_what_derives_from_the_base_is_registered() -> None:
    registry: Registry[object] = Registry("thing", base="pathlib:PurePath")
    for item in (1, str, Path()):
        with pytest.raises(UserError, match="'a' of this process is no thing: derive it from"):
            registry.register("a", item)
    assert registry.names() == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trades", ("trades", {})),
        (" fgsm-pgi[lambda_=1, reset=10] ", ("fgsm-pgi", {"lambda_": 1, "reset": 10})),
        ("a[b=null,c=true,d=x=y]", ("a", {"b": None, "c": True, "d": "x=y"})),
        ("a[]", ("a", {})),
    ],
)
def test_a_name_is_read_with_its_parameters(text: str, expected: object) -> None:
    assert parse_name("thing", text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "cannot be read: write it like name"),
        ("a[b=1", "cannot be read"),
        ("a[b=1]c", "cannot be read"),
        ("a[b]", "'b' is not key=value"),
        ("a[b={]", "value '{' cannot be read"),
    ],
)
def test_a_name_of_another_form_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        parse_name("thing", text)


def test_register_method_works_as_a_decorator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METHODS, "registered", {})

    @register_method
    class Mine(RegMix):
        name = "mine"

    assert METHODS["mine"] is Mine
    assert load_method("mine", alpha=3).config.alpha == 3

    class Nameless(RegMix):
        name = ""

    with pytest.raises(UserError, match=r"Nameless.* is no method: .* give it a name"):
        register_method(Nameless)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, "thing"),
        ({"lambda_": 3.0, "reset": 10}, "thing[lambda_=3,reset=10]"),
        ({"on": True, "off": None, "start": "image"}, "thing[on=true,off=null,start=image]"),
        ({"a": "1", "b": "true", "c": "x: y", "d": ""}, 'thing[a="1",b="true",c="x: y",d=""]'),
        ({"rate": 0.1 + 0.2}, "thing[rate=0.30000000000000004]"),
        ({"path": "a,b/x.npz", "n": 1, "q": ","}, 'thing[path="a,b/x.npz",n=1,q=","]'),
    ],
)
def test_a_name_is_written_as_it_is_read(values: dict[str, object], text: str) -> None:
    assert format_name("thing", values) == text
    assert parse_name("thing", text) == ("thing", values)
